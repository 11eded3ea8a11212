"""gRPC over HTTP/2, as bytes: message frames, timeouts, status.

A frame is one byte of flags (1: compressed), four bytes of length (big-endian), the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from miniraft.api.asgi import ClientGone
from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from miniraft.api.asgi import Message, Receive

PREFIX_BYTES = 5

CONTENT_TYPE = (b"content-type", b"application/grpc")

# The request headers that mean something here; nothing else of them is looked at.
METADATA = frozenset(
    (b"content-type", b"grpc-timeout", b"hasleader", b"client-api-version", b"token", b"authorization")
)
_UNITS_SECONDS = {
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
}
_TIMEOUT_DIGITS = 8

_LONGEST_HEAD_START_SECONDS = 0.05

# What may stand in grpc-message as it is: printable ASCII but the percent sign.
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}


def is_grpc(content_type: bytes | None) -> bool:
    """Whether a request is gRPC with protobuf messages (the only codec there is here)."""
    if content_type is None:
        return False
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type in (b"application/grpc", b"application/grpc+proto")


def parse_timeout(value: bytes) -> float:
    """Returns the seconds of a `grpc-timeout` (`100m`, `5S`). Raises EtcdError when malformed."""
    unit = _UNITS_SECONDS.get(value[-1:])
    digits = value[:-1]
    if unit is None or not digits.isdigit() or len(digits) > _TIMEOUT_DIGITS:
        raise EtcdError(
            Code.INVALID_ARGUMENT,
            "malformed grpc-timeout: give up to eight digits and one of H, M, S, m, u, n",
        )
    return int(digits) * unit


def seconds_to_answer(timeout: bytes) -> float:
    """Returns after how many seconds a call has to be answered whose `grpc-timeout` is that.

    The answer is to arrive before the client gives up and resets the stream: servers close
    connections with too many resets, because of CVE-2023-44487, and all other calls with them.
    """
    seconds = parse_timeout(timeout)
    return seconds - min(seconds / 10, _LONGEST_HEAD_START_SECONDS)


def encode_frame(message: bytes) -> bytes:
    """Returns `message` behind its prefix, uncompressed."""
    return b"\x00" + len(message).to_bytes(4) + message


def status_headers(code: int, message: str) -> list[tuple[bytes, bytes]]:
    """Returns the headers or trailers that tell how a call ended."""
    headers = [(b"grpc-status", b"%d" % code)]
    if message:
        headers.append((b"grpc-message", percent_encode(message)))
    return headers


def percent_encode(message: str) -> bytes:
    """Returns a status message as it stands in a header."""
    raw = message.encode("utf-8", "replace")
    if all(byte in _PLAIN for byte in raw):
        return raw
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in raw)


class FrameReader:
    """Takes the body of a request apart into messages.

    Invariant: no more than one message of `limit_bytes`, and what came in one piece of the
    body behind it, is ever held.
    """

    def __init__(self, receive: Receive, limit_bytes: int, first: Message | None = None) -> None:
        """`first` is a piece of the body that was received already."""
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._ended = False
        if first is not None:
            self._take(first)

    async def next(self) -> bytes | None:
        """Returns the next message, or None at the end of the request.

        Raises EtcdError for what is not a frame, compressed or too large; ClientGone.
        """
        length = await self._prefix()
        if length is None:
            return None
        end = PREFIX_BYTES + length
        while len(self._buffer) < end:
            if self._ended:
                raise EtcdError(Code.INTERNAL, "unexpected EOF: the request ends inside a message")
            self._take(await self._receive())
        message = bytes(self._buffer[PREFIX_BYTES:end])
        del self._buffer[:end]
        return message

    async def gone(self) -> NoReturn:
        """Waits behind the end of the request until the client is gone. Raises ClientGone."""
        while (await self._receive())["type"] == "http.request":
            pass
        raise ClientGone

    @property
    def has_more(self) -> bool:
        """Whether bytes of a further message have come in."""
        return bool(self._buffer)

    async def _prefix(self) -> int | None:
        """Waits for the next message's prefix; returns the message's length, or None."""
        while len(self._buffer) < PREFIX_BYTES:
            if self._ended:
                if self._buffer:
                    raise EtcdError(Code.INTERNAL, "unexpected EOF: the request ends inside a prefix")
                return None
            self._take(await self._receive())
        self._check_flags(self._buffer[0])
        length = int.from_bytes(self._buffer[1:PREFIX_BYTES])
        if length > self._limit_bytes:
            raise too_large(length, self._limit_bytes)
        return length

    def _take(self, message: Message) -> None:
        if message["type"] != "http.request":
            raise ClientGone
        self._buffer += message.get("body", b"")
        self._ended = not message.get("more_body", False)

    def _check_flags(self, flags: int) -> None:
        if flags == 1:
            raise EtcdError(
                Code.UNIMPLEMENTED,
                "grpc: compressed messages are not supported by this server: send them uncompressed",
            )
        if flags:
            raise EtcdError(Code.INTERNAL, f"malformed gRPC frame: flags {flags} instead of 0")


def too_large(size: int, limit: int) -> EtcdError:
    """Returns the answer to a message above the limit, in grpc-go's words, which clients match."""
    return EtcdError(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {limit})")
