"""Writes a bbolt file in one pass, holding a few pages of it in memory.

The pairs come sorted, so the trees are built from the leaves up: a leaf page is written when
it is full, and leaves its first key and its number to the branch page above it, which is
written when that is full, and so on. What is left of each level is written at the end.

The meta pages stand first and name what is known last (the root page and the page count), so
the sink has to be seekable: they are written when all else is.

As in bbolt, a bucket that fits in a quarter of a page is kept inline, within the root bucket.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from miniraft.bolt.meta import Meta, encode_meta
from miniraft.bolt.page import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET_HEADER,
    FREELIST,
    HEADER,
    LEAF,
    LEAF_ELEMENT,
    LEAF_IS_BUCKET,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    PAGE_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INLINE_BYTES = PAGE_BYTES // 4
_LEAST_CHILDREN = 2  # in a branch page, however long the keys are: or a tree would never end
_BUFFER_BYTES = 1 << 20
_FIRST_FREE_PAGE = 2
_TRANSACTION = 2  # that of the first meta page; the second one has the one before


class Sink(Protocol):
    """Where the file goes: any file open for writing."""

    def write(self, data: bytes, /) -> object:
        """Writes all of `data` at the present place."""

    def seek(self, offset: int, /) -> object:
        """Goes to a place, counted from the start."""


class _Child(NamedTuple):
    key: bytes
    page: int


def write_database(sink: Sink, buckets: Iterable[tuple[bytes, Iterable[tuple[bytes, bytes]]]]) -> int:
    """Writes the buckets, given as (name, pairs), as a bbolt file; returns its size in bytes.

    Buckets come in ascending order of their names, pairs in ascending order of their keys; each
    bucket's pairs are read to their end before the next bucket is asked for.
    Raises ValueError for an order, key or value that the format cannot hold; OSError.
    """
    pages = _Pages(sink)
    root_page = _write_tree(pages, _buckets_as_pairs(pages, buckets), LEAF_IS_BUCKET)
    freelist_page = pages.add(FREELIST, 0, b"")
    page_count = pages.finish()
    sink.seek(0)
    for transaction in (_TRANSACTION, _TRANSACTION - 1):  # pages 0 and 1
        sink.write(encode_meta(Meta(PAGE_BYTES, root_page, freelist_page, page_count, transaction)))
    return page_count * PAGE_BYTES


class _Pages:
    """Hands out page numbers in the order in which the pages are written."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self.next = _FIRST_FREE_PAGE
        sink.seek(_FIRST_FREE_PAGE * PAGE_BYTES)

    def add(self, kind: int, count: int, body: bytes) -> int:
        """Writes a page, with as many overflow pages as it needs; returns its number."""
        number = self.next
        span = -(-(HEADER.size + len(body)) // PAGE_BYTES)
        length = span * PAGE_BYTES
        padding = bytes(length - HEADER.size - len(body))
        self._buffer += (HEADER.pack(number, kind, count, span - 1), body, padding)
        self._buffered_bytes += length
        self.next += span
        if self._buffered_bytes >= _BUFFER_BYTES:
            self._flush()
        return number

    def finish(self) -> int:
        """Hands over what is left; returns the count of pages."""
        self._flush()
        return self.next

    def _flush(self) -> None:
        self._sink.write(b"".join(self._buffer))
        self._buffer.clear()
        self._buffered_bytes = 0


def _buckets_as_pairs(
    pages: _Pages, buckets: Iterable[tuple[bytes, Iterable[tuple[bytes, bytes]]]]
) -> Iterator[tuple[bytes, bytes]]:
    for name, pairs in buckets:
        yield name, _write_bucket(pages, pairs)


def _write_bucket(pages: _Pages, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Writes one bucket; returns what the root bucket says about it."""
    leaves = _leaf_pages(pairs, 0)
    first = next(leaves)
    second = next(leaves, None)
    if second is None and HEADER.size + len(first.body) <= _INLINE_BYTES:
        return BUCKET_HEADER.pack(0, 0) + HEADER.pack(0, LEAF, first.element_count, 0) + first.body
    tree = _Branches(pages)
    tree.add(first.key, pages.add(LEAF, first.element_count, first.body))
    if second is not None:
        tree.add(second.key, pages.add(LEAF, second.element_count, second.body))
        for leaf in leaves:
            tree.add(leaf.key, pages.add(LEAF, leaf.element_count, leaf.body))
    return BUCKET_HEADER.pack(tree.finish(), 0)


def _write_tree(pages: _Pages, pairs: Iterable[tuple[bytes, bytes]], flags: int) -> int:
    tree = _Branches(pages)
    for leaf in _leaf_pages(pairs, flags):
        tree.add(leaf.key, pages.add(LEAF, leaf.element_count, leaf.body))
    return tree.finish()


class _Leaf(NamedTuple):
    key: bytes  # the first one
    element_count: int
    body: bytes


def _leaf_pages(pairs: Iterable[tuple[bytes, bytes]], flags: int) -> Iterator[_Leaf]:
    """Yields leaf pages, each as full as can be; at least one, which may be empty."""
    room = PAGE_BYTES - HEADER.size
    held: list[tuple[bytes, bytes]] = []
    size = 0
    for pair in pairs:
        key, value = pair
        added = LEAF_ELEMENT.size + len(key) + len(value)
        if size + added > room:
            _check_pair(key, value)  # the rest is within bounds, for it fits in a page
            if held:
                yield _leaf(held, flags, key)
            held, size = [], 0
        held.append(pair)
        size += added
    yield _leaf(held, flags, None)


def _leaf(pairs: list[tuple[bytes, bytes]], flags: int, following: bytes | None) -> _Leaf:
    keys = [key for key, _ in pairs]
    _check_order(keys if following is None else [*keys, following])
    elements: list[bytes] = []
    position = len(pairs) * LEAF_ELEMENT.size
    for key, value in pairs:
        elements.append(LEAF_ELEMENT.pack(flags, position, len(key), len(value)))
        position += len(key) + len(value) - LEAF_ELEMENT.size
    content = [part for pair in pairs for part in pair]
    return _Leaf(keys[0] if keys else b"", len(pairs), b"".join(elements + content))


class _Branches:
    """The branch pages above a row of leaves.

    Invariant: `_levels[n]` are the children, n levels above the leaves, that no page names yet.
    """

    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self._levels: list[list[_Child]] = []
        self._sizes: list[int] = []

    def add(self, key: bytes, page: int) -> None:
        """Takes the next leaf."""
        self._add(0, _Child(key, page))

    def _add(self, level: int, child: _Child) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._sizes.append(HEADER.size)
        added = BRANCH_ELEMENT.size + len(child.key)
        held = self._levels[level]
        if len(held) >= _LEAST_CHILDREN and self._sizes[level] + added > PAGE_BYTES:
            self._write(level)
        self._levels[level].append(child)
        self._sizes[level] += added

    def _write(self, level: int) -> None:
        children = self._levels[level]
        self._levels[level], self._sizes[level] = [], HEADER.size
        self._add(level + 1, _Child(children[0].key, self._pages.add(BRANCH, *_branch(children))))

    def finish(self) -> int:
        """Writes what is left; returns the number of the page at the top."""
        level = 0
        while level + 1 < len(self._levels) or len(self._levels[level]) > 1:
            self._write(level)
            level += 1
        return self._levels[level][0].page


def _branch(children: list[_Child]) -> tuple[int, bytes]:
    elements: list[bytes] = []
    position = len(children) * BRANCH_ELEMENT.size
    for key, page in children:
        elements.append(BRANCH_ELEMENT.pack(position, len(key), page))
        position += len(key) - BRANCH_ELEMENT.size
    return len(children), b"".join(elements + [key for key, _ in children])


def _check_pair(key: bytes, value: bytes) -> None:
    if len(key) > MAX_KEY_BYTES or len(value) > MAX_VALUE_BYTES:
        raise ValueError(
            f"a key of {len(key)} bytes with a value of {len(value)}: bbolt holds keys up to {MAX_KEY_BYTES} "
            f"and values up to {MAX_VALUE_BYTES} bytes"
        )


def _check_order(keys: list[bytes]) -> None:
    if keys and not keys[0]:
        raise ValueError("an empty key: bbolt cannot hold it")
    for before, after in pairwise(keys):
        if before >= after:
            raise ValueError(
                f"key {after[:64]!r} follows {before[:64]!r}: keys have to come in ascending order"
            )
