"""Reads single pages, and checks that what they name lies within them."""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING, NamedTuple

from miniraft.bolt.page import (
    BRANCH_ELEMENT,
    FREELIST_LONG,
    HEADER,
    KIND_NAMES,
    LEAF_ELEMENT,
    PAGE_NUMBER,
)
from miniraft.bolt.problem import BoltError

if TYPE_CHECKING:
    from miniraft.bolt.meta import Meta
    from miniraft.bolt.source import Source

_MAX_SPAN_BYTES = 1 << 30  # of a page with its overflow, which is read as a whole


class Page(NamedTuple):
    """A page with its overflow, not looked into yet."""

    number: int
    kind: int
    element_count: int
    span: int  # in pages
    data: bytes


class Leaf(NamedTuple):
    """Pairs in ascending order of their keys; `flags` are all elements' flags together."""

    keys: list[bytes]
    values: list[bytes]
    flags: int


class Branch(NamedTuple):
    """The children, and the key at which each one's part begins."""

    keys: list[bytes]
    pages: list[int]


class PageReader:
    """Reads the pages of one file."""

    def __init__(self, source: Source, meta: Meta) -> None:
        self._source = source
        self._page_bytes = meta.page_bytes
        self._page_count = meta.page_count

    def error(self, number: int, reason: str) -> BoltError:
        """Returns the error for a page."""
        return BoltError(self._source.name, reason, number)

    def read(self, number: int) -> Page:
        """Returns the page of that number. Raises BoltError, OSError."""
        if not 0 < number < self._page_count:
            raise self.error(number, f"it is named, but there are only pages 1 to {self._page_count - 1}")
        data = self._source.read_at(number * self._page_bytes, self._page_bytes)
        if len(data) < self._page_bytes:
            raise self.error(number, f"only {len(data)} of its {self._page_bytes} bytes are there")
        own_number, kind, count, overflow = HEADER.unpack_from(data)
        if own_number != number:
            raise self.error(number, f"it says it is page {own_number}")
        if kind not in KIND_NAMES:
            raise self.error(number, f"it is of unknown kind {kind:#x}")
        if overflow:
            data = self._read_whole(number, overflow + 1)
        return Page(number, kind, count, overflow + 1, data)

    def _read_whole(self, number: int, span: int) -> bytes:
        if number + span > self._page_count or span * self._page_bytes > _MAX_SPAN_BYTES:
            raise self.error(number, f"it says that {span - 1} pages more belong to it: too many")
        data = self._source.read_at(number * self._page_bytes, span * self._page_bytes)
        if len(data) < span * self._page_bytes:
            raise self.error(number, f"only {len(data)} of its {span * self._page_bytes} bytes are there")
        return data

    def leaf(self, page: Page) -> Leaf:
        """Returns what stands in a leaf page."""
        keys: list[bytes] = []
        values: list[bytes] = []
        data = page.data
        start, end = self._content(page, LEAF_ELEMENT.size)
        any_flags = 0
        place = HEADER.size
        for flags, position, key_bytes, value_bytes in LEAF_ELEMENT.iter_unpack(data[HEADER.size : start]):
            key_start = place + position
            value_start = key_start + key_bytes
            value_end = value_start + value_bytes
            if key_start < start or value_end > end:
                raise self.error(page.number, f"its element {len(keys)} reaches out of the page")
            keys.append(data[key_start:value_start])
            values.append(data[value_start:value_end])
            any_flags |= flags
            place += LEAF_ELEMENT.size
        self._check_order(page, keys)
        return Leaf(keys, values, any_flags)

    def branch(self, page: Page) -> Branch:
        """Returns what stands in a branch page."""
        keys: list[bytes] = []
        pages: list[int] = []
        start, end = self._content(page, BRANCH_ELEMENT.size)
        place = HEADER.size
        for position, key_bytes, number in BRANCH_ELEMENT.iter_unpack(page.data[HEADER.size : start]):
            key_start = place + position
            if key_start < start or key_start + key_bytes > end:
                raise self.error(page.number, f"its element {len(keys)} reaches out of the page")
            keys.append(page.data[key_start : key_start + key_bytes])
            pages.append(number)
            place += BRANCH_ELEMENT.size
        if not pages:
            raise self.error(page.number, "it is a branch page without children")
        self._check_order(page, keys)
        return Branch(keys, pages)

    def free_pages(self, page: Page) -> list[int]:
        """Returns the numbers in a freelist page."""
        count, start = page.element_count, HEADER.size
        if count == FREELIST_LONG:
            (count,) = PAGE_NUMBER.unpack_from(page.data, start)
            start += PAGE_NUMBER.size
        if count > (len(page.data) - start) // PAGE_NUMBER.size:
            raise self.error(page.number, f"its list of {count} free pages reaches out of the page")
        return [number for (number,) in PAGE_NUMBER.iter_unpack(page.data[start : start + 8 * count])]

    def _content(self, page: Page, element_bytes: int) -> tuple[int, int]:
        """Returns where keys and values may stand."""
        start, end = HEADER.size + page.element_count * element_bytes, len(page.data)
        if start > end:
            raise self.error(page.number, f"it says that it has {page.element_count} elements: too many")
        return start, end

    def _check_order(self, page: Page, keys: list[bytes]) -> None:
        if not all(map(lt, keys, keys[1:])):
            raise self.error(page.number, "its keys are not in ascending order")
