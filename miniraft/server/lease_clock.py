"""The clock that leases run by."""

from __future__ import annotations


class LeaseClock:
    """Stands still while its member does.

    A leader that was paused, or whose machine slept, could not take renewals meanwhile; what it
    finds in its sockets when it goes on may be the very renewals that were due. So of a longer
    silence between two looks at the clock only `most_ms` count. Leases may end later for it,
    never earlier.
    """

    __slots__ = ("_last_ms", "_most_ms", "_now_ms")

    def __init__(self, most_ms: int) -> None:
        self._most_ms = most_ms
        self._now_ms = 0
        self._last_ms: int | None = None

    def read(self, now_ms: int) -> int:
        """Returns the time, in milliseconds since the first look; `now_ms` is monotonic."""
        if self._last_ms is not None:
            self._now_ms += min(max(now_ms - self._last_ms, 0), self._most_ms)
        self._last_ms = now_ms
        return self._now_ms
