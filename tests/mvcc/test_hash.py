"""HashKV by its definition; that etcd's comes out the same is in tests/conformance."""

import crc32c
import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.store import Bucket
from tests.mvcc.helpers import compact, delete, new_keyspace, put
from tests.support.dict_store import DictStore


def test_covers_every_row_in_order():
    store = DictStore()
    keyspace = Keyspace(store)
    assert keyspace.hash_kv(0) == (crc32c.crc32c(b"key"), -1, 1)
    put(keyspace, b"a", b"1")
    rows = b"".join(place + pair for place, pair in store.scan(Bucket.KEY))
    delete(keyspace, b"a")
    assert keyspace.hash_kv(2) == (crc32c.crc32c(b"key" + rows), -1, 2)
    rows = b"".join(place + pair for place, pair in store.scan(Bucket.KEY))
    assert keyspace.hash_kv(0) == keyspace.hash_kv(3) == (crc32c.crc32c(b"key" + rows), -1, 3)


def test_does_not_depend_on_how_far_a_compaction_has_got():
    keyspace = new_keyspace()
    for number in range(30):
        put(keyspace, b"k%d" % (number % 5))
        if number % 7 == 0:
            delete(keyspace, b"k1", b"k3")
    compact(keyspace, 20, finish=False)
    expected = [keyspace.hash_kv(revision) for revision in (21, 25, 0)]
    assert [result[1] for result in expected] == [20, 20, 20]
    while keyspace.compact_step(1):
        assert [keyspace.hash_kv(revision) for revision in (21, 25, 0)] == expected
    assert [keyspace.hash_kv(revision) for revision in (21, 25, 0)] == expected


# Hashes of compactions ------------------------------------------------------------------------
def busy_keyspace(writes=40):
    keyspace = new_keyspace()
    for number in range(writes):
        put(keyspace, b"k%d" % (number % 5), b"%d" % number)
        if number % 7 == 0:
            delete(keyspace, b"k1", b"k3")
    return keyspace


def test_a_compaction_hashes_what_there_was_before_it():
    keyspace = busy_keyspace()
    compact(keyspace, 10)
    expected = keyspace.hash_kv(20)
    compact(keyspace, 20, finish=False)
    while keyspace.compact_step(3):
        put(keyspace, b"meanwhile")
        put(keyspace, b"k1")
    assert keyspace.hash_kv(20) == expected
    assert expected[1:] == (10, 20), "it counts from the compaction before on"
    assert keyspace.compaction_hashes.newest_first() == [
        keyspace.compaction_hashes.at(20),
        keyspace.compaction_hashes.at(10),
    ]
    assert keyspace.counters.compacted_revisions > 0
    compact(keyspace, 25)
    assert keyspace.hash_kv(20) == expected, "known still, though what is below 25 is compacted"
    with pytest.raises(EtcdError, match="has been compacted"):
        keyspace.hash_kv(21)


def test_the_last_ten_are_known():
    keyspace = busy_keyspace()
    for revision in range(5, 17):
        compact(keyspace, revision)
    known = [taken.revision for taken in keyspace.compaction_hashes.newest_first()]
    assert known == list(range(16, 6, -1))
    assert [taken.compact_revision for taken in keyspace.compaction_hashes.newest_first()] == [
        *range(15, 5, -1)
    ]


@pytest.mark.parametrize("steps", [0, 1, 3, 9])
def test_a_compaction_that_comes_too_early_takes_no_hash(steps):
    """Part of what would count may be gone; the one under way still takes its own."""
    keyspace = busy_keyspace()
    expected = keyspace.hash_kv(20)
    compact(keyspace, 20, finish=False)
    for _ in range(steps):
        keyspace.compact_step(4)
    compact(keyspace, 30)
    assert [taken.revision for taken in keyspace.compaction_hashes.newest_first()] == [20]
    assert keyspace.hash_kv(20) == expected
    assert keyspace.hash_kv(30)[1] == 30


def test_a_restart_finishes_a_compaction_without_a_hash():
    keyspace = busy_keyspace()
    compact(keyspace, 20, finish=False)
    keyspace.compact_step(5)
    again = Keyspace(keyspace._store)
    assert again.compaction_hashes.newest_first() == []
    assert not again.compact_step(1000)
    assert again.hash_kv(25) == keyspace.hash_kv(25)


def test_revisions_that_cannot_be_hashed():
    keyspace = new_keyspace()
    put(keyspace, b"k")
    put(keyspace, b"k")
    with pytest.raises(EtcdError, match="future revision"):
        keyspace.hash_kv(4)
    compact(keyspace, 3)
    with pytest.raises(EtcdError, match="has been compacted"):
        keyspace.hash_kv(2)
    assert keyspace.hash_kv(3)[2] == 3
