"""What the keyspace answers. Key-value pairs stay serialized: they are stored that way and
sent that way, and most requests never need to look inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class RangeResult(NamedTuple):
    """Answer to a Range. `revision` is the store's current one, whatever revision was asked."""

    revision: int
    kvs: Sequence[bytes]  # serialized mvccpb.KeyValue
    more: bool
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls


class PutResult(NamedTuple):
    """Answer to a Put. `revision` is the put's own."""

    revision: int
    previous: bytes | None  # serialized mvccpb.KeyValue, if asked for and there was one


class DeleteRangeResult(NamedTuple):
    """Answer to a DeleteRange. `revision` is unchanged when nothing was deleted."""

    revision: int
    deleted: int
    previous: Sequence[bytes]  # serialized mvccpb.KeyValue, in key order, if asked for


@dataclass(slots=True)
class TxnResult:
    """Answer to a Txn; `responses` has one result for each operation of the branch taken.

    Nested results carry the revision at their point in the transaction; a nested TxnResult
    carries 0, for etcd leaves its header's revision unset.
    """

    revision: int
    succeeded: bool
    responses: list[RangeResult | PutResult | DeleteRangeResult | TxnResult]


class CompactionResult(NamedTuple):
    """Answer to a Compact."""

    revision: int


class LeaseGrantResult(NamedTuple):
    """Answer to a LeaseGrant."""

    revision: int
    lease_id: int
    ttl_seconds: int


class LeaseTimes(NamedTuple):
    """What the leader knows of a lease that exists."""

    granted_ttl_seconds: int
    remaining_ttl_seconds: int  # whole seconds, the rest cut off
    keys: Sequence[bytes]  # in key order, if asked for
