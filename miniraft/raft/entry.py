"""Log entries and their one encoding, shared by the log on disk and the peer API.

An entry is encoded once where it is proposed and passed on as bytes: header
`term u64, index u64, kind u8, length u32` (little-endian) and then `length` bytes of data.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = struct.Struct("<QQBI")
ENTRY_OVERHEAD_BYTES = _HEADER.size


class EntryKind(IntEnum):
    """What an entry's data means to the state machine."""

    NORMAL = 0  # a client's request; empty data is the no-op with which a term opens
    CONFIG_CHANGE = 1  # a membership change


class Entry(NamedTuple):
    """One entry of the replicated log.

    Invariant: two entries with the same index and term are equal (log matching, section 5.3).
    """

    term: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    kind: int
    data: bytes


def entry_size_bytes(entry: Entry) -> int:
    """Returns the size of an entry in its encoding."""
    return ENTRY_OVERHEAD_BYTES + len(entry.data)


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """Returns the entries' encodings, one after another."""
    pack = _HEADER.pack
    parts: list[bytes] = []
    for term, index, kind, data in entries:
        parts.append(pack(term, index, kind, len(data)))
        parts.append(data)
    return b"".join(parts)


def decode_entries(encoded: bytes) -> list[Entry]:
    """Returns the entries in `encoded`.

    Raises ValueError when the bytes end inside an entry.
    """
    entries: list[Entry] = []
    offset, end = 0, len(encoded)
    unpack = _HEADER.unpack_from
    while offset < end:
        if offset + ENTRY_OVERHEAD_BYTES > end:
            raise ValueError(f"entry header cut off at byte {offset} of {end}")
        term, index, kind, length = unpack(encoded, offset)
        offset += ENTRY_OVERHEAD_BYTES
        if offset + length > end:
            raise ValueError(f"entry {index} of {length} bytes cut off at byte {offset} of {end}")
        entries.append(Entry(term, index, kind, encoded[offset : offset + length]))
        offset += length
    return entries
