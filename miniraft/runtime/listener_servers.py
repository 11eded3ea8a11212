"""The ASGI servers that can carry the client API, behind one small interface.

h2corn is the default: it is several times faster. hypercorn is the second: it uses OpenSSL,
which has what rustls lacks, and keeps the application honest about being plain ASGI.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from miniraft.api.gateway_routes import OPEN_BODY_PATHS
from miniraft.api.paced_send import COPIES_BODIES
from miniraft.runtime.listener_hangups import TellsHangups
from miniraft.runtime.listener_sockets import ListenError
from miniraft.runtime.listener_tls import HANDSHAKE_SECONDS, openssl_context
from miniraft.runtime.openssl_front import OpensslFront

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from miniraft.api.asgi import Application, Message, Receive, Scope, Send
    from miniraft.runtime.listener_tls import TlsOptions

_log = logging.getLogger("miniraft.listener")

SERVERS = ("h2corn", "hypercorn")

_REQUEST_HEAD_SECONDS = 30.0
_REQUEST_BODY_SECONDS = 60.0  # between two pieces of a JSON request's body
_NEVER = 0.0
_END_OF_REQUEST_SECONDS = 1.0
_WRITE_SECONDS = 600.0  # to get rid of what is buffered for a client that does not read
_MOST_STREAMS = 2**32 - 1
_STREAM_WINDOW_BYTES = 1024 * 1024  # of requests that have not been taken yet


class AsgiServer(Protocol):
    """One server over some listening sockets, which stay the caller's."""

    async def start(self) -> None:
        """Returns once connections are taken. Raises ListenError."""

    def shut_down(self) -> None:
        """Takes no more connections; those there are end when their requests have."""

    async def stopped(self) -> None:
        """Returns once every connection has ended."""


def make_server(
    name: str,
    application: Application,
    sockets: Sequence[socket.socket],
    tls: TlsOptions | None,
    *,
    serve_grpc: bool,
    max_concurrent_streams: int,
    drain_seconds: float,
) -> AsgiServer:
    """Returns a server of that name. Raises ListenError when there is none."""
    if name == "h2corn":
        h2corn_server = partial(
            H2cornServer,
            serve_grpc=serve_grpc,
            max_concurrent_streams=max_concurrent_streams,
            drain_seconds=drain_seconds,
        )
        if tls is not None and tls.needs_openssl:
            return OpensslFront(
                application, sockets, tls, partial(h2corn_server, tls=None, behind_front=True)
            )
        return h2corn_server(application, sockets, tls)
    if name == "hypercorn":
        return HypercornServer(
            application,
            sockets,
            tls,
            max_concurrent_streams=max_concurrent_streams,
            drain_seconds=drain_seconds,
        )
    raise ListenError(f"--client-server: there is no {name}: choose from {', '.join(SERVERS)}")


