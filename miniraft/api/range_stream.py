"""KV.RangeStream (etcd 3.7): a large range in pieces, all of one revision.

The pieces have the pairs alone; header, `more` and `count` come with the last one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.api.responses import range_response
from miniraft.api.wire import embedded
from miniraft.errors import Code, EtcdError
from miniraft.mvcc.results import RangeResult
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import RangeRequest
from miniraft.server import validation

if TYPE_CHECKING:
    from miniraft.api.call import StreamCall, StreamHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service

_FIRST_PIECE_KEYS = 10
_RANGE_RESPONSE = b"\x0a"  # RangeStreamResponse.range_response

_CUSTOM_SORT = EtcdError(Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders")
_FILTERS = EtcdError(Code.UNIMPLEMENTED, "RangeStream does not support revision filters")


class RangeStreamApi:
    """The handler of `etcdserverpb.KV/RangeStream`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {"/etcdserverpb.KV/RangeStream": self.range_stream}

    async def range_stream(self, call: StreamCall) -> None:
        """Reads keys in key order, piece by piece."""
        service = self._service
        request = RangeRequest.FromString(await call.receive() or b"")
        _check(request)
        if not request.serializable:
            await service.read_index()
        await self._guard.require_read(call, request.key, request.range_end)
        if request.count_only:
            result = service.range(request)
            await call.send(
                embedded(_RANGE_RESPONSE, range_response(self._headers.field(result.revision), result))
            )
            return
        request.revision = request.revision or service.revision
        await self._send_pieces(call, request)

    async def _send_pieces(self, call: StreamCall, request: RangeRequest) -> None:
        left = request.limit if request.limit > 0 else None  # None: no limit
        piece_keys = _FIRST_PIECE_KEYS
        count = None
        while True:
            request.limit = piece_keys if left is None else min(piece_keys, left)
            result = self._service.range(request)
            if count is None:
                count = result.count  # later pieces count what is left
            if left is not None:
                left -= len(result.kvs)
            if not result.more or left == 0:
                last = RangeResult(result.revision, result.kvs, result.more, count)
                header = self._headers.field(result.revision)
                await call.send(embedded(_RANGE_RESPONSE, range_response(header, last)))
                return
            piece = range_response(b"", RangeResult(0, result.kvs, False, 0))
            await call.send(embedded(_RANGE_RESPONSE, piece))
            piece_keys = self._next_piece_keys(piece_keys, len(piece))
            request.key = _key_of(result.kvs[-1]) + b"\0"
            await asyncio.sleep(0)  # others have their turn between two pieces, and may take rights away
            await self._guard.require_read(call, request.key, request.range_end)

    def _next_piece_keys(self, piece_keys: int, piece_bytes: int) -> int:
        """Keeps pieces near the size of the largest request."""
        target = self._service.limits.max_request_bytes
        if piece_bytes * 2 <= target:
            return piece_keys * 2
        return max(1, piece_keys // 2) if piece_bytes > target else piece_keys


def _check(request: RangeRequest) -> None:
    """Raises what a Range would, and UNIMPLEMENTED for what needs all pairs at once."""
    validation.check_range(request)
    in_key_order = request.sort_target == RangeRequest.KEY and request.sort_order != RangeRequest.DESCEND
    if request.sort_order != RangeRequest.NONE and not in_key_order:
        raise _CUSTOM_SORT.fresh()
    if (
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    ):
        raise _FILTERS.fresh()


def _key_of(pair: bytes) -> bytes:
    """Returns the key of a serialized KeyValue."""
    return KeyValue.FromString(pair).key
