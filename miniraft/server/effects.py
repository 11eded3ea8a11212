"""What a member wants done by its driver (runtime or simulator)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.errors import EtcdError
    from miniraft.raft.entry import Entry
    from miniraft.raft.message import Message
    from miniraft.raft.observation import Observation
    from miniraft.raft.state import HardState, SnapshotMetadata


class Persist(NamedTuple):
    """Append to the log and sync, then report `Member.persisted(sequence)`.

    Several may be on their way; they are written in order and may be synced together, in
    which case reporting the last sequence is enough.
    """

    sequence: int
    hard_state: HardState | None
    entries: Sequence[Entry]
    must_sync: bool


class Reply(NamedTuple):
    """The answer to a request: `handle` is what the driver passed in with it."""

    handle: Any
    result: Any  # what the request's kind answers (mvcc/results.py, ...); None with an error
    error: EtcdError | None


@dataclass(slots=True)
class Effects:
    """Taken by `Member.drain()`; handed out once.

    - `messages`: send now.
    - `persist`: see there.
    - `messages_after_persist`: send when `persist_sequence` is durable (already durable when
      it is not above the last sequence reported by `Member.persisted`).
    - `replies`: tell the waiting clients.
    - `install_snapshot`: a snapshot from the leader takes the place of log and keyspace; the
      driver has its data from the transport, swaps the store, writes the snapshot record to
      the log and reports `Member.snapshot_installed`. Until then the member applies nothing.
    - `compacted_index`: the log on disk may be purged behind it (a snapshot record first).
    - `membership_changed`: connections to peers are to be brought in line with `Member.cluster`.
    - `stop_reason`: the member cannot go on (removed from the cluster, corrupt entry): say
      it and stop.
    """

    persist: Persist | None = None
    persist_sequence: int = 0
    messages: list[Message] = field(default_factory=list)
    messages_after_persist: list[Message] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    install_snapshot: SnapshotMetadata | None = None
    compacted_index: int = 0  # 0: nothing new
    membership_changed: bool = False
    stop_reason: str = ""
