"""JSON objects one after another in a byte stream, taken apart as the bytes come in."""

from __future__ import annotations

import re
from typing import Final

from miniraft.api.json_codec import JsonError

_STRUCTURE: Final = re.compile(rb'[{}"]')
_IN_STRING: Final = re.compile(rb'["\\]')
_WHITESPACE: Final = b" \t\r\n"
_OPENING: Final = ord("{")
_QUOTE: Final = ord('"')


class JsonSplitter:
    """Finds where each object ends; what is in it, the codec checks.

    Each byte is looked at once, however the stream is cut into pieces.
    Invariant: `_buffer` begins with the object not yet taken (or white space before it), and
    `_depth`, `_in_string` hold at `_position`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._depth = 0
        self._in_string = False

    def feed(self, piece: bytes) -> None:
        """Adds bytes to the stream."""
        self._buffer += piece

    @property
    def buffered_bytes(self) -> int:
        """How much waits for the end of its object."""
        return len(self._buffer)

    def next(self) -> bytes | None:
        """Returns the next object, or None when its end is not here yet.

        Raises JsonError when something else than an object begins.
        """
        if not self._depth and not self._begin():
            return None
        buffer = self._buffer
        while True:
            found = (_IN_STRING if self._in_string else _STRUCTURE).search(buffer, self._position)
            if found is None:
                self._position = len(buffer)
                return None
            byte = buffer[found.start()]
            if self._in_string and byte != _QUOTE:  # a backslash: the next byte is not an end
                if found.end() == len(buffer):
                    self._position = found.start()
                    return None
                self._position = found.end() + 1
                continue
            self._position = found.end()
            if byte == _QUOTE:
                self._in_string = not self._in_string
                continue
            self._depth += 1 if byte == _OPENING else -1
            if not self._depth:
                return self._take()

    def end(self) -> None:
        """The stream has ended. Raises JsonError when it ended inside an object."""
        if self._depth or self._begin():
            raise JsonError("invalid JSON: the request ends inside an object")

    def _begin(self) -> bool:
        """Drops white space; returns whether an object begins."""
        buffer = self._buffer
        rest = buffer.lstrip(_WHITESPACE)
        del buffer[: len(buffer) - len(rest)]
        if not buffer:
            return False
        if buffer[0] != _OPENING:
            raise JsonError(
                f"invalid JSON: each request of a stream must be an object, not {_shown(bytes(rest))}"
            )
        self._position = 0
        return True

    def _take(self) -> bytes:
        value = bytes(self._buffer[: self._position])
        del self._buffer[: self._position]
        self._position = 0
        return value


def _shown(text: bytes) -> str:
    return repr(text[:20].decode("utf-8", "replace"))
