"""Raft, one member's side of it: events in, `Ready` out.

What a message does depends on the role, and `HANDLERS` is the whole of it. Terms come first
(figure 2, "All servers"):

    message's term   does
    higher           this member follows in that term; vote requests decide for themselves
    lower            a leader's message is answered with the term it lacks; answers to what
                     this member asked in an earlier term are dropped, requests that clients
                     made are as good as ever
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft import (
    election,
    following,
    membership,
    output,
    read_index,
    replication,
    snapshot,
    transfer,
)
from miniraft.raft.durability import Durability
from miniraft.raft.entry import EntryKind
from miniraft.raft.interface import ProgressView, RaftCore
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.log import RaftLog
from miniraft.raft.message import MessageKind
from miniraft.raft.node import Node
from miniraft.raft.roles import become_follower
from miniraft.raft.state import NO_MEMBER, Role

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from miniraft.raft.config import RaftConfig
    from miniraft.raft.interface import RestoredState
    from miniraft.raft.message import Message
    from miniraft.raft.ready import Ready
    from miniraft.raft.state import ConfigState, SnapshotMetadata


def _second_leader(node: Node, message: Message) -> None:
    raise InvariantViolation(f"two leaders in term {node.term}: {node.member_id} and {message.sender}")


_EVERY_ROLE: dict[int, Callable[[Node, Message], None]] = {
    MessageKind.VOTE: election.handle_vote_request,
    MessageKind.PRE_VOTE: election.handle_vote_request,
}
_NOT_LEADING: dict[int, Callable[[Node, Message], None]] = _EVERY_ROLE | {
    MessageKind.APPEND: following.handle_append,
    MessageKind.HEARTBEAT: following.handle_heartbeat,
    MessageKind.SNAPSHOT: snapshot.handle_snapshot,
    MessageKind.READ_INDEX: read_index.refuse_forwarded,
    MessageKind.READ_INDEX_RESPONSE: read_index.take_answer,
}
HANDLERS: dict[str, dict[int, Callable[[Node, Message], None]]] = {
    Role.FOLLOWER: _NOT_LEADING | {MessageKind.TIMEOUT_NOW: election.handle_timeout_now},
    Role.PRE_CANDIDATE: _NOT_LEADING
    | {
        MessageKind.TIMEOUT_NOW: election.handle_timeout_now,
        MessageKind.PRE_VOTE_RESPONSE: election.handle_vote_response,
    },
    Role.CANDIDATE: _NOT_LEADING | {MessageKind.VOTE_RESPONSE: election.handle_vote_response},
    Role.LEADER: _EVERY_ROLE
    | {
        MessageKind.APPEND_RESPONSE: replication.handle_append_response,
        MessageKind.HEARTBEAT_RESPONSE: replication.handle_heartbeat_response,
        MessageKind.PROPOSE: replication.handle_propose,
        MessageKind.READ_INDEX: read_index.take_forwarded,
        MessageKind.TRANSFER_LEADERSHIP: transfer.handle_request,
        MessageKind.APPEND: _second_leader,
        MessageKind.HEARTBEAT: _second_leader,
        MessageKind.SNAPSHOT: _second_leader,
    },
}

_VOTE_REQUESTS = frozenset({MessageKind.VOTE, MessageKind.PRE_VOTE})
_FROM_A_LEADER = frozenset({MessageKind.APPEND, MessageKind.HEARTBEAT, MessageKind.SNAPSHOT})
_VALID_IN_A_LATER_TERM = frozenset(
    {
        MessageKind.VOTE_RESPONSE,  # a refusal of a voter whose term is behind; names its campaign
        MessageKind.PRE_VOTE_RESPONSE,
        MessageKind.PROPOSE,
        MessageKind.READ_INDEX,
        MessageKind.READ_INDEX_RESPONSE,
        MessageKind.TRANSFER_LEADERSHIP,
    }
)
# From a member that was removed these mean nothing, and its term must not disturb anybody.
# Leaders and candidates are heard whoever they are: they may be newer than this member knows.
_FROM_MEMBERS_ONLY = frozenset(
    {
        MessageKind.APPEND_RESPONSE,
        MessageKind.HEARTBEAT_RESPONSE,
        MessageKind.VOTE_RESPONSE,
        MessageKind.PRE_VOTE_RESPONSE,
        MessageKind.PROPOSE,
        MessageKind.READ_INDEX,
        MessageKind.TRANSFER_LEADERSHIP,
    }
)


class Raft(RaftCore):
    """See RaftCore. `random` draws election timeouts and nothing else.

    Raises InvariantViolation when the restored state contradicts itself: acknowledged entries
    are missing, or the state machine is not where the log can take it up.
    """

    def __init__(self, config: RaftConfig, restored: RestoredState, random: random.Random) -> None:
        self.member_id = config.member_id
        term, vote, _ = restored.hard_state
        if term < restored.snapshot.term:  # a snapshot was written, the new term behind it was not
            term, vote = restored.snapshot.term, NO_MEMBER
        log = _restore_log(restored, term)
        durability = Durability(log.last_index, *restored.hard_state)
        self._node = Node(config, random, log, durability, restored.applied_config, term, vote)
        self._node.restart_election_timer()

    # What it is ---------------------------------------------------------------------------
    @property
    def term(self) -> int:
        """currentTerm."""
        return self._node.term

    @property
    def role(self) -> str:
        """One of `Role`."""
        return self._node.role

    @property
    def leader(self) -> int:
        """The known leader of this term, or 0."""
        return self._node.leader

    @property
    def committed(self) -> int:
        """commitIndex."""
        return self._node.log.committed

    @property
    def applied(self) -> int:
        """The last entry reported by `advance_applied`."""
        return self._node.log.applied

    @property
    def durable(self) -> int:
        """The last entry known to be on this member's disk."""
        return self._node.durability.index

    @property
    def last_index(self) -> int:
        """The last entry of the log."""
        return self._node.log.last_index

    @property
    def first_index(self) -> int:
        """The first entry still in the log."""
        return self._node.log.first_index

    @property
    def config(self) -> ConfigState:
        """The membership in force."""
        return self._node.membership

    def progress(self) -> Sequence[ProgressView]:
        """A leader's view of every member, itself included; empty elsewhere."""
        node = self._node
        return [self._view(member_id) for member_id in sorted(node.members())] if node.leads else []

    def _view(self, member_id: int) -> ProgressView:
        node = self._node
        is_learner = member_id in node.membership.learners
        if member_id == self.member_id:
            last, durable = node.log.last_index, node.durability.index
            return ProgressView(member_id, durable, last + 1, "replicate", 0, True, is_learner)
        follower = node.progress[member_id]
        return ProgressView(
            member_id,
            follower.match,
            follower.next,
            str(follower.state),
            follower.inflight,
            follower.recently_active,
            is_learner,
        )

    # Events -------------------------------------------------------------------------------
    def tick(self) -> None:
        """One heartbeat interval has passed."""
        node = self._node
        node.ticks += 1
        if node.leads:
            replication.tick(node)
        else:
            election.tick(node)

    def step(self, message: Message) -> None:
        """A message came in. One that makes no sense in this state is ignored."""
        node = self._node
        if message.receiver != self.member_id or message.sender in (self.member_id, NO_MEMBER):
            return
        kind = message.kind
        if kind in _FROM_MEMBERS_ONLY and message.sender not in node.members():
            return
        if message.term != node.term and kind not in _VOTE_REQUESTS:
            if message.term > node.term:
                leader = message.sender if kind in _FROM_A_LEADER else NO_MEMBER
                become_follower(node, message.term, leader, "higher term")
            elif kind in _FROM_A_LEADER:
                following.answer_stale_leader(node, message)
                return
            elif kind not in _VALID_IN_A_LATER_TERM:
                return
        handler = HANDLERS[node.role].get(kind)
        if handler is not None:
            handler(node, message)

    def propose(self, payloads: Sequence[bytes]) -> None:
        """Appends NORMAL entries (leader) or passes them on in one PROPOSE (follower)."""
        replication.propose(self._node, EntryKind.NORMAL, payloads)

    def propose_config_change(self, payload: bytes) -> None:
        """Appends a CONFIG_CHANGE entry (leader) or passes it on (follower)."""
        replication.propose_config_change(self._node, payload)

    def read_index(self, context: int) -> None:
        """Asks for a read index; the answer is a ReadState with this context."""
        read_index.ask(self._node, context)

    def transfer_leadership(self, target: int) -> None:
        """Starts handing leadership over. Ignored for learners, unknown members and itself."""
        transfer.start(self._node, target)

    def campaign(self) -> None:
        """Starts an election now, as if the timeout had passed; a leader goes on leading."""
        if not self._node.leads:
            election.campaign(self._node)

    def persisted(self, sequence: int) -> None:
        """Everything in Readys up to `sequence` is durable."""
        self._node.durability.persisted(sequence)
        if self._node.leads:
            replication.advance_commit(self._node)

    def advance_applied(self, index: int) -> None:
        """The state machine holds everything up to `index`."""
        self._node.log.mark_applied(index)

    def apply_config_change(self, kind: int, member_id: int) -> ConfigState:
        """A committed change takes effect (kind as in ConfigChangeKind); returns the result."""
        return membership.apply_change(self._node, kind, member_id)

    def snapshot_available(self, metadata: SnapshotMetadata) -> None:
        """The keyspace on disk holds everything up to `metadata.index`."""
        self._node.available_snapshot = metadata

    def compact(self, index: int) -> None:
        """Drops the log up to and including `index` (<= applied) from memory."""
        self._node.log.compact(index)

    def restore_snapshot(self, metadata: SnapshotMetadata) -> None:
        """A snapshot handed out in `Ready.snapshot` has been installed in the state machine."""
        snapshot.restore(self._node, metadata)

    def report_unreachable(self, member_id: int) -> None:
        """Messages to this member were lost: probe it instead of streaming to it."""
        node = self._node
        progress = node.progress.get(member_id)
        if progress is not None:
            read_index.messages_lost(node, member_id)
        if progress is not None and progress.state == "replicate":
            progress.become_probe()
            node.append_due = True
        elif member_id == node.leader:
            read_index.fail_forwarded(node)

    def report_disconnected(self, member_id: int) -> None:
        """This member's end of the connection closed: its process has ended, most likely."""
        if member_id == self._node.leader:
            election.leader_disconnected(self._node)

    def report_snapshot(self, member_id: int, succeeded: bool) -> None:
        """A snapshot transfer to this member ended."""
        snapshot.transfer_ended(self._node, member_id, succeeded)

    # Effects ------------------------------------------------------------------------------
    def has_ready(self) -> bool:
        """Whether `ready` would return anything."""
        return output.has_ready(self._node)

    def ready(self) -> Ready:
        """Takes what is to be done."""
        return output.take_ready(self._node)


