"""Two connections joined into one: what comes in at either end goes out at the other."""

from __future__ import annotations

import asyncio


class Half(asyncio.Protocol):
    """One end of a relay. What it receives before it is joined to the other end is kept for it.

    Invariant: it receives no faster than the other end can send, so little is ever buffered.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._other: Half | None = None
        self._early = bytearray()  # a server of uvloop reads once, though it was told not to

    def join(self, other: Half) -> None:
        """Begins to pass on, both ways."""
        self._other, other._other = other, self
        for one, another in ((self, other), (other, self)):
            if one._early:
                another.transport.write(bytes(one._early))
            one.flow(True)
        if self.ended.done() or other.ended.done():
            self.transport.close()
            other.transport.close()

    def flow(self, on: bool) -> None:
        """Receives, or does not."""
        if self.transport.is_closing():
            return
        if on:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    # Called by the event loop ---------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = transport  # type: ignore[assignment]
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._other is not None:
            self._other.transport.write(data)
        else:
            self._early += data
            self.flow(False)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._other is not None:
            self._other.flow(False)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._other is not None:
            self._other.flow(True)

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio.Protocol. What the other end still has to send is sent."""
        if not self.ended.done():
            self.ended.set_result(None)
        if self._other is not None:
            self._other.transport.close()


async def relay(one: Half, other: Half) -> None:
    """Joins two connections that have been made; returns when both have ended."""
    one.join(other)
    try:
        await asyncio.wait((one.ended, other.ended))
    finally:
        one.transport.abort()
        other.transport.abort()
