"""When the log may be cut, and where.

The log is cut behind what the keyspace has committed to disk, and some entries behind that
are kept so that a follower that was away for a moment needs no snapshot. Every
`snapshot_count` applied entries the log is cut once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from miniraft.raft.state import SnapshotMetadata

if TYPE_CHECKING:
    from miniraft.raft.state import ConfigState


class LogCut(NamedTuple):
    """Where to cut: the log goes on behind `first`; the store on disk holds up to `available`."""

    first: SnapshotMetadata
    available: SnapshotMetadata


class LogCutter:
    """Remembers term and membership at the indexes where the log may be cut.

    Invariant: `_changes` ascends and its first element is at or before the last cut, or as far
    back as is known since the start.
    """

    __slots__ = ("_catchup_entries", "_changes", "_last_cut", "_snapshot_count")

    def __init__(
        self, snapshot_count: int, catchup_entries: int, log_start: int, applied: SnapshotMetadata
    ) -> None:
        """`log_start`: the log's entries begin behind it; `applied`: where the store stands."""
        self._snapshot_count = snapshot_count
        self._catchup_entries = catchup_entries
        self._last_cut = log_start
        self._changes = deque([applied])

    def applied(self, index: int, term: int, config: ConfigState) -> None:
        """The entry at `index` has been applied; `config` is in force since."""
        last = self._changes[-1]
        if term != last.term or config is not last.config:
            self._changes.append(SnapshotMetadata(index, term, config))

    def restarted(self, snapshot: SnapshotMetadata) -> None:
        """A snapshot has taken the place of the log."""
        self._last_cut = snapshot.index
        self._changes = deque([snapshot])

    def committed(self, index: int) -> LogCut | None:
        """The store on disk holds everything up to `index`: returns the cut that is due, if any."""
        if index - self._last_cut < self._snapshot_count:
            return None
        first_index = index - self._catchup_entries
        if first_index < self._changes[0].index:
            return None  # the membership there is not known any more: a later cut goes behind it
        available = self._at(index)
        while len(self._changes) > 1 and self._changes[1].index <= first_index:
            self._changes.popleft()
        self._last_cut = index
        return LogCut(self._at(first_index), available)

    def _at(self, index: int) -> SnapshotMetadata:
        found = self._changes[0]
        for change in self._changes:
            if change.index > index:
                break
            found = change
        return SnapshotMetadata(index, found.term, found.config)
