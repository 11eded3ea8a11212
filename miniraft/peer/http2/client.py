"""The calling end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from miniraft.errors import Code
from miniraft.peer.http2.connection import Connection, ConnectionSettings
from miniraft.peer.http2.status import Headers, RpcError, error_in, error_of_http_status
from miniraft.peer.http2.stream import Stream

if TYPE_CHECKING:
    import ssl


_NONE: Headers = []


class ClientConnection(Connection):
    """A connection that was dialled."""

    def __init__(self, settings: ConnectionSettings, scheme: str, authority: str) -> None:
        super().__init__(settings, is_client=True)
        self._scheme = scheme
        self._authority = authority

    def call(self, method: str, timeout_ms: int | None = None, metadata: Headers = _NONE) -> ClientCall:
        """Opens a call of `method`, such as `/package.Service/Method`, with further headers.

        `timeout_ms` is told to the other end; keeping to it here is the caller's task.
        Raises ConnectionError when the connection is no more.
        """
        if not self.is_open:
            raise self.failure or ConnectionResetError("the connection is closed")
        headers = [
            (b":method", b"POST"),
            (b":scheme", self._scheme.encode()),
            (b":path", method.encode()),
            (b":authority", self._authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
        if timeout_ms is not None:
            headers.append((b"grpc-timeout", b"%dm" % timeout_ms))
        headers += metadata
        call = ClientCall(self, self.next_stream_id(), self.settings.receive_limit_bytes)
        self.adopt(call)
        self.send_headers(call.stream_id, headers)
        self.flush()
        return call

    async def call_unary(
        self, method: str, request: bytes, timeout_ms: int, metadata: Headers = _NONE
    ) -> bytes:
        """Returns the answer to one request. Raises RpcError, OSError, TimeoutError."""
        call = self.call(method, timeout_ms, metadata)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                call.write(request)
                call.end()
                return await call.read_only()
        finally:
            call.cancel()


class ClientCall(Stream):
    """A call made by this end."""

    _status_came = False
    _answered = False  # the headers of the answer are here; the next ones are trailers

    def end(self) -> None:
        """No more messages follow."""
        self._end_after_waiting([])

    def cancel(self) -> None:
        """Breaks off the call unless it is over."""
        if self.failure is None and not self.is_over:
            self.connection.reset(self.stream_id, ErrorCodes.CANCEL)
            self.fail(RpcError(Code.CANCELLED, "cancelled by this end"))

    def abort(self, failure: Exception) -> None:
        """See Stream.abort."""
        self.connection.reset(self.stream_id, ErrorCodes.CANCEL)
        self.fail(failure)

    async def read_only(self) -> bytes:
        """Returns the one answer of a call that has one, when the call has ended well."""
        message = await self.read()
        if message is None or await self.read() is not None:
            raise RpcError(Code.INTERNAL, "not exactly one message came as the answer")
        return message

    # Called by the connection --------------------------------------------------------------
    def headers_received(self, headers: Headers) -> None:
        """See Stream.headers_received."""
        error: RpcError | None = None
        fields = dict(headers)
        if not self._answered:
            self._answered = True
            error = error_of_http_status(fields.get(b":status", b""))
            if error is None and not fields.get(b"content-type", b"").startswith(b"application/grpc"):
                error = RpcError(Code.UNKNOWN, "the answer is not gRPC")
            if error is None and b"grpc-status" not in fields:
                return
        self._status_came = True
        error = error or error_in(headers)
        if error is not None:
            self.abort(error)

    def ended_by_remote(self) -> None:
        """See Stream.ended_by_remote."""
        if self.failure is None and not self._status_came:
            self.fail(RpcError(Code.INTERNAL, "the call ended without a status"))
        else:
            super().ended_by_remote()


async def connect(
    host: str, port: int, settings: ConnectionSettings, context: ssl.SSLContext | None
) -> ClientConnection:
    """Connects to `host`, with TLS if there is a context for it.

    Raises OSError: nobody listens, no such host, a certificate that does not fit.
    """
    named = f"[{host}]" if ":" in host else host
    scheme = "http" if context is None else "https"
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: ClientConnection(settings, scheme, f"{named}:{port}"),
        host,
        port,
        ssl=context,
        server_hostname=None if context is None else host,
    )
    if context is not None:
        negotiated = connection.extra_info("ssl_object").selected_alpn_protocol()
        if negotiated != "h2":
            await connection.close()
            raise ConnectionAbortedError("the other end does not speak HTTP/2 over TLS")
    return connection
