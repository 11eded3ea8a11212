"""The frames that are read and written here rather than by `h2` (RFC 9113, sections 4.1, 6.1, 6.9).

A DATA frame without flags on a stream that is under way changes nothing but two windows, yet
`h2` spends more than ten microseconds on it at each end, as much as a member spends on the
Raft message inside. So these frames, and the WINDOW_UPDATEs that answer them, pass it by:
every other frame, and with it every change of state, stays with `h2`.
"""

from __future__ import annotations

import struct

FRAME_HEAD_BYTES = 9
PREFACE_BYTES = 24  # what a client sends before its first frame
DATA = 0

_HEAD = struct.Struct(">HBBBI")  # length (high and low part), type, flags, stream
_MESSAGE_HEAD = struct.Struct(">HBBBIBI")  # the same, then gRPC's flag and length of the message
_WINDOW_UPDATES = struct.Struct(">HBBBII HBBBII")
_WINDOW_UPDATE = 8


def read_head(data: bytes, position: int) -> tuple[int, int, int, int]:
    """Returns (length, type, flags, stream) of the frame at `position`."""
    high, low, kind, flags, stream_id = _HEAD.unpack_from(data, position)
    return high << 8 | low, kind, flags, stream_id & 0x7FFFFFFF


def message_head(stream_id: int, frame_bytes: int, message_bytes: int) -> bytes:
    """Returns what stands before a message that fills one DATA frame."""
    return _MESSAGE_HEAD.pack(frame_bytes >> 8, frame_bytes & 0xFF, DATA, 0, stream_id, 0, message_bytes)


def window_updates(stream_id: int, size_bytes: int) -> bytes:
    """Returns the frames that give room for `size_bytes` back to a stream and its connection."""
    return _WINDOW_UPDATES.pack(
        0, 4, _WINDOW_UPDATE, 0, 0, size_bytes, 0, 4, _WINDOW_UPDATE, 0, stream_id, size_bytes
    )
