"""The client listener: an ASGI application on URLs, with TLS that follows its files.

Certificates are read when a server starts. When a file changes, a fresh server takes over the
same sockets and the old one takes no further connections; those it has live on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from miniraft.runtime.listener_servers import SERVERS, AsgiServer, make_server
from miniraft.runtime.listener_sockets import (
    ListenAddress,
    ListenError,
    SocketOptions,
    bound_url,
    listen,
    parse_listen_url,
)
from miniraft.runtime.listener_tls import TlsOptions, check_tls

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from miniraft.api.asgi import Receive, Scope, Send

__all__ = ["ClientListener", "ListenError", "ListenerOptions", "SocketOptions", "TlsOptions"]

_log = logging.getLogger("miniraft.listener")

_Signature = tuple[tuple[int, int, int], ...]


class StoppableApplication(Protocol):
    """An ASGI application that can end the streams it has open."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def stop(self) -> None:
        """Ends every open stream."""


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """How a listener serves."""

    server: str = "h2corn"  # --client-server
    serve_grpc: bool = True  # False: gRPC requests are refused
    max_concurrent_streams: int = 2**32 - 1  # on one connection
    sockets: SocketOptions = field(default_factory=SocketOptions)
    certificate_check_seconds: float = 1.0  # how often the files are looked at
    drain_seconds: float = 3600.0  # how long streams live on under an old certificate
    flag: str = "--listen-client-urls"  # for error texts


class ClientListener:
    """Serves one application on some URLs.

    `bind` first, then `start` once the member is ready: a taken port is known before anything
    else is begun. Invariant: the sockets are ours; servers come and go on copies of them.
    """

    def __init__(
        self,
        application: StoppableApplication,
        urls: Sequence[str],
        tls: TlsOptions | None = None,
        options: ListenerOptions | None = None,
    ) -> None:
        """Raises ListenError for URLs and TLS options that cannot be served."""
        self._application = application
        self._tls = tls
        self._options = options or ListenerOptions()
        if self._options.server not in SERVERS:
            raise ListenError(
                f"--client-server: there is no {self._options.server}: choose from {', '.join(SERVERS)}"
            )
        self._addresses = [self._parse(url) for url in urls]
        if tls is not None and any(address.is_secure for address in self._addresses):
            check_tls(tls)
        self._sockets: list[tuple[ListenAddress, socket.socket]] = []
        self._plain: AsgiServer | None = None
        self._secure: AsgiServer | None = None
        self._draining: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    def bind(self) -> None:
        """Takes the addresses; nothing is answered yet. Raises ListenError."""
        try:
            for address in self._addresses:
                listener = listen(address, self._options.sockets, self._options.flag)
                self._sockets.append((address, listener))
        except ListenError:
            self._close_sockets()
            raise

    @property
    def urls(self) -> list[str]:
        """The URLs that are served, with the ports really taken."""
        return [bound_url(address, listener) for address, listener in self._sockets]

    async def start(self) -> None:
        """Begins to answer; binds first if that has not been done. Raises ListenError."""
        if not self._sockets:
            self.bind()
        plain = [listener for address, listener in self._sockets if not address.is_secure]
        if plain:
            self._plain = await self._start_server(plain, None)
        if any(address.is_secure for address, _ in self._sockets):
            signature = self._signature()
            self._secure = await self._start_secure_server()
            self._watch = asyncio.create_task(self._follow_files(signature), name="certificate files")

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """Ends streams, lets requests finish for up to `grace_seconds`, and closes the sockets."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait((self._watch,))
        self._application.stop()
        for server in (self._plain, self._secure):
            if server is not None:
                server.shut_down()
                self._drain(server)
        self._close_sockets()
        if self._draining:
            _, left = await asyncio.wait(self._draining, timeout=grace_seconds)
            if left:
                _log.warning("client connections are still busy after %g s: leaving them", grace_seconds)

    def _parse(self, url: str) -> ListenAddress:
        try:
            address = parse_listen_url(url)
        except ListenError as error:
            raise ListenError(f"{self._options.flag}: {error}") from None
        if address.is_secure and address.path:
            raise ListenError(
                f"{self._options.flag}: {url}: TLS over a Unix socket is not supported: use unix://, "
                "which the socket file's mode protects"
            )
        if address.is_secure and self._tls is None:
            raise ListenError(
                f"{self._options.flag}: {url} needs --cert-file and --key-file: give them, or listen on http"
            )
        return address

    async def _start_server(self, sockets: Sequence[socket.socket], tls: TlsOptions | None) -> AsgiServer:
        server = make_server(
            self._options.server,
            self._application,
            sockets,
            tls,
            serve_grpc=self._options.serve_grpc,
            max_concurrent_streams=self._options.max_concurrent_streams,
            drain_seconds=self._options.drain_seconds,
        )
        await server.start()
        return server

    async def _start_secure_server(self) -> AsgiServer:
        secure = [listener for address, listener in self._sockets if address.is_secure]
        return await self._start_server(secure, self._tls)

    def _drain(self, server: AsgiServer) -> None:
        task = asyncio.create_task(server.stopped(), name="draining listener")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    # Certificates ---------------------------------------------------------------------------
    async def _follow_files(self, served: _Signature) -> None:
        """Replaces the TLS server whenever its files have changed, to files that are good."""
        refused: _Signature | None = None
        while True:
            await asyncio.sleep(self._options.certificate_check_seconds)
            with contextlib.suppress(OSError):  # a file being replaced is not there for a moment
                signature = self._signature()
                if signature in (served, refused):
                    continue
                try:
                    await self._replace_secure_server()
                except ListenError as error:
                    refused = signature
                    _log.warning("changed certificate files are not used: %s", error)
                else:
                    served = signature
                    _log.info("serving with the changed certificate files")

    async def _replace_secure_server(self) -> None:
        """Raises ListenError, with the old server still serving."""
        if self._tls is None:
            return
        await asyncio.to_thread(check_tls, self._tls)
        fresh = await self._start_secure_server()
        old, self._secure = self._secure, fresh
        if old is not None:
            old.shut_down()
            self._drain(old)

    def _signature(self) -> _Signature:
        """Returns what changes when a certificate file does. Raises OSError."""
        if self._tls is None:
            return ()
        stats = [Path(file).stat() for file in self._tls.files()]
        return tuple((entry.st_mtime_ns, entry.st_size, entry.st_ino) for entry in stats)

    def _close_sockets(self) -> None:
        for address, listener in self._sockets:
            listener.close()
            if address.path:
                Path(address.path).unlink(missing_ok=True)
        self._sockets.clear()
