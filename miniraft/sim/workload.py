"""Clients: each asks a server, waits, thinks, asks another. When in doubt it does not know."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from miniraft.mvcc.results import RangeResult
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import (
    CompactionRequest,
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
)
from miniraft.server.proposal import RequestKind
from miniraft.sim.onlooker import Onlooker
from miniraft.sim.operation import Operation, OperationKind, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from miniraft.errors import EtcdError
    from miniraft.server.effects import Reply
    from miniraft.server.member import Member
    from miniraft.sim.client_checker import ClientChecker
    from miniraft.sim.server import SimServer
    from miniraft.sim.world import World

_MEAN_PATIENCE_US = 1_500_000  # of a client with one request
_STUBBORN_SHARE = 0.1  # of requests, whose client waits for the server's answer whatever it takes
_STUBBORN_PATIENCE_US = 60_000_000
_RETRY_US = 100_000  # after a server that is down
_SHARES = {
    OperationKind.PUT: 40,
    OperationKind.DELETE: 10,
    OperationKind.SWAP: 15,
    OperationKind.GET: 25,
    OperationKind.STALE_GET: 8,
    OperationKind.COMPACT: 2,
}


class Workload(Onlooker):
    """All clients of a run, and the way back for the servers' answers."""

    def __init__(self, world: World, random: Random, checker: ClientChecker) -> None:
        self.stopped = False  # no new requests
        self._scheduler = world.scheduler
        self._random = random
        self._options = world.options
        self._servers = world.servers
        self._checker = checker
        self._waiting: dict[Operation, Callable[[], None]] = {}  # how each one's client goes on
        self._mod_revisions: dict[bytes, int] = {}  # as the clients last heard

    def start(self) -> None:
        """All clients begin."""
        for _ in range(self._options.clients):
            self._scheduler.after(self._random.randint(*self._options.think_us), self._next)

    def probe(self, server: SimServer, kind: OperationKind, ended: Callable[[Operation], None]) -> None:
        """One request on top, at one server; `ended` gets it when it is over."""
        operation = self._begin(kind, server)
        self._send(operation, server, partial(ended, operation))

    # Onlooker ---------------------------------------------------------------------------------
    def replied(self, server: SimServer, reply: Reply) -> None:
        """An answer: a read is done with it only now, locally."""
        operation = reply.handle
        if not isinstance(operation, Operation):
            return  # a client with a lease asked
        result, error = reply.result, reply.error
        if operation.kind == OperationKind.GET and error is None and server.member is not None:
            result = server.member.keyspace.range(RangeRequest(key=operation.key))
        self._end(operation, result, error)

    def crashed(self, server: SimServer) -> None:
        """The connections to this server break."""
        for operation in [waiting for waiting in self._waiting if waiting.server == server.name]:
            self._checker.lost(operation)
            self._go_on(operation)

    # One client -------------------------------------------------------------------------------
    def _next(self) -> None:
        if self.stopped:
            return
        server = self._random.choice(self._servers)
        kinds = list(_SHARES)
        kind = self._random.choices(kinds, [_SHARES[kind] for kind in kinds])[0]
        think = partial(self._scheduler.after, self._random.randint(*self._options.think_us), self._next)
        if server.running:
            self._send(self._begin(kind, server), server, think)
        else:
            self._scheduler.after(_RETRY_US, self._next)

    def _begin(self, kind: OperationKind, server: SimServer) -> Operation:
        key = b"key%d" % self._random.randrange(self._options.keys)
        return self._checker.begin(kind, key, server.name, self._scheduler.now_us)

    def _send(self, operation: Operation, server: SimServer, go_on: Callable[[], None]) -> None:
        self._waiting[operation] = go_on
        call = self._call(operation)
        if not server.ask(call):
            self._checker.lost(operation)
            self._go_on(operation)
            return
        self._scheduler.after(self._patience(), partial(self._give_up, operation))

    def _call(self, operation: Operation) -> Callable[[Member, int], None]:
        if operation.kind == OperationKind.GET:
            return lambda member, now_ms: member.read_index(operation, now_ms)
        if operation.kind == OperationKind.STALE_GET:
            return lambda member, now_ms: self._read_stale(operation, member)  # noqa: ARG005
        kind, request = self._request(operation)
        return lambda member, now_ms: member.propose(operation, kind, request, b"", now_ms)

    def _request(self, operation: Operation) -> tuple[RequestKind, bytes]:
        key = operation.key
        if operation.kind == OperationKind.DELETE:
            return RequestKind.DELETE_RANGE, DeleteRangeRequest(key=key).SerializeToString()
        if operation.kind == OperationKind.COMPACT:
            revision = max(1, self._checker.newest_revision - self._random.randrange(1, 50))
            compaction = CompactionRequest(revision=revision, physical=self._random.random() < 0.5)
            return RequestKind.COMPACT, compaction.SerializeToString()
        operation.value = b"value of operation %d" % operation.number
        if self._random.random() < 0.2:
            operation.value += b"." * self._random.randrange(2_000)
        put = PutRequest(key=key, value=operation.value)
        if operation.kind == OperationKind.PUT:
            return RequestKind.PUT, put.SerializeToString()
        operation.expected_revision = self._mod_revisions.get(key, 0)
        compare = Compare(
            key=key, target=Compare.MOD, result=Compare.EQUAL, mod_revision=operation.expected_revision
        )
        twin = PutRequest(key=b"twin of " + key, value=operation.value)  # changes in the same revision
        txn = TxnRequest(
            compare=[compare],
            success=[RequestOp(request_put=put), RequestOp(request_put=twin)],
            failure=[RequestOp(request_range=RangeRequest(key=key))],
        )
        return RequestKind.TXN, txn.SerializeToString()

    def _read_stale(self, operation: Operation, member: Member) -> None:
        self._end(operation, member.keyspace.range(RangeRequest(key=operation.key)), None)

    def _end(self, operation: Operation, result: Any, error: EtcdError | None) -> None:
        self._checker.answered(operation, result, error)
        if operation.outcome == Outcome.DONE and isinstance(result, RangeResult):
            for pair in map(KeyValue.FromString, result.kvs):
                self._mod_revisions[pair.key] = pair.mod_revision
        self._go_on(operation)

    def _patience(self) -> int:
        if self._random.random() < _STUBBORN_SHARE:
            return _STUBBORN_PATIENCE_US
        return int(self._random.expovariate(1 / _MEAN_PATIENCE_US))

    def _give_up(self, operation: Operation) -> None:
        self._checker.lost(operation)
        self._go_on(operation)

    def _go_on(self, operation: Operation) -> None:
        go_on = self._waiting.pop(operation, None)
        if go_on is not None:
            go_on()
