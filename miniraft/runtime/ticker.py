"""The heartbeat of a member: one tick an interval, without drift, and never in a burst."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Ticker:
    """Calls `on_tick` every interval on the event loop.

    When the loop was held up, the ticks that were missed are left out: replayed at once they
    would look like silence from the leader, whose heartbeats wait in the socket meanwhile, and
    start an election. `on_stall` is told how late the tick came when that is worth a line.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_ms: int,
        on_tick: Callable[[], None],
        on_stall: Callable[[int], None],
        stall_threshold_ms: int,
    ) -> None:
        self._loop = loop
        self._interval_seconds = interval_ms / 1000
        self._on_tick = on_tick
        self._on_stall = on_stall
        self._stall_threshold_seconds = stall_threshold_ms / 1000
        self.missed = 0  # ticks left out before the last one
        self._due = loop.time() + self._interval_seconds
        self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """No tick comes after this."""
        self._timer.cancel()

    def _tick(self) -> None:
        late_seconds = self._loop.time() - self._due
        self.missed = int(late_seconds / self._interval_seconds) if late_seconds > 0 else 0
        self._due += (1 + self.missed) * self._interval_seconds
        self._timer = self._loop.call_at(self._due, self._tick)
        if late_seconds > self._stall_threshold_seconds:
            self._on_stall(int(late_seconds * 1000))
        self._on_tick()
