"""From a committed entry to a change of the state machine.

Every member runs the same entries through the same functions, so what happens here must
depend on nothing but the entry and the state: no time, no settings that differ, no failure
that only some members have. An EtcdError is a result like any other (it changed nothing); any
other exception means that this member can no longer be trusted to be like the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from miniraft.errors import EtcdError
from miniraft.mvcc.results import CompactionResult  # noqa: TC001 (a NamedTuple evaluates its fields' types)
from miniraft.pb.log_pb2 import ConfigChange, PublishMember, SetClusterVersion
from miniraft.pb.rpc_pb2 import CompactionRequest, DeleteRangeRequest, PutRequest, TxnRequest
from miniraft.server.proposal import RequestKind, decode_proposal

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.mvcc.interface import KeyspaceCore
    from miniraft.mvcc.store import Store
    from miniraft.raft.entry import Entry
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


class StateMachine:
    """Keyspace, membership and their store, behind `apply`: one entry in, one result out."""

    def __init__(self, store: Store, keyspace: KeyspaceCore, cluster: Cluster) -> None:
        self.cluster = cluster
        self.membership_changed = False  # since whoever reads it last set it to False
        self.compaction_recorded = False  # likewise
        self._put_from = PutRequest.FromString
        self.replace(store, keyspace)

    def replace(self, store: Store, keyspace: KeyspaceCore) -> None:
        """A snapshot has taken the place of store and keyspace."""
        self.store = store
        self.keyspace = keyspace
        self._handlers: dict[int, Callable[[bytes], Any]] = {
            RequestKind.PUT: self._put,
            RequestKind.DELETE_RANGE: self._delete_range,
            RequestKind.TXN: self._txn,
            RequestKind.COMPACT: self._compact,
            RequestKind.PUBLISH_MEMBER: self._publish_member,
            RequestKind.SET_CLUSTER_VERSION: self._set_cluster_version,
        }

    def apply(self, entry: Entry) -> Applied:
        """Applies a NORMAL entry that is not empty. Raises ApplyError."""
        try:
            request_id, kind, _header, request = decode_proposal(entry.data)
            handler = self._handlers.get(kind)
            if handler is None:
                _refuse_kind(kind)
            return Applied(request_id, handler(request), None)
        except EtcdError as error:
            return Applied(request_id, None, error)
        except Exception as error:
            raise ApplyError(f"{_place(entry)} could not be applied: {error!r}") from error

    def apply_config_change(self, entry: Entry) -> tuple[ConfigChange, Applied]:
        """Applies a CONFIG_CHANGE entry to the membership (Raft's own is the caller's matter).

        A change that is accepted answers with the members as they are then. Raises ApplyError.
        """
        change = ConfigChange()
        try:
            change.ParseFromString(entry.data)
            self.cluster.apply(self.store, change)
        except EtcdError as error:
            return change, Applied(change.request_id, None, error)
        except Exception as error:
            raise ApplyError(f"{_place(entry)} could not be applied: {error!r}") from error
        self.membership_changed = True
        return change, Applied(change.request_id, self.cluster.members(), None)

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

    def _publish_member(self, request: bytes) -> None:
        if self.cluster.publish(self.store, PublishMember.FromString(request)):
            self.membership_changed = True

    def _set_cluster_version(self, request: bytes) -> None:
        self.cluster.set_version(self.store, SetClusterVersion.FromString(request).version)


def _refuse_kind(kind: int) -> NoReturn:
    raise ValueError(f"this version knows no requests of kind {kind}")


def _place(entry: Entry) -> str:
    return f"log entry {entry.index} of term {entry.term}"
