"""What is wrong with a request for the keyspace, found out before it is replicated.

Pure functions, in etcd's order of checks: clients see the first thing that is wrong.
Repeated fields are looped over as slices: a slice is a plain list, while iterating over the
field itself ends in an exception each time, which costs more than the loop.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from miniraft.errors import (
    DUPLICATE_KEY,
    EMPTY_KEY,
    INVALID_SORT_OPTION,
    KEY_NOT_FOUND,
    LEASE_PROVIDED,
    TOO_MANY_OPERATIONS,
    VALUE_PROVIDED,
)
from miniraft.pb.rpc_pb2 import RangeRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.pb.rpc_pb2 import DeleteRangeRequest, PutRequest, RequestOp, TxnRequest

PUT_OVERHEAD_BYTES = 256  # what a pair costs the quota beside its key and value

_SORT_ORDERS = frozenset(RangeRequest.SortOrder.values())
_SORT_TARGETS = frozenset(RangeRequest.SortTarget.values())


# Single requests ------------------------------------------------------------------------------
def check_range(request: RangeRequest) -> None:
    """Raises EMPTY_KEY, INVALID_SORT_OPTION."""
    if not request.key:
        raise EMPTY_KEY.fresh()
    if request.sort_order not in _SORT_ORDERS or request.sort_target not in _SORT_TARGETS:
        raise INVALID_SORT_OPTION.fresh()


def check_put(request: PutRequest) -> None:
    """Raises EMPTY_KEY, VALUE_PROVIDED, LEASE_PROVIDED."""
    if not request.key:
        raise EMPTY_KEY.fresh()
    if request.ignore_value and request.value:
        raise VALUE_PROVIDED.fresh()
    if request.ignore_lease and request.lease:
        raise LEASE_PROVIDED.fresh()


def check_delete_range(request: DeleteRangeRequest) -> None:
    """Raises EMPTY_KEY."""
    if not request.key:
        raise EMPTY_KEY.fresh()


# Transactions ---------------------------------------------------------------------------------
def check_txn(request: TxnRequest, max_operations: int) -> None:
    """Raises TOO_MANY_OPERATIONS, DUPLICATE_KEY, and what its operations alone would raise.

    `max_operations` bounds each of the three lists; a nested transaction may use what the
    longest list around it leaves. Sizes and operations are checked in the whole request
    before any overlap is.
    """
    _check_operations(request, max_operations)
    for operations in (request.success[:], request.failure[:]):
        # One operation alone has nothing to overlap with, unless it is a transaction itself.
        if len(operations) > 1 or (operations and operations[0].HasField("request_txn")):
            _collect_writes(operations)


def is_read_only(request: TxnRequest) -> bool:
    """Whether the transaction needs no replication: nothing but ranges on both sides.

    A nested transaction counts as a write whatever is in it, as in etcd.
    """
    operations = request.success[:] + request.failure[:]
    return all(operation.HasField("request_range") for operation in operations)


def is_serializable(request: TxnRequest) -> bool:
    """Whether a read-only transaction may be answered from local state as it is."""
    operations = request.success[:] + request.failure[:]
    return all(
        operation.HasField("request_range") and operation.request_range.serializable
        for operation in operations
    )


# Cost against the database quota --------------------------------------------------------------
def put_cost(request: PutRequest) -> int:
    """Returns the bytes a put counts for."""
    return PUT_OVERHEAD_BYTES + len(request.key) + len(request.value)


def txn_cost(request: TxnRequest) -> int:
    """Returns the bytes a transaction counts for: the puts of its dearer side. 0: no put at all."""
    return max(_operations_cost(request.success[:]), _operations_cost(request.failure[:]))


# Parts ----------------------------------------------------------------------------------------
def _check_operations(request: TxnRequest, max_operations: int) -> None:
    longest = max(len(request.compare), len(request.success), len(request.failure))
    if longest > max_operations:
        raise TOO_MANY_OPERATIONS.fresh()
    for compare in request.compare[:]:
        if not compare.key:
            raise EMPTY_KEY.fresh()
    for operation in request.success[:] + request.failure[:]:
        _check_operation(operation, max_operations - longest)


def _check_operation(operation: RequestOp, max_nested_operations: int) -> None:
    kind = operation.WhichOneof("request")
    if kind == "request_put":
        check_put(operation.request_put)
    elif kind == "request_range":
        check_range(operation.request_range)
    elif kind == "request_delete_range":
        check_delete_range(operation.request_delete_range)
    elif kind == "request_txn":
        _check_operations(operation.request_txn, max_nested_operations)
    else:
        raise KEY_NOT_FOUND.fresh()


def _operations_cost(operations: Sequence[RequestOp]) -> int:
    cost = 0
    for operation in operations:
        kind = operation.WhichOneof("request")
        if kind == "request_put":
            cost += put_cost(operation.request_put)
        elif kind == "request_txn":
            cost += txn_cost(operation.request_txn)
    return cost


class _Deletes:
    """The union of delete ranges, as disjoint [start, end) in ascending order."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts: list[bytes] = []
        self.ends: list[bytes] = []

    def add(self, start: bytes, end: bytes) -> None:
        if start >= end:
            return
        first = bisect_left(self.ends, start)  # the first that touches or lies behind
        last = bisect_right(self.starts, end)
        if first < last:
            start = min(start, self.starts[first])
            end = max(end, self.ends[last - 1])
        self.starts[first:last] = [start]
        self.ends[first:last] = [end]

    def covers(self, key: bytes) -> bool:
        position = bisect_right(self.starts, key)
        return position > 0 and key < self.ends[position - 1]


def _collect_writes(operations: Sequence[RequestOp]) -> tuple[set[bytes], _Deletes]:
    """Returns what one side may put and delete, nested transactions included.

    Raises DUPLICATE_KEY when a key may be put twice, or put and deleted. The two sides of a
    nested transaction do not disturb each other. Two gaps are etcd's and clients may rest on
    them: a delete from a key on (range end `\\0`) covers nothing, and the puts of a nested
    transaction are not held against deletes in a later one beside it.
    """
    puts: set[bytes] = set()
    deletes = _Deletes()
    own_puts: list[bytes] = []
    nested: list[TxnRequest] = []
    for operation in operations:
        kind = operation.WhichOneof("request")
        if kind == "request_put":
            own_puts.append(operation.request_put.key)
        elif kind == "request_delete_range":
            request = operation.request_delete_range
            deletes.add(request.key, request.range_end or request.key + b"\0")
        elif kind == "request_txn":
            nested.append(operation.request_txn)
    for txn in nested:
        _collect_nested_writes(txn, puts, deletes)
    for key in own_puts:
        if key in puts or deletes.covers(key):
            raise DUPLICATE_KEY.fresh()
        puts.add(key)
    return puts, deletes


def _collect_nested_writes(request: TxnRequest, puts: set[bytes], deletes: _Deletes) -> None:
    success_puts, success_deletes = _collect_writes(request.success[:])
    failure_puts, failure_deletes = _collect_writes(request.failure[:])
    nested = success_puts | failure_puts
    if not puts.isdisjoint(nested) or any(deletes.covers(key) for key in nested):
        raise DUPLICATE_KEY.fresh()
    puts |= nested
    for found in (success_deletes, failure_deletes):
        for start, end in zip(found.starts, found.ends, strict=True):
            deletes.add(start, end)
