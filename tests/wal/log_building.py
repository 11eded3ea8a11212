"""Shared by the tests of the log: small logs, and the model of what one holds."""

from typing import NamedTuple

from miniraft.raft.entry import Entry, EntryKind
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from miniraft.wal.interface import WalMetadata

METADATA = WalMetadata(cluster_id=0xC1, member_id=0x8E9E05C52164694D)
CONFIG = ConfigState((1, 2, 3), (4,))
BOOTSTRAP = SnapshotMetadata(0, 0, CONFIG)


def entries(first, count, term=1, data=b"value"):
    return [Entry(term, index, EntryKind.NORMAL, data) for index in range(first, first + count)]


class LogState(NamedTuple):
    """What a log amounts to."""

    hard_state: HardState
    snapshot: SnapshotMetadata
    entries: tuple

    @property
    def last_index(self):
        return self.entries[-1].index if self.entries else self.snapshot.index

    def as_recovered(self):
        term, vote, commit = self.hard_state
        commit = min(max(commit, self.snapshot.index), self.last_index)
        return self._replace(hard_state=HardState(term, vote, commit))

    def with_hard_state(self, hard_state):
        return self._replace(hard_state=hard_state)

    def with_entries(self, new):
        kept = tuple(entry for entry in self.entries if entry.index < new[0].index)
        return self._replace(entries=kept + tuple(new))

    def with_snapshot(self, snapshot):
        if snapshot.index <= self.snapshot.index:
            return self
        there = {entry.index: entry.term for entry in self.entries}
        if there.get(snapshot.index) != snapshot.term:
            return self._replace(snapshot=snapshot, entries=())
        kept = tuple(entry for entry in self.entries if entry.index > snapshot.index)
        return self._replace(snapshot=snapshot, entries=kept)


def state_of(recovered):
    return LogState(recovered.hard_state, recovered.snapshot, tuple(recovered.entries))
