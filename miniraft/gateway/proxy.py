"""The proxy: each connection goes to an endpoint that takes it, and bytes go through unread."""

from __future__ import annotations

import asyncio
import errno
import time
from typing import TYPE_CHECKING

from miniraft.runtime import log
from miniraft.runtime.relay import Half, relay

if TYPE_CHECKING:
    from miniraft.gateway.endpoints import Choice, Remote

_CONNECT_SECONDS = 5.0


class Gateway:
    """Listens on one address. Invariant: a client's connection lives as long as its endpoint's."""

    def __init__(self, choice: Choice, retry_seconds: float) -> None:
        """After `retry_seconds` an endpoint that was not there is called again."""
        self._choice = choice
        self._retry_seconds = retry_seconds
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Takes connections from now on; returns the address really taken. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Incoming(self), host or None, port)
        addresses = [remote.target.address for remote in self._choice.remotes]
        log.event("info", "ready to proxy client requests", endpoints=addresses)
        taken: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return taken

    async def close(self) -> None:
        """Takes no more connections and ends those there are."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self, incoming: Half) -> None:
        """A client has connected."""
        task = asyncio.get_running_loop().create_task(self._serve(incoming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, incoming: Half) -> None:
        tried: list[Remote] = []
        try:
            while (remote := self._choice.next(tried, time.monotonic())) is not None:
                tried.append(remote)
                outgoing = await self._call(remote)
                if outgoing is not None:
                    await relay(incoming, outgoing)
                    return
        finally:
            incoming.transport.abort()

    async def _call(self, remote: Remote) -> Half | None:
        """Connects to an endpoint and remembers whether it was there."""
        target, outgoing = remote.target, Half()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: outgoing, target.host, target.port)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                log.event("error", "cannot connect to an endpoint", error=error.strerror)
                return None  # ours is the fault, not the endpoint's
            log.event(
                "warn",
                "deactivated endpoint",
                address=target.address,
                interval=f"{self._retry_seconds:g}s",
                error=str(error) or f"no answer within {_CONNECT_SECONDS:g} s",
            )
            remote.absent_until_seconds = time.monotonic() + self._retry_seconds
            return None
        if remote.absent_until_seconds:
            log.event("info", "activated", address=target.address)
        remote.absent_until_seconds = 0.0
        return outgoing


class _Incoming(Half):
    """A client's end of a relay."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See Half.connection_made."""
        super().connection_made(transport)
        self._gateway.take(self)
