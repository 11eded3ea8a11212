"""A histogram in plain numbers: counted where things happen, read when metrics are scraped."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Returns `count` bounds, each `factor` times the one before."""
    return tuple(start * factor**exponent for exponent in range(count))


class Histogram:
    """How many observations fell below each of some bounds, and what they add up to.

    One thread observes. Others may read meanwhile: they see the last observation, or not yet.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` ascend; a value that equals one counts as below it."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one: above all bounds
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: Histogram) -> None:
        """Counts all that another one with the same bounds has counted."""
        self.counts = [own + more for own, more in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """How many values have been observed."""
        return sum(self.counts)
