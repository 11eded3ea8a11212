"""OpenSSL in front of a server that speaks plain HTTP, for what its own TLS library cannot do.

TLS ends here. What is inside goes on over a Unix socket in a folder that only this user can
enter. A PROXY header (version 2) goes ahead of each connection and names the client's address;
under that the application finds the certificate that the client has shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import shutil
import socket
import ssl
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniraft.runtime.listener_sockets import ListenError, endpoint
from miniraft.runtime.listener_tls import HANDSHAKE_SECONDS, openssl_context
from miniraft.runtime.relay import Half, relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from miniraft.api.asgi import Application, Receive, Scope, Send
    from miniraft.runtime.listener_servers import AsgiServer
    from miniraft.runtime.listener_sockets import Endpoint
    from miniraft.runtime.listener_tls import TlsOptions

_log = logging.getLogger("miniraft.listener")

_PAUSE_WITHOUT_DESCRIPTORS_SECONDS = 0.2
_LAST_WORDS_SECONDS = 5.0
_BACKLOG = 1024
_FOLDER_PREFIX, _SOCKET_NAME = "miniraft-tls-", "http"
_LEFTOVER_SECONDS = 60.0  # younger ones may be in the making
_PROXY_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_PROXY_COMMAND = 0x21  # version 2, on behalf of somebody else
_TCP_OVER_IPV4, _TCP_OVER_IPV6 = 0x11, 0x21


class OpensslFront:
    """Implements AsgiServer: TLS on some listening sockets, and a server behind them."""

    def __init__(
        self,
        application: Application,
        sockets: Sequence[socket.socket],
        tls: TlsOptions,
        make_server: Callable[[Application, Sequence[socket.socket]], AsgiServer],
    ) -> None:
        """`make_server` makes the server inside, which must take PROXY headers. Raises ListenError."""
        self._context = openssl_context(tls)
        self._certificates: dict[Endpoint, str] = {}  # of the clients that are connected, in PEM
        self._relays: set[asyncio.Task[None]] = set()
        self._accepting: list[asyncio.Task[None]] = []
        # Copies: while one server takes over from another, both wait on the same sockets.
        self._listeners = [listener.dup() for listener in sockets]
        _remove_leftovers()
        self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        self._inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._inside.bind(str(self._folder / _SOCKET_NAME))
            self._inside.listen(_BACKLOG)
        except OSError as error:
            self._let_go()
            raise ListenError(f"cannot make a socket in {self._folder}: {error}") from None
        self._inside.setblocking(False)
        self._server = make_server(_Unveiled(application, self._certificates), [self._inside])

    async def start(self) -> None:
        """Returns once connections are taken. Raises ListenError."""
        try:
            await self._server.start()
        except BaseException:
            self._let_go()
            raise
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            listener.setblocking(False)
            self._accepting.append(loop.create_task(self._accept(listener), name="client listener"))

    def shut_down(self) -> None:
        """Takes no more connections; those there are end when their requests have."""
        for task in self._accepting:
            task.cancel()
        self._server.shut_down()

    async def stopped(self) -> None:
        """Returns once every connection has ended."""
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._let_go()
        await self._server.stopped()
        if self._relays:  # the last words of the server are still on their way
            _, late = await asyncio.wait(list(self._relays), timeout=_LAST_WORDS_SECONDS)
            for task in late:
                task.cancel()

    def _let_go(self) -> None:
        for listener in (*self._listeners, self._inside):
            listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # Connections ----------------------------------------------------------------------------
    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                _log.error("cannot accept a connection: %s", error)
                await asyncio.sleep(_PAUSE_WITHOUT_DESCRIPTORS_SECONDS)
                continue
            task = loop.create_task(self._serve(accepted))
            self._relays.add(task)
            task.add_done_callback(self._relays.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        """Takes one client from its handshake to its end."""
        outer = Half()
        try:
            client, server = endpoint(accepted.getpeername()), endpoint(accepted.getsockname())
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: outer, accepted, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError as error:
            accepted.close()
            level = logging.WARNING if isinstance(error, ssl.SSLError) else logging.DEBUG
            _log.log(level, "rejected connection on client endpoint: %s", error)
            return
        certificate = _certificate(outer.transport)
        if certificate:
            self._certificates[client] = certificate
        try:
            await self._relay(outer, _proxy_header(client, server))
        finally:
            if self._certificates.get(client) is certificate:
                self._certificates.pop(client, None)

    async def _relay(self, outer: Half, header: bytes) -> None:
        inner = Half()
        try:
            await asyncio.get_running_loop().create_unix_connection(
                lambda: inner, str(self._folder / _SOCKET_NAME)
            )
        except OSError as error:
            _log.debug("a connection came while the listener stopped: %s", error)
            outer.transport.abort()
            return
        inner.transport.write(header)
        await relay(outer, inner)


class _Unveiled:
    """The application behind the front, which sees clients as if TLS ended in the server."""

    def __init__(self, application: Application, certificates: dict[Endpoint, str]) -> None:
        self._application = application
        self._certificates = certificates

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        certificate = self._certificates.get(tuple(scope.get("client") or ()))
        if certificate:
            extensions = scope.get("extensions") or {}
            scope["extensions"] = {**extensions, "tls": {"client_cert_chain": (certificate,)}}
        return self._application(scope, receive, send)


def _remove_leftovers() -> None:
    """Removes the folders of processes that were killed: nobody listens in them any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            found = folder.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < _LEFTOVER_SECONDS:
                continue
            try:
                probe.settimeout(1.0)
                probe.connect(str(folder / _SOCKET_NAME))
            except (ConnectionRefusedError, FileNotFoundError):
                shutil.rmtree(folder, ignore_errors=True)


def _certificate(transport: asyncio.Transport) -> str:
    """Returns the certificate that the client has shown, in PEM; empty without one."""
    connection: Any = transport.get_extra_info("ssl_object")
    shown = connection.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(shown) if shown else ""


def _proxy_header(client: Endpoint, server: Endpoint) -> bytes:
    hosts = [ipaddress.ip_address(host) for host, _ in (client, server)]
    family = _TCP_OVER_IPV4 if hosts[0].version == 4 else _TCP_OVER_IPV6
    body = b"".join(host.packed for host in hosts) + struct.pack(">HH", client[1], server[1])
    return _PROXY_SIGNATURE + struct.pack(">BBH", _PROXY_COMMAND, family, len(body)) + body
