"""Leases: which there are, for how long each was granted, and which keys hang on it.

This is the part that all members share: it changes only as the log says, and is kept in the
store as etcd keeps it. How much time is left of a lease is not in it: the leader alone keeps
time (`mvcc/lease_deadlines.py`), and notes now and then in the log what is left (a
checkpoint), for the next leader to go on from.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from miniraft.errors import LEASE_EXISTS, LEASE_NOT_FOUND, LEASE_TTL_TOO_LARGE
from miniraft.mvcc.store import Bucket
from miniraft.pb.lease_pb2 import Lease as StoredLease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.mvcc.store import Store

LARGEST_TTL_SECONDS = 9_000_000_000
_ID = struct.Struct(">q")  # etcd's: a negative id sorts behind the others


class Lease:
    """One lease. Invariant: 0 <= remaining_ttl_seconds <= ttl_seconds."""

    __slots__ = ("id", "keys", "remaining_ttl_seconds", "ttl_seconds")

    def __init__(self, lease_id: int, ttl_seconds: int, remaining_ttl_seconds: int = 0) -> None:
        self.id = lease_id
        self.ttl_seconds = ttl_seconds  # as granted
        self.remaining_ttl_seconds = remaining_ttl_seconds  # at the last checkpoint; 0: none is in force
        self.keys: set[bytes] = set()

    @property
    def seconds_left(self) -> int:
        """What a new leader grants it: the rest that the checkpoint tells of, or the whole."""
        return self.remaining_ttl_seconds or self.ttl_seconds

    def __repr__(self) -> str:
        return f"Lease({self.id:x}, ttl {self.ttl_seconds} s, {len(self.keys)} keys)"


class Lessor:
    """All leases of the cluster, in memory and in the store.

    Keys are attached and detached by the keyspace, which also finds them again after a
    restart: they are not stored with the lease.
    """

    def __init__(self, store: Store) -> None:
        """Reads the leases that the store has. Raises ValueError when one cannot be read."""
        self._store = store
        self._leases: dict[int, Lease] = {}
        for key, value in store.scan(Bucket.LEASE):
            lease = _decode(key, value)
            self._leases[lease.id] = lease

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    def find(self, lease_id: int) -> Lease | None:
        """Returns the lease, or None."""
        return self._leases.get(lease_id)

    def exists(self, lease_id: int) -> bool:
        """Whether the lease has been granted and not revoked."""
        return lease_id in self._leases

    # Keys -------------------------------------------------------------------------------------
    def attach(self, lease_id: int, key: bytes) -> None:
        """Hangs `key` on a lease, which exists."""
        self._leases[lease_id].keys.add(key)

    def detach(self, lease_id: int, key: bytes) -> None:
        """Takes `key` off a lease; one that is gone has no keys any more."""
        lease = self._leases.get(lease_id)
        if lease is not None:
            lease.keys.discard(key)

    # What the log says ------------------------------------------------------------------------
    def grant(self, lease_id: int, ttl_seconds: int) -> Lease:
        """Adds a lease. Raises LEASE_TTL_TOO_LARGE, LEASE_EXISTS, LEASE_NOT_FOUND (id 0)."""
        if not lease_id:
            raise LEASE_NOT_FOUND.fresh()
        if ttl_seconds > LARGEST_TTL_SECONDS:
            raise LEASE_TTL_TOO_LARGE.fresh()
        if lease_id in self._leases:
            raise LEASE_EXISTS.fresh()
        lease = Lease(lease_id, ttl_seconds)
        self._leases[lease_id] = lease
        self._write(lease)
        return lease

    def remove(self, lease: Lease) -> None:
        """Forgets a lease; its keys are deleted by then."""
        del self._leases[lease.id]
        self._store.delete(Bucket.LEASE, _ID.pack(lease.id))

    def checkpoint(self, lease_id: int, remaining_ttl_seconds: int) -> None:
        """Notes what was left of a lease (0: it was renewed); one that is gone is passed over."""
        lease = self._leases.get(lease_id)
        if lease is not None:
            lease.remaining_ttl_seconds = min(max(remaining_ttl_seconds, 0), lease.ttl_seconds)
            self._write(lease)

    def _write(self, lease: Lease) -> None:
        stored = StoredLease(ID=lease.id, TTL=lease.ttl_seconds, RemainingTTL=lease.remaining_ttl_seconds)
        self._store.put(Bucket.LEASE, _ID.pack(lease.id), stored.SerializeToString())


def _decode(key: bytes, value: bytes) -> Lease:
    try:
        stored = StoredLease.FromString(value)
        (lease_id,) = _ID.unpack(key)
    except (DecodeError, struct.error) as error:
        raise ValueError(f"the stored lease {key.hex()} cannot be read: {error}") from error
    if lease_id != stored.ID:
        raise ValueError(f"the stored lease {key.hex()} says that it is {stored.ID:x}")
    return Lease(lease_id, stored.TTL, stored.RemainingTTL)
