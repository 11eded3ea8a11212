"""The driver of a member: carries events in and effects out, with a clock, threads and streams.

    clients --propose, read_index--+                       +--persist--> log thread --+
    peers   --messages-------------+--> Member --drain--> -+--messages-> transport    | durable
    timers, durable log -----------+                       +--replies--> futures      |
                 ^--------------------------------------------------------------------+

Whatever comes in during one turn of the event loop is handled as one batch: each event only
notes itself in the member and asks for one `_flush` at the end of the turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from miniraft.errors import SERVER_STOPPED
from miniraft.pb import peer_pb2
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.peer.settings import ASK_LEASES_METHOD
from miniraft.raft.message import MessageKind
from miniraft.runtime import cluster_narration, log
from miniraft.runtime.administration import NodeAdministration
from miniraft.runtime.commit_notices import CommitNotices
from miniraft.runtime.credentials import CredentialSettings, RuntimeCredentials
from miniraft.runtime.leaderless import LeaderlessAlarm
from miniraft.runtime.lease_router import LeaseRouter
from miniraft.runtime.log_writer import LogWriter
from miniraft.runtime.membership_changes import MembershipChanges
from miniraft.runtime.narration import Narrator
from miniraft.runtime.peers import PeerLinks
from miniraft.runtime.quota_watch import QuotaWatch
from miniraft.runtime.snapshots import SnapshotExchange
from miniraft.runtime.store_committer import CommitPolicy, StoreCommitter
from miniraft.runtime.ticker import Ticker
from miniraft.runtime.watch_replay import WatchReplayer
from miniraft.server.notes import CompactionFinished, MembersChanged
from miniraft.server.storage_figures import StorageFigures
from miniraft.server.versions import lowest_version
from miniraft.version import SERVER_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from miniraft.mvcc.results import LeaseGrantResult, LeaseTimes, RangeResult, TxnResult
    from miniraft.mvcc.watch.hub import WatchHub
    from miniraft.pb.rpc_pb2 import RangeRequest, TxnRequest
    from miniraft.peer.handshake import Refusal
    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.raft.message import Message
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.runtime.data_dir import DataFolder
    from miniraft.server.administration import Administration
    from miniraft.server.effects import Effects, Persist, Reply
    from miniraft.server.limits import Limits
    from miniraft.server.member import Member
    from miniraft.server.notes import Note
    from miniraft.server.service import MemberInfo, MemberStatus
    from miniraft.wal.interface import WriteAheadLog

_TICKS_BETWEEN_VERSIONS = 10


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How the driver goes about its work."""

    tick_ms: int = 100
    election_timeout_ms: int = 1000
    keep_segments: int = 5  # --max-wals
    commit: CommitPolicy = field(default_factory=CommitPolicy)
    unsafe_no_fsync: bool = False
    stall_warning_ms: int = 500  # the event loop was held up for longer: say so
    slow_sync_warning_seconds: float = 1.0  # as in etcd
    credentials: CredentialSettings = field(default_factory=CredentialSettings)
    strict_reconfig_check: bool = True
    compaction_batch_revisions: int = 1000
    compaction_pause_seconds: float = 0.01


