"""The keyspace: every key at every revision, with etcd's answers to reads and writes.

The store holds each revision's pair under the revision; `KeyIndex` knows in memory which
revisions belong to which key. A write builds its list of changes, and the revision moves on
only at its end; all that can be refused is refused before the first change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import COMPACTED, FUTURE_REVISION, KEY_NOT_FOUND, LEASE_NOT_FOUND
from miniraft.mvcc.change import Change
from miniraft.mvcc.compaction_hashes import CompactionHash, CompactionHashes
from miniraft.mvcc.compare import choose_branch
from miniraft.mvcc.hash_kv import HashWork
from miniraft.mvcc.key_index import KeyIndex, Selection
from miniraft.mvcc.key_value import encode_pair, encode_tombstone, key_of
from miniraft.mvcc.lessor import Lessor
from miniraft.mvcc.operation_counters import OperationCounters
from miniraft.mvcc.range_shape import has_filters, is_key_ordered, shape
from miniraft.mvcc.results import (
    CompactionResult,
    DeleteRangeResult,
    PutResult,
    RangeResult,
    TxnResult,
)
from miniraft.mvcc.revision import is_tombstone, main_of, revision_key, tombstone_key
from miniraft.mvcc.store import Bucket
from miniraft.pb.kv_pb2 import KeyValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from miniraft.mvcc.change import ChangeListener
    from miniraft.mvcc.compare import Branch
    from miniraft.mvcc.store import Store
    from miniraft.pb.rpc_pb2 import (
        CompactionRequest,
        DeleteRangeRequest,
        PutRequest,
        RangeRequest,
        TxnRequest,
    )

SCHEDULED_COMPACTION_KEY = b"scheduledCompactRev"
FINISHED_COMPACTION_KEY = b"finishedCompactRev"

_FROM_KEY = b"\0"  # a range end that means: every key from the start on
_RESTORE_COMPACTION_BATCH = 10000


class Keyspace:
    """Keys at revisions, over a store. See KeyspaceCore (mvcc/interface.py) for the contract.

    Invariants: `compact_revision <= revision`; every revision in the index is in the store
    and, but for those a running compaction is about to drop, the other way round.
    """

    def __init__(self, store: Store, leases: Lessor | None = None) -> None:
        """Reads the store: the leases first (unless those given are to be used), then the keys,
        which are hung on them; and ends a compaction that was interrupted.
        """
        self._store = store
        self.leases = Lessor(store) if leases is None else leases
        self.counters = OperationCounters()
        self.compaction_hashes = CompactionHashes()
        self._compaction_hash: HashWork | None = None  # being taken before anything is dropped
        self._index = KeyIndex()
        self._lease_of: dict[bytes, int] = {}  # only keys that hang on a lease that exists
        self._revision = 1
        self._compact_revision = -1
        self._finished_compaction = -1
        self.on_changes: ChangeListener | None = None  # told of every write once it is done
        self._restore()

    @property
    def revision(self) -> int:
        """The revision of the last write; 1 in an empty store."""
        return self._revision

    @property
    def compact_revision(self) -> int:
        """The last compaction, or -1 before any."""
        return self._compact_revision

    @property
    def is_compacting(self) -> bool:
        """Whether a recorded compaction has left something to be dropped."""
        return self._finished_compaction != self._compact_revision

    @property
    def key_count(self) -> int:
        """How many keys are alive."""
        return self._index.alive_count

    # Reading ----------------------------------------------------------------------------------
    def range(self, request: RangeRequest) -> RangeResult:
        """Reads. A revision of 0 or below asks for the newest.

        Raises COMPACTED, FUTURE_REVISION.
        """
        return self._range(request, self._revision)

    def read_only_txn(self, request: TxnRequest) -> TxnResult:
        """Runs a transaction that has nothing but ranges on both sides, without a write.

        Raises COMPACTED, FUTURE_REVISION; ValueError for another kind of transaction.
        """
        for operation in request.success[:] + request.failure[:]:
            if not operation.HasField("request_range"):
                raise ValueError("a transaction that may write has to be replicated: propose it")
        begun = self.counters.operations
        try:
            branch = self._choose_branch(request)
            return TxnResult(self._revision, branch.succeeded, self._run_branch(branch, []))
        finally:
            self.counters.end_transaction(begun)

    def hash_kv(self, revision: int) -> tuple[int, int, int]:
        """Returns (hash, compact revision, revision hashed); 0 hashes the current revision.

        Raises COMPACTED, FUTURE_REVISION.
        """
        work = self.begin_hash(revision)
        work.step(None)
        return work.checksum, work.compact_revision, work.revision

    def begin_hash(self, revision: int) -> HashWork:
        """Returns the work of hashing, to be done in steps. Raises COMPACTED, FUTURE_REVISION."""
        known = self.compaction_hashes.at(revision)
        if known is not None:
            return HashWork.done(known.hash, known.revision, known.compact_revision)
        if 0 < revision < self._compact_revision:
            raise COMPACTED.fresh()
        if revision > self._revision:
            raise FUTURE_REVISION.fresh()
        return HashWork(self._store, self._index, revision or self._revision, self._compact_revision)

    def pair_before(self, key: bytes, revision: int) -> bytes | None:
        """Returns the key's serialized pair just before `revision`.

        None when it did not exist then, or when that revision has been compacted.
        """
        if revision - 1 < self._compact_revision:
            return None
        place = self._index.at(key, revision - 1)
        if place is None:
            return None
        self.counters.ranges += 1
        return self._pair_at(place)

    def history(self, first: int, last: int) -> Iterator[tuple[int, Change]]:
        """Yields the changes of the revisions from `first` to `last` with their revisions, in order.

        `first` must not be below the last compaction, or changes are missing. A write ends the
        iterator's validity.
        """
        for place, pair in self._store.scan(Bucket.KEY, revision_key(first), revision_key(last + 1)):
            yield main_of(place), Change(key_of(pair), pair, is_tombstone(place))

    # Writing ----------------------------------------------------------------------------------
    def put(self, request: PutRequest) -> PutResult:
        """Writes one key. Raises LEASE_NOT_FOUND, KEY_NOT_FOUND."""
        self._check_lease(request)
        self._check_previous(request)
        changes: list[Change] = []
        ranges_before = self.counters.ranges
        result = self._put(request, changes)
        if self.counters.ranges != ranges_before:
            self.counters.transactions += 1
        self._commit(changes)
        return result

    def delete_range(self, request: DeleteRangeRequest) -> DeleteRangeResult:
        """Deletes keys, in one revision."""
        changes: list[Change] = []
        ranges_before = self.counters.ranges
        result = self._delete_range(request, changes)
        if self.counters.ranges != ranges_before:
            self.counters.transactions += 1
        self._commit(changes)
        return result

    def delete_keys(self, keys: Iterable[bytes]) -> DeleteRangeResult:
        """Deletes the keys given, in one revision and in key order, as the end of a lease does.

        Keys that do not exist are passed over.
        """
        changes: list[Change] = []
        for key in sorted(keys):
            if self._index.current(key) is not None:
                self._delete(key, changes)
        self._commit(changes)
        self.counters.deletes += len(changes)
        self.counters.transactions += len(changes) > 1
        return DeleteRangeResult(self._revision, len(changes), ())

    def txn(self, request: TxnRequest) -> TxnResult:
        """Evaluates the conditions, then runs one branch, in one revision.

        Raises what its operations raise, before anything is written.
        """
        begun = self.counters.operations
        try:
            branch = self._choose_branch(request)
        finally:
            self.counters.end_transaction(begun)
        begun = self.counters.operations
        changes: list[Change] = []
        responses = self._run_branch(branch, changes)
        self.counters.end_transaction(begun)
        self._commit(changes)
        return TxnResult(self._revision, branch.succeeded, responses)

    # Compaction -------------------------------------------------------------------------------
    def compact(self, request: CompactionRequest) -> CompactionResult:
        """Records a compaction: reads below fail from now on; `compact_step` does the work.

        Raises COMPACTED, FUTURE_REVISION.
        """
        revision = request.revision
        if revision <= self._compact_revision:
            raise COMPACTED.fresh()
        if revision > self._revision:
            raise FUTURE_REVISION.fresh()
        if not self.is_compacting:
            # As etcd: where another compaction is under way, part of what would count may be gone.
            self._compaction_hash = HashWork.of_compaction(
                self._store, self._index, revision, self._compact_revision
            )
        self._compact_revision = revision
        self._store.put(Bucket.META, SCHEDULED_COMPACTION_KEY, revision_key(revision))
        self._index.begin_compaction()
        self.counters.ranges += 1  # etcd reads the revision that it answers
        return CompactionResult(self._revision)

    def compact_step(self, limit: int) -> bool:
        """Drops up to about `limit` revisions that the last compaction no longer keeps.

        Before that it hashes what there was, `limit` revisions at a time. Its time is bounded by
        `limit` too: keys that turn out to have nothing to drop count. Returns whether more are left.
        """
        if not self.is_compacting:
            return False
        if self._compaction_hash is not None:
            self._hash_on(self._compaction_hash, limit)
            return True
        dropped = self._index.compact_step(self._compact_revision, limit)
        self.counters.compacted_revisions += len(dropped)
        for place in dropped:
            self._store.delete(Bucket.KEY, place)
        if self._index.compacting:
            return True
        self._finished_compaction = self._compact_revision
        self._store.put(Bucket.META, FINISHED_COMPACTION_KEY, revision_key(self._compact_revision))
        return False

    def _hash_on(self, work: HashWork, limit: int) -> None:
        if not work.step(limit):
            self.compaction_hashes.add(CompactionHash(work.checksum, work.revision, work.compact_revision))
            self._compaction_hash = None

    # Restoring --------------------------------------------------------------------------------
    def _restore(self) -> None:
        place = b""
        leases: dict[bytes, int] = {}
        for place, data in self._store.scan(Bucket.KEY):
            pair = KeyValue.FromString(data)
            self._index.restore(pair.key, place, pair.create_revision, pair.version)
            if pair.lease:
                leases[pair.key] = pair.lease
            elif leases:
                leases.pop(pair.key, None)
        self._index.end_restore()
        for key, lease in leases.items():
            self._move_to_lease(key, lease)
        # What the last writes left may have been compacted away, by a compaction that did not
        # live to say so: its revision still was current once, and time must not go back.
        scheduled = self._stored_revision(SCHEDULED_COMPACTION_KEY)
        self._finished_compaction = self._stored_revision(FINISHED_COMPACTION_KEY)
        self._compact_revision = max(scheduled, self._finished_compaction)
        self._revision = max(1, main_of(place), self._compact_revision)
        if self._compact_revision > self._finished_compaction:
            self._index.begin_compaction()
            while self.compact_step(_RESTORE_COMPACTION_BATCH):
                pass

    def _stored_revision(self, name: bytes) -> int:
        place = self._store.get(Bucket.META, name)
        return -1 if place is None else main_of(place)

    # Pairs ------------------------------------------------------------------------------------
    def _pair_at(self, place: bytes) -> bytes:
        pair = self._store.get(Bucket.KEY, place)
        if pair is None:
            raise RuntimeError(
                f"revision {main_of(place)} is in the index but not in the store: the store is damaged; "
                "replace this member"
            )
        return pair

    def _pair(self, key: bytes) -> bytes | None:
        place = self._index.current(key)
        return None if place is None else self._pair_at(place)

    def _pairs(self, key: bytes, range_end: bytes) -> Sequence[bytes]:
        """Returns the current pairs in a range."""
        self.counters.ranges += 1
        if range_end:
            places = self._index.select(key, _upper_bound(range_end), 0).revisions
            return [self._pair_at(place) for place in places]
        pair = self._pair(key)
        return () if pair is None else (pair,)

    def _range(self, request: RangeRequest, current: int) -> RangeResult:
        """`current` is the revision reads see: in a transaction that has written, its own."""
        self.counters.ranges += 1
        revision = request.revision
        if revision > current:
            raise FUTURE_REVISION.fresh()
        if revision <= 0:
            revision = current
        elif revision < self._compact_revision:
            raise COMPACTED.fresh()
        if request.range_end:
            places, total = self._select(request, None if revision == current else revision)
        else:
            key = request.key
            place = self._index.current(key) if revision == current else self._index.at(key, revision)
            if place is None:
                return RangeResult(current, (), False, 0)
            places, total = [place], 1
        if request.count_only:
            return RangeResult(current, (), False, total)
        pairs, more = shape([self._pair_at(place) for place in places], request)
        return RangeResult(current, pairs, more, total)

    def _select(self, request: RangeRequest, revision: int | None) -> Selection:
        """Finds what a range of several keys has to read; None: as of now."""
        key = request.key
        bound = _upper_bound(request.range_end)
        if request.count_only and revision is None:
            return Selection([], self._index.count(key, bound))
        limit = request.limit
        # One more than asked for tells whether there are more.
        wanted = limit + 1 if limit > 0 and is_key_ordered(request) and not has_filters(request) else 0
        if revision is None:
            return self._index.select(key, bound, wanted)
        return self._index.select_at(key, bound, wanted, revision)

    # Checks before a write --------------------------------------------------------------------
    def _choose_branch(self, request: TxnRequest) -> Branch:
        branch = choose_branch(request, self._pairs)
        self._check_branch(branch)
        return branch

    def _check_branch(self, branch: Branch) -> None:
        """Raises what an operation of the branch would raise, the first one first."""
        for kind, request in branch.operations:
            if kind == "request_put":
                # Not in the order of a plain put: etcd has it the other way round here.
                self.counters.ranges += self._check_previous(request)
                self._check_lease(request)
            elif kind == "request_range":
                self._check_revision(request.revision)
            elif kind == "request_txn":
                self._check_branch(request)

    def _check_lease(self, request: PutRequest) -> None:
        lease = request.lease
        if lease and not self.leases.exists(lease):
            raise LEASE_NOT_FOUND.fresh()

    def _check_previous(self, request: PutRequest) -> bool:
        """Returns whether there was something to look for."""
        if not (request.ignore_value or request.ignore_lease):
            return False
        if self._index.current(request.key) is None:
            self.counters.ranges += 1
            raise KEY_NOT_FOUND.fresh()
        return True

    def _check_revision(self, revision: int) -> None:
        """In a transaction, unlike in a plain range, a negative revision is a compacted one."""
        if revision > self._revision:
            raise FUTURE_REVISION.fresh()
        if revision and revision < self._compact_revision:
            raise COMPACTED.fresh()

    # Steps of a write -------------------------------------------------------------------------
    def _revision_seen(self, changes: list[Change]) -> int:
        return self._revision + 1 if changes else self._revision

    def _run_branch(
        self, branch: Branch, changes: list[Change]
    ) -> list[RangeResult | PutResult | DeleteRangeResult | TxnResult]:
        responses: list[RangeResult | PutResult | DeleteRangeResult | TxnResult] = []
        for kind, request in branch.operations:
            if kind == "request_put":
                responses.append(self._put(request, changes))
            elif kind == "request_range":
                responses.append(self._range(request, self._revision_seen(changes)))
            elif kind == "request_delete_range":
                responses.append(self._delete_range(request, changes))
            elif kind == "request_txn":
                # etcd leaves the revision in a nested transaction's header unset.
                responses.append(TxnResult(0, request.succeeded, self._run_branch(request, changes)))
        return responses

    def _put(self, request: PutRequest, changes: list[Change]) -> PutResult:
        key = request.key
        value = request.value
        lease = request.lease
        previous: bytes | None = None
        if request.prev_kv or request.ignore_value or request.ignore_lease:
            self.counters.ranges += 1
            previous = self._pair(key)
            if request.ignore_value or request.ignore_lease:
                # Checked to be there; gone only if this very transaction deleted it from a key
                # on, which no overlap rule catches. Then there is nothing to keep.
                kept = KeyValue.FromString(previous or b"")
                value = kept.value if request.ignore_value else value
                lease = kept.lease if request.ignore_lease else lease
        main = self._revision + 1
        place = revision_key(main, len(changes))
        history = self._index.put(key, place, main)
        pair = encode_pair(key, history.create_revision, main, history.version, value, lease)
        self._store.put(Bucket.KEY, place, pair)
        if lease or self._lease_of:
            self._move_to_lease(key, lease)
        changes.append(Change(key, pair, is_delete=False))
        counters = self.counters
        counters.puts += 1
        counters.put_bytes += len(key) + len(value)
        return PutResult(main, previous if request.prev_kv else None)

    def _delete_range(self, request: DeleteRangeRequest, changes: list[Change]) -> DeleteRangeResult:
        key = request.key
        range_end = request.range_end
        if range_end:
            keys = self._index.keys(key, _upper_bound(range_end))
        else:
            keys = [key] if self._index.current(key) is not None else []
        previous = self._pairs(key, range_end) if request.prev_kv else ()
        for name in keys:
            self._delete(name, changes)
        self.counters.deletes += 1
        return DeleteRangeResult(self._revision_seen(changes), len(keys), previous)

    def _delete(self, key: bytes, changes: list[Change]) -> None:
        place = tombstone_key(self._revision + 1, len(changes))
        pair = encode_tombstone(key)
        self._store.put(Bucket.KEY, place, pair)
        self._index.delete(key, place)
        if self._lease_of:
            self._move_to_lease(key, 0)
        changes.append(Change(key, pair, is_delete=True))

    def _move_to_lease(self, key: bytes, lease: int) -> None:
        """Takes the key off the lease it hangs on, and hangs it on another (0: on none)."""
        old = self._lease_of.get(key, 0)
        if old == lease:
            return
        if old:
            del self._lease_of[key]
            self.leases.detach(old, key)
        # A pair read from the store, or kept by ignore_lease, may name a lease that is gone.
        if lease and self.leases.exists(lease):
            self._lease_of[key] = lease
            self.leases.attach(lease, key)

    def _commit(self, changes: list[Change]) -> None:
        """Ends a write: from here on reads see it."""
        if not changes:
            return
        self._revision += 1
        if self.on_changes is not None:
            self.on_changes(self._revision, changes)


def _upper_bound(range_end: bytes) -> bytes | None:
    return None if range_end == _FROM_KEY else range_end
