"""What a Range does with the pairs it found: filter, sort, cut, leave the values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miniraft.mvcc.key_value import without_value
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import RangeRequest

if TYPE_CHECKING:
    from collections.abc import Callable

_SORT_KEYS: dict[int, Callable[[KeyValue], Any]] = {
    RangeRequest.KEY: lambda pair: pair.key,
    RangeRequest.VERSION: lambda pair: pair.version,
    RangeRequest.CREATE: lambda pair: pair.create_revision,
    RangeRequest.MOD: lambda pair: pair.mod_revision,
    RangeRequest.VALUE: lambda pair: pair.value,
}


def has_filters(request: RangeRequest) -> bool:
    """Whether the request bounds revisions. Negative bounds count, as in etcd."""
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def is_key_ordered(request: RangeRequest) -> bool:
    """Whether the limit may be applied while reading in key order.

    True with order NONE whatever the target, a quirk of etcd's: the first `limit + 1` keys are
    read, sorted by the target, and then cut.
    """
    order = request.sort_order
    return order == RangeRequest.NONE or (
        order == RangeRequest.ASCEND and request.sort_target == RangeRequest.KEY
    )


def shape(pairs: list[bytes], request: RangeRequest) -> tuple[list[bytes], bool]:
    """Returns the serialized pairs to answer with, and whether the limit cut some off.

    `pairs` are in key order: all of the range, or its first `limit + 1` when the request has
    no filters and `is_key_ordered`. Sorting is stable, which etcd does not promise.
    """
    limit = request.limit
    target = request.sort_target
    order = request.sort_order
    is_sorted = target == RangeRequest.KEY and order != RangeRequest.DESCEND
    if not is_sorted or has_filters(request) or request.keys_only:
        return _shape_decoded(pairs, request, is_sorted=is_sorted)
    if 0 < limit < len(pairs):
        return pairs[:limit], True
    return pairs, False


def _shape_decoded(
    serialized: list[bytes], request: RangeRequest, *, is_sorted: bool
) -> tuple[list[bytes], bool]:
    pairs = [(KeyValue.FromString(data), data) for data in serialized]
    if has_filters(request):
        pairs = [pair for pair in pairs if _passes(pair[0], request)]
    target = request.sort_target
    if not is_sorted:
        sort_key = _SORT_KEYS[target]
        is_descending = request.sort_order == RangeRequest.DESCEND
        pairs.sort(key=lambda pair: sort_key(pair[0]), reverse=is_descending)
    limit = request.limit
    more = 0 < limit < len(pairs)
    if more:
        del pairs[limit:]
    if not request.keys_only:
        return [data for _, data in pairs], more
    # From 3.7 etcd answers keys_only out of its index, which knows no leases, except when it
    # has to read the values to sort by them.
    keep_lease = target == RangeRequest.VALUE
    return [without_value(pair, keep_lease=keep_lease) for pair, _ in pairs], more


def _passes(pair: KeyValue, request: RangeRequest) -> bool:
    return (
        (not request.max_mod_revision or pair.mod_revision <= request.max_mod_revision)
        and (not request.min_mod_revision or pair.mod_revision >= request.min_mod_revision)
        and (not request.max_create_revision or pair.create_revision <= request.max_create_revision)
        and (not request.min_create_revision or pair.create_revision >= request.min_create_revision)
    )
