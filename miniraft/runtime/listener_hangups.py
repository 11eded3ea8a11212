"""Tells the application of HTTP/1 clients that hang up while their answer is worked on.

h2corn does not read a connection from the end of a request to the end of its response. Who
waited for a lock and left would keep its place, and be given a lock that nobody holds. The
system knows better: the connection is found among our own descriptors by its two addresses,
and looked at now and then. (Over a Unix socket there are no addresses, and nothing is told.)
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miniraft.api.gateway_routes import LONG_WAIT_PATHS
from miniraft.runtime.listener_sockets import endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from miniraft.api.asgi import Application, Message, Receive, Scope, Send
    from miniraft.runtime.listener_sockets import Endpoint

_LOOK_SECONDS = 0.5
_OPEN_DESCRIPTORS = Path("/dev/fd")
# A client that has only ended its side counts as gone, as it does for etcd.
_HAS_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)
_CLIENT_CLOSED_REQUEST = 499  # nobody is there to read it


class TellsHangups:
    """An application whose long waits learn at `receive` that the client is gone."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serves one request."""
        if scope["http_version"] != "2" and scope["path"] in LONG_WAIT_PATHS and scope["type"] == "http":
            return self._serve_attentively(_Exchange(scope, receive, send))
        return self._application(scope, receive, send)

    async def _serve_attentively(self, exchange: _Exchange) -> None:
        await self._application(exchange.scope, exchange.receive, exchange.send)
        if exchange.has_hung_up:
            await exchange.end()


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.has_hung_up = False
        self._receive = receive
        self._send = send
        self._has_request_ended = False
        self._has_response_started = False

    async def send(self, message: Message) -> None:
        """Sends as the application would."""
        self._has_response_started = True
        await self._send(message)

    async def end(self) -> None:
        """Ends the response of a client that is gone: h2corn prints a complaint about half ones."""
        with contextlib.suppress(OSError):
            if not self._has_response_started:
                await self._send(
                    {"type": "http.response.start", "status": _CLIENT_CLOSED_REQUEST, "headers": []}
                )
            await self._send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Message:
        """Receives as the application would; behind the end of the request it also looks."""
        if not self._has_request_ended:
            message = await self._receive()
            self._has_request_ended = not message.get("more_body", False)
            return message
        told = asyncio.create_task(self._next())
        seen = asyncio.create_task(self._hangup())
        try:
            await asyncio.wait((told, seen), return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                return told.result()
            seen.result()
        finally:
            told.cancel()
            seen.cancel()
        self.has_hung_up = True
        return {"type": "http.disconnect"}

    async def _next(self) -> Message:
        return await self._receive()

    async def _hangup(self) -> None:
        """Waits until the client has hung up, if that can be seen; else for ever."""
        try:
            connection = await self._connection()
        except LookupError:
            await asyncio.Event().wait()
            return
        if connection is None:
            return
        with connection:
            poll = select.poll()
            poll.register(connection, _HAS_HUNG_UP)
            while not poll.poll(0):  # noqa: ASYNC110 (the event loop knows no such event)
                await asyncio.sleep(_LOOK_SECONDS)

    async def _connection(self) -> socket.socket | None:
        """See `_find_connection`."""
        client, server = self.scope.get("client"), self.scope.get("server")
        if not client or not client[1] or not server:
            raise LookupError("there are no addresses")
        find = partial(_find_connection, endpoint(client), endpoint(server))
        finding = asyncio.get_running_loop().run_in_executor(None, find)
        try:
            return await asyncio.shield(finding)
        except asyncio.CancelledError:
            finding.add_done_callback(_close_found)
            raise


def _close_found(finding: asyncio.Future[socket.socket | None]) -> None:
    if not finding.cancelled() and finding.exception() is None and (found := finding.result()) is not None:
        found.close()


def _find_connection(client: Endpoint, server: Endpoint) -> socket.socket | None:
    """Returns a descriptor of its own for our end of a connection; None: it has been cut.

    Raises LookupError when our descriptors cannot be looked through.
    """
    sees_server = False
    try:
        entries = list(_OPEN_DESCRIPTORS.iterdir())
    except OSError as error:
        raise LookupError(str(error)) from None
    for entry in entries:
        try:
            candidate = socket.socket(fileno=int(entry.name))
        except OSError:  # no socket, or closed by now
            continue
        try:
            if candidate.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            own = endpoint(candidate.getsockname())
            sees_server = sees_server or own[1] == server[1]
            if own == server and endpoint(candidate.getpeername()) == client:
                return candidate.dup()
        except OSError:  # not connected, or no more
            continue
        finally:
            candidate.detach()  # it stays whose it was
    if not sees_server:
        raise LookupError("not even the listening socket is there")
    return None
