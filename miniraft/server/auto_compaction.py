"""Which revision the leader compacts to by itself (--auto-compaction-mode, -retention).

Two modes, as in etcd. Periodic: history of at least the period is kept; the revision is
sampled ten times in an interval, and once in every interval (the period, an hour at most)
what was current a whole period ago becomes the compaction. Revision: every five minutes all
but the last so many revisions go. Time comes as an argument: the simulator's is not real.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

_HOUR_MS = 3_600_000
_SAMPLES_PER_INTERVAL = 10
REVISION_INTERVAL_MS = 300_000


class AutoCompaction(Protocol):
    """Called with every tick, on every member; only the leader acts on the answer."""

    def due(self, now_ms: int, revision: int, compacted: int, leads: bool) -> int:
        """Returns the revision to compact to now, or 0. `compacted` is the last compaction."""


class NoCompaction:
    """All history is kept."""

    def due(self, now_ms: int, revision: int, compacted: int, leads: bool) -> int:  # noqa: ARG002
        """See AutoCompaction."""
        return 0


class PeriodicCompaction:
    """Keeps the history of a period.

    Invariant: samples are in order of time, and the first is the newest that is a period old,
    as far as there is one.
    """

    def __init__(self, period_ms: int) -> None:
        """Raises ValueError for a period that is not positive."""
        if period_ms <= 0:
            raise ValueError(f"period_ms {period_ms} must be positive")
        self._period_ms = period_ms
        self._interval_ms = min(period_ms, _HOUR_MS)
        self._sample_ms = max(1, self._interval_ms // _SAMPLES_PER_INTERVAL)
        self._samples: deque[tuple[int, int]] = deque()  # (time, revision)
        self._next_sample_ms: int | None = None
        self._compact_at_ms = 0
        self._asked = 0  # the revision handed out last, until it has been compacted
        self._asked_at_ms = 0

    def due(self, now_ms: int, revision: int, compacted: int, leads: bool) -> int:
        """See AutoCompaction. One that did not come about is due again with the next sample."""
        if self._next_sample_ms is None:
            self._compact_at_ms = now_ms + self._period_ms
        elif now_ms < self._next_sample_ms:
            return 0
        self._next_sample_ms = now_ms + self._sample_ms
        target = self._sample(now_ms, revision)
        if self._asked and compacted >= self._asked:
            self._asked, self._compact_at_ms = 0, self._asked_at_ms + self._interval_ms
        if not leads or now_ms < self._compact_at_ms or target <= max(compacted, 0):
            return 0
        self._asked, self._asked_at_ms = target, now_ms
        return target

    def _sample(self, now_ms: int, revision: int) -> int:
        """Notes the revision; returns the newest that is a period old, 0 while there is none."""
        self._samples.append((now_ms, revision))
        old_ms = now_ms - self._period_ms
        while len(self._samples) > 1 and self._samples[1][0] <= old_ms:
            self._samples.popleft()
        sampled_ms, oldest = self._samples[0]
        return oldest if sampled_ms <= old_ms else 0


class RevisionCompaction:
    """Keeps the last so many revisions."""

    def __init__(self, kept_revisions: int) -> None:
        """Raises ValueError for a number that is not positive."""
        if kept_revisions <= 0:
            raise ValueError(f"kept_revisions {kept_revisions} must be positive")
        self._kept_revisions = kept_revisions
        self._next_ms: int | None = None

    def due(self, now_ms: int, revision: int, compacted: int, leads: bool) -> int:
        """See AutoCompaction."""
        if self._next_ms is None:
            self._next_ms = now_ms + REVISION_INTERVAL_MS
        if now_ms < self._next_ms:
            return 0
        self._next_ms = now_ms + REVISION_INTERVAL_MS
        target = revision - self._kept_revisions
        return target if leads and target > max(compacted, 0) else 0


def auto_compaction(period_ms: int, kept_revisions: int) -> AutoCompaction:
    """Returns the compaction that the settings ask for; 0 and 0: none."""
    if period_ms:
        return PeriodicCompaction(period_ms)
    return RevisionCompaction(kept_revisions) if kept_revisions else NoCompaction()
