"""Messages in a stream of bytes: a flag, four bytes of length, the message.

(gRPC over HTTP/2, "Length-Prefixed-Message".)
"""

from __future__ import annotations

from miniraft.errors import Code
from miniraft.peer.http2.status import RpcError

PREFIX_BYTES = 5


def frame_message(message: bytes) -> bytes:
    """Returns a message with its prefix, not compressed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class MessageReader:
    """Puts messages together from what comes in.

    Invariant: what is held is less than one message of at most `limit_bytes`.
    """

    __slots__ = ("_held", "_limit_bytes", "_wanted_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held = bytearray()
        self._wanted_bytes = PREFIX_BYTES  # no use looking before so many are there

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message is held."""
        return not self._held

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the messages that are whole now. Raises RpcError for what cannot be one."""
        held = self._held
        size = len(data)
        if not held and size >= PREFIX_BYTES and size == PREFIX_BYTES + self._length_at(data, 0):
            return [data[PREFIX_BYTES:]]  # the usual case: exactly one message
        held += data
        if len(held) < self._wanted_bytes:
            return []
        return self._split()

    def _split(self) -> list[bytes]:
        held, messages, start = self._held, [], 0
        self._wanted_bytes = PREFIX_BYTES
        with memoryview(held) as view:
            while len(held) - start >= PREFIX_BYTES:
                end = start + PREFIX_BYTES + self._length_at(held, start)
                if end > len(held):
                    self._wanted_bytes = end - start
                    break
                messages.append(bytes(view[start + PREFIX_BYTES : end]))
                start = end
        del held[:start]
        return messages

    def _length_at(self, data: bytes | bytearray, start: int) -> int:
        length = int.from_bytes(data[start + 1 : start + PREFIX_BYTES], "big")
        if data[start]:
            raise RpcError(Code.UNIMPLEMENTED, "compressed messages are not supported")
        if length > self._limit_bytes:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"received message larger than max ({length} vs. {self._limit_bytes} bytes)",
            )
        return length
