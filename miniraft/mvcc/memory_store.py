"""The store in memory: for the simulator and for tests.

It keeps two states: what reads see, and what a crash would leave. Commits carry changes from
the one to the other, and `crash` returns a store that has only the latter.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sortedcontainers import SortedDict

from miniraft.mvcc.store import MAX_KEY_BYTES, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LENGTHS = struct.Struct("<BII")
_PAIR_OVERHEAD_BYTES = 16  # about LMDB's
_Changes = dict[tuple[Bucket, bytes], bytes | None]  # None: deleted


class MemoryCommit:
    """A `Commit` of a MemoryStore."""

    def __init__(self, store: MemoryStore, changes: _Changes) -> None:
        self.operation_count = len(changes)
        self.written = False
        self.changes = changes
        self._store = store

    def write(self) -> None:
        """See `Commit.write`."""
        self._store.write_commit(self)

    def finish(self) -> None:
        """See `Commit.finish`."""
        self._store.finish_commit(self)


class MemoryStore:
    """A `Store` that loses in a crash what was not committed.

    `before_write` is called when a commit is about to become durable; an OSError that it raises
    (a full disk, a failing one) makes the commit fail as it would on disk.
    Invariant: what is durable is always the state at one `begin_commit`.
    """

    def __init__(self, before_write: Callable[[], None] | None = None) -> None:
        self._before_write = before_write
        self._durable: dict[Bucket, dict[bytes, bytes]] = {bucket: {} for bucket in Bucket}
        self._buckets: dict[Bucket, SortedDict[bytes, bytes]] = {bucket: SortedDict() for bucket in Bucket}
        self._pending: _Changes = {}
        self._pending_bytes = 0
        self._commit: MemoryCommit | None = None
        self._failure: OSError | None = None
        self._in_use_bytes = 0  # of what is durable
        self._largest_bytes = 0

    def get(self, bucket: Bucket, key: bytes) -> bytes | None:
        """See `Store.get`."""
        self._check_usable()
        value: bytes | None = self._buckets[bucket].get(key)
        return value

    def scan(
        self, bucket: Bucket, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Store.scan`."""
        self._check_usable()
        pairs = self._buckets[bucket]
        return ((key, pairs[key]) for key in pairs.irange(start, end, inclusive=(True, False)))

    def put(self, bucket: Bucket, key: bytes, value: bytes) -> None:
        """See `Store.put`."""
        self._check_usable()
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise ValueError(
                f"a key of {len(key)} bytes in {bucket.name}: 1 to {MAX_KEY_BYTES} can be stored"
            )
        self._buckets[bucket][key] = value
        self._change(bucket, key, value)

    def delete(self, bucket: Bucket, key: bytes) -> None:
        """See `Store.delete`."""
        self._check_usable()
        if 0 < len(key) <= MAX_KEY_BYTES:
            self._buckets[bucket].pop(key, None)
            self._change(bucket, key, None)

    def pending_operations(self) -> int:
        """See `Store.pending_operations`."""
        return len(self._pending)

    def pending_bytes(self) -> int:
        """See `Store.pending_bytes`."""
        return self._pending_bytes

    def begin_commit(self) -> MemoryCommit | None:
        """See `Store.begin_commit`."""
        self._check_usable()
        if self._commit is not None or not self._pending:
            return None
        self._commit = MemoryCommit(self, self._pending)
        self._pending, self._pending_bytes = {}, 0
        return self._commit

    def write_commit(self, commit: MemoryCommit) -> None:
        """What `Commit.write` does."""
        self._check_usable()
        if commit is not self._commit or commit.written:
            raise ValueError("this commit was written already, or its store closed")
        try:
            if self._before_write is not None:
                self._before_write()
        except OSError as error:
            self._failure = error
            raise
        for (bucket, key), value in commit.changes.items():
            pairs = self._durable[bucket]
            before = pairs.pop(key, None)
            if before is not None:
                self._in_use_bytes -= len(key) + len(before) + _PAIR_OVERHEAD_BYTES
            if value is not None:
                pairs[key] = value
                self._in_use_bytes += len(key) + len(value) + _PAIR_OVERHEAD_BYTES
        self._largest_bytes = max(self._largest_bytes, self._in_use_bytes)
        commit.written = True

    def finish_commit(self, commit: MemoryCommit) -> None:
        """What `Commit.finish` does."""
        if commit is not self._commit or not commit.written:
            raise ValueError("only the running commit can be finished, once its write has returned")
        self._commit = None

    def size_bytes(self) -> int:
        """See `Store.size_bytes`: as a file does, it never shrinks."""
        return self._largest_bytes

    def size_in_use_bytes(self) -> int:
        """See `Store.size_in_use_bytes`."""
        return self._in_use_bytes

    def crash(self) -> MemoryStore:
        """Returns the store as the next process finds it, and makes this one unusable."""
        after = self.copy()
        after._largest_bytes = self._largest_bytes
        self.close()
        return after

    def copy(self) -> MemoryStore:
        """Returns a store of its own with the last committed state: a snapshot's content."""
        copied = MemoryStore(self._before_write)
        copied._durable = {bucket: dict(pairs) for bucket, pairs in self._durable.items()}
        copied._buckets = {bucket: SortedDict(pairs) for bucket, pairs in self._durable.items()}
        copied._in_use_bytes = copied._largest_bytes = self._in_use_bytes
        return copied

    def copy_to(self, path: Path) -> None:
        """See `Store.copy_to`. The file is for `read_copy`; it is not LMDB's."""
        self._check_usable()
        if self._commit is not None:
            raise ValueError("the store cannot be copied while a commit is running")
        with path.open("xb") as file:
            for bucket, pairs in self._durable.items():
                for key, value in sorted(pairs.items()):
                    file.write(_LENGTHS.pack(bucket, len(key), len(value)) + key + value)

    @classmethod
    def read_copy(cls, path: Path) -> MemoryStore:
        """Returns a store with what `copy_to` wrote."""
        content = path.read_bytes()
        store = cls()
        offset = 0
        while offset < len(content):
            bucket, key_bytes, value_bytes = _LENGTHS.unpack_from(content, offset)
            offset += _LENGTHS.size
            key = content[offset : offset + key_bytes]
            offset += key_bytes
            store._durable[Bucket(bucket)][key] = content[offset : offset + value_bytes]
            offset += value_bytes
            store._in_use_bytes += key_bytes + value_bytes + _PAIR_OVERHEAD_BYTES
        return store.copy()

    def close(self) -> None:
        """See `Store.close`."""
        if self._failure is None:
            self._failure = OSError(errno.EBADF, "the store was closed")

    def _change(self, bucket: Bucket, key: bytes, value: bytes | None) -> None:
        self._pending[bucket, key] = value
        self._pending_bytes += len(key) + len(value or b"")

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise OSError(
                self._failure.errno,
                f"the store takes no more requests after: {self._failure}. Restart the member",
            )
