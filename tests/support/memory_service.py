"""A member of one behind the client API, in memory: the real keyspace, and no log or peers.

Writes are applied at once and answered through futures, as the real member's are. Tests turn
its knobs: no leader, a learner, writes that never finish, a delay, alarms, no space.
"""

import asyncio

from miniraft.errors import NOT_LEADER, EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.pb.rpc_pb2 import CompactionRequest, DeleteRangeRequest, PutRequest, TxnRequest
from miniraft.server.limits import Limits
from miniraft.server.proposal import RequestKind
from miniraft.server.service import MemberInfo, MemberStatus
from tests.support.dict_store import DictStore

CLUSTER_ID = 14841639068965178418
MEMBER_ID = 10276657743932975437


class MemoryService:
    """Implements `miniraft.server.service.Service`."""

    def __init__(self, limits=None):
        self.cluster_id = CLUSTER_ID
        self.member_id = MEMBER_ID
        self.limits = limits or Limits()
        self.keyspace = Keyspace(DictStore())
        self.term = 3
        self.leader = MEMBER_ID
        self.is_learner = False
        self.cluster_version = "3.7.0"
        self.raised_alarms = []
        self.has_space = True
        self.delay_seconds = 0.0
        self.hold_writes = False  # writes then wait in `held` for ever
        self.held = []
        self.transferred_to = []
        self.read_index_rounds = 0
        self.unexpected = None  # an exception every read raises: a bug in the server
        self.applied_index = 10
        self.member_infos = [
            MemberInfo(MEMBER_ID, "one", ("http://127.0.0.1:2380",), ("http://127.0.0.1:2379",), False)
        ]
        self._apply = {
            RequestKind.PUT: lambda raw: self.keyspace.put(PutRequest.FromString(raw)),
            RequestKind.DELETE_RANGE: lambda raw: self.keyspace.delete_range(
                DeleteRangeRequest.FromString(raw)
            ),
            RequestKind.TXN: lambda raw: self.keyspace.txn(TxnRequest.FromString(raw)),
            RequestKind.COMPACT: lambda raw: self.keyspace.compact(CompactionRequest.FromString(raw)),
        }

    @property
    def revision(self):
        return self.keyspace.revision

    def propose(self, kind, request, header=b""):
        future = asyncio.get_running_loop().create_future()
        if self.hold_writes:
            self.held.append(future)
        elif self.delay_seconds:
            asyncio.get_running_loop().call_later(self.delay_seconds, self._answer, future, kind, request)
        else:
            self._answer(future, kind, request)
        return future

    def _answer(self, future, kind, request):
        if future.done():
            return
        self.applied_index += 1
        try:
            future.set_result(self._apply[kind](request))
        except EtcdError as error:
            future.set_exception(error)

    def read_index(self):
        self.read_index_rounds += 1
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def range(self, request):
        if self.unexpected is not None:
            raise self.unexpected
        return self.keyspace.range(request)

    def read_only_txn(self, request):
        return self.keyspace.read_only_txn(request)

    def hash_kv(self, revision):
        return self.keyspace.hash_kv(revision)

    def status(self):
        return MemberStatus(
            leader=self.leader,
            term=self.term,
            commit_index=self.applied_index,
            applied_index=self.applied_index,
            db_size_bytes=20480,
            db_size_in_use_bytes=16384,
            is_learner=self.is_learner,
            errors=(),
            pending_proposals=len(self.held),
        )

    def members(self):
        return self.member_infos

    def alarms(self):
        return self.raised_alarms

    def has_space_for(self, cost_bytes):
        return self.has_space

    def transfer_leadership(self, target):
        future = asyncio.get_running_loop().create_future()
        if self.leader == self.member_id:
            self.transferred_to.append(target)
            future.set_result(None)
        else:
            future.set_exception(NOT_LEADER.fresh())
        return future
