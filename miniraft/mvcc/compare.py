"""The conditions of a transaction, and which of its branches they choose.

All conditions, those of nested transactions too, look at the keyspace as it is before the
transaction writes anything. (Repeated fields are sliced before a loop: see
server/validation.py.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import Compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.pb.rpc_pb2 import TxnRequest

_MISSING = KeyValue()


class Branch(NamedTuple):
    """The side of a transaction that is to run."""

    succeeded: bool
    operations: list[Operation]


class Operation(NamedTuple):
    """One operation: the name of the RequestOp's member, and its message.

    For `request_txn` it is the nested transaction's Branch instead.
    """

    kind: str | None  # None: a RequestOp with no member set, which validation refuses
    request: Any


class ReadPairs(Protocol):
    """Reads what a condition is about."""

    def __call__(self, key: bytes, range_end: bytes) -> Sequence[bytes]:
        """Returns the serialized pairs now in the range, `range_end` as in a RangeRequest."""


def choose_branch(request: TxnRequest, read: ReadPairs) -> Branch:
    """Evaluates the conditions and returns the branch they choose, nested ones resolved."""
    succeeded = True
    for compare in request.compare[:]:
        if not holds(compare, read(compare.key, compare.range_end)):
            succeeded = False
            break
    operations = []
    for union in request.success[:] if succeeded else request.failure[:]:
        kind = union.WhichOneof("request")
        message: Any = getattr(union, kind) if kind else None
        if kind == "request_txn":
            message = choose_branch(message, read)
        operations.append(Operation(kind, message))
    return Branch(succeeded, operations)


def holds(compare: Compare, pairs: Sequence[bytes]) -> bool:
    """Whether every one of the serialized pairs satisfies the condition.

    Without pairs, numbers compare as 0 and a condition on the value never holds.
    """
    if not pairs:
        return compare.target != Compare.VALUE and _satisfies(compare, _MISSING)
    return all(_satisfies(compare, KeyValue.FromString(pair)) for pair in pairs)


def _satisfies(compare: Compare, pair: KeyValue) -> bool:
    actual, operand = _operands(compare, pair)
    result = compare.result
    if result == Compare.EQUAL:
        return bool(actual == operand)
    if result == Compare.NOT_EQUAL:
        return bool(actual != operand)
    if result == Compare.GREATER:
        return bool(actual > operand)
    if result == Compare.LESS:
        return bool(actual < operand)
    return True  # as etcd does with a number it does not know


def _operands(compare: Compare, pair: KeyValue) -> tuple[Any, Any]:
    """Returns what the pair has and what it is compared with.

    An operand given for another target than the compare's reads as unset, which is 0 or empty.
    """
    target = compare.target
    if target == Compare.VERSION:
        return pair.version, compare.version
    if target == Compare.CREATE:
        return pair.create_revision, compare.create_revision
    if target == Compare.MOD:
        return pair.mod_revision, compare.mod_revision
    if target == Compare.VALUE:
        return pair.value, compare.value
    if target == Compare.LEASE:
        return pair.lease, compare.lease
    return 0, 0
