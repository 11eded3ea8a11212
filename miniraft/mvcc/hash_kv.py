"""The hash that members compare to find out whether they hold the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import crc32c

from miniraft.mvcc.revision import revision_key
from miniraft.mvcc.store import BUCKET_NAMES, Bucket
from miniraft.pb.kv_pb2 import KeyValue

if TYPE_CHECKING:
    from miniraft.mvcc.key_index import KeyIndex
    from miniraft.mvcc.store import Store


def hash_revisions(store: Store, index: KeyIndex, revision: int, compact_revision: int) -> int:
    """Returns CRC-32C over the bucket's name and all stored revisions up to `revision`.

    As etcd's HashKV: of the revisions at or below the last compaction only those count that
    are some key's pair as of `revision`, or as of the compaction if no key has one. So the
    answer does not depend on how far a compaction has got. etcd differs in one case: for the
    exact revision of one of its last ten compactions it answers with the hash it took while
    compacting, which counts what was dropped.
    """
    checksum: int = crc32c.crc32c(BUCKET_NAMES[Bucket.KEY])
    if revision < 0:  # etcd takes it, and finds nothing to hash
        return checksum
    compacted = revision_key(compact_revision + 1)
    horizon = revision if index.select_at(b"", None, 1, revision).total else compact_revision
    for place, pair in store.scan(Bucket.KEY, end=revision_key(revision + 1)):
        if place < compacted and index.at(KeyValue.FromString(pair).key, horizon) != place:
            continue
        checksum = crc32c.crc32c(pair, crc32c.crc32c(place, checksum))
    return checksum
