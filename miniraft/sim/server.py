"""One simulated machine: it drives a real Member as the runtime does, and it can crash.

What it keeps over a crash is what a machine keeps: the disk with the log, the last commit of
the store, and snapshots that were received whole. Everything planned in one life is void in
the next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.raft.config import RaftConfig
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.message import MessageKind
from miniraft.raft.state import Role
from miniraft.server.bootstrap import new_cluster, seed_store
from miniraft.server.config import MemberConfig
from miniraft.server.metastate import load_position
from miniraft.server.restore import RestoreError, needs_received_snapshot, restore_member
from miniraft.sim.disk import SimDisk
from miniraft.sim.log_writer import Cut, Install, LogWriter
from miniraft.sim.trace import narrate
from miniraft.sim.violation import Violation
from miniraft.wal.interface import WalError, WalMetadata
from miniraft.wal.wal import create_log, log_exists, open_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from miniraft.mvcc.memory_store import MemoryCommit
    from miniraft.raft.message import Message
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.server.bootstrap import FirstState
    from miniraft.server.effects import Effects, Reply
    from miniraft.server.member import Member
    from miniraft.sim.log_writer import Job
    from miniraft.sim.network import Network
    from miniraft.sim.options import Options
    from miniraft.sim.scheduler import Scheduler
    from miniraft.sim.trace import Trace
    from miniraft.wal.interface import RecoveredLog
    from miniraft.wal.wal import Wal

TICK_MS = 100
_TICK_US = TICK_MS * 1000
_DRAIN_DELAY_US = (5, 300)  # events in between are handled as one batch
_COMMIT_INTERVAL_US = (50_000, 150_000)
_REQUEST_IDS_IN_A_LIFE = 1 << 32
_MOST_SERVERS = 16


class Watcher(Protocol):
    """Whoever watches the servers: the checkers, and the clients for their answers."""

    def started(self, server: SimServer, recovered: RecoveredLog) -> None:
        """The server is up; this is what its log held."""

    def drained(self, server: SimServer, effects: Effects) -> None:
        """A batch was handled; nothing of `effects` has been done yet."""

    def persisted(self, server: SimServer, sequence: int) -> None:
        """The server believes that Persists up to `sequence` are durable."""

    def installed(self, server: SimServer, snapshot: SnapshotMetadata) -> None:
        """A leader's snapshot has replaced log and store."""

    def replied(self, server: SimServer, reply: Reply) -> None:
        """A client's request was answered."""

    def crashed(self, server: SimServer) -> None:
        """The server is gone, and every request with it that it had not answered."""


class World(NamedTuple):
    """What all servers of a run share."""

    scheduler: Scheduler
    network: Network
    trace: Trace
    options: Options
    watchers: list[Watcher]
    names: Mapping[int, str]  # by member id


@dataclass(slots=True)
class _Volatile:
    """What a crash forgets."""

    missed: list[Callable[[], None]] = field(default_factory=list)  # while paused
    drain_planned: bool = False
    held: deque[tuple[int, list[Message]]] = field(default_factory=deque)  # until (sequence) is durable
    persisted: int = 0  # sequence
    commit: MemoryCommit | None = None  # under way


