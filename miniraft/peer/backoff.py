"""How long to wait before the next attempt to connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Backoff:
    """Doubles from `start_ms` up to `limit_ms`; each delay is drawn from its upper half.

    The draw keeps members that lost each other at one moment from dialling in step.
    """

    __slots__ = ("_limit_ms", "_next_ms", "_random", "_start_ms")

    def __init__(self, start_ms: int, limit_ms: int, generator: random.Random) -> None:
        if not 0 < start_ms <= limit_ms:
            raise ValueError(f"back-off from {start_ms} ms up to {limit_ms} ms is no range")
        self._start_ms = start_ms
        self._limit_ms = limit_ms
        self._next_ms = start_ms
        self._random = generator

    def next_delay_ms(self) -> float:
        """Returns the delay before the next attempt."""
        delay = self._next_ms * self._random.uniform(0.5, 1.0)
        self._next_ms = min(self._next_ms * 2, self._limit_ms)
        return delay

    def reset(self) -> None:
        """An attempt succeeded."""
        self._next_ms = self._start_ms
