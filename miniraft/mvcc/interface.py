"""What the keyspace offers to the member. `mvcc/keyspace.py` implements it over a Store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from miniraft.mvcc.change import Change, ChangeListener
    from miniraft.mvcc.compaction_hashes import CompactionHashes
    from miniraft.mvcc.hash_kv import HashWork
    from miniraft.mvcc.lessor import Lessor
    from miniraft.mvcc.operation_counters import OperationCounters
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


class KeyspaceCore(Protocol):
    """Keys at revisions. Requests come as messages that `server/validation.py` has checked.

    A write either happens whole or raises EtcdError and changes nothing.
    Invariants: `compact_revision <= revision`; revisions never decrease, also over restarts.
    """

    on_changes: ChangeListener | None  # told of each write as it is made
    leases: Lessor  # which exist, and the keys that hang on them
    counters: OperationCounters  # may be replaced by others to go on with
    compaction_hashes: CompactionHashes

    @property
    def revision(self) -> int:
        """The revision of the last write; 1 in an empty store."""

    @property
    def compact_revision(self) -> int:
        """The last compaction, or -1 before any."""

    @property
    def is_compacting(self) -> bool:
        """Whether a recorded compaction has left something to be dropped."""

    @property
    def key_count(self) -> int:
        """How many keys are alive."""

    def range(self, request: RangeRequest) -> RangeResult:
        """Reads. Raises COMPACTED, FUTURE_REVISION."""

    def put(self, request: PutRequest) -> PutResult:
        """Writes one key. Raises LEASE_NOT_FOUND, KEY_NOT_FOUND (ignore_value, ignore_lease)."""

    def delete_range(self, request: DeleteRangeRequest) -> DeleteRangeResult:
        """Deletes keys, in one revision."""

    def delete_keys(self, keys: Iterable[bytes]) -> DeleteRangeResult:
        """Deletes the keys given, in one revision and in key order, as the end of a lease does."""

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

    def pair_before(self, key: bytes, revision: int) -> bytes | None:
        """Returns the key's serialized pair just before `revision`, if it existed and still can be read."""

    def history(self, first: int, last: int) -> Iterator[tuple[int, Change]]:
        """Yields (revision, change) of the revisions from `first` to `last`, in order.

        `first` must not be below `compact_revision`. A write ends the iterator's validity.
        """

    def begin_hash(self, revision: int) -> HashWork:
        """Returns the same work, to be done in steps. Raises COMPACTED, FUTURE_REVISION."""

    def hash_kv(self, revision: int) -> tuple[int, int, int]:
        """Returns (hash, compact revision, revision hashed) as etcd's HashKV computes it.

        Raises COMPACTED, FUTURE_REVISION.
        """
