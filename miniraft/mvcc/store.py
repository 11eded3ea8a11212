"""The ordered key-value store under the keyspace: a small interface with two implementations.

`runtime/lmdb_store.py` keeps it on disk, `mvcc/memory_store.py` in memory (for the simulator
and tests, where a crash loses what was not committed). Both pass the same tests.

How durability works. Writes are gathered in memory and are visible to reads at once. Now and
then (every 100 ms or 10,000 operations, as etcd does) the owner freezes what has gathered
with `begin_commit`, lets `Commit.write` run outside the event loop, and calls
`Commit.finish` back on it. One commit is atomic and synced: after a crash or power loss the
store holds exactly the commits whose `write` returned, none of them in part. The applied
index is written in the same commit as the changes it stands for, so that the log replays
exactly the rest. Nothing is lost: the log is cut only behind what has been committed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_KEY_BYTES = 511  # LMDB's bound; keys that users choose are checked against it before they get here


class Bucket(IntEnum):
    """The store's tables, named as etcd names its buckets."""

    KEY = 0  # revision bytes -> serialized mvccpb.KeyValue
    META = 1  # applied index and term, config state, compaction points, versions
    LEASE = 2
    AUTH = 3
    AUTH_USERS = 4
    AUTH_ROLES = 5
    MEMBERS = 6
    MEMBERS_REMOVED = 7
    ALARM = 8
    CLUSTER = 9


BUCKET_NAMES: dict[Bucket, bytes] = {
    Bucket.KEY: b"key",
    Bucket.META: b"meta",
    Bucket.LEASE: b"lease",
    Bucket.AUTH: b"auth",
    Bucket.AUTH_USERS: b"authUsers",
    Bucket.AUTH_ROLES: b"authRoles",
    Bucket.MEMBERS: b"members",
    Bucket.MEMBERS_REMOVED: b"members_removed",
    Bucket.ALARM: b"alarm",
    Bucket.CLUSTER: b"cluster",
}


class Commit(Protocol):
    """A frozen set of changes on its way to the disk."""

    operation_count: int

    def write(self) -> None:
        """Makes the changes durable, all or none. Blocks; runs outside the event loop.

        Raises OSError when the disk is full or fails; the owner then stops the member, for
        what is in memory may no longer be what is on disk. The store refuses further use.
        """

    def finish(self) -> None:
        """Called on the event loop after `write` returned: reads now come from the disk."""


class Store(Protocol):
    """Ordered byte keys and values in buckets. Not thread-safe: one owner, the event loop.

    Invariant: a read sees every earlier write of this process, committed or not.
    """

    def get(self, bucket: Bucket, key: bytes) -> bytes | None:
        """Returns the value under `key`, or None."""

    def put(self, bucket: Bucket, key: bytes, value: bytes) -> None:
        """Sets `key`; visible to reads at once, durable with the next commit.

        Raises ValueError for a key that is empty or longer than MAX_KEY_BYTES.
        """

    def delete(self, bucket: Bucket, key: bytes) -> None:
        """Removes `key`; one that is not there is no error."""

    def scan(
        self, bucket: Bucket, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yields the pairs with start <= key < end (None: to the last key) in key order.

        Writes and commits while the iterator is in use end its validity: take what you need
        first, or scan again from the last key seen.
        """

    def pending_operations(self) -> int:
        """Returns how many writes are not in a finished or running commit."""

    def pending_bytes(self) -> int:
        """Returns about how much memory they take: large values call for an early commit too."""

    def begin_commit(self) -> Commit | None:
        """Freezes what has gathered. None when there is nothing, or a commit or copy is still running.

        Called between two applied batches only, never in the middle of one: what it freezes
        is one consistent state.
        """

    def size_bytes(self) -> int:
        """Returns the size allocated on disk (Status.dbSize)."""

    def size_in_use_bytes(self) -> int:
        """Returns the part of it that holds data (Status.dbSizeInUse)."""

    def copy_to(self, path: Path) -> None:
        """Writes the last committed state to a new file and syncs it. Blocks; run off the loop.

        While it runs no commit may be begun (writes go on gathering in memory).
        """

    def close(self) -> None:
        """Lets go of files. Changes not committed are lost."""
