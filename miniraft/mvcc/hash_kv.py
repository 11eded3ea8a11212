"""The hash that members compare to find out whether they hold the same data."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import crc32c

from miniraft.mvcc.key_value import key_of
from miniraft.mvcc.revision import is_tombstone, revision_key
from miniraft.mvcc.store import BUCKET_NAMES, Bucket

if TYPE_CHECKING:
    from miniraft.mvcc.key_index import KeyIndex
    from miniraft.mvcc.store import Store


class HashWork:
    """CRC-32C over the bucket's name and all stored revisions up to `revision`, taken in steps.

    As etcd's HashKV: of the revisions at or below the last compaction only those count that
    are some key's pair as of `revision`, or as of the compaction if no key has one. So the
    answer does not depend on how far a compaction has got.

    Writes may happen between two steps, a compaction must not be recorded: begin again then.
    """

    def __init__(self, store: Store, index: KeyIndex, revision: int, compact_revision: int) -> None:
        self.revision = revision
        self.compact_revision = compact_revision
        self.checksum: int = crc32c.crc32c(BUCKET_NAMES[Bucket.KEY])
        self._store = store
        self._index = index
        self._next = b"\0" if revision >= 0 else None  # etcd takes a negative one, and finds nothing
        self._horizon = compact_revision
        if revision >= 0 and index.has_pair_at(revision):
            self._horizon = revision

    @classmethod
    def of_compaction(cls, store: Store, index: KeyIndex, revision: int, compact_revision: int) -> HashWork:
        """Returns the hash that a compaction at `revision` takes, of what the one before it has left.

        Done before anything is dropped; then, unlike above, a compaction may be recorded meanwhile.
        """
        work = cls(store, index, revision, compact_revision)
        at_revision = store.scan(Bucket.KEY, revision_key(revision), revision_key(revision + 1))
        if any(is_tombstone(place) for place, _ in at_revision):
            work._horizon = revision  # a delete at the very revision is kept as a pair would be
        return work

    @classmethod
    def done(cls, checksum: int, revision: int, compact_revision: int) -> HashWork:
        """Returns the work as it is when a hash is known already."""
        work = cls.__new__(cls)
        work.revision, work.compact_revision, work.checksum = revision, compact_revision, checksum
        work._next = None
        return work

    def step(self, limit: int | None) -> bool:
        """Hashes up to `limit` revisions, all without one; returns whether more are left."""
        if self._next is None:
            return False
        compacted, index, horizon = revision_key(self.compact_revision + 1), self._index, self._horizon
        checksum, place = self.checksum, None
        end = revision_key(self.revision + 1)
        for place, pair in islice(self._store.scan(Bucket.KEY, self._next, end), limit):
            if place < compacted and index.at(key_of(pair), horizon) != place:
                continue
            checksum = crc32c.crc32c(pair, crc32c.crc32c(place, checksum))
        self.checksum = checksum
        self._next = None if place is None or limit is None else place + b"\0"
        return self._next is not None
