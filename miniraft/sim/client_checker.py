"""What the clients were promised: strict serializability, and that nothing acknowledged is lost.

Revisions are etcd's total order of writes, which makes both checkable in one pass. While the
run goes on: an operation that began after another was answered must not see an older
revision. At its end, against the model of the committed log: every acknowledged write is at
its revision, every failed one is nowhere, every read saw what its revision holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import COMPACTED, DEADLINE_EXCEEDED, FUTURE_REVISION, TOO_MANY_REQUESTS
from miniraft.mvcc.results import DeleteRangeResult, PutResult, RangeResult, TxnResult
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.sim.operation import Operation, OperationKind, Outcome
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from miniraft.errors import EtcdError
    from miniraft.sim.model import Model

_WITHOUT_EFFECT = frozenset(
    error.message for error in (COMPACTED, DEADLINE_EXCEEDED, FUTURE_REVISION, TOO_MANY_REQUESTS)
)
_READS = (OperationKind.GET, OperationKind.STALE_GET)


class ClientChecker:
    """Keeps all operations of a run."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.newest_revision = 1  # that anybody was told

    def begin(self, kind: OperationKind, key: bytes, server: str, now_us: int) -> Operation:
        """A client asks for something."""
        operation = Operation(len(self.operations) + 1, kind, key, server, now_us, self.newest_revision)
        self.operations.append(operation)
        return operation

    def answered(self, operation: Operation, result: object, error: EtcdError | None) -> None:
        """A server answered. What the client makes of it if it has given up: nothing."""
        operation.answers += 1
        if operation.answers > 1:
            raise Violation(f"{operation} is answered twice")
        if operation.outcome != Outcome.PENDING:
            return
        operation.result, operation.error = result, error
        if error is not None:
            without_effect = error.message in _WITHOUT_EFFECT or operation.kind in _READS
            operation.outcome = Outcome.FAILED if without_effect else Outcome.UNKNOWN
            return
        operation.outcome = Outcome.DONE
        if operation.kind != OperationKind.STALE_GET:
            self._check_order(operation)

    def lost(self, operation: Operation) -> None:
        """The server crashed, or the client waits no longer."""
        if operation.outcome == Outcome.PENDING:
            operation.outcome = Outcome.UNKNOWN

    def check_against(self, model: Model) -> None:
        """Compares all answers with what the committed log means."""
        for operation in self.operations:
            if operation.outcome == Outcome.DONE:
                _check_done(operation, model)
            elif operation.outcome == Outcome.FAILED and operation.value in model.values:
                raise Violation(
                    f"{operation} failed with {operation.error!r}, yet it took effect at revision"
                    f" {model.values[operation.value]}"
                )

    def _check_order(self, operation: Operation) -> None:
        revision = _revision(operation)
        if revision < operation.floor:
            raise Violation(
                f"{operation} sees revision {revision}, but {operation.floor} had been told when it began"
            )
        if _changed(operation) and revision == operation.floor:
            raise Violation(
                f"{operation} made revision {revision}, which somebody had been told before it began"
            )
        self.newest_revision = max(self.newest_revision, revision)


def _revision(operation: Operation) -> int:
    revision: int = operation.result.revision
    return revision


def _changed(operation: Operation) -> bool:
    result = operation.result
    return (
        isinstance(result, PutResult)
        or (isinstance(result, DeleteRangeResult) and result.deleted > 0)
        or (isinstance(result, TxnResult) and result.succeeded)
    )


def _check_done(operation: Operation, model: Model) -> None:
    result, revision = operation.result, _revision(operation)
    if revision > model.revision:
        raise Violation(f"{operation} was told revision {revision}, the log ends at {model.revision}")
    if _changed(operation):
        wanted = (operation.key, operation.value or None)
        if model.changes.get(revision) != wanted:
            raise Violation(
                f"{operation} was acknowledged as revision {revision}, which is {model.changes.get(revision)}"
                f" and not {wanted}"
            )
    elif isinstance(result, DeleteRangeResult):
        if model.at(operation.key, revision).value is not None:
            raise Violation(f"{operation} found nothing at revision {revision}, but the key was there")
    elif isinstance(result, TxnResult):
        if model.at(operation.key, revision).revision == operation.expected_revision != 0:
            raise Violation(f"{operation} took the wrong branch at revision {revision}")
        _check_read(operation, result.responses[0], model)
    elif isinstance(result, RangeResult):
        _check_read(operation, result, model)


def _check_read(operation: Operation, result: object, model: Model) -> None:
    if not isinstance(result, RangeResult):
        raise Violation(f"{operation} was answered with {result}")
    pairs = [KeyValue.FromString(pair) for pair in result.kvs]
    found = [(pair.value, pair.mod_revision) for pair in pairs]
    version = model.at(operation.key, result.revision)
    wanted = [] if version.value is None else [(version.value, version.revision)]
    if found != wanted:
        raise Violation(f"{operation} read {found} at revision {result.revision}, where there is {wanted}")
