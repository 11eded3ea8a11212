"""What the log offers to the two drivers, and what recovery returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import HardState, SnapshotMetadata


class WalMetadata(NamedTuple):
    """Whose log this is. Stands first in every segment and is checked in each."""

    cluster_id: int
    member_id: int


class WalError(Exception):
    """The log cannot be used. The message names file, offset, reason and what to do."""


@dataclass(slots=True)
class RecoveredLog:
    """What a log held.

    Invariant: entries are consecutive, the first one follows `snapshot.index`.
    """

    metadata: WalMetadata
    hard_state: HardState
    snapshot: SnapshotMetadata
    entries: list[Entry]
    repairs: list[str] = field(default_factory=list)  # what was cut off at the tail, for the log


class WriteAheadLog(Protocol):
    """The log, open for writing. Used by one thread at a time.

    `append` never leaves a hole: after OSError from any method the log must not be written
    to again in this process (`WalError` if it is).
    """

    def append(
        self, hard_state: HardState | None, entries: Sequence[Entry], snapshot: SnapshotMetadata | None = None
    ) -> None:
        """Hands records to the operating system, in the order snapshot, hard state, entries.

        Entries may begin at or before the last index written: what stood from there on is
        then void (section 5.3, conflicting entries). A snapshot newer than the last index
        voids all entries, and so does one whose term is not that of the entry at its index
        (section 7: the log conflicts with it). One at or before the last snapshot is ignored.
        """

    def sync(self) -> None:
        """Returns once everything appended is durable."""

    def purge(self, snapshot_index: int, keep_segments: int) -> list[str]:
        """Removes the segments that hold nothing after `snapshot_index`; returns their names.

        At least the segment in use stays, and `keep_segments` more than needed if there are
        (0: keep all, as etcd's --max-wals).
        """

    def bytes_written(self) -> int:
        """Returns how many bytes were appended since the log was opened."""

    def close(self) -> None:
        """Closes the files."""
