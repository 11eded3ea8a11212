"""The hash of a snapshot's keyspace, as HashKV gives it for a running member."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.store import BUCKET_NAMES, Bucket
from miniraft.snapshot.contents import value_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from miniraft.mvcc.store import Commit
    from miniraft.snapshot.contents import Contents


class HashedRevision(NamedTuple):
    """A hash and what it is of."""

    hash: int
    hash_revision: int
    compact_revision: int  # -1 before any compaction


def hash_kv(contents: Contents, revision: int = 0) -> HashedRevision:
    """Returns the hash of all revisions up to `revision` (0: the last one).

    Takes as much memory as a member needs for its index of these keys.
    Raises EtcdError (compacted, future revision), SnapshotError, BoltError, OSError.
    """
    keyspace = Keyspace(_ReadOnlyStore(contents))
    checksum, compact_revision, hashed = keyspace.hash_kv(revision)
    return HashedRevision(checksum, hashed, compact_revision)


class _ReadOnlyStore:
    """A `Store` on a snapshot, as far as a Keyspace needs one to read itself in and to hash.

    A Keyspace ends a compaction that was interrupted: what it deletes is deleted here, in
    memory, and not in the file.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._deleted: set[bytes] = set()
        self._written: dict[tuple[Bucket, bytes], bytes] = {}

    def get(self, bucket: Bucket, key: bytes) -> bytes | None:
        written = self._written.get((bucket, key))
        return value_of(self._contents, BUCKET_NAMES[bucket], key) if written is None else written

    def put(self, bucket: Bucket, key: bytes, value: bytes) -> None:
        self._written[bucket, key] = value

    def delete(self, bucket: Bucket, key: bytes) -> None:
        if bucket is not Bucket.KEY:
            raise NotImplementedError
        self._deleted.add(key)

    def scan(
        self, bucket: Bucket, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        for keys, values in self._contents.runs(BUCKET_NAMES[bucket]):
            for pair in zip(keys, values, strict=True):
                if end is not None and pair[0] >= end:
                    return
                if pair[0] >= start and pair[0] not in self._deleted:
                    yield pair

    # Not what a Keyspace does -----------------------------------------------------------------
    def pending_operations(self) -> int:
        return 0

    def pending_bytes(self) -> int:
        return 0

    def begin_commit(self) -> Commit | None:
        return None

    def size_bytes(self) -> int:
        return self._contents.size_bytes()

    def size_in_use_bytes(self) -> int:
        return self._contents.size_bytes()

    def copy_to(self, path: Path) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass
