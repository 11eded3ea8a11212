"""The member: Raft, keyspace and membership of one server as one synchronous object.

Its drivers (runtime and simulator) call any number of events and then `drain`, which handles
all that waits as one batch. The parts stand in files of their own: who waits (`pending`,
`reads`, `transfer`), what Raft has not taken yet (`buffer`), what an entry does (`apply`),
when the log is cut (`log_cut`), what the member proposes itself (`housekeeping`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miniraft.errors import DEADLINE_EXCEEDED, REQUEST_TOO_LARGE, SERVER_STOPPED, TOO_MANY_REQUESTS
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.raft.entry import EntryKind
from miniraft.raft.interface import ProposalDropped
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.state import ConfigChangeKind, SnapshotMetadata
from miniraft.server.apply import ApplyError, PhysicalCompaction, StateMachine
from miniraft.server.buffer import ProposalBuffer
from miniraft.server.compaction import CompactionWork
from miniraft.server.connectivity import Connectivity
from miniraft.server.effects import Effects, Persist, Reply
from miniraft.server.housekeeping import Housekeeping
from miniraft.server.log_cut import LogCutter
from miniraft.server.metastate import load_position, store_config, store_position
from miniraft.server.pending import NOBODY, PendingRequests
from miniraft.server.proposal import encode_proposal
from miniraft.server.reads import ReadRequests
from miniraft.server.service import MemberInfo, MemberStatus
from miniraft.server.transfer import LeadershipTransfers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.mvcc.interface import KeyspaceCore
    from miniraft.mvcc.store import Store
    from miniraft.raft.entry import Entry
    from miniraft.raft.interface import RaftCore
    from miniraft.raft.message import Message
    from miniraft.raft.ready import Ready
    from miniraft.server.apply import Applied
    from miniraft.server.config import MemberConfig
    from miniraft.server.membership import Cluster

REMOVED = "the member has been permanently removed from the cluster"
_TICKS_AFTER_REMOVAL = 10  # time to tell the others that its removal is committed (etcd: 1 s)
_COMPACTION_SLICE_AT_TICK = 1000  # revisions; some milliseconds
_COMPACTION_SLICE_AT_DRAIN = 50
_NO_LEADER_STATUS = "etcdserver: no leader"


class Member:
    """See MemberCore (server/interface.py) for events, effects and errors.

    Invariants: `_applied` is Raft's applied index and what the store's META says after every
    batch; while `_installing` is set nothing is applied; after `stop` nothing waits.
    """

    def __init__(
        self,
        config: MemberConfig,
        raft: RaftCore,
        keyspace: KeyspaceCore,
        cluster: Cluster,
        store: Store,
        first_request_id: int,
    ) -> None:
        """`first_request_id` must lie above every id this member used before (a time does).

        Raises ValueError when store and Raft do not stand at the same applied index.
        """
        position = load_position(store)
        if position.index != raft.applied:
            raise ValueError(f"the store is at entry {position.index}, Raft at {raft.applied}")
        self.raft = raft
        self.cluster = cluster
        self.cluster_id = config.cluster_id
        self.member_id = config.member_id
        self._config = config
        self._limits = config.limits
        self._now_ms = 0

        self._machine = StateMachine(store, keyspace, cluster)
        self._applied = position.index
        self._applied_term = position.term
        self._applied_config = position.config
        self._cutter = LogCutter(
            config.snapshot_count, config.catchup_entries, raft.first_index - 1, position
        )

        timeout_ms = config.request_timeout_ms
        self._pending = PendingRequests(first_request_id, timeout_ms)
        self._buffer = ProposalBuffer()
        self._reads = ReadRequests(self._pending.next_id, timeout_ms, config.read_retry_ms)
        self._transfers = LeadershipTransfers(timeout_ms)
        self._compaction = CompactionWork()
        self._housekeeping = Housekeeping(config)
        self._connectivity = Connectivity(config.election_timeout_ms)

        self._leader = raft.leader
        self._dropped = False  # Raft took no proposals: no use in offering before something changed
        self._persist_sequence = 0  # of the last Persist handed out
        self._installing: SnapshotMetadata | None = None
        self._ticks_to_live: int | None = None  # counts down once this member has been removed
        self._stopped = False
        self._effects = Effects()  # of the next drain

    # Events -----------------------------------------------------------------------------------
    def start(self, now_ms: int) -> None:
        """The member begins. The only voter need not wait for silence to know there is no leader."""
        self._now_ms = now_ms
        if self._applied_config.voters == (self.member_id,):
            self.raft.campaign()

    def tick(self, now_ms: int) -> None:
        """One heartbeat interval has passed."""
        self._now_ms = now_ms
        if self._stopped:
            return
        self._dropped = False
        self.raft.tick()
        self._expire(now_ms)
        for kind, request in self._housekeeping.due(self.raft, self.cluster, now_ms):
            request_id = self._pending.next_id()
            self._buffer.add(request_id, encode_proposal(request_id, kind, request))
        self._compact_keyspace(_COMPACTION_SLICE_AT_TICK)
        if self._ticks_to_live is not None:
            self._ticks_to_live -= 1
            if self._ticks_to_live <= 0:
                self._end(REMOVED)

    def receive(self, messages: Sequence[Message]) -> None:
        """Messages came in from peers."""
        if self._stopped:
            return
        step = self.raft.step
        try:
            for message in messages:
                step(message)
        except InvariantViolation as violation:
            self._end(f"Raft contradicts itself: {violation}")

    def propose(self, handle: Any, kind: int, request: bytes, header: bytes, now_ms: int) -> None:
        """A client's write."""
        self._now_ms = now_ms
        refusal = self._refusal(len(request) + len(header))
        if refusal is not None:
            self._effects.replies.append(Reply(handle, None, refusal))
            return
        request_id = self._pending.add(handle, now_ms)
        self._buffer.add(request_id, encode_proposal(request_id, kind, request, header))

    def propose_config_change(self, handle: Any, change: bytes, now_ms: int) -> None:
        """A membership change, answered with the members as they are once it is applied.

        Raises DecodeError when `change` is no ConfigChange.
        """
        self._now_ms = now_ms
        refusal = self._refusal(len(change))
        if refusal is not None:
            self._effects.replies.append(Reply(handle, None, refusal))
            return
        message = ConfigChange.FromString(change)
        message.request_id = self._pending.add(handle, now_ms)
        self._buffer.add_change(message.request_id, message.SerializeToString())

    def read_index(self, handle: Any, now_ms: int) -> None:
        """A linearizable read wants to start."""
        self._now_ms = now_ms
        if self._stopped:
            self._effects.replies.append(Reply(handle, None, SERVER_STOPPED))
        else:
            self._reads.add(handle, now_ms)

    def transfer_leadership(self, handle: Any, target: int, now_ms: int) -> None:
        """Leadership is to go to `target`."""
        self._now_ms = now_ms
        if self._stopped:
            answer: Reply | None = Reply(handle, None, SERVER_STOPPED)
        else:
            answer = self._transfers.start(handle, target, self.raft, now_ms)
        if answer is not None:
            self._effects.replies.append(answer)

    def persisted(self, sequence: int) -> None:
        """Everything in Persists up to `sequence` is durable."""
        if not self._stopped:
            self.raft.persisted(sequence)

    def store_committed(self, applied_index: int) -> None:
        """The store on disk holds everything up to `applied_index`: cuts the log if that is due."""
        if self._stopped or self._installing is not None:
            return
        cut = self._cutter.committed(applied_index)
        if cut is None:
            return
        self.raft.snapshot_available(cut.available)
        self.raft.compact(cut.first.index)
        self._effects.compacted_index = cut.first.index
        self._effects.compacted_snapshot = cut.first

    def snapshot_installed(
        self, metadata: SnapshotMetadata, keyspace: KeyspaceCore, store: Store | None = None
    ) -> None:
        """A snapshot has taken the place of log and store.

        Raises ValueError when it is not the one that was asked for, or the store is not at its
        index: the sender must name the position of the very copy that it sends.
        """
        if metadata != self._installing:
            raise ValueError(f"installed a snapshot at {metadata}, expected {self._installing}")
        store = self._machine.store if store is None else store
        position = load_position(store)
        if position != metadata:
            raise ValueError(f"the snapshot is said to be at {metadata}, but its data is at {position}")
        self._installing = None
        self._machine.replace(store, keyspace)
        self.cluster.reload(store)
        self._applied, self._applied_term, self._applied_config = position
        self._cutter.restarted(position)
        self._compaction.recorded()
        self._effects.membership_changed = True
        self.raft.restore_snapshot(metadata)
        self.raft.snapshot_available(metadata)

    def report_unreachable(self, member_id: int) -> None:
        """Messages to this peer were lost."""
        if not self._stopped:
            self._connectivity.messages_lost(member_id, self._now_ms)
            self.raft.report_unreachable(member_id)

    def report_snapshot_sent(self, member_id: int, succeeded: bool) -> None:
        """A snapshot transfer to this peer ended."""
        if not self._stopped:
            self.raft.report_snapshot(member_id, succeeded)

    def stop(self) -> None:
        """Answers everything that still waits with SERVER_STOPPED."""
        self._stopped = True
        self._buffer.clear()
        for waiting in (self._pending, self._reads, self._transfers, self._compaction):
            self._effects.replies.extend(Reply(handle, None, SERVER_STOPPED) for handle in waiting.take_all())

    # Effects ----------------------------------------------------------------------------------
    def drain(self) -> Effects:
        """Handles all events since the last call and takes what is to be done."""
        if not self._stopped:
            try:
                self._run()
            except ApplyError as error:
                self._end(str(error))
            except InvariantViolation as violation:
                self._end(f"Raft contradicts itself: {violation}")
        effects = self._effects
        self._effects = Effects()
        return effects

    def _run(self) -> None:
        raft = self.raft
        self._offer()
        while raft.has_ready():
            self._handle(raft.ready())
            if raft.leader != self._leader:
                self._leader_changed(raft.leader)
            self._offer()
        if self._compaction.unfinished and self._effects.replies:
            self._compact_keyspace(_COMPACTION_SLICE_AT_DRAIN)

    def _offer(self) -> None:
        """Hands to Raft what it has not taken yet."""
        if self._buffer and self.raft.leader and not self._dropped:
            try:
                self._buffer.offer(self.raft)
            except ProposalDropped:
                self._dropped = True
        if self._reads:
            self._reads.ask(self.raft, self._now_ms)

    def _handle(self, ready: Ready) -> None:
        effects = self._effects
        effects.messages += ready.messages
        effects.observations += ready.observations
        if ready.persists:
            self._persist(ready)
        if ready.messages_after_persist:
            effects.messages_after_persist += ready.messages_after_persist
            effects.persist_sequence = self._persist_sequence
        if ready.read_states:
            self._reads.answered(ready.read_states, self._now_ms)
        if ready.committed:
            self._apply(ready.committed)
        self._reads.applied(self._applied, effects.replies)

    def _persist(self, ready: Ready) -> None:
        """Adds a Ready to what this drain persists, as one record."""
        effects, before = self._effects, self._effects.persist
        entries = ready.entries
        hard_state, must_sync = ready.hard_state, ready.must_sync
        if ready.snapshot is not None:
            self._installing = effects.install_snapshot = ready.snapshot
            must_sync = True
        elif before is not None:
            entries = _joined(before.entries, entries)
        if before is not None:
            hard_state = before.hard_state if hard_state is None else hard_state
            must_sync = must_sync or before.must_sync
        self._persist_sequence = ready.sequence
        effects.persist = Persist(ready.sequence, hard_state, entries, must_sync)

    # Apply ------------------------------------------------------------------------------------
    def _apply(self, entries: Sequence[Entry]) -> None:
        """Applies committed entries, in order, and notes the place in the log once for all."""
        if self._installing is not None:
            raise ApplyError(f"entry {entries[0].index} was committed while a snapshot is being installed")
        if entries[0].index != self._applied + 1:
            raise ApplyError(f"entry {entries[0].index} was committed after {self._applied}: one is missing")
        apply, normal = self._machine.apply, EntryKind.NORMAL
        for entry in entries:
            if entry.term != self._applied_term:
                self._applied_term = entry.term
                self._cutter.applied(entry.index, entry.term, self._applied_config)
            if entry.kind != normal:
                self._apply_config_change(entry)
            elif entry.data:
                self._answer(apply(entry))
        self._applied = entries[-1].index
        store_position(self._machine.store, self._applied, self._applied_term)
        self.raft.advance_applied(self._applied)
        self._after_apply()

    def _answer(self, applied: Applied) -> None:
        request_id, result, error = applied
        handle = self._pending.take(request_id)
        if handle is NOBODY:
            return
        if type(result) is PhysicalCompaction:
            self._compaction.wait(handle, result.result)
        else:
            self._effects.replies.append(Reply(handle, result, error))

    def _apply_config_change(self, entry: Entry) -> None:
        change, applied = self._machine.apply_config_change(entry)
        # A change that was refused takes effect too, as one that changes nothing: Raft has to
        # learn that it is no longer under way.
        kind = change.kind if applied.error is None else ConfigChangeKind.UPDATE
        config = self.raft.apply_config_change(kind, change.member_id)
        if config != self._applied_config:
            self._applied_config = config
            store_config(self._machine.store, config)
            self._cutter.applied(entry.index, entry.term, config)
        if kind == ConfigChangeKind.REMOVE and change.member_id == self.member_id:
            self._ticks_to_live = _TICKS_AFTER_REMOVAL
        self._answer(applied)

    def _after_apply(self) -> None:
        machine = self._machine
        if machine.membership_changed:
            machine.membership_changed = False
            self._effects.membership_changed = True
        if machine.compaction_recorded:
            machine.compaction_recorded = False
            self._compaction.recorded()

    def _compact_keyspace(self, limit: int) -> None:
        if self._compaction.unfinished and self._installing is None:
            self._compaction.step(self._machine.keyspace, limit, self._effects.replies)

    # Waiting ----------------------------------------------------------------------------------
    def _refusal(self, size_bytes: int) -> Any:
        """Returns why a proposal is not even taken, or None."""
        if self._stopped:
            return SERVER_STOPPED
        if size_bytes > self._limits.max_request_bytes:
            return REQUEST_TOO_LARGE
        if self.raft.committed - self._applied > self._limits.max_unapplied_entries:
            return TOO_MANY_REQUESTS
        if self._buffer.size_bytes + size_bytes > self._config.max_buffered_bytes:
            return TOO_MANY_REQUESTS
        return None

    def _expire(self, now_ms: int) -> None:
        replies = self._effects.replies
        for request_id, handle, started_ms in self._pending.expired(now_ms):
            if self._buffer.discard(request_id):
                error = DEADLINE_EXCEEDED  # no leader took it
            else:
                error = self._connectivity.timeout_error(started_ms, self.raft)
            replies.append(Reply(handle, None, error))
        self._reads.expire(now_ms, replies)
        self._transfers.expire(now_ms, replies)

    def _leader_changed(self, leader: int) -> None:
        self._leader = leader
        self._dropped = False
        if leader:
            self._connectivity.leader_found(self._now_ms)
        self._reads.leader_changed(leader, self._effects.replies)
        self._transfers.leader_changed(leader, self._effects.replies)

    def _end(self, reason: str) -> None:
        self.stop()
        self._effects.stop_reason = reason

    # State ------------------------------------------------------------------------------------
    @property
    def keyspace(self) -> KeyspaceCore:
        """The keyspace; another object after a snapshot was installed."""
        return self._machine.keyspace

    @property
    def store(self) -> Store:
        """The store under keyspace and membership."""
        return self._machine.store

    @property
    def is_learner(self) -> bool:
        """Whether this member is a learner."""
        return self.member_id in self._applied_config.learners

    @property
    def cluster_version(self) -> str:
        """The agreed version, empty while undecided."""
        return self.cluster.version

    @property
    def applied_snapshot(self) -> SnapshotMetadata:
        """What a copy of the store, committed now, stands for."""
        return SnapshotMetadata(self._applied, self._applied_term, self._applied_config)

    def status(self) -> MemberStatus:
        """The figures of Maintenance.Status."""
        raft, store = self.raft, self._machine.store
        return MemberStatus(
            leader=raft.leader,
            term=raft.term,
            commit_index=raft.committed,
            applied_index=self._applied,
            db_size_bytes=store.size_bytes(),
            db_size_in_use_bytes=store.size_in_use_bytes(),
            is_learner=self.is_learner,
            errors=() if raft.leader else (_NO_LEADER_STATUS,),
            pending_proposals=len(self._pending),
        )

    def members(self) -> Sequence[MemberInfo]:
        """The members in ascending id."""
        return self.cluster.members()


def _joined(before: Sequence[Entry], entries: Sequence[Entry]) -> Sequence[Entry]:
    """Returns what the log gets when `entries` are written after `before`, whose end they may replace."""
    if not before:
        return entries
    if not entries:
        return before
    kept = entries[0].index - before[0].index
    return [*before[: max(kept, 0)], *entries]
