"""Real members wired together without time or disk: what they hand out is done at once."""

from __future__ import annotations

from collections import deque
from random import Random

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.pb.rpc_pb2 import PutRequest
from miniraft.raft.config import RaftConfig
from miniraft.raft.message import MessageKind
from miniraft.raft.state import HardState
from miniraft.server.bootstrap import NOTHING, new_cluster, seed_store
from miniraft.server.config import MemberConfig
from miniraft.server.metastate import load_position
from miniraft.server.proposal import RequestKind
from miniraft.server.restore import restore_member
from miniraft.wal.interface import RecoveredLog, WalMetadata

TICK_MS = 100


def put(key: bytes, value: bytes = b"v") -> bytes:
    return PutRequest(key=key, value=value).SerializeToString()


class Answers:
    """Hands out handles and keeps what each was answered."""

    def __init__(self):
        self.replies = {}

    def take(self, replies):
        for reply in replies:
            assert reply.handle not in self.replies, f"{reply.handle} was answered twice"
            self.replies[reply.handle] = reply

    def result(self, handle):
        reply = self.replies[handle]
        assert reply.error is None, reply.error
        return reply.result

    def error(self, handle):
        return self.replies[handle].error


class Node:
    """One member; `hold_log` keeps its writes from becoming durable."""

    def __init__(self, first, name, number, **settings):
        self.name = name
        self.first = first
        self.store = MemoryStore()
        seed_store(self.store, first)
        self.answers = Answers()
        self.hold_log = False
        self.held = deque()  # (sequence, messages)
        self.written = self.persisted = 0  # sequences
        self.effects = []
        self.stopped = ""
        self.config = make_config(first, name, **settings)
        log = RecoveredLog(
            WalMetadata(first.cluster_id, first.member_id), HardState(1, 0, 1), first.snapshot, []
        )
        self.member = restore_member(self.config, log, self.store, Random(number), number << 48, 0)

    def put(self, handle, key=b"k", value=b"v", now_ms=0):
        self.member.propose(handle, RequestKind.PUT, put(key, value), b"", now_ms)

    def commit_store(self):
        commit = self.store.begin_commit()
        if commit is not None:
            commit.write()
            commit.finish()
        self.member.store_committed(self.member.applied_snapshot.index)


def make_config(first, name, **settings):
    raft_settings = {key: settings.pop(key) for key in ("max_append_bytes",) if key in settings}
    return MemberConfig(
        cluster_id=first.cluster_id,
        raft=RaftConfig(first.member_id, **raft_settings),
        name=name,
        client_urls=(f"http://{name}:2379",),
        tick_ms=TICK_MS,
        **settings,
    )


class Wired:
    """A cluster whose messages arrive at once, except over links that are cut."""

    def __init__(self, count=3, **settings):
        names = [f"n{number}" for number in range(1, count + 1)]
        initial = {name: (f"http://{name}:2380",) for name in names}
        self.nodes = [
            Node(new_cluster(initial, name, "t"), name, number, **settings)
            for number, name in enumerate(names, start=1)
        ]
        self.now_ms = 0
        self.down = set()  # nothing reaches or leaves these
        self.lose = lambda message: False  # messages to drop
        self.by_id = {node.member.member_id: node for node in self.nodes}

    def pump(self):
        """Lets everything happen that needs no time."""
        moved = True
        while moved:
            moved = False
            for node in self.nodes:
                moved |= self.step(node)

    def step(self, node):
        effects = node.member.drain()
        node.effects.append(effects)
        node.answers.take(effects.replies)
        node.stopped = node.stopped or effects.stop_reason
        self.send(node, effects.messages)
        if effects.messages_after_persist:
            node.held.append((effects.persist_sequence, effects.messages_after_persist))
        if effects.install_snapshot is not None:
            node.member.snapshot_installed(effects.install_snapshot, Keyspace(node.store), node.store)
        sequence = effects.persist.sequence if effects.persist is not None else 0
        if sequence:
            node.written = sequence
        if sequence and not node.hold_log:
            node.persisted = sequence
            node.member.persisted(sequence)
        released = 0
        while node.held and node.held[0][0] <= node.persisted and not node.hold_log:
            released += 1
            self.send(node, node.held.popleft()[1])
        return bool(sequence or effects.messages or effects.replies or released)

    def release(self, node):
        """Everything that was held becomes durable."""
        node.hold_log = False
        node.persisted = node.written
        node.member.persisted(node.written)
        self.pump()

    def send(self, node, messages):
        for message in messages:
            receiver = self.by_id.get(message.receiver)
            if receiver is None or node in self.down or receiver in self.down or self.lose(message):
                continue
            if message.kind == MessageKind.SNAPSHOT:
                receiver.store = node.store.copy()
                message.snapshot = load_position(receiver.store)
            receiver.member.receive([message])

    def tick(self, count=1, nodes=None):
        for _ in range(count):
            self.now_ms += TICK_MS
            for node in nodes or self.nodes:
                node.member.tick(self.now_ms)
            self.pump()

    def elect(self, node=None):
        """Makes a node leader (the first by default) and lets its housekeeping happen."""
        node = node or self.nodes[0]
        node.member.raft.campaign()
        self.pump()
        assert node.member.raft.role == "leader"
        self.tick(2)
        return node


def joiner_log(first):
    """What the log of a member that joins a running cluster holds."""
    return RecoveredLog(WalMetadata(first.cluster_id, first.member_id), HardState(0, 0, 0), NOTHING, [])
