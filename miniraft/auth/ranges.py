"""Sets of key ranges: what a user may touch, joined from all that was granted."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OPEN_END = b"\0"  # as a range end in requests and permissions: every key from the start on


def bounds(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """Returns [start, end) of a key or range as requests name it; an end of None is infinity."""
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == OPEN_END else range_end


class RangeSet:
    """A union of ranges [start, end).

    Invariant: ranges are disjoint, do not touch, and ascend; only the last may be without end.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Joins ranges that overlap or touch; empty ones are left out."""
        self._starts: list[bytes] = []
        self._ends: list[bytes | None] = []
        for start, end in sorted(ranges, key=lambda pair: pair[0]):
            if end is None or start < end:
                self._add(start, end)

    def _add(self, start: bytes, end: bytes | None) -> None:
        """Adds a range that starts behind all others' starts."""
        if self._starts:
            last = self._ends[-1]
            if last is None:
                return
            if start <= last:
                self._ends[-1] = None if end is None else max(last, end)
                return
        self._starts.append(start)
        self._ends.append(end)

    def covers(self, start: bytes, end: bytes | None) -> bool:
        """Whether every key of [start, end) is in the set.

        A range that is empty (end at or before start) is judged by its start, as in etcd.
        """
        position = bisect_right(self._starts, start) - 1
        if position < 0:
            return False
        last = self._ends[position]
        if last is None:
            return True
        return end is not None and start < last and end <= last
