"""The pages of a bbolt file: what stands where.

A file is a sequence of pages of one size, numbered from 0. All numbers are little-endian.

header, 16 bytes    number u64, kind u16, element count u16, overflow u32
meta page           header, then META (64 bytes, the last 8 a checksum of those before)
branch page         header, then one BRANCH_ELEMENT for each child, then the keys
leaf page           header, then one LEAF_ELEMENT for each pair, then keys and values
freelist page       header, then page numbers u64, ascending; with FREELIST_LONG as the count
                    the first of them is the count instead

`overflow` is how many pages follow that belong to this one, without headers of their own. An
element's position is counted from the element's own first byte. Pages 0 and 1 are meta pages;
the valid one with the higher transaction number counts. The root bucket's pairs are the
buckets: LEAF_IS_BUCKET is set, and the value is a BUCKET_HEADER. A bucket whose root page is
0 is inline: its one leaf page follows in the value.

Source of the facts: etcd-io/bbolt, version 2 of the format (the only one etcd 3.x has used).
"""

from __future__ import annotations

import struct

MAGIC = 0xED0CDAED
FORMAT_VERSION = 2
PAGE_BYTES = 4096  # what is written; a file that is read may have the page size of its machine
SMALLEST_PAGE_BYTES = 512
LARGEST_PAGE_BYTES = 1 << 16

BRANCH = 0x01
LEAF = 0x02
META = 0x04
FREELIST = 0x10
KIND_NAMES = {BRANCH: "branch", LEAF: "leaf", META: "meta", FREELIST: "freelist"}

LEAF_IS_BUCKET = 0x01
FREELIST_LONG = 0xFFFF
NO_FREELIST = (1 << 64) - 1  # the freelist is not kept in the file

HEADER = struct.Struct("<QHHI")
# magic, version, page bytes, flags, root page and sequence, freelist page, page count, transaction, checksum
META_BODY = struct.Struct("<IIIIQQQQQQ")
BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key bytes, child page
LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key bytes, value bytes
BUCKET_HEADER = struct.Struct("<QQ")  # root page, sequence
PAGE_NUMBER = struct.Struct("<Q")

CHECKSUM_BYTES = 8

MAX_KEY_BYTES = 32768
MAX_VALUE_BYTES = (1 << 31) - 2

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1


def checksum(data: bytes) -> int:
    """Returns the 64-bit FNV-1a hash of `data`."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & _MASK
    return value
