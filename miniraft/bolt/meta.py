"""The meta pages, from which everything else is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from miniraft.bolt.page import (
    CHECKSUM_BYTES,
    FORMAT_VERSION,
    HEADER,
    LARGEST_PAGE_BYTES,
    MAGIC,
    META,
    META_BODY,
    SMALLEST_PAGE_BYTES,
    checksum,
)
from miniraft.bolt.problem import BoltError

if TYPE_CHECKING:
    from miniraft.bolt.source import Source

_CHECKED_BYTES = META_BODY.size - CHECKSUM_BYTES


class Meta(NamedTuple):
    """What a meta page says."""

    page_bytes: int
    root_page: int
    freelist_page: int
    page_count: int
    transaction: int


def encode_meta(meta: Meta) -> bytes:
    """Returns the page. Its number follows from the transaction, as in bbolt: they alternate."""
    body = META_BODY.pack(
        MAGIC,
        FORMAT_VERSION,
        meta.page_bytes,
        0,  # flags: none are known
        meta.root_page,
        0,  # the root's sequence number, which nobody uses
        meta.freelist_page,
        meta.page_count,
        meta.transaction,
        0,
    )[:_CHECKED_BYTES]
    page = HEADER.pack(meta.transaction % 2, META, 0, 0) + body
    return (page + checksum(body).to_bytes(CHECKSUM_BYTES, "little")).ljust(meta.page_bytes, b"\0")


def read_meta(source: Source) -> Meta:
    """Returns the newest valid meta page of a file, checked against its length.

    Raises BoltError, OSError.
    """
    first = _decode(source, 0)
    found = [first] if isinstance(first, Meta) else []
    sizes = [first.page_bytes] if isinstance(first, Meta) else _possible_page_sizes()
    for page_bytes in sizes:
        second = _decode(source, page_bytes)
        if isinstance(second, Meta) and second.page_bytes == page_bytes:
            found.append(second)
            break
    if not found:
        raise BoltError(source.name, f"no valid meta page: {first}")
    meta = max(found, key=lambda one: one.transaction)
    _check(source, meta)
    return meta


def _possible_page_sizes() -> list[int]:
    sizes = [SMALLEST_PAGE_BYTES]
    while sizes[-1] < LARGEST_PAGE_BYTES:
        sizes.append(sizes[-1] * 2)
    return sizes


def _decode(source: Source, offset: int) -> Meta | str:
    """Returns what stands there, or why it is no meta page."""
    data = source.read_at(offset, HEADER.size + META_BODY.size)
    if len(data) < HEADER.size + META_BODY.size:
        return "the file is too short"
    body = data[HEADER.size :]
    magic, version, page_bytes, _, root, _, freelist, count, transaction, sum_ = META_BODY.unpack(body)
    if magic != MAGIC:
        return "this is no bbolt file"
    if version != FORMAT_VERSION:
        return f"the format has version {version}, this program reads version {FORMAT_VERSION}"
    if sum_ != checksum(body[:_CHECKED_BYTES]):
        return "the checksum is wrong"
    return Meta(page_bytes, root, freelist, count, transaction)


def _check(source: Source, meta: Meta) -> None:
    if meta.page_bytes not in _possible_page_sizes():
        raise BoltError(source.name, f"a page size of {meta.page_bytes} bytes")
    needed = meta.page_count * meta.page_bytes
    if source.size() < needed:
        raise BoltError(
            source.name,
            f"it was cut off: {meta.page_count} pages of {meta.page_bytes} bytes are {needed}, "
            f"there are {source.size()}",
        )