class SimServer:
    """A machine that runs a member, or is down."""

    def __init__(self, world: World, first: FirstState, name: str, random: Random) -> None:
        self.name = name
        self.member_id = first.member_id
        self.member: Member | None = None
        self.paused = False
        self.life = 0
        self.disk = SimDisk(random)
        self._world = world
        self._first = first
        self._number = sorted(world.names).index(first.member_id)
        self._random = random
        drift = random.uniform(-world.options.clock_drift, world.options.clock_drift)
        self._tick_us = int(_TICK_US * (1 + drift))
        self._store = MemoryStore(self._check_space)
        self._received: dict[SnapshotMetadata, MemoryStore] = {}
        self._writer: LogWriter | None = None
        self._volatile = _Volatile()
        world.network.attach(self.member_id, self._arrive, self._peer_closed)

    @property
    def running(self) -> bool:
        """Whether the member is up (it may be paused)."""
        return self.member is not None

    @property
    def leads(self) -> bool:
        """Whether the member believes that it leads."""
        return self.member is not None and self.member.raft.role == Role.LEADER

    @property
    def now_ms(self) -> int:
        """This machine's clock."""
        return self._world.scheduler.now_us * TICK_MS // self._tick_us

    # Life -------------------------------------------------------------------------------------
    def start(self) -> None:
        """Starts the member from what the machine has kept. Without space on the disk it stays down.

        Raises Violation when the member refuses what it finds.
        """
        try:
            wal, recovered = self._open_log()
            self.member = self._restore(recovered)
        except OSError as error:
            self._world.trace.tell(self.name, f"cannot start: {error.strerror}")
            return
        except (WalError, RestoreError, InvariantViolation) as error:
            raise Violation(f"{self.name} refuses to start: {error}") from error
        self._writer = LogWriter(wal, self, self._sync_later)
        self._tell_start(recovered)
        for watcher in self._world.watchers:
            watcher.started(self, recovered)
        self._later(self._random.randrange(self._tick_us), self._tick)
        self._later(self._random.randint(*_COMMIT_INTERVAL_US), self._commit_store)
        self._wake()

    def _restore(self, recovered: RecoveredLog) -> Member:
        if needs_received_snapshot(recovered, self._store):
            self._world.trace.tell(self.name, "finishes installing a snapshot that a crash interrupted")
            self._take_received(recovered.snapshot)
        self.life += 1
        first_request_id = (self.life * _MOST_SERVERS + self._number) * _REQUEST_IDS_IN_A_LIFE
        return restore_member(
            self._config(), recovered, self._store, self._random, first_request_id, self.now_ms
        )

    def _tell_start(self, recovered: RecoveredLog) -> None:
        for repair in recovered.repairs:
            self._world.trace.tell(self.name, f"mends its log: {repair}")
        hard_state, applied = recovered.hard_state, load_position(self._store).index
        last = recovered.entries[-1].index if recovered.entries else recovered.snapshot.index
        self._world.trace.tell(
            self.name, f"starts in term {hard_state.term} with its log up to {last}, applied {applied}"
        )

    def crash(self, *, power: bool, reason: str) -> None:
        """The process is gone at once; with `power` also what the disk had not synced."""
        if self.member is None:
            return
        self._world.trace.tell(self.name, f"{'loses power' if power else 'is killed'} ({reason})")
        commit = self._volatile.commit
        if commit is not None and not commit.written and self._random.random() < 0.5:
            self._write_store()  # it made it just in time
        self.member = None
        self.paused = False
        self._writer = None
        self._store = self._store.crash()
        self._volatile = _Volatile()
        if power:
            self.disk.lose_power()
        else:
            self._world.network.close(self.member_id)  # without power nobody is left to say so
        for watcher in self._world.watchers:
            watcher.crashed(self)

    def stop(self) -> None:
        """The process ends in good order: everybody who waits is told."""
        if self.member is None or self.paused:
            return
        self.member.stop()
        self._drain()
        self.crash(power=False, reason="stopped")

    def pause(self) -> None:
        """The process stands still; messages queue up, its disk goes on."""
        if self.member is not None and not self.paused:
            self._world.trace.tell(self.name, "is paused")
            self.paused = True

    def resume(self) -> None:
        """The process goes on where it stood."""
        if self.paused:
            self._world.trace.tell(self.name, "goes on after a pause")
            self.paused = False
            missed, self._volatile.missed = self._volatile.missed, []
            for action in missed:
                self._world.scheduler.after(0, partial(self._run, self.life, action))

    # Clients ----------------------------------------------------------------------------------
    def ask(self, request: Callable[[Member, int], None]) -> bool:
        """Calls the member with its clock, when it gets round to it; False if there is none."""
        if self.member is None:
            return False

        def call() -> None:
            if self.member is not None:
                request(self.member, self.now_ms)
                self._wake()

        self._later(0, call)
        return True

    # Events -----------------------------------------------------------------------------------
    def _later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Plans an action of this life; while paused it waits."""
        self._world.scheduler.after(delay_us, partial(self._run, self.life, action))

    def _run(self, life: int, action: Callable[[], None]) -> None:
        if life != self.life or self.member is None:
            return
        if self.paused:
            self._volatile.missed.append(action)
        else:
            action()

    def _arrive(self, message: Message, data: MemoryStore | None) -> bool:
        if self.member is None:
            return False
        if data is not None and message.snapshot is not None:
            self._received[message.snapshot] = data

        def receive() -> None:
            if self.member is not None:
                self.member.receive([message])
                self._wake()

        self._later(0, receive)
        return True

    def _peer_closed(self, member_id: int) -> None:
        def report() -> None:
            if self.member is not None:
                self.member.report_disconnected(member_id)
                self._wake()

        self._later(0, report)

    def _tick(self) -> None:
        if self.member is not None:
            self.member.tick(self.now_ms)
            self._later(self._tick_us, self._tick)
            self._wake()

    def _wake(self) -> None:
        """Has everything that came in handled soon."""
        if not self._volatile.drain_planned:
            self._volatile.drain_planned = True
            self._later(self._random.randint(*_DRAIN_DELAY_US), self._drain)

    # Effects ----------------------------------------------------------------------------------
    def _drain(self) -> None:
        if self.member is None:
            return
        self._volatile.drain_planned = False
        effects = self.member.drain()
        for observation in effects.observations:
            self._world.trace.tell(self.name, narrate(observation, self._world.names))
        for watcher in self._world.watchers:
            watcher.drained(self, effects)
        if effects.stop_reason:
            raise Violation(f"{self.name} stops: {effects.stop_reason}")
        self._send(effects.messages)
        for reply in effects.replies:
            for watcher in self._world.watchers:
                watcher.replied(self, reply)
        self._take_jobs(effects)

    def _take_jobs(self, effects: Effects) -> None:
        if effects.messages_after_persist:
            self._volatile.held.append((effects.persist_sequence, effects.messages_after_persist))
            self._release()
        if effects.install_snapshot is not None:
            self._write(Install(effects.install_snapshot))
        if effects.persist is not None:
            self._write(effects.persist)
        if effects.compacted_snapshot is not None:
            self._write(Cut(effects.compacted_snapshot))

    def _write(self, job: Job) -> None:
        if self._writer is not None:  # it is None once an earlier job has met a full disk
            self._writer.add(job)

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            if message.kind == MessageKind.SNAPSHOT:
                self._send_snapshot(message)
            else:
                self._world.network.send(message, partial(self._run, self.life, self._lost(message.receiver)))

    def _lost(self, receiver: int) -> Callable[[], None]:
        def report() -> None:
            if self.member is not None:
                self.member.report_unreachable(receiver)
                self._wake()

        return report

    def _send_snapshot(self, message: Message) -> None:
        """Sends the last commit of the store, and says where that stands: at or past the promise."""
        data = self._store.copy()
        position = load_position(data)
        promised = message.snapshot
        if promised is None or position.index < promised.index:
            raise Violation(f"{self.name} promises a snapshot at {promised}, its store is at {position}")
        message.snapshot = position
        self._world.trace.tell(
            self.name, f"sends {self._world.names[message.receiver]} a snapshot at entry {position.index}"
        )
        receiver, life = message.receiver, self.life

        def ended(arrived: bool) -> None:
            def report() -> None:
                if self.member is not None:
                    self.member.report_snapshot_sent(receiver, arrived)
                    self._wake()

            self._run(life, report)

        self._world.network.send_snapshot(message, data, ended)

    # The log ----------------------------------------------------------------------------------
    def log_durable(self, sequence: int) -> None:
        """See LogOwner."""
        if self.member is None:
            return
        self._volatile.persisted = sequence
        for watcher in self._world.watchers:
            watcher.persisted(self, sequence)
        self.member.persisted(sequence)
        self._release()
        self._wake()

    def snapshot_recorded(self, snapshot: SnapshotMetadata) -> None:
        """See LogOwner. Now the store is replaced, which takes a moment."""
        delay_us = self._random.randint(*self._world.options.commit_us)
        self._later(delay_us, partial(self._install, snapshot))
        calm = self._world.network.calm
        if not calm and self._random.random() < self._world.options.crash_in_install_share:
            self._later(delay_us // 2, self._crash_while_installing)

    def _crash_while_installing(self) -> None:
        if not self._world.network.calm:  # the time of faults may have ended meanwhile
            self.crash(power=True, reason="fault while installing")

    def log_failed(self, error: OSError) -> None:
        """See LogOwner. A member whose log fails stops."""
        self.crash(power=False, reason=f"log: {error.strerror}")

    def _sync_later(self, action: Callable[[], None]) -> None:
        self._later(self._random.randint(*self._world.options.sync_us), action)

    def _release(self) -> None:
        """Sends what waited for the log."""
        while self._volatile.held and self._volatile.held[0][0] <= self._volatile.persisted:
            self._send(self._volatile.held.popleft()[1])

    def _install(self, snapshot: SnapshotMetadata) -> None:
        if self.member is None:
            return
        self._world.trace.tell(self.name, f"installs a snapshot at entry {snapshot.index}")
        self._take_received(snapshot)
        self._volatile.commit = None
        for watcher in self._world.watchers:
            watcher.installed(self, snapshot)
        self.member.snapshot_installed(snapshot, Keyspace(self._store), self._store)
        if self._writer is not None:
            self._writer.resume()
        self._wake()

    def _take_received(self, snapshot: SnapshotMetadata) -> None:
        if snapshot not in self._received:
            raise Violation(f"{self.name} is to install a snapshot at {snapshot} that it never received")
        self._store.close()
        self._store = self._received[snapshot]
        self._received.clear()

    # The store's commits -----------------------------------------------------------------------
    def _commit_store(self) -> None:
        if self.member is None:
            return
        self._later(self._random.randint(*_COMMIT_INTERVAL_US), self._commit_store)
        if self._volatile.commit is not None:
            return
        self._volatile.commit = self._store.begin_commit()
        if self._volatile.commit is not None:
            applied = self.member.applied_snapshot.index
            done = partial(self._committed, self._volatile.commit, applied)
            self._later(self._random.randint(*self._world.options.commit_us), done)

    def _committed(self, commit: MemoryCommit, applied: int) -> None:
        if commit is not self._volatile.commit or self.member is None:
            return  # its store has been replaced
        if not self._write_store():
            self.crash(power=False, reason="store: no space left")
            return
        commit.finish()
        self._volatile.commit = None
        self.member.store_committed(applied)
        self._wake()

    def _write_store(self) -> bool:
        """Makes the commit under way durable; returns whether there was space for it."""
        try:
            if self._volatile.commit is not None:
                self._volatile.commit.write()
        except OSError:
            return False
        return True

    def _check_space(self) -> None:
        if self.disk.full:
            raise OSError(28, "no space left on the simulated disk")

    # Inner -------------------------------------------------------------------------------------
    def _open_log(self) -> tuple[Wal, RecoveredLog]:
        first, segment_bytes = self._first, self._world.options.segment_bytes
        metadata = WalMetadata(first.cluster_id, first.member_id)
        if not log_exists(self.disk):
            seed_store(self._store, first)
            commit = self._store.begin_commit()
            if commit is not None:
                commit.write()
                commit.finish()
            create_log(self.disk, metadata, first.snapshot, segment_bytes=segment_bytes).close()
        return open_log(self.disk, metadata, segment_bytes=segment_bytes)

    def _config(self) -> MemberConfig:
        options = self._world.options
        raft = RaftConfig(
            self.member_id,
            pre_vote=options.pre_vote,
            check_quorum=options.check_quorum,
            max_append_bytes=options.max_append_bytes,
            max_inflight_appends=options.max_inflight_appends,
        )
        return MemberConfig(
            cluster_id=self._first.cluster_id,
            raft=raft,
            name=self.name,
            client_urls=(f"http://{self.name}:2379",),
            tick_ms=TICK_MS,
            snapshot_count=options.snapshot_count,
            catchup_entries=options.catchup_entries,
        )


def first_states(count: int) -> list[tuple[str, FirstState]]:
    """Returns name and first state of each server of a new cluster."""
    names = [f"n{number}" for number in range(1, count + 1)]
    initial_cluster = {name: (f"http://{name}:2380",) for name in names}
    return [(name, new_cluster(initial_cluster, name, "simulated")) for name in names]
