"""One simulated machine: it drives a real Member as the runtime does, and it can crash.

What it keeps over a crash is what a machine keeps: the disk with the log, the last commit of
the store, and snapshots that were received whole. Everything planned in one life is void in
the next. A member that was removed ends; whoever supervises it may start it again in vain.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.raft.config import RaftConfig
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.state import Role
from miniraft.server.bootstrap import NOTHING, BootstrapError, find_own_member, seed_store
from miniraft.server.config import MemberConfig
from miniraft.server.member import REMOVED
from miniraft.server.metastate import load_position
from miniraft.server.restore import RestoreError, needs_received_snapshot, restore_member
from miniraft.sim.disk import SimDisk
from miniraft.sim.log_writer import Cut, Install, LogWriter
from miniraft.sim.trace import narrate
from miniraft.sim.transport import Greeting, Transport
from miniraft.sim.violation import Violation
from miniraft.wal.interface import WalError, WalMetadata
from miniraft.wal.wal import create_log, log_exists, open_log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from miniraft.mvcc.memory_store import MemoryCommit
    from miniraft.raft.message import Message
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.server.bootstrap import FirstState
    from miniraft.server.effects import Effects
    from miniraft.server.member import Member
    from miniraft.server.service import MemberInfo
    from miniraft.sim.log_writer import Job
    from miniraft.sim.world import World
    from miniraft.wal.interface import RecoveredLog
    from miniraft.wal.wal import Wal

TICK_MS = 100
_TICK_US = TICK_MS * 1000
_DRAIN_DELAY_US = (5, 300)  # events in between are handled as one batch
_COMMIT_INTERVAL_US = (50_000, 150_000)
_REPLAY_DELAY_US = (50, 1_000)  # between two steps of those who catch up with watches
_REQUEST_IDS_IN_A_LIFE = 1 << 32
_MOST_MACHINES = 1 << 16
_MOST_DISMISSALS = 3  # so often a removed member is started again, less one, before it is left alone


class Beginning(NamedTuple):
    """What a machine is set up with, before its member starts for the first time."""

    name: str
    url: str  # where it listens for its peers
    cluster_id: int
    member_id: int
    first: FirstState | None  # of a new cluster; None: the member joins one that runs


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

    def __init__(self, world: World, beginning: Beginning, random: Random) -> None:
        self.name = beginning.name
        self.url = beginning.url
        self.member_id = beginning.member_id
        self.member: Member | None = None
        self.transport: Transport | None = None
        self.paused = False
        self.destroyed = False  # with all it had
        self.life = 0
        self.ticks = 0  # of all lives
        self.disk = SimDisk(random)
        self.random = random
        self._world = world
        self._beginning = beginning
        self._number = len(world.machines)
        drift = random.uniform(-world.options.clock_drift, world.options.clock_drift)
        self._tick_us = int(_TICK_US * (1 + drift))
        self._store = MemoryStore(self._check_space)
        self._received: dict[SnapshotMetadata, MemoryStore] = {}
        self._writer: LogWriter | None = None
        self._volatile = _Volatile()
        self._dismissals_left = random.randint(1, _MOST_DISMISSALS)
        world.machines[self.member_id] = self
        world.names[self.member_id] = self.name

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

    @property
    def may_start(self) -> bool:
        """Whether the member is down, and there is sense in starting it."""
        return self.member is None and not self.destroyed and self._dismissals_left > 0

    # Life -------------------------------------------------------------------------------------
    def start(self) -> None:
        """Starts the member from what the machine has kept. Without space on the disk it stays down,
        and so it does while its address is in use, or nobody can tell a new member who is there.

        Raises Violation when the member refuses what it finds.
        """
        if not self._world.network.listen(self.url, self.member_id, self):
            self._world.trace.tell(self.name, f"cannot start: {self.url} is in use")
            return
        if not self._start_member():
            self._world.network.hang_up(self.member_id)

    def _start_member(self) -> bool:
        try:
            peers = () if log_exists(self.disk) else self._find_cluster()
            wal, recovered = self._open_log()
            self._finish_installation(recovered)
            if not load_position(self._store).index and not peers:
                peers = self._ask_who_is_there()
            member = self._restore(recovered, peers)
        except (BootstrapError, OSError) as error:
            self._world.trace.tell(self.name, f"cannot start: {error}")
            return False
        except (WalError, RestoreError, InvariantViolation) as error:
            raise Violation(f"{self.name} refuses to start: {error}") from error
        self.member = member
        self.transport = Transport(self, member, self._world)
        self._writer = LogWriter(wal, self, self._sync_later)
        if self not in self._world.servers:
            self._world.servers.append(self)
        self._tell_start(recovered)
        for onlooker in self._world.onlookers:
            onlooker.started(self, recovered)
        self.transport.start()
        member.watches.on_replay_due = self._plan_replay
        self.later(self.random.randrange(self._tick_us), self._tick)
        self.later(self.random.randint(*_COMMIT_INTERVAL_US), self._commit_store)
        self._wake()
        return True

    def _find_cluster(self) -> Sequence[MemberInfo]:
        """Returns the members of the cluster that a new member joins. Raises BootstrapError."""
        if self._beginning.first is not None:
            return ()
        members = self._ask_who_is_there()
        if find_own_member(members, self.name, [self.url]).id != self.member_id:
            raise BootstrapError(f"another member was added with {self.url}")
        return members

    def _ask_who_is_there(self) -> Sequence[MemberInfo]:
        """Returns the members as one of those who can be reached knows them. Raises BootstrapError."""
        network = self._world.network
        answering = [
            server.member
            for server in self._world.servers
            if server.member is not None
            and not server.paused
            and server.member.applied_snapshot.index
            and network.can_connect(self.member_id, server.member_id, [server.url])
        ]
        if not answering:
            raise BootstrapError("cannot fetch cluster info from peer urls")
        return self.random.choice(answering).members()

    def _finish_installation(self, recovered: RecoveredLog) -> None:
        if needs_received_snapshot(recovered, self._store):
            self._world.trace.tell(self.name, "finishes installing a snapshot that a crash interrupted")
            self._take_received(recovered.snapshot)

    def _restore(self, recovered: RecoveredLog, peers: Sequence[MemberInfo]) -> Member:
        self.life += 1
        first_request_id = (self.life * _MOST_MACHINES + self._number) * _REQUEST_IDS_IN_A_LIFE
        member = restore_member(
            self._config(), recovered, self._store, self.random, first_request_id, self.now_ms
        )
        if peers:
            member.cluster.assume(peers)
        return member

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
        if commit is not None and not commit.written and self.random.random() < 0.5:
            self._write_store()  # it made it just in time
        self.member = self.transport = None
        self.paused = False
        self._world.network.hang_up(self.member_id)
        self._writer = None
        self._store = self._store.crash()
        self._volatile = _Volatile()
        if power:
            self.disk.lose_power()
        else:
            self._world.network.close(self.member_id)  # without power nobody is left to say so
        for onlooker in self._world.onlookers:
            onlooker.crashed(self)

    def dismiss(self, reason: str, *, for_good: bool = False) -> None:
        """The member was removed and ends. It may be started again in vain, but not for ever."""
        self.crash(power=False, reason=reason)
        self._dismissals_left = 0 if for_good else self._dismissals_left - 1
        if self._dismissals_left == 0 and self in self._world.servers:
            self._world.servers.remove(self)

    def recall(self, url: str) -> None:
        """An operator starts a removed member again, for the sake of those who do not know yet."""
        if self.member is None and not self.destroyed:
            self._dismissals_left = max(self._dismissals_left, 1)
            self.url = url
            self.start()

    def destroy(self) -> None:
        """The machine is lost, with its disk."""
        self.crash(power=True, reason="its machine is lost for good")
        self.destroyed = True
        if self in self._world.servers:
            self._world.servers.remove(self)

    def move(self, url: str) -> None:
        """The member is stopped and started again at another URL."""
        self._world.trace.tell(self.name, f"moves from {self.url} to {url}")
        was_running = self.member is not None
        self.stop()
        self.crash(power=False, reason="to be moved")
        self.url = url
        if was_running:
            self.start()

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

        self.later(0, call)
        return True

    # Events -----------------------------------------------------------------------------------
    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Plans an action of this life; while paused it waits."""
        self._world.scheduler.after(delay_us, partial(self._run, self.life, action))

    def in_this_life(self, event: Callable[[], None]) -> Callable[[], None]:
        """Returns what has an event of the member handled, if it still runs by then."""

        def happen() -> None:
            event()
            self._wake()

        return partial(self._run, self.life, happen)

    def _run(self, life: int, action: Callable[[], None]) -> None:
        if life != self.life or self.member is None:
            return
        if self.paused:
            self._volatile.missed.append(action)
        else:
            action()

    def greet(self, caller: int, url: str) -> Greeting:
        """A peer, which listens at `url`, opens its connection to this member."""
        return Greeting.SILENCE if self.transport is None else self.transport.greet(caller, url)

    def arrive(self, message: Message, data: MemoryStore | None) -> bool:
        """See Receiver."""
        if self.member is None:
            return False
        if data is not None and message.snapshot is not None:
            self._received[message.snapshot] = data

        def receive() -> None:
            if (
                self.member is not None
                and self.transport is not None
                and self.transport.hears(message.sender)
            ):
                self.member.receive([message])
                self._wake()

        self.later(0, receive)
        return True

    def peer_closed(self, member_id: int) -> None:
        """See Receiver."""

        def report() -> None:
            if self.member is not None:
                self.member.report_disconnected(member_id)
                self._wake()

        self.later(0, report)

    def _tick(self) -> None:
        if self.member is not None:
            self.ticks += 1
            self.member.tick(self.now_ms)
            self.later(self._tick_us, self._tick)
            self._wake()

    def _wake(self) -> None:
        """Has everything that came in handled soon."""
        if not self._volatile.drain_planned:
            self._volatile.drain_planned = True
            self.later(self.random.randint(*_DRAIN_DELAY_US), self._drain)

    def _plan_replay(self) -> None:
        self.later(self.random.randint(*_REPLAY_DELAY_US), self._replay_step)

    def _replay_step(self) -> None:
        if self.member is not None and self.member.watches.replay_step():
            self._plan_replay()

    # Effects ----------------------------------------------------------------------------------
    def _drain(self) -> None:
        if self.member is None or self.transport is None:
            return
        self._volatile.drain_planned = False
        effects = self.member.drain()
        for observation in effects.observations:
            self._world.trace.tell(self.name, narrate(observation, self._world.names))
        for onlooker in self._world.onlookers:
            onlooker.drained(self, effects)
        if effects.stop_reason not in ("", REMOVED):
            raise Violation(f"{self.name} stops: {effects.stop_reason}")
        if effects.membership_changed:
            self.transport.set_members(self.member.cluster)
        self.transport.send(effects.messages)
        for reply in effects.replies:
            for onlooker in self._world.onlookers:
                onlooker.replied(self, reply)
        if effects.stop_reason:
            self.dismiss(effects.stop_reason)
        else:
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

    def store_copy(self) -> MemoryStore:
        """Returns what the last commit of the store made durable."""
        return self._store.copy()

    # The log ----------------------------------------------------------------------------------
    def log_durable(self, sequence: int) -> None:
        """See LogOwner."""
        if self.member is None:
            return
        self._volatile.persisted = sequence
        for onlooker in self._world.onlookers:
            onlooker.persisted(self, sequence)
        self.member.persisted(sequence)
        self._release()
        self._wake()

    def snapshot_recorded(self, snapshot: SnapshotMetadata) -> None:
        """See LogOwner. Now the store is replaced, which takes a moment."""
        delay_us = self.random.randint(*self._world.options.commit_us)
        self.later(delay_us, partial(self._install, snapshot))
        calm = self._world.network.calm
        if not calm and self.random.random() < self._world.options.crash_in_install_share:
            self.later(delay_us // 2, self._crash_while_installing)

    def _crash_while_installing(self) -> None:
        if not self._world.network.calm:  # the time of faults may have ended meanwhile
            self.crash(power=True, reason="fault while installing")

    def log_failed(self, error: OSError) -> None:
        """See LogOwner. A member whose log fails stops."""
        self.crash(power=False, reason=f"log: {error.strerror}")

    def _sync_later(self, action: Callable[[], None]) -> None:
        self.later(self.random.randint(*self._world.options.sync_us), action)

    def _release(self) -> None:
        """Sends what waited for the log."""
        held = self._volatile.held
        while held and held[0][0] <= self._volatile.persisted:
            messages = held.popleft()[1]
            if self.transport is not None:
                self.transport.send(messages)

    def _install(self, snapshot: SnapshotMetadata) -> None:
        if self.member is None:
            return
        self._world.trace.tell(self.name, f"installs a snapshot at entry {snapshot.index}")
        self._take_received(snapshot)
        self._volatile.commit = None
        for onlooker in self._world.onlookers:
            onlooker.installed(self, snapshot)
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
        self.later(self.random.randint(*_COMMIT_INTERVAL_US), self._commit_store)
        if self._volatile.commit is not None:
            return
        self._volatile.commit = self._store.begin_commit()
        if self._volatile.commit is not None:
            applied = self.member.applied_snapshot.index
            done = partial(self._committed, self._volatile.commit, applied)
            self.later(self.random.randint(*self._world.options.commit_us), done)

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
        first, segment_bytes = self._beginning.first, self._world.options.segment_bytes
        metadata = WalMetadata(self._beginning.cluster_id, self.member_id)
        if not log_exists(self.disk):
            if first is not None:
                self._seed(first)
            snapshot = NOTHING if first is None else first.snapshot
            create_log(self.disk, metadata, snapshot, segment_bytes=segment_bytes).close()
        return open_log(self.disk, metadata, segment_bytes=segment_bytes)

    def _seed(self, first: FirstState) -> None:
        seed_store(self._store, first)
        commit = self._store.begin_commit()
        if commit is not None:
            commit.write()
            commit.finish()

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
            cluster_id=self._beginning.cluster_id,
            raft=raft,
            name=self.name,
            client_urls=(f"http://{self.name}:2379",),
            tick_ms=TICK_MS,
            snapshot_count=options.snapshot_count,
            catchup_entries=options.catchup_entries,
        )
