"""Reads a bbolt file, and believes nothing of it before it is checked.

A walk through the file reads no page twice: a tree that leads to a page again, as a cycle
does, is refused. So is whatever points out of its page or the file, or stands out of order. A
damaged or malicious file costs time and memory in proportion to its length, and ends in a
BoltError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.bolt.meta import read_meta
from miniraft.bolt.page import (
    BRANCH,
    BUCKET_HEADER,
    FREELIST,
    HEADER,
    KIND_NAMES,
    LEAF,
    LEAF_IS_BUCKET,
    NO_FREELIST,
)
from miniraft.bolt.page_reader import Leaf, Page, PageReader
from miniraft.bolt.problem import BoltError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.bolt.source import Source

_META_PAGES = 2


class PageUse:
    """Which pages a walk has come by."""

    def __init__(self, page_count: int) -> None:
        self._seen = bytearray(page_count)

    def take(self, number: int, span: int) -> bool:
        """Notes a page with its overflow; returns whether it is come by for the first time."""
        if any(self._seen[number : number + span]):
            return False
        self._seen[number : number + span] = b"\1" * span
        return True

    def first_unused(self) -> int:
        """Returns the first page nobody came by, or -1."""
        return self._seen.find(0)


class Database:
    """A bbolt file, open for reading. Not thread-safe."""

    def __init__(self, source: Source) -> None:
        """Reads the meta pages and the list of buckets. Raises BoltError, OSError."""
        self._name = source.name
        self._meta = read_meta(source)
        self._pages = PageReader(source, self._meta)
        self._buckets = dict(self._read_buckets(self.page_use()))

    def buckets(self) -> list[bytes]:
        """Returns the names of the buckets, ascending."""
        return list(self._buckets)

    def size_bytes(self) -> int:
        """Returns the size of the database: that of the file, without what may stand behind it."""
        return self._meta.page_count * self._meta.page_bytes

    def items(self, bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields the pairs of a bucket in key order.

        Raises KeyError for a bucket that is not there, BoltError, OSError.
        """
        for keys, values in self.runs(bucket):
            yield from zip(keys, values, strict=True)

    def runs(self, bucket: bytes, use: PageUse | None = None) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yields the same in runs, the keys and the values of a page each.

        With `use`, pages that another walk has come by already are refused; see `check_use`.
        """
        value = self._buckets[bucket]
        if len(value) < BUCKET_HEADER.size:
            raise self._bucket_error(bucket, f"is described in {len(value)} bytes")
        root_page, _ = BUCKET_HEADER.unpack_from(value)
        leaves: Iterator[Leaf]
        if root_page:
            leaves = self._walk(root_page, use or self.page_use())
        else:
            leaves = iter((self._inline_leaf(bucket, value[BUCKET_HEADER.size :]),))
        for leaf in leaves:
            if leaf.flags & LEAF_IS_BUCKET:
                raise self._bucket_error(bucket, "holds another bucket, which no bucket of etcd's does")
            yield leaf.keys, leaf.values

    def page_use(self) -> PageUse:
        """Returns what `runs` needs for a walk through several buckets."""
        use = PageUse(self._meta.page_count)
        use.take(0, _META_PAGES)
        return use

    def check_use(self, use: PageUse) -> None:
        """After a walk through all buckets: checks that every other page is free, and only those.

        Raises BoltError, OSError.
        """
        for _ in self._read_buckets(use):
            pass
        if self._meta.freelist_page == NO_FREELIST:
            return
        page = self._read(self._meta.freelist_page, use, FREELIST)
        for number in self._pages.free_pages(page):
            if not _META_PAGES <= number < self._meta.page_count:
                raise self._pages.error(page.number, f"it has page {number}, which does not exist, as free")
            if not use.take(number, 1):
                raise self._pages.error(number, "it is in use, and yet listed as free (or listed twice)")
        lost = use.first_unused()
        if lost >= 0:
            raise self._pages.error(lost, "it is neither in use nor free")

    def check(self) -> None:
        """Reads everything. Raises BoltError, OSError."""
        use = self.page_use()
        for bucket in self._buckets:
            for _ in self.runs(bucket, use):
                pass
        self.check_use(use)

    # Inner ----------------------------------------------------------------------------------
    def _read_buckets(self, use: PageUse) -> Iterator[tuple[bytes, bytes]]:
        for leaf in self._walk(self._meta.root_page, use):
            if leaf.keys and not leaf.flags & LEAF_IS_BUCKET:
                raise BoltError(self._name, "its root bucket holds something other than buckets")
            yield from zip(leaf.keys, leaf.values, strict=True)

    def _walk(self, root: int, use: PageUse) -> Iterator[Leaf]:
        """Yields the leaves of a tree, left to right."""
        # Page number, and the bounds of the keys it may hold: from the first, up to the second.
        waiting: list[tuple[int, bytes, bytes | None]] = [(root, b"", None)]
        while waiting:
            number, low, high = waiting.pop()
            page = self._read(number, use, BRANCH, LEAF)
            if page.kind == LEAF:
                leaf = self._pages.leaf(page)
                self._check_bounds(number, leaf.keys, low, high)
                yield leaf
                continue
            branch = self._pages.branch(page)
            self._check_bounds(number, branch.keys, low, high)
            bounds = [*branch.keys[1:], high]
            waiting.extend(reversed(list(zip(branch.pages, branch.keys, bounds, strict=True))))

    def _read(self, number: int, use: PageUse, *kinds: int) -> Page:
        page = self._pages.read(number)
        if not use.take(number, page.span):
            raise self._pages.error(number, "it is used twice")
        if page.kind not in kinds:
            wanted = " or ".join(KIND_NAMES[kind] for kind in kinds)
            raise self._pages.error(
                number, f"it is a {KIND_NAMES[page.kind]} page in place of a {wanted} page"
            )
        return page

    def _check_bounds(self, number: int, keys: list[bytes], low: bytes, high: bytes | None) -> None:
        if keys and (keys[0] < low or (high is not None and keys[-1] >= high)):
            raise self._pages.error(number, "it has keys that belong in another page")

    def _inline_leaf(self, bucket: bytes, data: bytes) -> Leaf:
        if len(data) < HEADER.size:
            raise self._bucket_error(bucket, f"has an inline page of {len(data)} bytes")
        _, kind, count, overflow = HEADER.unpack_from(data)
        if kind != LEAF or overflow:
            raise self._bucket_error(bucket, "has an inline page that is no leaf page")
        return self._pages.leaf(Page(self._meta.root_page, kind, count, 1, data))

    def _bucket_error(self, bucket: bytes, reason: str) -> BoltError:
        return BoltError(self._name, f"bucket {bucket.decode(errors='replace')[:64]!r} {reason}")
