"""Virtual time: actions at moments, run in order; simultaneous ones in the order they were planned."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Scheduler:
    """Invariant: `now_us` never decreases; no action runs before its time."""

    def __init__(self) -> None:
        self.now_us = 0
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Plans `action` for `delay_us` (>= 0) from now."""
        self._count += 1
        heappush(self._planned, (self.now_us + delay_us, self._count, action))

    def run_until(self, time_us: int) -> None:
        """Runs what is planned up to `time_us`, which is then the present."""
        planned = self._planned
        while planned and planned[0][0] <= time_us:
            self.now_us, _, action = heappop(planned)
            action()
        self.now_us = time_us
