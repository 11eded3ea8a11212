"""Leases as the log makes them, and as the store keeps them."""

import struct

import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.lessor import LARGEST_TTL_SECONDS, Lessor
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import Bucket
from miniraft.pb.lease_pb2 import Lease as StoredLease
from tests.mvcc.helpers import delete, get, put


@pytest.fixture
def keyspace():
    return Keyspace(MemoryStore())


def stored(keyspace):
    return {
        struct.unpack(">q", key)[0]: StoredLease.FromString(value)
        for key, value in keyspace._store.scan(Bucket.LEASE)
    }


def error_of(function, *arguments):
    with pytest.raises(EtcdError) as caught:
        function(*arguments)
    return caught.value.code.name, caught.value.message


def test_a_lease_is_stored_under_its_id_as_etcd_stores_it(keyspace):
    keyspace.leases.grant(0x1234, 60)
    ((key, value),) = keyspace._store.scan(Bucket.LEASE)
    assert key == bytes.fromhex("0000000000001234")
    assert value == bytes.fromhex("08b424103c")  # ID = 0x1234, TTL = 60


def test_negative_ids_are_ids_like_any_other(keyspace):
    keyspace.leases.grant(-1, 60)
    assert keyspace.leases.exists(-1)
    assert [key for key, _ in keyspace._store.scan(Bucket.LEASE)] == [b"\xff" * 8]
    assert Lessor(keyspace._store).exists(-1)


def test_an_id_is_granted_once(keyspace):
    keyspace.leases.grant(7, 60)
    assert error_of(keyspace.leases.grant, 7, 5) == (
        "FAILED_PRECONDITION",
        "etcdserver: lease already exists",
    )
    assert keyspace.leases.find(7).ttl_seconds == 60


def test_no_lease_is_longer_than_etcds_longest(keyspace):
    keyspace.leases.grant(1, LARGEST_TTL_SECONDS)
    assert error_of(keyspace.leases.grant, 2, LARGEST_TTL_SECONDS + 1) == (
        "OUT_OF_RANGE",
        "etcdserver: too large lease TTL",
    )
    assert set(stored(keyspace)) == {1}


def test_granting_does_not_move_the_revision(keyspace):
    keyspace.leases.grant(7, 60)
    keyspace.leases.checkpoint(7, 30)
    assert keyspace.revision == 1


def test_a_put_needs_its_lease(keyspace):
    assert error_of(lambda: put(keyspace, b"k", lease=9)) == (
        "NOT_FOUND",
        "etcdserver: requested lease not found",
    )


def test_keys_follow_puts_and_deletes(keyspace):
    one, two = keyspace.leases.grant(1, 60), keyspace.leases.grant(2, 60)
    put(keyspace, b"a", lease=1)
    put(keyspace, b"b", lease=1)
    assert one.keys == {b"a", b"b"}
    put(keyspace, b"a", lease=2)
    assert (one.keys, two.keys) == ({b"b"}, {b"a"})
    put(keyspace, b"a", ignore_lease=True)
    assert two.keys == {b"a"}
    put(keyspace, b"a")
    delete(keyspace, b"b")
    assert (one.keys, two.keys) == (set(), set())


def test_a_restart_finds_leases_checkpoints_and_keys_again(keyspace):
    keyspace.leases.grant(1, 60)
    keyspace.leases.grant(-5, 30)
    put(keyspace, b"a", lease=1)
    put(keyspace, b"b", lease=-5)
    put(keyspace, b"c", lease=1)
    put(keyspace, b"c")
    keyspace.leases.checkpoint(1, 12)
    again = Keyspace(keyspace._store).leases
    assert {lease.id: (lease.ttl_seconds, lease.remaining_ttl_seconds, lease.keys) for lease in again} == {
        1: (60, 12, {b"a"}),
        -5: (30, 0, {b"b"}),
    }


def test_a_checkpoint_is_what_the_next_leader_goes_on_from_until_a_renewal(keyspace):
    lease = keyspace.leases.grant(1, 60)
    assert lease.seconds_left == 60
    keyspace.leases.checkpoint(1, 12)
    assert lease.seconds_left == 12
    keyspace.leases.checkpoint(1, 0)
    assert lease.seconds_left == 60
    keyspace.leases.checkpoint(1, 10**6)
    assert lease.seconds_left == 60
    keyspace.leases.checkpoint(99, 5)  # revoked meanwhile


def test_a_removed_lease_is_gone_from_the_store_and_its_id_free(keyspace):
    lease = keyspace.leases.grant(1, 60)
    put(keyspace, b"a", lease=1)
    keyspace.delete_keys(lease.keys)
    keyspace.leases.remove(lease)
    assert stored(keyspace) == {}
    assert get(keyspace, b"a") is None
    again = keyspace.leases.grant(1, 5)
    assert again.keys == set()


def test_a_lease_that_cannot_be_read_is_said_to_be_so():
    store = MemoryStore()
    store.put(Bucket.LEASE, b"\0" * 8, StoredLease(ID=3, TTL=1).SerializeToString())
    with pytest.raises(ValueError, match="says that it is 3"):
        Lessor(store)
    store.put(Bucket.LEASE, b"\0" * 8, b"\xff")
    with pytest.raises(ValueError, match="0000000000000000 cannot be read"):
        Lessor(store)
