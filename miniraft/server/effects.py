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
    from miniraft.server.notes import Note


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
    - `install_snapshot`: a snapshot from the leader takes the place of log and keyspace. The
      driver has its data from the transport, durable under a name of its own. It writes the
      snapshot record and syncs it, swaps the store, reports `Member.snapshot_installed`, and
      only then goes on with this and later `persist`s. (In this order a crash in between
      leaves the store behind the log, which start-up repairs: see `server/restore.py`.)
      Until then the member applies nothing.
    - `compacted_index`, `compacted_snapshot`: append this snapshot record to the log; once it
      is synced, the log on disk may be purged behind it.
    - `notes`: what an operator wants to know of; nothing needs to be done.
    - `membership_changed`: connections to peers are to be brought in line with `Member.cluster`.
    - `stop_reason`: the member cannot go on (removed from the cluster, corrupt entry): say
      it, stop, and begin no further commit of the store: it may hold half a change.
    """

    persist: Persist | None = None
    persist_sequence: int = 0
    messages: list[Message] = field(default_factory=list)
    messages_after_persist: list[Message] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    install_snapshot: SnapshotMetadata | None = None
    compacted_index: int = 0  # 0: nothing new
    compacted_snapshot: SnapshotMetadata | None = None  # at `compacted_index`
    membership_changed: bool = False
    stop_reason: str = ""
