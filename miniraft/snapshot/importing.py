"""Brings what a snapshot holds into a store: everything but who the members were."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from miniraft.mvcc.keyspace import FINISHED_COMPACTION_KEY, SCHEDULED_COMPACTION_KEY
from miniraft.mvcc.revision import main_of, revision_key
from miniraft.mvcc.store import BUCKET_NAMES, MAX_KEY_BYTES, Bucket
from miniraft.snapshot.places import MAX_REVISION, check_places
from miniraft.snapshot.problem import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.mvcc.store import Store
    from miniraft.snapshot.contents import Contents, Progress, Run

# What a cluster has agreed on about itself, the next one agrees on anew.
_LEFT_OUT = {Bucket.MEMBERS, Bucket.MEMBERS_REMOVED, Bucket.CLUSTER}
_KEPT_META = {SCHEDULED_COMPACTION_KEY, FINISHED_COMPACTION_KEY}
_APPLIED_INDEX_KEY = b"consistent_index"
_COMMIT_BYTES = 16 << 20
_MAX_INDEX = (1 << 62) - 1
_NUMBER = struct.Struct(">Q")
_BUCKETS = {name: bucket for bucket, name in BUCKET_NAMES.items()}


class Imported(NamedTuple):
    """What there was."""

    revision: int  # the last one
    applied_index: int  # the log entry up to which the snapshot holds everything; 0 if it does not say
    pair_count: int
    alarm_count: int
    ignored_buckets: tuple[str, ...]


def import_contents(contents: Contents, store: Store, progress: Progress) -> Imported:
    """Copies the snapshot into an empty store, in commits of some size. Blocks.

    Raises SnapshotError for what no store can hold, BoltError, OSError.
    """
    importer = _Importer(contents, store, progress)
    for name, runs in contents.walk():
        importer.take_bucket(name, runs)
    importer.commit()
    return Imported(
        importer.revision,
        importer.applied_index,
        importer.pair_count,
        importer.alarm_count,
        tuple(importer.ignored_buckets),
    )


def bump_revision(store: Store, imported: Imported, amount: int) -> int:
    """Moves the revision on and marks everything up to there as compacted; returns it.

    For clients that have seen later revisions than the snapshot's (Kubernetes' caches): they
    find theirs compacted, and list anew, rather than wait for it to be passed again.
    The same as etcdutl writes: an empty pair at the new revision.
    """
    bumped = imported.revision + amount
    if bumped > MAX_REVISION:
        raise SnapshotError(
            f"revision {imported.revision} cannot be bumped by {amount}: it would exceed {MAX_REVISION}",
            "Take a smaller --bump-revision; 1000000000 is plenty",
        )
    store.put(Bucket.KEY, revision_key(bumped), b"")
    store.put(Bucket.META, SCHEDULED_COMPACTION_KEY, revision_key(bumped))
    return bumped


def commit_now(store: Store) -> None:
    """Makes durable what has gathered in the store. Blocks."""
    commit = store.begin_commit()
    if commit is not None:
        commit.write()
        commit.finish()


class _Importer:
    def __init__(self, contents: Contents, store: Store, progress: Progress) -> None:
        self._path = contents.path
        self._total_bytes = contents.size_bytes()
        self._store = store
        self._progress = progress
        self._done_bytes = 0
        self.revision = 0
        self.applied_index = 0
        self.pair_count = 0
        self.alarm_count = 0
        self.ignored_buckets: list[str] = []

    def take_bucket(self, name: bytes, runs: Iterator[Run]) -> None:
        bucket = _BUCKETS.get(name)
        if bucket is None:
            self.ignored_buckets.append(name.decode(errors="replace"))
        for keys, values in runs:  # also of those left out: the walk checks the file
            if bucket is not None and bucket not in _LEFT_OUT:
                self._take(bucket, keys, values)
            self._done_bytes += sum(map(len, keys)) + sum(map(len, values))
            self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)
            if self._store.pending_bytes() >= _COMMIT_BYTES:
                self.commit()

    def commit(self) -> None:
        commit_now(self._store)

    def _take(self, bucket: Bucket, keys: list[bytes], values: list[bytes]) -> None:
        if bucket is Bucket.META:
            self._take_meta(dict(zip(keys, values, strict=True)))
            return
        longest = max(map(len, keys), default=0)
        if longest > MAX_KEY_BYTES:
            raise SnapshotError(
                f"{self._path}: bucket {BUCKET_NAMES[bucket].decode()} has a key of {longest} bytes",
                f"A store takes {MAX_KEY_BYTES}: rename that user or role in the cluster it comes from, "
                "and save another snapshot",
            )
        if bucket is Bucket.KEY:
            check_places(self._path, keys)
            self.revision = main_of(keys[-1]) if keys else self.revision
        elif bucket is Bucket.ALARM:
            self.alarm_count += len(keys)
        for key, value in zip(keys, values, strict=True):
            self._store.put(bucket, key, value)
        self.pair_count += len(keys)

    def _take_meta(self, meta: dict[bytes, bytes]) -> None:
        for key in _KEPT_META & meta.keys():
            if len(meta[key]) != len(revision_key(0)):
                raise SnapshotError(f"{self._path}: meta/{key.decode()} is no revision: {meta[key][:32]!r}")
            self._store.put(Bucket.META, key, meta[key])
        index = meta.get(_APPLIED_INDEX_KEY, bytes(_NUMBER.size))
        if len(index) != _NUMBER.size or _NUMBER.unpack(index)[0] > _MAX_INDEX:
            raise SnapshotError(
                f"{self._path}: meta/{_APPLIED_INDEX_KEY.decode()} is no index: {index[:32]!r}"
            )
        (self.applied_index,) = _NUMBER.unpack(index)
