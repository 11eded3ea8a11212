"""Revisions in the form the store keeps them, which is etcd's: 8 bytes main, `_`, 8 bytes sub
(big-endian), and a `t` behind it for a tombstone.

Byte order is revision order, so the keyspace never decodes one to compare it.
"""

from __future__ import annotations

import struct
from typing import Final

_PLAIN = struct.Struct(">QcQ")
_MARKED = struct.Struct(">QcQc")
_TOMBSTONE_BYTES: Final = _MARKED.size


def revision_key(main: int, sub: int = 0) -> bytes:
    """Returns the store's key of a put at (main, sub)."""
    return _PLAIN.pack(main, b"_", sub)


def tombstone_key(main: int, sub: int) -> bytes:
    """Returns the store's key of a delete at (main, sub)."""
    return _MARKED.pack(main, b"_", sub, b"t")


def is_tombstone(key: bytes) -> bool:
    """Whether the store's key stands for a delete."""
    return len(key) == _TOMBSTONE_BYTES


def main_of(key: bytes) -> int:
    """Returns the main revision in one of the store's keys."""
    return int.from_bytes(key[:8], "big")
