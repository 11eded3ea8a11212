"""One record of the log: how it is framed, and how a damaged one is told from a torn one.

A record is a header of 32 bytes, the payload, and 1 to 8 bytes of padding up to the next
multiple of 8. All numbers are little-endian:

    magic u32 | kind u16 | 0 u16 | length u32 | zero_sectors u32
    synced_offset u32 | previous u32 | chain u32 | header_checksum u32

- `length` counts the payload.
- `chain` is the CRC32-C of payload and padding, continued from `previous`, which is the
  `chain` of the record before, in the segment before where need be. So every record vouches
  for all that stand before it.
- `header_checksum` is the CRC32-C of the header before it, continued from that of the record's
  offset in the segment: a record that turns up elsewhere is not valid, neither one that the
  disk put in the wrong place nor one that a client sent as a value.
- `synced_offset` says how much of this segment was known to be durable when the record was
  written. It is what proves, when an earlier record turns out damaged, that it had been
  synced before and may have been acknowledged (see recovery.py).
- `zero_sectors` counts the sectors of 512 bytes that lie whole in the record and hold nothing
  but zeros. Usually 0. A record with more of them than that has lost sectors, as an
  unsynced write does when the power goes; one with a flipped bit has not.

Magic and padding are not zero, so no sector of an intact record is zero but the counted ones.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from crc32c import crc32c

SECTOR_BYTES = 512  # the smallest piece a disk writes whole; 4 KiB sectors are eight of these
ALIGNMENT_BYTES = 8
# Bounds what recovery believes a length field. Entries are far smaller: see payload.py.
MAX_PAYLOAD_BYTES = 1 << 28

_HEADER = struct.Struct("<IHHIIIIII")
_HEADER_CHECKED = struct.Struct("<IHHIIIII")
_CHECKSUM = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")
HEADER_BYTES = _HEADER.size

_MAGIC = 0x4C57524D
MAGIC_BYTES = struct.pack("<I", _MAGIC)
_PADDING = b"\xa5" * ALIGNMENT_BYTES
# The checksum of a megabyte takes 50 µs; letting go of the interpreter's lock and waiting for a
# busy event loop to return it can take a hundred times that.
_KEEP_GIL = 0
_ZERO_SECTOR = bytes(SECTOR_BYTES)


class RecordKind(IntEnum):
    """What a record's payload is; payload.py has their encodings."""

    SEGMENT = 1  # first in every segment, and only there
    HARD_STATE = 2
    ENTRIES = 3
    SNAPSHOT = 4


class Header(NamedTuple):
    """A record's header, its checksum found right."""

    kind: int
    length: int
    zero_sectors: int
    synced_offset: int
    previous: int
    chain: int

    @property
    def record_bytes(self) -> int:
        """The size of the whole record on disk."""
        return record_size_bytes(self.length)


def record_size_bytes(payload_bytes: int) -> int:
    """Returns the size on disk of a record with a payload of `payload_bytes`."""
    return HEADER_BYTES + payload_bytes + ALIGNMENT_BYTES - payload_bytes % ALIGNMENT_BYTES


def encode_record(
    kind: int, payload: bytes, offset: int, synced_offset: int, previous: int
) -> tuple[bytes, int]:
    """Returns the record, to stand at `offset` of a segment, and its chain value.

    Raises ValueError when the payload is longer than MAX_PAYLOAD_BYTES.
    """
    length = len(payload)
    if length > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record of {length} bytes is over the bound of {MAX_PAYLOAD_BYTES}")
    body = payload + _PADDING[length % ALIGNMENT_BYTES :]
    chain = crc32c(body, previous, _KEEP_GIL)
    zero_sectors = 0
    if length >= SECTOR_BYTES and _ZERO_SECTOR in payload:
        zero_sectors = _count_zero_sectors(body, offset + HEADER_BYTES)
    checked = _HEADER_CHECKED.pack(_MAGIC, kind, 0, length, zero_sectors, synced_offset, previous, chain)
    checksum = crc32c(checked, crc32c(_OFFSET.pack(offset)))
    return b"".join((checked, _CHECKSUM.pack(checksum), body)), chain


def decode_header(segment: bytes, offset: int) -> Header | None:
    """Returns the header at `offset`, or None when there is no valid one.

    A valid header has been written at this very place; its payload may still be damaged.
    """
    if offset + HEADER_BYTES > len(segment):
        return None
    magic, kind, zero, length, zero_sectors, synced_offset, previous, chain, checksum = _HEADER.unpack_from(
        segment, offset
    )
    if magic != _MAGIC or zero != 0 or length > MAX_PAYLOAD_BYTES:
        return None
    checked = segment[offset : offset + HEADER_BYTES - _CHECKSUM.size]
    if checksum != crc32c(checked, crc32c(_OFFSET.pack(offset))):
        return None
    return Header(kind, length, zero_sectors, synced_offset, previous, chain)


def decode_payload(segment: bytes, offset: int, header: Header) -> bytes | None:
    """Returns the payload of the record at `offset`, or None when it is not what was written."""
    start = offset + HEADER_BYTES
    end = offset + header.record_bytes
    if end > len(segment):
        return None
    body = segment[start:end]
    padding = _PADDING[header.length % ALIGNMENT_BYTES :]
    if crc32c(body, header.previous, _KEEP_GIL) != header.chain or not body.endswith(padding):
        return None
    return body[: header.length]


def header_lost_sectors(segment: bytes, offset: int) -> bool:
    """Whether a header that is not valid looks as after the loss of a sector it lay in."""
    end = offset + HEADER_BYTES
    if end > len(segment):
        return True
    boundary = (offset // SECTOR_BYTES + 1) * SECTOR_BYTES
    pieces = (segment[offset : min(boundary, end)], segment[min(boundary, end) : end])
    return any(piece and not any(piece) for piece in pieces)


def payload_lost_sectors(segment: bytes, offset: int, header: Header) -> bool:
    """Whether a payload that is not valid looks as after the loss of sectors it lay in.

    Then it ends with the file, or more of its sectors are zero than the writer counted. The
    sector in which it ends counts too: the padding makes its last piece differ from zero.
    """
    end = offset + header.record_bytes
    if end > len(segment):
        return True
    body_offset = offset + HEADER_BYTES
    zero_sectors = _count_zero_sectors(segment[body_offset:end], body_offset)
    last_piece = segment[max(body_offset, (end - 1) // SECTOR_BYTES * SECTOR_BYTES) : end]
    last_is_whole = end % SECTOR_BYTES == 0 and len(last_piece) == SECTOR_BYTES
    if not last_is_whole and not any(last_piece):
        zero_sectors += 1
    return zero_sectors > header.zero_sectors


def _count_zero_sectors(body: bytes, offset: int) -> int:
    """Returns how many sectors lie whole in `body`, which stands at `offset`, and are zero."""
    first = -offset % SECTOR_BYTES
    return sum(
        body[start : start + SECTOR_BYTES] == _ZERO_SECTOR
        for start in range(first, len(body) - SECTOR_BYTES + 1, SECTOR_BYTES)
    )
