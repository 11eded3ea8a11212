"""The KV service. Writes are proposed in the bytes they came in; reads are answered locally."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from miniraft.api.guard import Guard
from miniraft.api.responses import (
    delete_range_response,
    put_response,
    range_response,
    txn_response,
)
from miniraft.api.space import await_alarm, refuse_for_space
from miniraft.errors import LEARNER_UNSUPPORTED, EtcdError
from miniraft.pb.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    TxnRequest,
)
from miniraft.server import validation
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.mvcc.results import TxnResult
    from miniraft.server.service import Service

RANGE_PATH = "/etcdserverpb.KV/Range"

_PUT = int(RequestKind.PUT)
_DELETE_RANGE = int(RequestKind.DELETE_RANGE)
_TXN = int(RequestKind.TXN)
_COMPACT = int(RequestKind.COMPACT)


class KeyValueApi:
    """Handlers of `etcdserverpb.KV`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)
        # Of a read, the wait for the leader counts.
        self._slow_seconds = service.applies.slow_seconds

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the unary handlers by path."""
        return {
            RANGE_PATH: self.range,
            "/etcdserverpb.KV/Put": self.put,
            "/etcdserverpb.KV/DeleteRange": self.delete_range,
            "/etcdserverpb.KV/Txn": self.txn,
            "/etcdserverpb.KV/Compact": self.compact,
        }

    async def range(self, call: Call, raw: bytes) -> bytes:
        """Reads keys: linearizable after one read index round, or serializable at once."""
        service = self._service
        request = RangeRequest.FromString(raw)
        began = perf_counter()
        try:
            if not request.serializable:
                if service.is_learner:
                    raise LEARNER_UNSUPPORTED.fresh()
                validation.check_range(request)
                await call.wait_on(service.read_index())
            else:
                validation.check_range(request)
            if self._guard.authorization.enabled:
                await self._guard.require_read(call, request.key, request.range_end)
            result = service.range(request)
        finally:
            self._note_if_slow("read-only range", began)
        return range_response(self._headers.field(result.revision), result)

    async def put(self, call: Call, raw: bytes) -> bytes:
        """Writes one key."""
        service = self._service
        request = PutRequest.FromString(raw)
        if not service.has_space_for(validation.put_cost(request)):
            await refuse_for_space(service, call)
        validation.check_put(request)
        result = await self._write(call, _PUT, raw)
        return put_response(self._headers.field(result.revision), result)

    async def delete_range(self, call: Call, raw: bytes) -> bytes:
        """Deletes keys."""
        validation.check_delete_range(DeleteRangeRequest.FromString(raw))
        header = await self._guard.header(call) if self._guard.authorization.enabled else b""
        result = await call.wait_on(self._service.propose(_DELETE_RANGE, raw, header))
        return delete_range_response(self._headers.field(result.revision), result)

    async def txn(self, call: Call, raw: bytes) -> bytes:
        """Compares, then runs one of two branches; without writes it is a read."""
        service = self._service
        request = TxnRequest.FromString(raw)
        cost = validation.txn_cost(request)
        if cost and not service.has_space_for(cost):
            await refuse_for_space(service, call)
        validation.check_txn(request, service.limits.max_txn_operations)
        if validation.is_read_only(request):
            result = await self._read_only_txn(call, request)
        else:
            result = await self._write(call, _TXN, raw)
        return txn_response(self._headers.field(result.revision), result)

    async def _read_only_txn(self, call: Call, request: TxnRequest) -> TxnResult:
        began = perf_counter()
        try:
            if not validation.is_serializable(request):
                await call.wait_on(self._service.read_index())
            if self._guard.authorization.enabled:
                await self._guard.require_txn(call, request)
            return self._service.read_only_txn(request)
        finally:
            self._note_if_slow("read-only txn", began)

    def _note_if_slow(self, operation: str, began: float) -> None:
        seconds = perf_counter() - began
        if seconds > self._slow_seconds:
            self._service.applies.took_too_long(operation, seconds)

    async def _write(self, call: Call, kind: int, raw: bytes) -> Any:
        """Has a write that takes space proposed; returns its result. Raises EtcdError."""
        header = await self._guard.header(call) if self._guard.authorization.enabled else b""
        try:
            return await call.wait_on(self._service.propose(kind, raw, header))
        except EtcdError as error:
            await await_alarm(self._service, call, error)
            raise

    async def compact(self, call: Call, raw: bytes) -> bytes:
        """Drops what only reads below a revision need."""
        CompactionRequest.FromString(raw)
        await self._guard.require_root(call)
        result = await call.wait_on(self._service.propose(_COMPACT, raw))
        return self._headers.field(result.revision)