class Node:
    """Implements Service for clients and PeerEvents for the transport, over one member.

    Everything runs on one event loop. `stopped` is resolved with the reason when the member
    cannot go on: a failed disk, a removal, a contradiction; the process then has to end.

    Invariants: what a message promises is durable before the message is sent; a client is
    answered once; nothing is handed to the log after it failed.
    """

    def __init__(
        self,
        member: Member,
        wal: WriteAheadLog,
        folder: DataFolder,
        limits: Limits,
        settings: NodeSettings,
        figures: StorageFigures | None = None,
    ) -> None:
        """Takes over the member, the log and the store under the member."""
        self._loop = asyncio.get_running_loop()
        self._member = member
        self.cluster_id = member.cluster_id
        self.member_id = member.member_id
        self.limits = limits
        self.authorization = member.authorization
        self.applies = member.figures.applies
        self.applies.on_slow = self._warn_of_slow_apply
        self.credentials = RuntimeCredentials(
            settings.credentials, member.authorization, lambda: member.applied_snapshot.index
        )
        self.stopped: asyncio.Future[str] = self._loop.create_future()
        self._settings = settings
        self.storage_figures = figures or StorageFigures()
        self._failed = False
        self._flush_scheduled = False
        self._durable_sequence = 0
        self._waiting_for_disk: deque[tuple[int, list[Message]]] = deque()
        self._held: list[Persist] | None = None  # not None: a snapshot is being installed
        self._narrator = Narrator(member.member_id, settings.tick_ms, self.name_of)
        self._peers = PeerLinks(member.member_id)
        self._notices = CommitNotices(self._loop, self._peers.send)
        self._log_writer = LogWriter(
            wal,
            self._loop,
            self._on_durable,
            self._on_log_failure,
            keep_segments=settings.keep_segments,
            figures=self.storage_figures,
            observe_sync_s=self._warn_of_slow_sync,
        )
        self._committer = StoreCommitter(
            member.store,
            lambda: self._member.applied_snapshot,
            self._on_store_committed,
            self._on_store_failure,
            settings.commit,
            self.storage_figures,
        )
        self._snapshots = SnapshotExchange(self, folder, self._committer, settings.unsafe_no_fsync)
        self._replayer = WatchReplayer(self._loop, member.watches)
        self._leaderless = LeaderlessAlarm(max(1, settings.election_timeout_ms // settings.tick_ms))
        self._leases = LeaseRouter(
            self.member_id,
            lambda: self.leader,
            self._ask_own_lessor,
            self._ask_peer_lessor,
            member.request_timeout_ms,
        )
        self._administration = NodeAdministration(
            self,
            self._committer,
            folder,
            MembershipChanges(
                self,
                settings.strict_reconfig_check,
                member.request_timeout_ms,
                settings.election_timeout_ms,
            ),
        )
        self.administration: Administration = self._administration
        self._quota_watch = QuotaWatch(limits.effective_quota_bytes)
        self._compaction_timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._last_slow_sync_log = 0.0
        self._last_slow_apply_log = 0.0
        self._ticker: Ticker | None = None

    # Life cycle ----------------------------------------------------------------------------
    def start(self, transport: GrpcPeerTransport, unverified_peers: frozenset[int] = frozenset()) -> None:
        """Begins to tick and to speak to the peers; `unverified_peers`: see PeerLinks."""
        self._peers.connect(transport, unverified_peers)
        transport.answer(ASK_LEASES_METHOD, self._leases.answer_peer)
        self._administration.start(transport)
        self._bring_peers_in_line()
        self._ticker = Ticker(
            self._loop,
            self._settings.tick_ms,
            self._on_tick,
            self._on_stall,
            self._settings.stall_warning_ms,
        )
        self._schedule_flush()

    def skip_ticks(self, count: int) -> None:
        """Lets time pass faster for a member that has just started and knows no leader."""
        for _ in range(count):
            if self._member.raft.leader:
                break
            self._member.tick(_now_ms())
        self._schedule_flush()

    def peer_verified(self, member_id: int) -> None:
        """This peer does not know an earlier life of this member: messages to it may go out."""
        self._peers.verified(member_id)

    async def stop(self) -> None:
        """Answers what waits, writes out what is to be written, and ends. The store is closed."""
        if not self._failed:
            self._end_member()
        if self._ticker is not None:
            self._ticker.stop()
        self._notices.stop()
        self.credentials.close()
        await self._administration.close()
        await self._snapshots.close()
        await self._committer.close()
        await self._loop.run_in_executor(None, self._log_writer.stop)
        await self._peers.close()
        self._member.store.close()
        if not self.stopped.done():
            self.stopped.set_result("")

    def fail(self, reason: str) -> None:
        """Ends the member at once: nothing is sent, written or promised any more."""
        if self._failed:
            return
        self._failed = True
        log.event("error", "the member stops", reason=reason, member_id=f"{self.member_id:x}")
        self._waiting_for_disk.clear()
        self._notices.stop()
        self._committer.freeze()
        if self._ticker is not None:
            self._ticker.stop()
        self._end_member()
        if not self.stopped.done():
            self.stopped.set_result(reason)

    def _end_member(self) -> None:
        self._failed = True  # effects other than replies are dropped from now on
        self._replayer.stop()
        if self._compaction_timer is not None:
            self._compaction_timer.cancel()
        self._member.stop()
        _reply(self._member.drain().replies)

    # Service: requests ---------------------------------------------------------------------
    def propose(self, kind: int, request: bytes, header: bytes = b"") -> asyncio.Future[Any]:
        """See Service.propose."""
        future = self._loop.create_future()
        self._member.propose(future, kind, request, header, _now_ms())
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        return future

    def propose_config_change(self, change: bytes) -> asyncio.Future[Any]:
        """Replicates a membership change (serialized ConfigChange); resolves to the members."""
        future = self._loop.create_future()
        self._member.propose_config_change(future, change, _now_ms())
        self._schedule_flush()
        return future

    def read_index(self) -> asyncio.Future[None]:
        """See Service.read_index."""
        future = self._loop.create_future()
        self._member.read_index(future, _now_ms())
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)
        return future

    def transfer_leadership(self, target: int) -> asyncio.Future[None]:
        """See Service.transfer_leadership."""
        future = self._loop.create_future()
        self._member.transfer_leadership(future, target, _now_ms())
        self._schedule_flush()
        return future

    def grant_lease(
        self, lease_id: int, ttl_seconds: int, header: bytes = b""
    ) -> asyncio.Future[LeaseGrantResult]:
        """See Service.grant_lease."""
        future = self._loop.create_future()
        self._member.grant_lease(future, lease_id, ttl_seconds, header, _now_ms())
        self._schedule_flush()
        return future

    async def renew_lease(self, lease_id: int) -> LeaseTimes | None:
        """See Service.renew_lease."""
        return await self._leases.renew(lease_id)

    async def lease_time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseTimes | None:
        """See Service.lease_time_to_live."""
        return await self._leases.time_to_live(lease_id, with_keys=with_keys)

    def leases(self) -> Sequence[int]:
        """See Service.leases."""
        return self._member.leases()

    def _ask_own_lessor(self, question: peer_pb2.LeaseQuestion) -> asyncio.Future[LeaseTimes | None]:
        future = self._loop.create_future()
        if question.renew:
            self._member.renew_lease(future, question.lease_id, _now_ms())
        else:
            self._member.lease_time_to_live(future, question.lease_id, question.keys, _now_ms())
        self._schedule_flush()
        return future

    async def _ask_peer_lessor(self, leader: int, question: peer_pb2.LeaseQuestion) -> peer_pb2.LeaseAnswer:
        if self._failed:
            raise SERVER_STOPPED.fresh()
        return await self._peers.transport.ask_about_lease(leader, question)

    def range(self, request: RangeRequest) -> RangeResult:
        """See Service.range."""
        return self._member.keyspace.range(request)

    def read_only_txn(self, request: TxnRequest) -> TxnResult:
        """See Service.read_only_txn."""
        return self._member.keyspace.read_only_txn(request)

    def hash_kv(self, revision: int) -> tuple[int, int, int]:
        """See Service.hash_kv."""
        return self._member.keyspace.hash_kv(revision)

    # Service: state ------------------------------------------------------------------------
    @property
    def term(self) -> int:
        """See Service.term."""
        return self._member.raft.term

    @property
    def revision(self) -> int:
        """See Service.revision."""
        return self._member.keyspace.revision

    @property
    def leader(self) -> int:
        """See Service.leader."""
        return self._member.raft.leader

    @property
    def is_learner(self) -> bool:
        """See Service.is_learner."""
        return self._member.is_learner

    @property
    def cluster_version(self) -> str:
        """See Service.cluster_version."""
        return self._member.cluster_version

    @property
    def watches(self) -> WatchHub:
        """See Service.watches."""
        return self._member.watches

    def call_when_leaderless(self, callback: Callable[[], None]) -> None:
        """See Service.call_when_leaderless."""
        self._leaderless.callbacks.append(callback)

    def status(self) -> MemberStatus:
        """See Service.status."""
        return self._member.status()

    def members(self) -> Sequence[MemberInfo]:
        """See Service.members."""
        return self._member.members()

    def alarms(self) -> Sequence[tuple[int, int]]:
        """See Service.alarms."""
        return self._member.alarms.all()

    def has_space_for(self, cost_bytes: int) -> bool:
        """See Service.has_space_for."""
        quota_bytes = self.limits.effective_quota_bytes
        return quota_bytes < 0 or self._member.store.size_bytes() + cost_bytes < quota_bytes

    @property
    def member(self) -> Member:
        """The member that is driven, for those who only look."""
        return self._member

    def name_of(self, member_id: int) -> str:
        """Returns a member's name, or its id in hexadecimal while it has none."""
        member = self._member.cluster.member(member_id)
        return member.name if member is not None and member.name else f"{member_id:x}"

    def describe(self) -> peer_pb2.DescribeReply:
        """Returns what the peer API's Describe answers."""
        own = self._member.cluster.member(self.member_id)
        reply = peer_pb2.DescribeReply(
            bootstrapped=self._member.applied_snapshot.index > 0,
            cluster_id=self.cluster_id,
            member_id=self.member_id,
            member_name=own.name if own is not None else "",
            server_version=SERVER_VERSION,
            cluster_version=self.cluster_version,
            leader_id=self.leader,
            term=self.term,
        )
        for member in self.members():
            reply.members.add(
                id=member.id,
                name=member.name,
                peer_urls=member.peer_urls,
                client_urls=member.client_urls,
                is_learner=member.is_learner,
                life=member.life,
            )
        return reply

    # PeerEvents ----------------------------------------------------------------------------
    def on_messages(self, messages: Sequence[Message]) -> None:
        """See PeerEvents.on_messages."""
        self._notices.received(messages)
        self._member.receive(messages)
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def on_unreachable(self, member_id: int) -> None:
        """See PeerEvents.on_unreachable."""
        self._member.report_unreachable(member_id)
        self._schedule_flush()

    def on_disconnected(self, member_id: int) -> None:
        """See PeerEvents.on_disconnected."""
        self._member.report_disconnected(member_id)
        self._schedule_flush()

    def on_snapshot_received(self, message: Message, path: Path) -> None:
        """See PeerEvents.on_snapshot_received."""
        self._snapshots.received(message, path)

    def on_snapshot_sent(self, member_id: int, succeeded: bool) -> None:
        """See PeerEvents.on_snapshot_sent."""
        self._member.report_snapshot_sent(member_id, succeeded)
        self._schedule_flush()

    def on_refused(self, member_id: int, refusal: Refusal) -> None:
        """A peer does not want this member's stream."""
        if self._peers.says_removed(refusal) and not self._member.is_leaving:
            self.fail(f"member {self.name_of(member_id)} says: {refusal.text}")

    # For the snapshot exchange -------------------------------------------------------------
    def offer_snapshot(self, message: Message) -> SnapshotMetadata | None:
        """Hands a SNAPSHOT message whose data is here to the member; returns what it wants installed."""
        self._member.receive((message,))
        effects = self._drain_and_carry_out()
        return None if effects is None else effects.install_snapshot

    def write_snapshot_record(self, metadata: SnapshotMetadata, done: Callable[[], None]) -> None:
        """Has the log begin behind `metadata`; `done` is called when that is durable."""
        self._log_writer.submit_snapshot(metadata, lambda _removed: done())

    def transport(self) -> GrpcPeerTransport:
        """The connections to the peers. Raises RuntimeError before `start`."""
        return self._peers.transport

    def install_ended(self) -> None:
        """The member has the snapshot: what waited for it is written now."""
        held, self._held = self._held or [], None
        for persist in held:
            self._log_writer.submit(persist)
        self._schedule_flush()

    # Effects -------------------------------------------------------------------------------
    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._drain_and_carry_out()

    def _drain_and_carry_out(self) -> Effects | None:
        effects = self._member.drain()
        if self._failed:
            _reply(effects.replies)
            return None
        if effects.install_snapshot is not None:
            self._held = []
            self._snapshots.install(effects.install_snapshot)
        if effects.persist is not None:
            self._persist(effects.persist)
        elif effects.replies:
            # Nothing new to replicate: clients first, the news of the commit can wait behind them.
            _reply(effects.replies)
            effects.replies = []
        if effects.messages:
            self._send(effects.messages)
        if effects.messages_after_persist:
            self._send_once_durable(effects.persist_sequence, effects.messages_after_persist)
        if effects.replies:
            _reply(effects.replies)
        if effects.observations or effects.notes or effects.compacted_snapshot or effects.membership_changed:
            self._carry_out_rare(effects)
        if effects.stop_reason:
            self.fail(effects.stop_reason)  # the store may hold half an entry: nothing is committed any more
        else:
            self._committer.consider()
        return effects

    def _carry_out_rare(self, effects: Effects) -> None:
        if effects.observations or effects.notes:
            self._narrate(effects)
        if effects.compacted_snapshot is not None:
            self._log_writer.submit_snapshot(effects.compacted_snapshot, self._on_log_purged)
        if effects.membership_changed:
            self._bring_peers_in_line()

    def _persist(self, persist: Persist) -> None:
        if self._held is None:
            self._log_writer.submit(persist)
        else:
            self._held.append(persist)

    def _send_once_durable(self, sequence: int, messages: list[Message]) -> None:
        if sequence <= self._durable_sequence:
            self._send(messages)
        else:
            self._waiting_for_disk.append((sequence, messages))

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            if message.kind == MessageKind.SNAPSHOT:
                self._snapshots.send([m for m in messages if m.kind == MessageKind.SNAPSHOT])
                messages = [m for m in messages if m.kind != MessageKind.SNAPSHOT]
                break
        self._notices.send(messages)

    def _narrate(self, effects: Effects) -> None:
        now_ms = _now_ms()
        for observation in effects.observations:
            level, message, fields = self._narrator.tell(observation, now_ms)
            log.event(level, message, logger="raft", member=self.name_of(self.member_id), **fields)
        for note in effects.notes:
            self._count(note)
            level, message, fields = cluster_narration.tell(note, self.name_of, self.revision)
            log.event(level, message, logger="cluster", **fields)

    def _count(self, note: Note) -> None:
        if isinstance(note, CompactionFinished):
            self.storage_figures.compacted_at_unix_seconds = int(time.time())
        elif isinstance(note, MembersChanged) and note.kind == ConfigChange.PROMOTE:
            self._member.figures.learner_promotions += self.leader == self.member_id

    def _bring_peers_in_line(self) -> None:
        self._peers.set_members(self._member.cluster)

    # Clock and disk ------------------------------------------------------------------------
    def _on_tick(self) -> None:
        if self._ticker is not None and self._ticker.missed and self.leader == self.member_id:
            self._member.figures.heartbeats_late += len(self.members()) - 1
        self._member.tick(_now_ms())
        self._ticks += 1
        if self._ticks % _TICKS_BETWEEN_VERSIONS == 0 and self.leader == self.member_id:
            self._negotiate_version()
        if self._compaction_timer is None and self._member.compaction_unfinished:
            self._compact_on()
        self._leaderless.tick(has_leader=self._member.raft.leader != 0)
        self._schedule_flush()

    def _compact_on(self) -> None:
        """Drops some more of what a compaction no longer keeps, then lets others work."""
        self._compaction_timer = None
        if self._failed:
            return
        self._member.compact_on(self._settings.compaction_batch_revisions)
        self._schedule_flush()
        if self._member.compaction_unfinished:
            self._compaction_timer = self._loop.call_later(
                self._settings.compaction_pause_seconds, self._compact_on
            )

    def _negotiate_version(self) -> None:
        """Has the cluster agree on what all members understand, once all have said what that is."""
        seen = self.transport().statistics()
        versions = {SERVER_VERSION}
        for member in self.members():
            if member.id != self.member_id:
                version = seen[member.id].server_version if member.id in seen else ""
                if not version:
                    return
                versions.add(version)
        try:
            self._member.common_version_found(lowest_version(versions))
        except ValueError as error:
            log.event("warn", "a member tells a version that is none", error=str(error))

    def _on_stall(self, late_ms: int) -> None:
        log.event(
            "warn",
            f"event loop stalled {late_ms} ms: heartbeats were late; is the machine overloaded or suspended?",
            late_ms=late_ms,
        )

    def _on_durable(self, sequence: int) -> None:
        if self._failed:
            return
        self._durable_sequence = sequence
        self._member.persisted(sequence)
        waiting = self._waiting_for_disk
        while waiting and waiting[0][0] <= sequence:
            self._send(waiting.popleft()[1])
        self._drain_and_carry_out()

    def _on_log_failure(self, error: Exception) -> None:
        self.fail(f"the log cannot be written: {error}; look at the disk, then start the member again")

    def _on_log_purged(self, removed: list[str]) -> None:
        if removed:
            log.event("info", "removed log files no longer needed", files=removed)

    def _on_store_committed(self, committed: SnapshotMetadata) -> None:
        if self._failed:
            return
        self._member.store_committed(committed.index)
        store = self._member.store
        warning = self._quota_watch.look(store.size_bytes(), store.size_in_use_bytes(), self.revision)
        if warning is not None:
            log.event("warn", warning.message, **warning.fields)
        self._schedule_flush()

    def _on_store_failure(self, error: OSError) -> None:
        self.fail(f"the keyspace cannot be written: {error}; look at the disk, then start the member again")

    def _warn_of_slow_sync(self, seconds: float) -> None:
        """Called in the log's thread."""
        if seconds < self._settings.slow_sync_warning_seconds:
            return
        now = time.monotonic()
        if now - self._last_slow_sync_log >= 1:
            self._last_slow_sync_log = now
            log.event(
                "warn",
                f"disk fsync {seconds:.1f} s delayed writes: the disk is too slow or too busy",
                took_seconds=round(seconds, 3),
            )

    def _warn_of_slow_apply(self, operation: str, seconds: float) -> None:
        now = time.monotonic()
        if now - self._last_slow_apply_log >= 1:
            self._last_slow_apply_log = now
            log.event(
                "warn",
                "apply request took too long",
                request=operation,
                took_seconds=round(seconds, 3),
                expected_seconds=self.applies.slow_seconds,
                since_start=self.applies.slow_count,
            )


def _reply(replies: Sequence[Reply]) -> None:
    for future, result, error in replies:
        if future.done():
            continue  # the client went away
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error.fresh())


def _now_ms() -> int:
    return int(time.monotonic() * 1000)
