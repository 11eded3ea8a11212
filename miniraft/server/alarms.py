"""The alarms of the cluster, as of the last applied entry.

An alarm belongs to a member and has a type. While one of type NOSPACE stands, whoever raised
it, nothing that takes space is written; under CORRUPT nothing is written at all. Kept in the
store as etcd does: bucket `alarm`, the serialized AlarmMember as key, no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from miniraft.errors import CORRUPT_CLUSTER, NO_SPACE
from miniraft.mvcc.store import Bucket
from miniraft.pb.rpc_pb2 import AlarmMember, AlarmRequest, AlarmType, PutRequest, TxnRequest
from miniraft.server.proposal import RequestKind
from miniraft.server.validation import put_cost, txn_cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.errors import EtcdError
    from miniraft.mvcc.store import Store

NOSPACE = int(AlarmType.NOSPACE)
CORRUPT = int(AlarmType.CORRUPT)

LEASE_COST_BYTES = 64  # what a lease counts for against the quota
_REFUSED_WHEN_CORRUPT = frozenset(
    {
        RequestKind.PUT,
        RequestKind.DELETE_RANGE,
        RequestKind.TXN,
        RequestKind.COMPACT,
        RequestKind.LEASE_GRANT,
        RequestKind.LEASE_REVOKE,
    }
)


class Alarm(NamedTuple):
    """One alarm."""

    member_id: int
    type: int  # AlarmType


class Alarms:
    """The alarms that stand. Reads come from memory, changes go to the store as well."""

    def __init__(self, store: Store) -> None:
        """Raises ValueError when what the store holds cannot be read."""
        self._raised: set[Alarm] = set()
        self.reload(store)

    def reload(self, store: Store) -> None:
        """Reads everything from the store, as also when a snapshot has replaced it."""
        self._raised = {_decode(key) for key, _ in store.scan(Bucket.ALARM)}
        self._note()

    @property
    def any(self) -> bool:
        """Whether an alarm stands."""
        return bool(self._raised)

    def all(self) -> Sequence[Alarm]:
        """Returns every alarm, by member and type."""
        return self._sorted

    def is_raised(self, member_id: int, alarm: int) -> bool:
        """Whether this member has raised this alarm."""
        return Alarm(member_id, alarm) in self._raised

    def has(self, alarm: int) -> bool:
        """Whether any member has raised this alarm."""
        return any(raised.type == alarm for raised in self._raised)

    def apply(self, store: Store, request: AlarmRequest) -> Sequence[Alarm]:
        """Carries out a committed request; returns the alarms it speaks of, as etcd answers them.

        Raising NONE, and disarming what is not raised, do nothing and answer nothing.
        """
        alarm = Alarm(request.memberID, request.alarm)
        if request.action == AlarmRequest.GET:
            return [raised for raised in self._sorted if request.alarm in (0, raised.type)]
        if request.action == AlarmRequest.ACTIVATE:
            if alarm.type == AlarmType.NONE:
                return []
            store.put(Bucket.ALARM, _encode(alarm), b"")
            self._raised.add(alarm)
        elif alarm not in self._raised:
            return []
        else:
            store.delete(Bucket.ALARM, _encode(alarm))
            self._raised.remove(alarm)
        self._note()
        return [alarm]

    def refusal(self, kind: int, request: bytes) -> EtcdError | None:
        """Returns why a request is refused under the alarms that stand, CORRUPT before NOSPACE."""
        if self._corrupt and kind in _REFUSED_WHEN_CORRUPT:
            return CORRUPT_CLUSTER
        if self._no_space and space_cost(kind, request):
            return NO_SPACE
        return None

    def _note(self) -> None:
        self._sorted = tuple(sorted(self._raised))
        self._no_space = self.has(NOSPACE)
        self._corrupt = self.has(CORRUPT)


def space_cost(kind: int, request: bytes) -> int:
    """Returns the bytes a request counts for against the quota; 0: it takes no space."""
    if kind == RequestKind.PUT:
        return put_cost(PutRequest.FromString(request))
    if kind == RequestKind.TXN:
        return txn_cost(TxnRequest.FromString(request))
    return LEASE_COST_BYTES if kind == RequestKind.LEASE_GRANT else 0


def alarm_name(alarm: int) -> str:
    """Returns an alarm's name, its number when it has none."""
    value = AlarmType.DESCRIPTOR.values_by_number.get(alarm)
    return str(alarm) if value is None else value.name


def alarm_request(member_id: int, alarm: int) -> bytes:
    """Returns the request that raises an alarm."""
    message = AlarmRequest(action=AlarmRequest.ACTIVATE, memberID=member_id)
    message.alarm = alarm  # type: ignore[assignment]  # an AlarmType's number
    return message.SerializeToString()


def _encode(alarm: Alarm) -> bytes:
    message = AlarmMember(memberID=alarm.member_id)
    message.alarm = alarm.type  # type: ignore[assignment]  # an AlarmType's number
    return message.SerializeToString(deterministic=True)


def _decode(key: bytes) -> Alarm:
    try:
        message = AlarmMember.FromString(key)
    except DecodeError as error:
        raise ValueError(f"an alarm in the store cannot be read ({error}): {key[:64]!r}") from error
    return Alarm(message.memberID, message.alarm)
