"""All that one member's Raft holds; the modules beside it are the rules that move it.

Everything is in one place on purpose: the rules of an election, of replication and of reads
work on the same term, log and timers, and a reader wants to see them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from miniraft.raft.message import Message, MessageKind
from miniraft.raft.state import NO_MEMBER, Role

if TYPE_CHECKING:
    import random

    from miniraft.raft.config import RaftConfig
    from miniraft.raft.durability import Durability
    from miniraft.raft.log import RaftLog
    from miniraft.raft.observation import Observation
    from miniraft.raft.progress import Progress
    from miniraft.raft.ready import ReadState
    from miniraft.raft.state import ConfigState, SnapshotMetadata


class ReadRequest(NamedTuple):
    """A read index that somebody waits for."""

    member_id: int  # who asked
    context: int  # that member's name for it


class ReadRound(NamedTuple):
    """Requests that wait for one confirmation that this leader still leads."""

    number: int
    read_index: int
    requests: list[ReadRequest]


@dataclass(slots=True)
class Reads:
    """Read-index requests under way. A leader uses the first three, a follower the last."""

    waiting: list[ReadRequest] = field(default_factory=list)  # no round was started for them yet
    rounds: list[ReadRound] = field(default_factory=list)  # started, oldest first
    newest_round: int = 0  # never used twice while this member runs
    heartbeats_due: bool = False  # the newest round's, to as few members as make a majority
    forwarded: dict[int, int] = field(default_factory=dict)  # context -> tick it was sent at, oldest first


@dataclass(slots=True)
class Transfer:
    """A hand-over of leadership (thesis 3.10)."""

    target: int
    elapsed: int = 0  # ticks
    told: bool = False  # TIMEOUT_NOW is out


@dataclass(slots=True)
class Node:
    """One member. Invariants stand beside the fields."""

    settings: RaftConfig
    random: random.Random
    log: RaftLog
    durability: Durability
    membership: ConfigState  # in force: that of the last applied change
    term: int  # currentTerm; never decreases
    vote: int  # votedFor in `term`; set once in a term
    role: str = Role.FOLLOWER
    leader: int = NO_MEMBER  # one in a term

    # Timers, in ticks
    ticks: int = 0  # since this member started
    election_elapsed: int = 0  # since a sign of life of the leader; for a leader, since it checked its quorum
    election_timeout: int = 0
    leader_heard_at: int = 0  # the tick of a leader's last sign of life
    leader_gone: bool = False  # its connection closed since
    heartbeat_elapsed: int = 0

    # Candidacy
    campaign_term: int = 0  # the term that votes are asked for
    campaign_is_transfer: bool = False
    votes: dict[int, bool] = field(default_factory=dict)  # a member's first answer, which counts once
    candidacy_ticks: int = 0

    # Leadership
    progress: dict[int, Progress] = field(default_factory=dict)  # every other member
    term_start_index: int = 0  # the no-op that opened this leader's term
    config_change_barrier: int = 0  # a membership change may be proposed once this is applied
    transfer: Transfer | None = None
    reads: Reads = field(default_factory=Reads)
    heartbeat_due: bool = False
    append_due: bool = False  # some follower's progress, the log or the commit index moved
    available_snapshot: SnapshotMetadata | None = None  # what a follower can be promised at least

    # Following
    acknowledged: int | None = None  # APPENDs up to here were accepted and not answered yet
    installing: SnapshotMetadata | None = None  # received, not installed yet: the log stands still
    installing_handed_out: bool = False

    # For the next Ready
    messages: list[Message] = field(default_factory=list)
    messages_after_persist: list[Message] = field(default_factory=list)
    read_states: list[ReadState] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    @property
    def member_id(self) -> int:
        """This member."""
        return self.settings.member_id

    @property
    def leads(self) -> bool:
        """Whether this member is the leader of its term."""
        return self.role == Role.LEADER

    def members(self) -> tuple[int, ...]:
        """Returns voters and learners."""
        return self.membership.voters + self.membership.learners

    def has_committed_in_term(self) -> bool:
        """Returns whether this leader knows every committed entry to be committed (section 8)."""
        return self.log.committed >= self.term_start_index

    def observe(self, observation: Observation) -> None:
        """Notes something that a person may want to know."""
        self.observations.append(observation)

    def send(self, message: Message) -> None:
        """Queues a message that claims nothing but this member's term."""
        self.messages.append(message)

    def send_after_persist(self, message: Message) -> None:
        """Queues a message that vouches for a vote or for entries."""
        self.messages_after_persist.append(message)

    def restart_election_timer(self) -> None:
        """Begins to wait anew, for a newly drawn time (section 5.2)."""
        self.election_elapsed = 0
        ticks = self.settings.election_ticks
        self.election_timeout = self.random.randrange(ticks, 2 * ticks)

    def acknowledge(self, index: int) -> None:
        """Answers the leader's APPENDs up to `index`, with the next write that covers them."""
        self.acknowledged = index if self.acknowledged is None else max(index, self.acknowledged)

    def reject(self, receiver: int, previous: int, reason: int, hint: int = 0, hint_term: int = 0) -> None:
        """Refuses an APPEND or SNAPSHOT that names `previous` as the entry before it."""
        self.send_after_persist(
            Message(
                MessageKind.APPEND_RESPONSE,
                self.member_id,
                receiver,
                term=self.term,
                index=previous,
                reject=True,
                reject_reason=reason,
                reject_hint=hint,
                reject_hint_term=hint_term,
            )
        )
