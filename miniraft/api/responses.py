"""Results of the keyspace as serialized response messages.

Differences between answers that etcd makes and clients may see are kept: inside a Txn's
responses the header carries nothing but the revision, and that of a nested Txn is present
but empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.wire import embedded, varint
from miniraft.mvcc.results import DeleteRangeResult, PutResult, RangeResult, TxnResult

if TYPE_CHECKING:
    from collections.abc import Sequence

_KVS = b"\x12"  # RangeResponse.kvs and PutResponse.prev_kv: field 2, length-delimited
_PREVIOUS_KVS = b"\x1a"  # DeleteRangeResponse.prev_kvs: field 3
_RESPONSES = b"\x1a"  # TxnResponse.responses: field 3
_MORE = b"\x18\x01"  # RangeResponse.more: field 3
_EMPTY_HEADER = b"\x0a\x00"

# ResponseOp's members
_RESPONSE_RANGE = b"\x0a"
_RESPONSE_PUT = b"\x12"
_RESPONSE_DELETE_RANGE = b"\x1a"
_RESPONSE_TXN = b"\x22"

# Tag and length of a key-value pair, for the lengths most of them have.
_KVS_PREFIX = [_KVS + varint(length) for length in range(512)]


def range_response(header: bytes, result: RangeResult) -> bytes:
    """Returns a serialized RangeResponse. `header` is the encoded field 1."""
    _, kvs, more, count = result
    tail = b"\x20" + varint(count) if count else b""
    if more:
        tail = _MORE + tail
    if len(kvs) == 1:
        pair = kvs[0]
        length = len(pair)
        return header + (_KVS_PREFIX[length] if length < 512 else _KVS + varint(length)) + pair + tail
    if not kvs:
        return header + tail
    return header + _repeated(_KVS, kvs) + tail


def put_response(header: bytes, result: PutResult) -> bytes:
    """Returns a serialized PutResponse."""
    previous = result.previous
    return header if previous is None else header + embedded(_KVS, previous)


def delete_range_response(header: bytes, result: DeleteRangeResult) -> bytes:
    """Returns a serialized DeleteRangeResponse."""
    deleted = b"\x10" + varint(result.deleted) if result.deleted else b""
    if not result.previous:
        return header + deleted
    return header + deleted + _repeated(_PREVIOUS_KVS, result.previous)


def txn_response(header: bytes, result: TxnResult) -> bytes:
    """Returns a serialized TxnResponse."""
    parts = [header, b"\x10\x01" if result.succeeded else b""]
    parts.extend(embedded(_RESPONSES, _response_operation(response)) for response in result.responses)
    return b"".join(parts)


def _response_operation(result: RangeResult | PutResult | DeleteRangeResult | TxnResult) -> bytes:
    """Returns one serialized ResponseOp."""
    if isinstance(result, RangeResult):
        return embedded(_RESPONSE_RANGE, range_response(_nested_header(result.revision), result))
    if isinstance(result, PutResult):
        return embedded(_RESPONSE_PUT, put_response(_nested_header(result.revision), result))
    if isinstance(result, DeleteRangeResult):
        return embedded(
            _RESPONSE_DELETE_RANGE, delete_range_response(_nested_header(result.revision), result)
        )
    return embedded(_RESPONSE_TXN, txn_response(_EMPTY_HEADER, result))


def _nested_header(revision: int) -> bytes:
    return embedded(b"\x0a", b"\x18" + varint(revision))


def _repeated(tag: bytes, values: Sequence[bytes]) -> bytes:
    parts = []
    for value in values:
        parts.append(tag)
        parts.append(varint(len(value)))
        parts.append(value)
    return b"".join(parts)
