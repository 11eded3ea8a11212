"""Notices that the other end is gone, paused or cut off: a ping when all is quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Keepalive:
    """Pings when nothing was received for `interval_ms`; calls `dead` if that stays so for `timeout_ms`.

    `heard_at` is set by the connection whenever anything comes in; one timer looks at it now
    and then, so that a message costs no timer.
    """

    __slots__ = ("_dead", "_interval", "_loop", "_ping", "_timeout", "_timer", "heard_at")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_ms: int,
        timeout_ms: int,
        ping: Callable[[], None],
        dead: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._interval = interval_ms / 1000
        self._timeout = timeout_ms / 1000
        self._ping = ping
        self._dead = dead
        self.heard_at = loop.time()
        self._timer = loop.call_later(self._interval, self._look)

    def stop(self) -> None:
        """No more pings."""
        self._timer.cancel()

    def _look(self) -> None:
        quiet = self._loop.time() - self.heard_at
        if quiet < self._interval:
            self._timer = self._loop.call_later(self._interval - quiet, self._look)
            return
        self._timer = self._loop.call_later(self._timeout, self._judge, self.heard_at)
        self._ping()

    def _judge(self, heard_at: float) -> None:
        if self.heard_at == heard_at:
            self._dead()
        else:
            self._look()
