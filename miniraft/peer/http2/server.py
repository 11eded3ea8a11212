"""The called end: sockets that listen, and calls that go to their handlers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, TypeAlias

from h2.errors import ErrorCodes

from miniraft.errors import Code
from miniraft.peer.http2.connection import Connection, ConnectionSettings, declares_length
from miniraft.peer.http2.status import Headers, RpcError, status_headers
from miniraft.peer.http2.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from h2.events import RequestReceived

    from miniraft.peer.settings import LogEvent

_MAX_CONNECTIONS = 1024
_MAX_RUNNING_CALLS = 64  # of one connection, those broken off and not yet ended included
_TLS_HANDSHAKE_SECONDS = 10.0
_CLOSE_TIMEOUT_SECONDS = 5.0  # for handlers that are busy with something else than their call
_PAUSE_WITHOUT_DESCRIPTORS_SECONDS = 0.2
_RESPONSE_HEADERS: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class ServerCall(Stream):
    """A call being served."""

    _headers_sent = False

    @property
    def remote_host(self) -> str:
        """The address the call comes from."""
        address = self.connection.extra_info("peername")
        return str(address[0]).removeprefix("::ffff:") if isinstance(address, tuple) else ""

    @property
    def certificate(self) -> bytes | None:
        """The certificate (DER) the caller has shown, which the TLS layer has verified."""
        tls: ssl.SSLObject | None = self.connection.extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    def write(self, message: bytes) -> None:
        """See Stream.write; the first message goes out with the headers."""
        if not self._headers_sent and self.failure is None:
            self._headers_sent = True
            self.connection.send_headers(self.stream_id, _RESPONSE_HEADERS)
        super().write(message)

    async def read_only(self) -> bytes:
        """Returns the one request of a call that has one."""
        message = await self.read()
        if message is None or await self.read() is not None:
            raise RpcError(Code.INVALID_ARGUMENT, "not exactly one message came as the request")
        return message

    def finish(self, error: RpcError | None = None) -> None:
        """Ends the call with a status: whatever the handler still reads or writes then fails.

        What waits to be sent goes before an OK; an error does not wait for it.
        """
        if self.failure is not None or self._local_ended:
            return
        if error is None:
            trailers = status_headers(Code.OK)
        else:
            self._waiting.clear()
            trailers = status_headers(error.code, error.details, error.metadata)
        if not self._headers_sent:
            self._headers_sent = True
            trailers = _RESPONSE_HEADERS + trailers
        self._end_after_waiting(trailers)
        if error is not None:
            self.fail(error)

    def abort(self, failure: Exception) -> None:
        """See Stream.abort."""
        if isinstance(failure, RpcError):
            self.finish(failure)
        self.fail(failure)

    def headers_received(self, headers: Headers) -> None:
        """Trailers of a request mean nothing in gRPC."""

    def _send_end(self) -> None:
        super()._send_end()
        if not self._remote_ended:
            # The caller has its status and need not send on (RFC 9113, section 8.1).
            self.connection.reset(self.stream_id, ErrorCodes.NO_ERROR)
            self.fail(RpcError(Code.OK, "the call has ended"))


Handler: TypeAlias = "Callable[[ServerCall], Awaitable[None]]"


class ServerConnection(Connection):
    """A connection that was accepted."""

    def __init__(self, settings: ConnectionSettings, server: Server) -> None:
        super().__init__(settings, is_client=False)
        self._server = server
        self._running_calls = 0

    def finish_calls(self, error: RpcError) -> None:
        """Ends all calls with a status."""
        for stream in self.streams():
            stream.abort(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See Connection.connection_made."""
        super().connection_made(transport)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """See Connection.connection_lost."""
        super().connection_lost(error)
        self._server.connections.discard(self)

    def _on_request(self, event: RequestReceived) -> None:
        call = ServerCall(self, event.stream_id, self.settings.receive_limit_bytes)
        call.declares_length = declares_length(event.headers)
        self.adopt(call)
        if self._running_calls >= _MAX_RUNNING_CALLS:
            call.abort(RpcError(Code.RESOURCE_EXHAUSTED, "too many calls on one connection"))
            return
        self._running_calls += 1
        task = self._loop.create_task(self._server.serve(call, dict(event.headers)))
        self._server.tasks.add(task)
        task.add_done_callback(self._call_ended)

    def _call_ended(self, task: asyncio.Task[None]) -> None:
        self._running_calls -= 1
        self._server.tasks.discard(task)


