"""What happened so far, bounded: the newest records, and what was so before the oldest of them."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniraft.local_cluster.web.records import Record

MAX_RECORDS = 20_000  # with a write a second about an hour
# Of these the last one dropped still says how a member was when the kept ones begin.
_LASTING = frozenset({"process", "answer", "raft"})


class History:
    """Records numbered in the order they came in, which is not quite that of their times."""

    def __init__(self, capacity: int = MAX_RECORDS) -> None:
        self._kept: deque[Record] = deque()
        self._capacity = capacity
        self._first = 0  # number of the oldest kept
        self._before: dict[tuple[str, str], Record] = {}
        self.since_ms = 0.0  # nothing is known of what was before; 0: from the start

    @property
    def end(self) -> int:
        """The number the next record will have."""
        return self._first + len(self._kept)

    def add(self, record: Record) -> None:
        """Takes in a record; the oldest gives way."""
        self._kept.append(record)
        if len(self._kept) > self._capacity:
            dropped = self._kept.popleft()
            self._first += 1
            self.since_ms = max(self.since_ms, dropped["time"])
            if dropped["kind"] in _LASTING:
                self._before[dropped["kind"], dropped["member"]] = dropped

    def all(self) -> list[Record]:
        """Everything that is known, older first."""
        return [*self._before.values(), *self._kept]

    def after(self, number: int) -> list[Record] | None:
        """The records from a number on, or None when some of them are no longer kept."""
        if number < self._first:
            return None
        return list(islice(self._kept, number - self._first, None))
