"""A member of one behind the client API, in memory: the real keyspace, and no log or peers.

Writes are applied at once and answered through futures, as the real member's are. Tests turn
its knobs: no leader, a learner, writes that never finish, a delay, alarms, no space.
"""

import asyncio

from miniraft.errors import LEASE_NOT_FOUND, NOT_LEADER, EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.results import LeaseGrantResult, LeaseTimes
from miniraft.mvcc.watch.hub import WatchHub
from miniraft.pb.rpc_pb2 import (
    AlarmRequest,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    TxnRequest,
)
from miniraft.runtime.credentials import CredentialSettings, RuntimeCredentials
from miniraft.server.authorization import Authorization
from miniraft.server.limits import Limits
from miniraft.server.member_figures import MemberFigures
from miniraft.server.proposal import RequestKind
from miniraft.server.service import MemberInfo, MemberStatus
from tests.support.dict_store import DictStore

CLUSTER_ID = 14841639068965178418
MEMBER_ID = 10276657743932975437


class MemoryAdministration:
    """Implements Administration: changes the list of members, and pretends the rest."""

    def __init__(self, service):
        self._service = service
        self.defragmented = 0

    def _resolved(self, result):
        future = asyncio.get_running_loop().create_future()
        future.set_result(result)
        return future

    def add_member(self, peer_urls, is_learner):
        added = MemberInfo(77, "", tuple(peer_urls), (), is_learner)
        self._service.member_infos = sorted([*self._service.member_infos, added])
        return self._resolved((added, self._service.member_infos))

    def remove_member(self, member_id):
        self._service.member_infos = [one for one in self._service.member_infos if one.id != member_id]
        return self._resolved(self._service.member_infos)

    def _replace(self, member_id, **changes):
        self._service.member_infos = [
            one._replace(**changes) if one.id == member_id else one for one in self._service.member_infos
        ]
        return self._resolved(self._service.member_infos)

    def update_member(self, member_id, peer_urls):
        return self._replace(member_id, peer_urls=tuple(peer_urls))

    def promote_member(self, member_id):
        return self._replace(member_id, is_learner=False)

    def defragment(self):
        self.defragmented += 1
        return self._resolved(None)

    def hash_store(self):
        return self._resolved(4711)

    def hash_kv(self, revision):
        try:
            return self._resolved(self._service.keyspace.hash_kv(revision))
        except EtcdError as error:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(error)
            return future

    async def snapshot(self):
        for blob, remaining in ((b"first", 4), (b"last", 0), (b"h" * 32, 0)):
            yield blob, remaining


class MemoryService:
    """Implements `miniraft.server.service.Service`."""

    def __init__(self, limits=None):
        self.cluster_id = CLUSTER_ID
        self.member_id = MEMBER_ID
        self.limits = limits or Limits()
        self.keyspace = Keyspace(DictStore())
        self.authorization = Authorization(DictStore(), token_ttl_ms=300_000)
        self.credentials = RuntimeCredentials(
            CredentialSettings(bcrypt_cost=4), self.authorization, lambda: self.applied_index
        )
        self.watches = WatchHub(self.keyspace)
        self.administration = MemoryAdministration(self)
        self.applies = MemberFigures().applies
        self.watches.on_replay_due = self._plan_replay
        self.leaderless_callbacks = []
        self.term = 3
        self.leader = MEMBER_ID
        self.is_learner = False
        self.cluster_version = "3.7.0"
        self.raised_alarms = []
        self.has_space = True
        self.delay_seconds = 0.0
        self.hold_writes = False  # writes then wait in `held` for ever
        self.held = []
        self.granted_leases = 0
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
            RequestKind.LEASE_GRANT: self._grant,
            RequestKind.LEASE_REVOKE: self._revoke,
            RequestKind.ALARM: self._alarm,
            RequestKind.COMPACT: lambda raw: self.keyspace.compact(CompactionRequest.FromString(raw)),
            **self.authorization.handlers,
        }

    @property
    def revision(self):
        return self.keyspace.revision

    def propose(self, kind, request, header=b""):
        future = asyncio.get_running_loop().create_future()
        if self.hold_writes:
            self.held.append(future)
        elif self.delay_seconds:
            asyncio.get_running_loop().call_later(
                self.delay_seconds, self._answer, future, kind, request, header
            )
        else:
            self._answer(future, kind, request, header)
        return future

    def _answer(self, future, kind, request, header):
        if future.done():
            return
        self.applied_index += 1
        try:
            if self.authorization.enabled:
                self.authorization.check_proposal(kind, header, request)
            if kind == RequestKind.AUTHENTICATE:
                token = self.authorization.assign_token(self.applied_index, header, request)
                future.set_result(token)
            else:
                future.set_result(self._apply[kind](request))
        except EtcdError as error:
            future.set_exception(error)

    def _plan_replay(self):
        asyncio.get_running_loop().call_soon(self._replay)

    def _replay(self):
        if self.watches.replay_step():
            self._plan_replay()

    def call_when_leaderless(self, callback):
        self.leaderless_callbacks.append(callback)

    def lose_leader(self):
        """No leader, and for too long."""
        self.leader = 0
        for callback in self.leaderless_callbacks:
            callback()

    def grant_lease(self, lease_id, ttl_seconds, header=b""):
        self.granted_leases += not lease_id
        lease_id = lease_id or 0x1000 + self.granted_leases
        request = LeaseGrantRequest(ID=lease_id, TTL=max(ttl_seconds, 2))
        return self.propose(RequestKind.LEASE_GRANT, request.SerializeToString(), header)

    def _grant(self, raw):
        request = LeaseGrantRequest.FromString(raw)
        lease = self.keyspace.leases.grant(request.ID, request.TTL)
        return LeaseGrantResult(self.revision, lease.id, lease.ttl_seconds)

    def _revoke(self, raw):
        lease = self.keyspace.leases.find(LeaseRevokeRequest.FromString(raw).ID)
        if lease is None:
            raise LEASE_NOT_FOUND
        result = self.keyspace.delete_keys(lease.keys)
        self.keyspace.leases.remove(lease)
        return result

    async def renew_lease(self, lease_id):
        """No time passes here."""
        return await self.lease_time_to_live(lease_id, with_keys=False)

    async def lease_time_to_live(self, lease_id, *, with_keys):
        lease = self.keyspace.leases.find(lease_id)
        if lease is None:
            return None
        return LeaseTimes(lease.ttl_seconds, lease.ttl_seconds, sorted(lease.keys) if with_keys else ())

    def leases(self):
        return [lease.id for lease in self.keyspace.leases]

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

    def _alarm(self, raw):
        request = AlarmRequest.FromString(raw)
        alarm = (request.memberID, request.alarm)
        if request.action == AlarmRequest.ACTIVATE:
            self.raised_alarms = sorted({*self.raised_alarms, alarm})
        elif alarm in self.raised_alarms:
            self.raised_alarms.remove(alarm)
        else:
            return []
        return [alarm]

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
