"""Where the bytes of a file come from."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """Bytes that can be read from any place on.

    `name` is for messages.
    """

    name: str

    def size(self) -> int:
        """Returns how many bytes there are."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Returns `length` bytes from `offset` on, fewer only where they end. Raises OSError."""


class BytesSource:
    """A file that is in memory."""

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        self.name = name
        self._data = data

    def size(self) -> int:
        """See `Source.size`."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Source.read_at`."""
        return self._data[offset : offset + length]
