"""Which part of what Raft handed out has reached the disk.

Writes are handed out in order, several may be under way, and they become durable in order.
A write under way may hold entries that a new leader has replaced since. Its end is cut back
when that happens: else the late report "durable now" would vouch for entries at the same
indexes that are still in memory only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from miniraft.raft.invariant import InvariantViolation


@dataclass(slots=True)
class _Write:
    sequence: int
    last_index: int  # the log's end once this is durable; cut back by truncation
    term: int
    vote: int
    commit: int


class Durability:
    """Invariants: `index <= written <= ` the log's last index; neither counts a removed entry."""

    __slots__ = ("_writes", "commit", "index", "sequence", "term", "vote", "written", "written_commit")

    def __init__(self, index: int, term: int, vote: int, commit: int) -> None:
        self.index = index  # everything up to here is on disk
        self.written = index  # everything up to here was handed out for writing
        self.commit = commit  # the commit index as it is on disk
        self.written_commit = commit  # the same as of the newest write
        self.term = term  # term and vote as they are on disk
        self.vote = vote
        self.sequence = 0  # of the newest write
        self._writes: deque[_Write] = deque()

    def written_hard_state(self) -> tuple[int, int]:
        """Returns term and vote as of the newest write."""
        if self._writes:
            newest = self._writes[-1]
            return newest.term, newest.vote
        return self.term, self.vote

    def write(self, last_index: int, term: int, vote: int, commit: int) -> int:
        """Notes a write that ends at `last_index`; returns its sequence number."""
        self.sequence += 1
        self.written = last_index
        self.written_commit = commit
        self._writes.append(_Write(self.sequence, last_index, term, vote, commit))
        return self.sequence

    def persisted(self, sequence: int) -> None:
        """Notes that all writes up to `sequence` are durable."""
        if sequence > self.sequence:
            raise InvariantViolation(f"write {sequence} reported durable, the newest is {self.sequence}")
        while self._writes and self._writes[0].sequence <= sequence:
            write = self._writes.popleft()
            self.index = max(self.index, write.last_index)
            self.term, self.vote = write.term, write.vote
            self.commit = max(self.commit, write.commit)

    def truncate(self, last_index: int) -> None:
        """Notes that the log was cut behind `last_index`."""
        self.index = min(self.index, last_index)
        self.written = min(self.written, last_index)
        for write in self._writes:
            write.last_index = min(write.last_index, last_index)

    def reset(self, index: int) -> None:
        """Notes that a durable snapshot at `index` has replaced the log."""
        self.truncate(0)
        self.index = self.written = self.commit = self.written_commit = index
