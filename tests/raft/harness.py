"""Several Raft members in one process: a disk that loses what was not synced, and a network
in which nothing moves by itself. Tests say when a message arrives and when a write is durable.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field, replace

from miniraft.raft.config import RaftConfig
from miniraft.raft.entry import Entry
from miniraft.raft.interface import RestoredState
from miniraft.raft.message import MessageKind
from miniraft.raft.raft import Raft
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata


@dataclass
class Disk:
    """What a member finds after a crash, and the writes that are on their way there."""

    hard_state: HardState
    snapshot: SnapshotMetadata
    entries: list[Entry] = field(default_factory=list)
    under_way: deque = field(default_factory=deque)
    listener: object = None  # called with the term before and the entries of each write

    def submit(self, ready):
        self.under_way.append(ready)

    def sync_one(self):
        ready = self.under_way.popleft()
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state
        if ready.entries:
            self._append(ready.entries)
        return ready.sequence

    def put_snapshot(self, metadata):
        last = self.snapshot.index + len(self.entries)
        if metadata.index > last:
            self.entries = []
        else:
            self.entries = self.entries[metadata.index - self.snapshot.index :]
        self.snapshot = metadata

    def compact(self, metadata):
        self.put_snapshot(metadata)

    def _append(self, entries):
        keep = entries[0].index - self.snapshot.index - 1
        if not 0 <= keep <= len(self.entries):
            raise AssertionError(
                f"a hole on disk: {entries[0].index} behind {self.snapshot.index + len(self.entries)}"
            )
        if self.listener:
            self.listener(self.entries[keep - 1].term if keep else self.snapshot.term, entries)
        self.entries[keep:] = entries


@dataclass(frozen=True)
class Store:
    """The state machine: what was applied, in order. As immutable as a checkpoint has to be."""

    applied: int
    term: int
    config: ConfigState
    data: tuple = ()

    def with_entry(self, entry, config):
        data = (*self.data, entry.data) if entry.kind == 0 and entry.data else self.data
        return Store(entry.index, entry.term, config, data)

    @property
    def metadata(self):
        return SnapshotMetadata(self.applied, self.term, self.config)


class Host:
    """One member with its disk and state machine."""

    def __init__(self, member_id, config, seed=0, logs=(), term=0, **settings):
        self.member_id = member_id
        self.settings = RaftConfig(member_id, **settings)
        self.random = random.Random(f"{seed}/{member_id}")
        self.disk = Disk(HardState(term, 0, 0), SnapshotMetadata(0, 0, config), list(logs))
        self.store = self.stored = Store(0, 0, config)  # `stored`: what of it survives a crash
        self.auto_sync = True
        self.auto_apply = True
        self.sent = []  # messages that left, for the network to fetch
        self.waiting = deque()  # (sequence, messages) to be sent once that is durable
        self.unapplied = deque()
        self.snapshots = {}  # data of received snapshots by (index, term)
        self.read_states = []
        self.observations = []
        self.listener = None  # called with (host, ready)
        self.alive = False
        self.start()

    def start(self):
        self.alive = True
        restored = RestoredState(
            self.disk.hard_state,
            self.disk.snapshot,
            tuple(self.disk.entries),
            self.stored.applied,
            self.stored.config,
        )
        self.store = self.stored
        self.durable_sequence = 0
        self.raft = Raft(self.settings, restored, self.random)
        if self.store.applied:
            self.raft.snapshot_available(self.store.metadata)

    def crash(self, synced_writes=0):
        """Loses everything in memory; `synced_writes` of the writes under way still made it."""
        for _ in range(min(synced_writes, len(self.disk.under_way))):
            self.disk.sync_one()
        self.disk.under_way.clear()
        self.waiting.clear()
        self.unapplied.clear()
        self.snapshots.clear()
        self.sent.clear()
        self.alive = False

    def checkpoint(self):
        """Makes the state machine durable as it is now."""
        self.stored = self.store
        self.raft.snapshot_available(self.store.metadata)

    def compact(self, keep=0):
        """Cuts the log behind the checkpoint, but for `keep` entries."""
        index = min(self.stored.applied, self.raft.applied) - keep
        entries = {entry.index: entry for entry in self.disk.entries}
        if index in entries:
            self.disk.compact(SnapshotMetadata(index, entries[index].term, self.stored.config))
            self.raft.compact(index)

    # The loop that a real member runs --------------------------------------------------------
    def run(self):
        """Takes all that is ready; syncs and applies at once unless told otherwise."""
        while self.alive and self.raft.has_ready():
            ready = self.raft.ready()
            if self.listener:
                self.listener(self, ready)
            self.observations += ready.observations
            self.read_states += ready.read_states
            self.sent += ready.messages
            if ready.persists:
                self.disk.submit(ready)
            self.waiting.append((ready.sequence, ready.messages_after_persist))
            self.unapplied.extend(ready.committed)
            if ready.snapshot is not None:
                self.install(ready.snapshot)
            if self.auto_sync:
                self.sync()
            self._release()
            if self.auto_apply:
                self.apply()

    def sync(self, writes=1_000_000):
        for _ in range(min(writes, len(self.disk.under_way))):
            self.durable_sequence = self.disk.sync_one()
            self.raft.persisted(self.durable_sequence)
        self._release()

    def _release(self):
        while self.waiting and self.waiting[0][0] <= self.durable_sequence:
            self.sent += self.waiting.popleft()[1]

    def apply(self, count=1_000_000):
        for _ in range(min(count, len(self.unapplied))):
            entry = self.unapplied.popleft()
            config = self.store.config
            if entry.kind == 1:
                kind, member_id = map(int, entry.data.split())
                config = self.raft.apply_config_change(kind, member_id)
            self.store = self.store.with_entry(entry, config)
            self.raft.advance_applied(entry.index)

    def install(self, metadata):
        while len(self.disk.under_way) > 1:
            self.durable_sequence = self.disk.sync_one()  # earlier writes come first
            self.raft.persisted(self.durable_sequence)
        self.unapplied.clear()
        self.store = self.stored = self.snapshots[metadata.index, metadata.term]
        self.disk.put_snapshot(metadata)
        self.raft.restore_snapshot(metadata)
        self.raft.snapshot_available(metadata)

    def log_terms(self):
        """The terms of the whole log, first entry first (only while nothing is compacted)."""
        log = self.raft._node.log
        return [entry.term for entry in log.slice(log.first_index, log.last_index)] if log.last_index else []


class Cluster:
    """Hosts and the messages between them, in one queue in the order they were sent."""

    def __init__(self, voters=(1, 2, 3), learners=(), seed=0, logs=None, terms=None, extra=(), **settings):
        self.seed = seed
        self.settings = settings
        self.config = ConfigState(tuple(voters), tuple(learners))
        self.hosts = {}
        for member_id in (*voters, *learners):
            log, term = (logs or {}).get(member_id, ()), (terms or {}).get(member_id, 0)
            self.hosts[member_id] = Host(member_id, self.config, seed, log, term, **settings)
        for member_id in extra:
            self.join(member_id)
        self.queue = deque()
        self.cuts = set()  # pairs (sender, receiver) whose messages are lost
        self.on_deliver = None

    def __getitem__(self, member_id):
        return self.hosts[member_id].raft

    def join(self, member_id):
        """Starts a member that is to be added: it knows the membership with which the log begins."""
        self.hosts[member_id] = Host(member_id, self.config, self.seed, **self.settings)

    # Faults --------------------------------------------------------------------------------
    def cut(self, *members, others=None):
        """Loses all messages between `members` and everybody else (or `others`)."""
        for one in members:
            for other in others if others is not None else set(self.hosts) - set(members):
                self.cuts |= {(one, other), (other, one)}

    def heal(self):
        self.cuts.clear()

    # Moving --------------------------------------------------------------------------------
    def run(self):
        """Lets every member handle its events; messages are queued, not delivered."""
        for host in self.hosts.values():
            if host.alive:
                host.run()
            self.collect(host)

    def collect(self, host):
        for message in host.sent:
            if message.kind == MessageKind.SNAPSHOT:
                now = replace(message, snapshot=host.store.metadata)
                self.queue.append(_WithData(now, host.store))
            else:
                self.queue.append(message)
        host.sent = []

    def deliver_one(self, position=0):
        self.queue.rotate(-position)
        message = self.queue.popleft()
        self.queue.rotate(position)
        self.hand_over(message)

    def hand_over(self, message):
        data = None
        if isinstance(message, _WithData):
            message, data = message.message, message.data
        receiver, sender = self.hosts.get(message.receiver), self.hosts.get(message.sender)
        lost = receiver is None or not receiver.alive or (message.sender, message.receiver) in self.cuts
        if data is not None and sender.alive:
            sender.raft.report_snapshot(message.receiver, not lost)
        if lost:
            return
        if data is not None:
            receiver.snapshots[data.applied, data.term] = data
        if self.on_deliver:
            self.on_deliver(message)
        receiver.raft.step(message)

    def settle(self):
        """Delivers until nothing moves; each member handles a whole round of messages at once."""
        self.run()
        for _ in range(1000):
            if not self.queue:
                return
            for _ in range(len(self.queue)):
                self.deliver_one()
            self.run()
        raise AssertionError("the members never stop sending")

    def tick(self, count=1, members=None):
        """Ticks and settles, `count` times."""
        for _ in range(count):
            for member_id in members or list(self.hosts):
                if self.hosts[member_id].alive:
                    self[member_id].tick()
            self.settle()

    def elect(self, member_id):
        """Makes a member leader of the next term."""
        self[member_id].campaign()
        self.settle()
        if self[member_id].role != "leader":
            raise AssertionError(f"member {member_id} was not elected")

    def propose(self, member_id, *payloads):
        self[member_id].propose([payload.encode() for payload in payloads])
        self.settle()

    def change(self, member_id, kind, target):
        self[member_id].propose_config_change(f"{kind} {target}".encode())
        self.settle()

    def leader(self):
        leaders = [
            host.member_id for host in self.hosts.values() if host.alive and host.raft.role == "leader"
        ]
        return leaders[0] if leaders else 0


@dataclass
class _WithData:
    message: object
    data: Store

    @property
    def sender(self):
        return self.message.sender

    @property
    def receiver(self):
        return self.message.receiver

    @property
    def kind(self):
        return self.message.kind


def entries_of(*terms, first=1):
    """A log whose entries have these terms."""
    return [Entry(term, first + at, 0, f"{first + at}/{term}".encode()) for at, term in enumerate(terms)]
