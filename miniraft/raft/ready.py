"""What Raft wants done, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.message import Message
    from miniraft.raft.observation import Observation
    from miniraft.raft.state import HardState, SnapshotMetadata


class ReadState(NamedTuple):
    """A read index round is confirmed: reads under `context` may be served once `index` is applied.

    `index` is -1 when the round failed (no leader, or leadership lost): ask again or give up.
    """

    context: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls


@dataclass(slots=True)
class Ready:
    """Taken by `Raft.ready()`. What it holds is handed out once.

    Order, and nothing else is ordered:
    - `messages` may be sent at once: they depend on nothing that is not durable yet.
    - `snapshot` (a follower received one) replaces log and state machine; then `hard_state`
      and `entries` are written to the log, in this order, after all earlier Readys' ones.
    - Once those are durable, `Raft.persisted(sequence)` is called, and only then may
      `messages_after_persist` be sent (votes, acknowledgements: figure 2, "persistent state
      updated on stable storage before responding"). Several Readys may be on their way to
      disk; they become durable in order.
    - `committed` entries are applied in order. They are durable here already: Raft hands out
      nothing past min(commit, durable), so that the state machine on disk never runs ahead
      of the log on disk.
    """

    sequence: int
    hard_state: HardState | None = None  # None: unchanged
    entries: Sequence[Entry] = field(default=())
    snapshot: SnapshotMetadata | None = None
    must_sync: bool = False  # false: only `hard_state.commit` moved, which need not be durable
    messages: list[Message] = field(default_factory=list)
    messages_after_persist: list[Message] = field(default_factory=list)
    committed: Sequence[Entry] = field(default=())
    read_states: list[ReadState] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    @property
    def persists(self) -> bool:
        """Whether there is anything to write to the log."""
        return bool(self.entries) or self.hard_state is not None or self.snapshot is not None
