"""What Raft offers to the member that owns it. `raft/raft.py` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.message import Message
    from miniraft.raft.ready import Ready
    from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata


class RestoredState(NamedTuple):
    """What a member knew when it stopped (a new one: zeroes and the bootstrap ConfigState)."""

    hard_state: HardState
    snapshot: SnapshotMetadata  # the log begins behind it
    entries: Sequence[Entry]
    applied: int  # the state machine holds everything up to here
    applied_config: ConfigState  # the membership as of `applied`


class ProgressView(NamedTuple):
    """What a leader knows of one follower."""

    member_id: int
    match: int
    next: int
    state: str  # "probe", "replicate" or "snapshot"
    inflight: int
    recently_active: bool
    is_learner: bool


class ProposalDropped(Exception):  # noqa: N818 (the field's term, not an error of ours)
    """A proposal could not be taken: no leader, a transfer under way, or too much uncommitted."""


class RaftCore(Protocol):
    """One member's consensus state. Every method is an event; `ready` takes what came of it.

    Invariants, checked also under `python -O`:
    - `applied <= min(committed, durable)`, `committed <= last_index`.
    - term never decreases; at most one vote is granted for each term.
    - a leader never overwrites or removes entries of its own log.
    """

    member_id: int

    # What it is ---------------------------------------------------------------------------
    @property
    def term(self) -> int:
        """currentTerm."""

    @property
    def role(self) -> str:
        """One of `Role`."""

    @property
    def leader(self) -> int:
        """The known leader of this term, or 0."""

    @property
    def committed(self) -> int:
        """commitIndex."""

    @property
    def applied(self) -> int:
        """The last entry reported by `advance_applied`."""

    @property
    def durable(self) -> int:
        """The last entry known to be on this member's disk."""

    @property
    def last_index(self) -> int:
        """The last entry of the log."""

    @property
    def first_index(self) -> int:
        """The first entry still in the log (compaction moves it on)."""

    @property
    def config(self) -> ConfigState:
        """The membership in force: that of the last applied change."""

    def progress(self) -> Sequence[ProgressView]:
        """A leader's view of every member, itself included; empty elsewhere."""

    # Events -------------------------------------------------------------------------------
    def tick(self) -> None:
        """One heartbeat interval has passed."""

    def step(self, message: Message) -> None:
        """A message came in. One that makes no sense in this state is ignored."""

    def propose(self, payloads: Sequence[bytes]) -> None:
        """Appends NORMAL entries (leader) or passes them on in one PROPOSE (follower).

        Raises ProposalDropped; then none of them was taken.
        """

    def propose_config_change(self, payload: bytes) -> None:
        """Appends a CONFIG_CHANGE entry. One may be in the log unapplied at a time, and a leader
        proposes none before it has committed an entry of its own term (thesis 4.1).

        Raises ProposalDropped.
        """

    def read_index(self, context: int) -> None:
        """Asks for a read index (thesis 6.4); the answer is a ReadState with this context.

        `context` is unique in this member and never 0. Requests that are made before the next
        `ready` share one round. A leader that has committed nothing in its term yet holds
        them until it has; a member that knows no leader fails them.
        """

    def transfer_leadership(self, target: int) -> None:
        """Starts handing leadership over. Ignored for learners, unknown members and itself."""

    def campaign(self) -> None:
        """Starts an election now, as if the timeout had passed (single members at start)."""

    def persisted(self, sequence: int) -> None:
        """Everything in Readys up to `sequence` is durable."""

    def advance_applied(self, index: int) -> None:
        """The state machine holds everything up to `index`."""

    def apply_config_change(self, kind: int, member_id: int) -> ConfigState:
        """A committed change takes effect (kind as in ConfigChangeKind); returns the result.

        Called while applying its entry. A change that makes no sense (kind UPDATE, a member
        that is there already, a refused one) leaves ConfigState as it is.
        """

    def snapshot_available(self, metadata: SnapshotMetadata) -> None:
        """The keyspace on disk holds everything up to `metadata.index`: what a follower that
        needs a snapshot is promised at least."""

    def compact(self, index: int) -> None:
        """Drops the log up to and including `index` (<= applied) from memory."""

    def restore_snapshot(self, metadata: SnapshotMetadata) -> None:
        """A snapshot handed out in `Ready.snapshot` has been installed in the state machine."""

    def report_unreachable(self, member_id: int) -> None:
        """Messages to this member were lost: probe it instead of streaming to it."""

    def report_disconnected(self, member_id: int) -> None:
        """This member's end of the connection closed: its process has ended, most likely.

        If it leads, an election comes within a few ticks instead of a whole timeout. Followers
        that still hear from it refuse as ever, so a connection that broke alone costs little.
        """

    def report_snapshot(self, member_id: int, succeeded: bool) -> None:
        """A snapshot transfer to this member ended."""

    # Effects ------------------------------------------------------------------------------
    def has_ready(self) -> bool:
        """Whether `ready` would return anything."""

    def ready(self) -> Ready:
        """Takes what is to be done."""