def _restore_log(restored: RestoredState, term: int) -> RaftLog:
    snapshot_index, snapshot_term, _ = restored.snapshot
    log = RaftLog(snapshot_index, snapshot_term)
    # A snapshot that replaced a log which differed from the leader's: what stood behind it there
    # has lower terms than the snapshot and was never committed.
    entries = [entry for entry in restored.entries if entry.term >= snapshot_term]
    if entries:
        expected = range(snapshot_index + 1, snapshot_index + 1 + len(entries))
        if [entry.index for entry in entries] != [*expected]:
            raise InvariantViolation(f"the entries behind {snapshot_index} are not consecutive")
        log.append(entries)
    if log.last_term > term:
        raise InvariantViolation(
            f"the log ends in term {log.last_term}, but the term on disk is {term}: a vote may be lost"
        )
    commit, applied = restored.hard_state.commit, restored.applied
    if max(commit, applied) > log.last_index:
        raise InvariantViolation(
            f"the log ends at {log.last_index}, but {commit} is committed and {applied} applied: "
            "acknowledged entries are missing"
        )
    if applied < snapshot_index:
        raise InvariantViolation(
            f"the state machine ends at {applied}, the log begins behind {snapshot_index}: "
            "the entries between are missing"
        )
    # The last membership change but one is committed: no leader proposes the next before that.
    # Knowing it keeps this member from standing with a membership two changes old.
    changes = log.config_changes(applied)
    log.commit_to(max(commit, applied, changes[-2] if len(changes) > 1 else 0))
    log.delivered = log.applied = applied
    return log
