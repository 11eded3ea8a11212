"""The member: Raft, keyspace and membership of one server as one synchronous object.

Its drivers (runtime and simulator) call any number of events and then `drain`, which handles
all that waits as one batch. The parts stand in files of their own: who waits (`pending`,
`reads`, `transfer`), what Raft has not taken yet (`buffer`), what an entry does (`apply`),
when the log is cut (`log_cut`), what the member proposes itself (`housekeeping`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miniraft.errors import (
    DEADLINE_EXCEEDED,
    NOT_PRIMARY_LESSOR,
    REQUEST_TOO_LARGE,
    SERVER_STOPPED,
    TOO_MANY_REQUESTS,
)
from miniraft.mvcc.watch.hub import WatchHub
from miniraft.pb.log_pb2 import ConfigChange, ProposalHeader
from miniraft.pb.rpc_pb2 import CompactionRequest, LeaseGrantRequest
from miniraft.raft.entry import EntryKind
from miniraft.raft.interface import ProposalDropped
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.state import ConfigChangeKind, SnapshotMetadata
from miniraft.server.alarms import NOSPACE, alarm_name
from miniraft.server.apply import ApplyError, PhysicalCompaction, StateMachine
from miniraft.server.authorization import Authorization
from miniraft.server.auto_compaction import auto_compaction
from miniraft.server.buffer import ProposalBuffer
from miniraft.server.change_retry import ChangeRetry
from miniraft.server.compaction import CompactionWork
from miniraft.server.connectivity import Connectivity
from miniraft.server.effects import Effects, Persist, Reply
from miniraft.server.farewell import Farewell
from miniraft.server.housekeeping import Housekeeping
from miniraft.server.lease_keeper import LeaseKeeper
from miniraft.server.log_cut import LogCutter
from miniraft.server.member_figures import MemberFigures
from miniraft.server.metastate import load_position, store_config, store_position
from miniraft.server.notes import AlarmChanged, CompactionDue
from miniraft.server.pending import NOBODY, PendingRequests
from miniraft.server.proposal import RequestKind, encode_proposal
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
    from miniraft.server.alarms import Alarms
    from miniraft.server.apply import Applied
    from miniraft.server.config import MemberConfig
    from miniraft.server.lease_counters import LeaseCounters
    from miniraft.server.membership import Cluster
    from miniraft.server.notes import Note

REMOVED = "the member has been permanently removed from the cluster"
_COMPACTION_SLICE_AT_DRAIN = 50
_LARGEST_LEASE_ID = (1 << 63) - 1  # of those a member derives; clients may choose negative ones
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
        figures: MemberFigures | None = None,
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
        self.figures = figures or MemberFigures()

        self.authorization = Authorization(store, config.token_ttl_ms)
        self._machine = StateMachine(
            store, keyspace, cluster, self.authorization, config.limits, self.figures.operations
        )
        self.watches = WatchHub(keyspace)
        self._applied = position.index
        self._applied_term = position.term
        self._applied_config = position.config
        self._cutter = LogCutter(
            config.snapshot_count, config.catchup_entries, raft.first_index - 1, position
        )

        timeout_ms = config.request_timeout_ms
        self._pending = PendingRequests(first_request_id, timeout_ms)
        self._buffer = ProposalBuffer()
        self._change_retry = ChangeRetry(config.read_retry_ms, self._pending.is_waiting)
        self._reads = ReadRequests(self._pending.next_id, timeout_ms, config.read_retry_ms, self.figures)
        self._transfers = LeadershipTransfers(timeout_ms)
        self._compaction = CompactionWork(self.figures.compactions)
        self._housekeeping = Housekeeping(config)
        self._auto_compaction = auto_compaction(
            config.auto_compaction_period_ms, config.auto_compaction_revisions
        )
        self._connectivity = Connectivity(config.election_timeout_ms)
        self._lease_keeper = LeaseKeeper(config, self._pending.next_id, self._propose_in_term)

        self._leader = raft.leader
        self._dropped = False  # Raft took no proposals: no use in offering before something changed
        self._persist_sequence = 0  # of the last Persist handed out
        self._installing: SnapshotMetadata | None = None
        self._farewell: Farewell | None = None  # once this member has been removed
        self._stopped = False
        self._effects = Effects()  # of the next drain

    # Events -----------------------------------------------------------------------------------
    def start(self, now_ms: int) -> None:
        """The member begins. The only voter need not wait for silence to know there is no leader."""
        self._now_ms = now_ms
        self._leave_if_removed()
        if self._applied_config.voters == (self.member_id,):
            self.raft.campaign()

    def tick(self, now_ms: int) -> None:
        """One heartbeat interval has passed."""
        self._now_ms = now_ms
        if self._stopped:
            return
        self._dropped = False
        self.authorization.tokens.advance(now_ms)
        self.raft.tick()
        self._expire(now_ms)
        for kind, request in self._housekeeping.due(self.raft, self.cluster, now_ms):
            self._propose_own(kind, request)
        for request_id, change in self._change_retry.due(now_ms):
            self._buffer.discard(request_id)
            self._buffer.add_change(request_id, change)
        self._compact_by_itself(now_ms)
        self._lease_keeper.tick(now_ms, self._effects.replies)
        self._compact_keyspace(self._config.compaction_batch_revisions)
        if self._farewell is not None and self._farewell.is_over(self.raft.leader):
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
        refusal = self._refusal(len(request) + len(header)) or self._backlog_refusal(kind)
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
        data = message.SerializeToString()
        self._buffer.add_change(message.request_id, data)
        self._change_retry.add(message, data, now_ms)

    def read_index(self, handle: Any, now_ms: int) -> None:
        """A linearizable read wants to start."""
        self._now_ms = now_ms
        if self._stopped:
            self._effects.replies.append(Reply(handle, None, SERVER_STOPPED))
        else:
            self._reads.add(handle, now_ms)

    def grant_lease(self, handle: Any, lease_id: int, ttl_seconds: int, header: bytes, now_ms: int) -> None:
        """A client wants a lease; id 0: with an id of the member's choice."""
        # What an entry says must not depend on settings of the member that applies it.
        ttl_seconds = max(ttl_seconds, self._config.min_lease_ttl_seconds)
        while not lease_id:
            lease_id = self._pending.next_id() & _LARGEST_LEASE_ID
        request = LeaseGrantRequest(TTL=ttl_seconds, ID=lease_id).SerializeToString()
        self.propose(handle, RequestKind.LEASE_GRANT, request, header, now_ms)

    def renew_lease(self, handle: Any, lease_id: int, now_ms: int) -> None:
        """A lease is to have its whole time again."""
        if self._may_ask_about_leases(handle, now_ms):
            self._lease_keeper.ask(handle, lease_id, now_ms, renew=True)

    def lease_time_to_live(self, handle: Any, lease_id: int, with_keys: bool, now_ms: int) -> None:
        """How long a lease still has, and which keys."""
        if self._may_ask_about_leases(handle, now_ms):
            self._lease_keeper.ask(handle, lease_id, now_ms, renew=False, with_keys=with_keys)

    def _may_ask_about_leases(self, handle: Any, now_ms: int) -> bool:
        self._now_ms = now_ms
        if not self._stopped and self.raft.leader == self.member_id:
            return True
        error = SERVER_STOPPED if self._stopped else NOT_PRIMARY_LESSOR
        self._effects.replies.append(Reply(handle, None, error))
        return False

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
        self.watches.replace_keyspace(keyspace)
        self.cluster.reload(store)
        self._leave_if_removed()
        self.authorization.load(store)
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

    def report_disconnected(self, member_id: int) -> None:
        """This peer closed its connection: its process has ended, most likely."""
        if not self._stopped:
            self.raft.report_disconnected(member_id)

    def report_snapshot_sent(self, member_id: int, succeeded: bool) -> None:
        """A snapshot transfer to this peer ended."""
        if not self._stopped:
            self.raft.report_snapshot(member_id, succeeded)

    def stop(self) -> None:
        """Answers everything that still waits with SERVER_STOPPED."""
        self._stopped = True
        self._buffer.clear()
        waiters = (self._pending, self._reads, self._transfers, self._compaction, self._lease_keeper)
        for waiting in waiters:
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
        self._lease_keeper.ask_raft(self.raft, self._now_ms)

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
            self._lease_keeper.confirmed(ready.read_states, self._now_ms)
        if ready.committed:
            self._apply(ready.committed)
        self._reads.applied(self._applied, effects.replies)
        self._keep_leases()

    def _keep_leases(self) -> None:
        raft, keeper = self.raft, self._lease_keeper
        leads = raft.leader == self.member_id and raft.term == self._applied_term
        replies = self._effects.replies
        keeper.follow(raft.term if leads else 0, self._machine.keyspace.leases, self._now_ms, replies)
        if leads:
            keeper.answer(self._applied, self._now_ms, replies)
            keeper.revoke_ended()

    def _propose_in_term(self, kind: int, request: bytes, term: int) -> int:
        """Proposes what this member decided as the leader of `term`: void in any other."""
        request_id = self._pending.next_id()
        header = ProposalHeader(leader_term=term).SerializeToString()
        self._buffer.add(request_id, encode_proposal(request_id, kind, request, header))
        return request_id

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
        apply, normal, applies = self._machine.apply, EntryKind.NORMAL, self.figures.applies
        self._machine.begin_batch()
        applies.begin()
        for entry in entries:
            if entry.term != self._applied_term:
                self._applied_term = entry.term
                self._cutter.applied(entry.index, entry.term, self._applied_config)
            if entry.kind != normal:
                self._apply_config_change(entry)
            elif entry.data:
                applied = apply(entry)
                applies.applied(applied.kind, applied.error)
                self._answer(applied)
        self._applied = entries[-1].index
        store_position(self._machine.store, self._applied, self._applied_term)
        self.raft.advance_applied(self._applied)
        self._after_apply()

    def _leave_if_removed(self) -> None:
        """Ends a member that knows of its removal from the start, or by a snapshot: nobody it knows may
        be left to tell it. It stays long enough to be of use to others that do not know yet."""
        if self.cluster.is_removed(self.member_id):
            self._farewell = Farewell(True, self._config.raft.election_ticks)

    def _answer(self, applied: Applied) -> None:
        request_id, result, error, _ = applied
        handle = self._pending.take(request_id)
        if handle is NOBODY:
            if self._lease_keeper.awaits_entries:
                self._lease_keeper.applied(request_id, error, self._now_ms, self._effects.replies)
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
        led = self.raft.leader == self.member_id
        config = self.raft.apply_config_change(kind, change.member_id)
        if config != self._applied_config:
            self._applied_config = config
            store_config(self._machine.store, config)
            self._cutter.applied(entry.index, entry.term, config)
        if kind == ConfigChangeKind.REMOVE and change.member_id == self.member_id:
            self._farewell = Farewell(led, self._config.raft.election_ticks)
        self._answer(applied)

    def _after_apply(self) -> None:
        machine = self._machine
        if machine.membership_changed:
            machine.membership_changed = False
            self._effects.membership_changed = True
        if machine.compaction_recorded:
            machine.compaction_recorded = False
            self._compaction.recorded()
        if machine.lease_changes:
            changes, machine.lease_changes = machine.lease_changes, []
            self._lease_keeper.changed(changes, machine.keyspace.leases, self._now_ms, self._effects.replies)
        if machine.out_of_space:
            machine.out_of_space = False
            self._housekeeping.alarm_wanted(NOSPACE)
        if machine.notes:
            self._note(machine.notes)
            machine.notes = []

    def _note(self, notes: list[Note]) -> None:
        self._effects.notes += notes
        for note in notes:
            if isinstance(note, AlarmChanged) and note.is_raised and note.alarm.member_id == self.member_id:
                self._housekeeping.alarm_raised(note.alarm.type)

    def _compact_by_itself(self, now_ms: int) -> None:
        keyspace, leads = self._machine.keyspace, self.raft.leader == self.member_id
        revision = keyspace.revision
        target = self._auto_compaction.due(now_ms, revision, keyspace.compact_revision, leads)
        if target:
            self._effects.notes.append(CompactionDue(target, revision))
            self._propose_own(RequestKind.COMPACT, CompactionRequest(revision=target).SerializeToString())

    def _propose_own(self, kind: int, request: bytes) -> None:
        """Proposes something for which nobody waits."""
        request_id = self._pending.next_id()
        self._buffer.add(request_id, encode_proposal(request_id, kind, request))

    def _compact_keyspace(self, limit: int) -> None:
        if self._compaction.unfinished and self._installing is None:
            self._compaction.step(self._machine.keyspace, limit, self._effects)

    # Waiting ----------------------------------------------------------------------------------
    def _refusal(self, size_bytes: int) -> Any:
        """Returns why a proposal is not even taken, or None."""
        if self._stopped:
            return SERVER_STOPPED
        if size_bytes > self._limits.max_request_bytes:
            return REQUEST_TOO_LARGE
        if self._buffer.size_bytes + size_bytes > self._config.max_buffered_bytes:
            return TOO_MANY_REQUESTS
        return None

    def _backlog_refusal(self, kind: int) -> Any:
        """Returns why a request is not taken while much is left to apply, or None.

        As in etcd this is for requests: a change of membership may be the way out.
        """
        most = self._limits.max_unapplied_entries
        if self._config.prefers_revocations and kind == RequestKind.LEASE_REVOKE:
            most *= 2  # what ends leases makes room
        return TOO_MANY_REQUESTS if self.raft.committed - self._applied > most else None

    def _expire(self, now_ms: int) -> None:
        replies = self._effects.replies
        for request_id, handle, started_ms in self._pending.expired(now_ms):
            self.figures.proposals_failed += 1
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
            self.figures.leader_changes += 1
            self._connectivity.leader_found(self._now_ms)
        self._reads.leader_changed(leader, self._effects.replies)
        self._transfers.leader_changed(leader, self._effects.replies)
        if leader != self.member_id:
            self._lease_keeper.leader_lost(self._effects.replies)

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
    def is_leaving(self) -> bool:
        """Whether this member knows that it was removed, and ends by itself: not before it is time."""
        return self._farewell is not None

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
            errors=self._errors(),
            pending_proposals=len(self._pending),
        )

    def _errors(self) -> tuple[str, ...]:
        alarms = [
            f"memberID:{alarm.member_id} alarm:{alarm_name(alarm.type)}"
            for alarm in self._machine.alarms.all()
        ]
        return tuple(alarms if self.raft.leader else [_NO_LEADER_STATUS, *alarms])

    @property
    def alarms(self) -> Alarms:
        """The alarms that stand."""
        return self._machine.alarms

    @property
    def compaction_unfinished(self) -> bool:
        """Whether a recorded compaction has left something to drop."""
        return self._compaction.unfinished and self._installing is None

    def compact_on(self, limit: int) -> None:
        """Drops up to `limit` revisions that a recorded compaction no longer keeps.

        A driver that calls this gets compactions done sooner than with the ticks alone.
        """
        if not self._stopped:
            self._compact_keyspace(limit)

    def common_version_found(self, version: str) -> None:
        """All members are known to understand this version: the leader has them agree on it."""
        self._housekeeping.common_version = version

    def members(self) -> Sequence[MemberInfo]:
        """The members in ascending id."""
        return self.cluster.members()

    def leases(self) -> Sequence[int]:
        """The ids of all leases: on the leader the one that ends first in front."""
        leases = self._lease_keeper.times()
        if leases is None:
            leases = sorted(self._machine.keyspace.leases, key=lambda lease: (lease.seconds_left, lease.id))
        return [lease.id for lease in leases]

    @property
    def request_timeout_ms(self) -> int:
        """How long a request may take."""
        return self._config.request_timeout_ms

    @property
    def lease_counters(self) -> LeaseCounters:
        """What became of leases here."""
        return self._lease_keeper.counters


def _joined(before: Sequence[Entry], entries: Sequence[Entry]) -> Sequence[Entry]:
    """Returns what the log gets when `entries` are written after `before`, whose end they may replace."""
    if not before:
        return entries
    if not entries:
        return before
    kept = entries[0].index - before[0].index
    return [*before[: max(kept, 0)], *entries]
