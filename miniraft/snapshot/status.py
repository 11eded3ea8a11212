"""`snapshot status`: what is in a snapshot, in four figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import crc32c

from miniraft.mvcc.revision import is_tombstone, main_of
from miniraft.mvcc.store import BUCKET_NAMES, Bucket
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.snapshot.contents import Progress, no_progress, value_of
from miniraft.snapshot.places import check_places

if TYPE_CHECKING:
    from miniraft.snapshot.contents import Contents

_KEY_BUCKET = BUCKET_NAMES[Bucket.KEY]
_META_BUCKET = BUCKET_NAMES[Bucket.META]
_STORAGE_VERSION_KEY = b"storageVersion"


class SnapshotStatus(NamedTuple):
    """As etcdutl shows it."""

    hash: int  # CRC-32C over names, keys and values of all buckets
    revision: int
    total_keys: int  # see `snapshot_status`
    total_size_bytes: int
    storage_version: str  # empty when etcd before 3.6, or this program, has written the file


def snapshot_status(contents: Contents, progress: Progress = no_progress) -> SnapshotStatus:
    """Reads the whole file, and checks its structure on the way.

    What is counted as keys depends on the file, as it does on etcdutl's version: all pairs of
    all buckets (until 3.5), or the keys that are alive (in files with a storage version).
    Raises SnapshotError, BoltError, OSError.
    """
    version = (value_of(contents, _META_BUCKET, _STORAGE_VERSION_KEY) or b"").decode(errors="replace")
    checksum = 0
    revision = pair_count = done_bytes = 0
    alive: set[bytes] = set()
    total_bytes = contents.size_bytes()
    for bucket, runs in contents.walk():
        checksum = crc32c.crc32c(bucket, checksum)
        for keys, values in runs:
            joined = b"".join([part for pair in zip(keys, values, strict=True) for part in pair])
            checksum = crc32c.crc32c(joined, checksum)
            pair_count += len(keys)
            if bucket == _KEY_BUCKET:
                check_places(contents.path, keys)
                revision = main_of(keys[-1])
                if version:
                    _count_alive(alive, keys, values)
            done_bytes += len(joined)
            progress(min(done_bytes, total_bytes), total_bytes)
    return SnapshotStatus(checksum, revision, len(alive) if version else pair_count, total_bytes, version)


def _count_alive(alive: set[bytes], places: list[bytes], pairs: list[bytes]) -> None:
    for place, data in zip(places, pairs, strict=True):
        key = KeyValue.FromString(data).key
        if is_tombstone(place):
            alive.discard(key)
        else:
            alive.add(key)
