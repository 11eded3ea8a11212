"""Notices that there has been no leader for so long that clients had better go elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ELECTION_TIMEOUTS: Final = 3  # as etcd waits


class LeaderlessAlarm:
    """Calls its callbacks once each time the patience of three election timeouts is over."""

    def __init__(self, election_ticks: int) -> None:
        self.callbacks: list[Callable[[], None]] = []
        self._patience_ticks = _ELECTION_TIMEOUTS * election_ticks
        self._ticks_without = 0

    def tick(self, *, has_leader: bool) -> None:
        """A tick has passed, at the end of which there is a leader or not."""
        if has_leader:
            self._ticks_without = 0
            return
        self._ticks_without += 1
        if self._ticks_without == self._patience_ticks:
            for callback in self.callbacks:
                callback()