class Server:
    """Serves calls on any number of sockets.

    A handler that returns ends its call well; RpcError tells the caller what was wrong. When
    the caller goes away, the handler's next `read`, `receive` or `drain` raises.
    """

    def __init__(self, handlers: dict[str, Handler], settings: ConnectionSettings, log: LogEvent) -> None:
        self.connections: set[ServerConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()  # calls, and connections being made
        self.handlers = handlers  # by method; may grow
        self._settings = settings
        self._log = log
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    # Life cycle ----------------------------------------------------------------------------
    async def listen(self, host: str, port: int, tls: Callable[[], ssl.SSLContext] | None) -> int:
        """Takes connections on all addresses of `host`; returns the port (0: any free one).

        `tls` is asked for the context of each new connection. Raises OSError.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
        for family, address in dict.fromkeys((entry[0], entry[4]) for entry in found):
            listener = socket.socket(family, socket.SOCK_STREAM)
            self._listeners.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address[0], port, *address[2:]))
            listener.listen(128)
            port = listener.getsockname()[1]
            self._accepting.append(loop.create_task(self._accept(listener, tls)))
        return port

    async def close(self, reason: str) -> None:
        """Ends all calls with UNAVAILABLE and `reason`, and stops listening."""
        for task in self._accepting:
            task.cancel()
        if self._accepting:
            await asyncio.wait(self._accepting)
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.finish_calls(RpcError(Code.UNAVAILABLE, reason))
        await asyncio.gather(*(connection.close() for connection in list(self.connections)))
        if self.tasks:
            _, late = await asyncio.wait(list(self.tasks), timeout=_CLOSE_TIMEOUT_SECONDS)
            for task in late:
                task.cancel()

    async def _accept(self, listener: socket.socket, tls: Callable[[], ssl.SSLContext] | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                self._log("error", "cannot accept a connection", error=str(error))
                await asyncio.sleep(_PAUSE_WITHOUT_DESCRIPTORS_SECONDS)
                continue
            if len(self.connections) + len(self.tasks) >= _MAX_CONNECTIONS:
                accepted.close()
                self._log(
                    "warn",
                    "rejected connection on peer endpoint",
                    remote_addr=address[0],
                    error="too many are open",
                )
                continue
            task = loop.create_task(self._take(accepted, address[0], tls))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _take(
        self, accepted: socket.socket, remote: str, tls: Callable[[], ssl.SSLContext] | None
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: ServerConnection(self._settings, self),
                accepted,
                ssl=None if tls is None else tls(),
                ssl_handshake_timeout=None if tls is None else _TLS_HANDSHAKE_SECONDS,
            )
        except ssl.SSLError as error:
            accepted.close()
            self._log("warn", "rejected connection on peer endpoint", remote_addr=remote, error=str(error))
        except OSError as error:
            accepted.close()
            self._log("debug", "rejected connection on peer endpoint", remote_addr=remote, error=str(error))

    # Calls ---------------------------------------------------------------------------------
    async def serve(self, call: ServerCall, headers: Mapping[bytes, bytes]) -> None:
        """Runs the handler of one call, and says how it ended."""
        try:
            handler = self._handler_for(headers)
            async with asyncio.timeout(parse_timeout(headers.get(b"grpc-timeout"))):
                await handler(call)
        except RpcError as error:
            call.abort(error)
        except TimeoutError:
            call.abort(RpcError(Code.DEADLINE_EXCEEDED, "not done by the caller's deadline"))
        except OSError as error:
            call.abort(RpcError(Code.UNAVAILABLE, str(error)))
        except Exception as error:  # noqa: BLE001 (a bug must not leave the caller waiting)
            self._log("error", "serving a call failed", method=headers.get(b":path"), error=repr(error))
            call.abort(RpcError(Code.UNKNOWN, "internal error"))
        else:
            call.finish()

    def _handler_for(self, headers: Mapping[bytes, bytes]) -> Handler:
        if headers.get(b":method") != b"POST" or not headers.get(b"content-type", b"").startswith(
            b"application/grpc"
        ):
            raise RpcError(Code.UNIMPLEMENTED, "this is a gRPC server")
        method = headers.get(b":path", b"").decode(errors="replace")
        handler = self.handlers.get(method)
        if handler is None:
            raise RpcError(Code.UNIMPLEMENTED, f"there is no method {method[:200]}")
        return handler


_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def parse_timeout(header: bytes | None) -> float | None:
    """Returns the seconds that a `grpc-timeout` header gives, None without one.

    Raises RpcError for one that cannot be read.
    """
    if header is None:
        return None
    number, unit = header[:-1], header[-1:]
    if not number.isdigit() or len(number) > 8 or unit not in _UNIT_SECONDS:
        raise RpcError(Code.INVALID_ARGUMENT, f"grpc-timeout {header!r} cannot be read")
    return int(number) * _UNIT_SECONDS[unit]
