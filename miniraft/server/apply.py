"""From a committed entry to a change of the state machine.

Every member runs the same entries through the same functions, so what happens here must
depend on nothing but the entry and the state: no time, no settings that differ, no failure
that only some members have. An EtcdError is a result like any other (it changed nothing); any
other exception means that this member can no longer be trusted to be like the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from miniraft.errors import LEADER_CHANGED, LEASE_NOT_FOUND, NO_SPACE, EtcdError
from miniraft.mvcc.results import CompactionResult, LeaseGrantResult
from miniraft.pb.log_pb2 import ConfigChange, ProposalHeader, PublishMember, SetClusterVersion
from miniraft.pb.rpc_pb2 import (
    AlarmRequest,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseCheckpointRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    TxnRequest,
)
from miniraft.server.alarms import Alarm, Alarms, space_cost
from miniraft.server.limits import Limits
from miniraft.server.notes import AlarmChanged, MembersChanged, Note, VersionAgreed
from miniraft.server.proposal import RequestKind, decode_proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.mvcc.interface import KeyspaceCore
    from miniraft.mvcc.lessor import Lease
    from miniraft.mvcc.operation_counters import OperationCounters
    from miniraft.mvcc.store import Store
    from miniraft.raft.entry import Entry
    from miniraft.server.authorization import Authorization
    from miniraft.server.membership import Cluster


class ApplyError(Exception):
    """An entry could not be applied: the member must stop before it differs from the others."""


class PhysicalCompaction(NamedTuple):
    """A compaction whose client waits until nothing of what it drops is left."""

    result: CompactionResult


class Applied(NamedTuple):
    """What became of one request."""

    request_id: int
    result: Any
    error: EtcdError | None
    kind: int = 0  # RequestKind; 0: a change of membership


# No request costs the quota more than so many times its own size: an empty put is some bytes.
_MOST_COST_FOR_A_BYTE = 64


class StateMachine:
    """Keyspace, membership and their store, behind `apply`: one entry in, one result out."""

    def __init__(
        self,
        store: Store,
        keyspace: KeyspaceCore,
        cluster: Cluster,
        authorization: Authorization,
        limits: Limits | None = None,
        counters: OperationCounters | None = None,
    ) -> None:
        self.cluster = cluster
        self.alarms = Alarms(store)
        self.notes: list[Note] = []  # since whoever reads it emptied it
        self.out_of_space = False  # a write went beyond the quota; as `membership_changed`
        limits = limits or Limits()
        self._quota_bytes = limits.effective_quota_bytes
        self._most_cost_bytes = _MOST_COST_FOR_A_BYTE * limits.max_request_bytes
        self._is_restricted = False  # alarms or the quota have to be looked at for each entry
        self.authorization = authorization
        self.membership_changed = False  # since whoever reads it last set it to False
        self.compaction_recorded = False  # likewise
        self.lease_changes: list[Lease] = []  # granted or revoked, since whoever reads it emptied it
        self._put_from = PutRequest.FromString
        self._counters = counters or keyspace.counters
        self.replace(store, keyspace)

    def replace(self, store: Store, keyspace: KeyspaceCore) -> None:
        """A snapshot has taken the place of store and keyspace."""
        self.store = store
        self.keyspace = keyspace
        keyspace.counters = self._counters
        self.authorization.leases = keyspace.leases
        self.alarms.reload(store)
        self._handlers: dict[int, Callable[[bytes], Any]] = {
            RequestKind.PUT: self._put,
            RequestKind.DELETE_RANGE: self._delete_range,
            RequestKind.TXN: self._txn,
            RequestKind.COMPACT: self._compact,
            RequestKind.LEASE_GRANT: self._lease_grant,
            RequestKind.LEASE_REVOKE: self._lease_revoke,
            RequestKind.LEASE_CHECKPOINT: self._lease_checkpoint,
            RequestKind.PUBLISH_MEMBER: self._publish_member,
            RequestKind.SET_CLUSTER_VERSION: self._set_cluster_version,
            RequestKind.ALARM: self._alarm,
            **self.authorization.handlers,
        }

    def begin_batch(self) -> None:
        """Entries are about to be applied. The store's size does not change until they are."""
        is_near_quota = 0 <= self._quota_bytes <= self.store.size_bytes() + self._most_cost_bytes
        self._is_restricted = self.alarms.any or is_near_quota

    def apply(self, entry: Entry) -> Applied:
        """Applies a NORMAL entry that is not empty. Raises ApplyError."""
        try:
            request_id, kind, header, request = decode_proposal(entry.data)
            if header:
                _check_term(header, entry.term)
            if self._is_restricted:
                self._check_alarms(kind, request)
            if self.authorization.enabled:
                self.authorization.check_proposal(kind, header, request)
            handler = self._handlers.get(kind)
            if handler is None:
                if kind != RequestKind.AUTHENTICATE:
                    _refuse_kind(kind)
                token = self.authorization.assign_token(entry.index, header, request)
                return Applied(request_id, token, None, kind)
            result = handler(request)
            if self._is_restricted:
                self._check_space(kind, request)
            return Applied(request_id, result, None, kind)
        except EtcdError as error:
            return Applied(request_id, None, error, kind)
        except Exception as error:
            raise ApplyError(f"{_place(entry)} could not be applied: {error!r}") from error

    def apply_config_change(self, entry: Entry) -> tuple[ConfigChange, Applied]:
        """Applies a CONFIG_CHANGE entry to the membership (Raft's own is the caller's matter).

        A change that is accepted answers with the members as they are then. Raises ApplyError.
        """
        change = ConfigChange()
        before = self.cluster.members()
        try:
            change.ParseFromString(entry.data)
            self.cluster.apply(self.store, change)
        except EtcdError as error:
            return change, Applied(change.request_id, None, error)
        except Exception as error:
            raise ApplyError(f"{_place(entry)} could not be applied: {error!r}") from error
        self.membership_changed = True
        after = self.cluster.members()
        about = [member for member in (*after, *before) if member.id == change.member_id]
        self.notes.append(MembersChanged(change.kind, about[0], before, after))
        return change, Applied(change.request_id, self.cluster.members(), None)

    def _check_alarms(self, kind: int, request: bytes) -> None:
        refusal = self.alarms.refusal(kind, request)
        if refusal is not None:
            raise refusal.fresh()

    def _check_space(self, kind: int, request: bytes) -> None:
        """Tells a client that its write went beyond the quota. As in etcd the write stands: the
        others may have had the room for it, and must not differ."""
        cost = space_cost(kind, request)
        if cost and 0 <= self._quota_bytes <= self.store.size_bytes() + cost:
            self.out_of_space = True
            raise NO_SPACE.fresh()

    def _put(self, request: bytes) -> Any:
        return self.keyspace.put(self._put_from(request))

    def _delete_range(self, request: bytes) -> Any:
        return self.keyspace.delete_range(DeleteRangeRequest.FromString(request))

    def _txn(self, request: bytes) -> Any:
        return self.keyspace.txn(TxnRequest.FromString(request))

    def _compact(self, request: bytes) -> Any:
        message = CompactionRequest.FromString(request)
        result = self.keyspace.compact(message)
        self.compaction_recorded = True
        return PhysicalCompaction(result) if message.physical else result

    def _lease_grant(self, request: bytes) -> LeaseGrantResult:
        message = LeaseGrantRequest.FromString(request)
        lease = self.keyspace.leases.grant(message.ID, message.TTL)
        self.lease_changes.append(lease)
        return LeaseGrantResult(self.keyspace.revision, lease.id, lease.ttl_seconds)

    def _lease_revoke(self, request: bytes) -> Any:
        lease = self.keyspace.leases.find(LeaseRevokeRequest.FromString(request).ID)
        if lease is None:
            raise LEASE_NOT_FOUND.fresh()
        result = self.keyspace.delete_keys(lease.keys)
        self.keyspace.leases.remove(lease)
        self.lease_changes.append(lease)
        return result

    def _lease_checkpoint(self, request: bytes) -> None:
        checkpoint = self.keyspace.leases.checkpoint
        for noted in LeaseCheckpointRequest.FromString(request).checkpoints:
            checkpoint(noted.ID, noted.remaining_TTL)

    def _publish_member(self, request: bytes) -> None:
        if self.cluster.publish(self.store, PublishMember.FromString(request)):
            self.membership_changed = True

    def _set_cluster_version(self, request: bytes) -> None:
        version = SetClusterVersion.FromString(request).version
        if version != self.cluster.version:
            self.notes.append(VersionAgreed(version))
        self.cluster.set_version(self.store, version)

    def _alarm(self, request: bytes) -> Sequence[Alarm]:
        before = set(self.alarms.all())
        answer = self.alarms.apply(self.store, AlarmRequest.FromString(request))
        for alarm in sorted(before ^ set(self.alarms.all())):
            self.notes.append(AlarmChanged(alarm, is_raised=alarm not in before))
        self._is_restricted = True  # in this batch; the next one sees for itself
        return answer


def _check_term(header: bytes, term: int) -> None:
    """What the leader of one term decided has no effect in an entry of another.

    Raises LEADER_CHANGED.
    """
    if ProposalHeader.FromString(header).leader_term not in (0, term):
        raise LEADER_CHANGED.fresh()


def _refuse_kind(kind: int) -> NoReturn:
    raise ValueError(f"this version knows no requests of kind {kind}")


def _place(entry: Entry) -> str:
    return f"log entry {entry.index} of term {entry.term}"
