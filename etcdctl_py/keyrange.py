"""Ranges of keys as etcd writes them: a key, and an end that is not part of the range."""

from __future__ import annotations

import base64

EVERYTHING_FROM = b"\0"


def prefix_end(prefix: bytes) -> bytes:
    """Returns the first key after all keys with the prefix; `\\0` (no end) when there is none."""
    trimmed = prefix.rstrip(b"\xff")
    if not trimmed:
        return EVERYTHING_FROM
    return trimmed[:-1] + bytes([trimmed[-1] + 1])


def encode(value: bytes) -> str:
    """Writes bytes for the JSON gateway."""
    return base64.b64encode(value).decode("ascii")
