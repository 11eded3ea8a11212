"""Sends a response no faster than its client takes it, so that it stands in no other's way.

A client may leave one stream of an HTTP/2 connection unread for as long as it likes and go on
using the others. ASGI's `send` knows nothing of that: h2corn's waits once 2 MiB are unsent on
a connection, by all its streams together, and then it waits for all of them. So streams that
can be long keep to half of that by themselves, and each to a small share of what is free.

That something is written shows by the server letting go of the bytes it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Hashable

    from miniraft.api.asgi import Message, Scope, Send

# A client takes this much of a stream unasked (RFC 9113, 6.9.2), a message's prefix included.
UNPACED_BYTES = 65_530

# The extension of servers that copy what they are given: nothing shows there.
COPIES_BODIES = "miniraft.copies_bodies"

_CONNECTION_BYTES = 1024 * 1024
_SHARE = 8
_LONGEST_PIECE_BYTES = 64 * 1024
_SHORTEST_PIECE_BYTES = 1024  # what a stream may always have on its way
_SHORTEST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.25

_NOTHING: Message = {"type": "http.response.body", "body": b"", "more_body": True}


class _Connection:
    """What the streams of one connection have sent that is not written yet."""

    __slots__ = ("__weakref__", "unwritten_bytes", "written")

    def __init__(self) -> None:
        self.unwritten_bytes = 0
        # Servers let go in threads of their own, and any thread may append to a deque.
        self.written: deque[tuple[PacedSend, int]] = deque()

    def settle(self) -> None:
        """Counts what has been written since."""
        while self.written:
            stream, size = self.written.popleft()
            stream.unwritten_bytes -= size
            self.unwritten_bytes -= size


_connections: WeakValueDictionary[Hashable, _Connection] = WeakValueDictionary()


class _Piece(bytes):
    """A piece of a body, which tells when nobody has it any more."""

    stream: PacedSend

    def __del__(self) -> None:
        self.stream.connection.written.append((self.stream, len(self)))


class PacedSend:
    """`send` of one response over HTTP/2, see above."""

    __slots__ = ("_send", "connection", "unwritten_bytes")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self.connection = _connection_of(scope)
        self.unwritten_bytes = 0

    async def send(self, message: Message) -> None:
        """Sends a message; a long body goes in pieces, as the client takes them."""
        body = message.get("body", b"")
        if not body:
            await self._send(message)
        elif len(body) <= self._room():
            await self._send(self._piece(body, more_body=message.get("more_body", False)))
        else:
            await self._send_in_pieces(memoryview(body), more_body=message.get("more_body", False))

    def _room(self) -> int:
        """Returns how long the next piece may be."""
        self.connection.settle()
        share = (_CONNECTION_BYTES - self.connection.unwritten_bytes) // _SHARE
        least = 0 if self.unwritten_bytes else _SHORTEST_PIECE_BYTES
        return min(max(share - self.unwritten_bytes, least), _LONGEST_PIECE_BYTES)

    async def _send_in_pieces(self, rest: memoryview, *, more_body: bool) -> None:
        while rest:
            try:
                size = await self._wait_for_room(len(rest))
            except asyncio.CancelledError:
                # Half a message would hide the error that is sent behind it.
                with contextlib.suppress(OSError):
                    await self._send(self._piece(rest, more_body=more_body))
                raise
            piece, rest = rest[:size], rest[size:]
            await self._send(self._piece(piece, more_body=more_body or len(rest) > 0))

    async def _wait_for_room(self, wanted_bytes: int) -> int:
        """Returns how long the next piece shall be, once it may be of some length."""
        pause_seconds = 0.0
        while (room := self._room()) < min(wanted_bytes, _SHORTEST_PIECE_BYTES):
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(max(2 * pause_seconds, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            # h2corn lets go of what its threads have written when it is next called.
            await self._send(_NOTHING)
        return min(wanted_bytes, room)

    def _piece(self, content: bytes | memoryview, *, more_body: bool) -> Message:
        piece = _Piece(content)
        piece.stream = self
        self.unwritten_bytes += len(piece)
        self.connection.unwritten_bytes += len(piece)
        return {"type": "http.response.body", "body": piece, "more_body": more_body}


def paced(scope: Scope, send: Send) -> Send:
    """Returns a `send` for a response that may be long. HTTP/1 has one at a time, and needs none."""
    if scope["http_version"] != "2" or COPIES_BODIES in (scope.get("extensions") or ()):
        return send
    return PacedSend(scope, send).send


def _connection_of(scope: Scope) -> _Connection:
    client = scope.get("client")
    if not client or not client[1]:
        return _Connection()  # nothing tells Unix sockets apart: each stream counts for itself
    key = (tuple(client), tuple(scope.get("server") or ()))
    connection = _connections.get(key)
    if connection is None:
        connection = _connections[key] = _Connection()
    return connection