class H2cornServer:
    """h2corn: HTTP/1.1 and HTTP/2 on one port, by a Rust core with threads of its own."""

    def __init__(
        self,
        application: Application,
        sockets: Sequence[socket.socket],
        tls: TlsOptions | None,
        *,
        serve_grpc: bool,
        max_concurrent_streams: int,
        drain_seconds: float,
        behind_front: bool = False,
    ) -> None:
        """`behind_front`: an OpensslFront passes the connections on, and says who calls."""
        import h2corn

        _silence_banner()
        config = h2corn.Config(
            bind=tuple(f"fd://{listener.fileno()}" for listener in sockets),
            grpc=serve_grpc,
            lifespan="off",
            # Requests meet in one event loop anyway; a second thread only passes them on: a lone
            # client waits a fifth longer.
            runtime_threads=1,
            access_log=False,
            date_header=False,
            max_concurrent_streams=min(max_concurrent_streams, _MOST_STREAMS),
            max_request_body_size=0,  # the application has bounds of its own, and answers in its own words
            # A stream whose requests nobody takes must not use up what all streams may have.
            h2_initial_stream_window_size=_STREAM_WINDOW_BYTES,
            h2_initial_connection_window_size=8 * _STREAM_WINDOW_BYTES,
            timeout_handshake=HANDSHAKE_SECONDS,
            timeout_keep_alive=_NEVER,  # clients keep connections open for days
            timeout_request_header=_REQUEST_HEAD_SECONDS,
            timeout_request_body_idle=_REQUEST_BODY_SECONDS,  # gRPC is exempt
            h2_timeout_response_stall=_NEVER,  # a slow watcher is the watch hub's affair
            h2_timeout_write=_WRITE_SECONDS,
            request_policies=tuple(
                h2corn.RequestPolicy(
                    path=path,
                    max_request_body_size=0,
                    timeout_request_body_idle=_NEVER,
                    h2_timeout_response_stall=_NEVER,
                )
                for path in OPEN_BODY_PATHS
            ),
            timeout_graceful_shutdown=drain_seconds,
            certfile=Path(tls.cert_file) if tls else None,
            keyfile=Path(tls.key_file) if tls else None,
            ca_certs=Path(tls.trusted_ca_file) if tls and tls.require_client_certificate else None,
            cert_reqs="required" if tls and tls.require_client_certificate else "none",
            proxy_protocol="v2" if behind_front else "off",
            forwarded_allow_ips=("unix",) if behind_front else (),
        )
        self._server = h2corn.Server(TellsHangups(application), config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once connections are taken. Raises ListenError."""
        self._serving = asyncio.create_task(self._server.serve(), name="client listener")
        try:
            await self._server.wait_started()
        except Exception as error:
            raise ListenError(f"the client listener did not start: {error}") from error

    def shut_down(self) -> None:
        """Takes no more connections; those there are end when their requests have."""
        self._server.shutdown()

    async def stopped(self) -> None:
        """Returns once every connection has ended."""
        if self._serving is not None:
            await asyncio.wait((self._serving,))
            if not self._serving.cancelled() and (error := self._serving.exception()) is not None:
                _log.warning("the client listener ended with an error: %s", error)


def _silence_banner() -> None:
    """h2corn prints a banner when it starts and has no setting for it; we say it in our own log."""
    import h2corn._lib

    native: Any = h2corn._lib
    if hasattr(native, "emit_banner"):
        native.emit_banner = lambda *_: None


class _ForHypercorn:
    """Spares hypercorn what it does not stand.

    The status of a gRPC error in the headers counts only if they end the response, and
    hypercorn always sends an empty data frame behind them: it goes to trailers instead.
    And a response that ends before its request does costs the whole connection, with all its
    other calls: the end of the request is waited for, a little.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["http_version"] != "2":
            await self._application(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        scope["extensions"] = {**(scope.get("extensions") or {}), COPIES_BODIES: {}}
        await self._application(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its response, see _ForHypercorn."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._has_request_ended = False
        self._status: list[tuple[bytes, bytes]] = []

    async def receive(self) -> Message:
        """Receives as the application would."""
        message = await self._receive()
        self._has_request_ended = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Sends as the application would, but for the two differences."""
        if message["type"] == "http.response.start" and not message.get("trailers", False):
            message = self._without_status(message)
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and not self._has_request_ended:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end_of_request(), _END_OF_REQUEST_SECONDS)
        await self._send(message)
        if is_last and self._status:
            await self._send({"type": "http.response.trailers", "headers": self._status})

    def _without_status(self, start: Message) -> Message:
        if not any(name == b"grpc-status" for name, _ in start["headers"]):
            return start
        self._status = [header for header in start["headers"] if header[0] != b"content-type"]
        headers = [header for header in start["headers"] if header[0] == b"content-type"]
        return {**start, "headers": headers, "trailers": True}

    async def _end_of_request(self) -> None:
        while not self._has_request_ended:
            await self.receive()


class HypercornServer:
    """hypercorn: pure Python, OpenSSL."""

    def __init__(
        self,
        application: Application,
        sockets: Sequence[socket.socket],
        tls: TlsOptions | None,
        *,
        max_concurrent_streams: int,
        drain_seconds: float,
    ) -> None:
        try:
            import hypercorn.config
        except ImportError:
            raise ListenError(
                "--client-server=hypercorn: hypercorn is not installed: `pip install hypercorn`"
            ) from None

        class Config(hypercorn.config.Config):
            """Takes the TLS context from us: hypercorn's own knows no revocation lists."""

            def create_ssl_context(self) -> Any:
                return openssl_context(tls) if tls else None

        config = Config()
        # hypercorn closes what it is given.
        config.bind = [f"fd://{os.dup(listener.fileno())}" for listener in sockets]
        config.accesslog = None
        config.errorlog = _log
        config.loglevel = "WARNING"
        config.include_server_header = False
        config.include_date_header = False
        config.keep_alive_timeout = 86400 * 365
        config.keep_alive_max_requests = 2**62
        config.h2_max_concurrent_streams = min(max_concurrent_streams, 2**31 - 1)
        config.h2_max_inbound_frame_size = 2**14
        config.ssl_handshake_timeout = HANDSHAKE_SECONDS
        config.graceful_timeout = drain_seconds
        config.certfile = tls.cert_file if tls else None
        config.keyfile = tls.key_file if tls else None
        self._application = _ForHypercorn(application)
        self._config = config
        self._shutdown = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once connections are taken: the sockets listen already. Raises ListenError."""
        from hypercorn.asyncio import serve

        application: Any = self._application
        self._serving = asyncio.create_task(
            serve(application, self._config, shutdown_trigger=self._shutdown.wait, mode="asgi"),
            name="client listener",
        )
        await asyncio.sleep(0)
        if self._serving.done():
            raise ListenError(f"the client listener did not start: {self._serving.exception()}")

    def shut_down(self) -> None:
        """Takes no more connections; those there are end when their requests have."""
        self._shutdown.set()

    async def stopped(self) -> None:
        """Returns once every connection has ended."""
        if self._serving is not None:
            await asyncio.wait((self._serving,))
            if not self._serving.cancelled() and (error := self._serving.exception()) is not None:
                _log.warning("the client listener ended with an error: %s", error)
