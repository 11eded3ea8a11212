"""What the keyspace offers to the member. `mvcc/keyspace.py` implements it over a Store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from miniraft.mvcc.results import (
        CompactionResult,
        DeleteRangeResult,
        PutResult,
        RangeResult,
        TxnResult,
    )
    from miniraft.pb.rpc_pb2 import (
        CompactionRequest,
        DeleteRangeRequest,
        PutRequest,
        RangeRequest,
        TxnRequest,
    )


class LeaseTable(Protocol):
    """Which leases exist and which keys hang on them. The lessor implements it."""

    def exists(self, lease_id: int) -> bool:
        """Whether the lease has been granted and not revoked."""

    def attach(self, lease_id: int, key: bytes) -> None:
        """Hangs `key` on a lease."""

    def detach(self, lease_id: int, key: bytes) -> None:
        """Takes `key` off a lease."""


class KeyspaceCore(Protocol):
    """Keys at revisions. Requests come as messages that `server/validation.py` has checked.

    A write either happens whole or raises EtcdError and changes nothing.
    Invariants: `compact_revision <= revision`; revisions never decrease, also over restarts.
    """

    @property
    def revision(self) -> int:
        """The revision of the last write; 1 in an empty store."""

    @property
    def compact_revision(self) -> int:
        """The last compaction, or -1 before any."""

    @property
    def key_count(self) -> int:
        """How many keys are alive."""

    def range(self, request: RangeRequest) -> RangeResult:
        """Reads. Raises COMPACTED, FUTURE_REVISION."""

    def put(self, request: PutRequest) -> PutResult:
        """Writes one key. Raises LEASE_NOT_FOUND, KEY_NOT_FOUND (ignore_value, ignore_lease)."""

    def delete_range(self, request: DeleteRangeRequest) -> DeleteRangeResult:
        """Deletes keys, in one revision."""

    def txn(self, request: TxnRequest) -> TxnResult:
        """Compares, then runs one branch, in one revision. Raises what its operations raise,
        before anything is written."""

    def read_only_txn(self, request: TxnRequest) -> TxnResult:
        """Runs a transaction that has nothing but ranges on both sides, without a write.

        Raises COMPACTED, FUTURE_REVISION.
        """

    def compact(self, request: CompactionRequest) -> CompactionResult:
        """Records a compaction: reads below fail from now on. Raises COMPACTED, FUTURE_REVISION."""

    def compact_step(self, limit: int) -> bool:
        """Drops up to `limit` revisions that a recorded compaction no longer keeps.

        Returns whether more are left. Deterministic in content, not in time: members may be
        at different points.
        """

    def hash_kv(self, revision: int) -> tuple[int, int, int]:
        """Returns (hash, compact revision, revision hashed) as etcd's HashKV computes it.

        Raises COMPACTED, FUTURE_REVISION.
        """
