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
    expected = [keyspace.hash_kv(revision) for revision in (20, 25, 0)]
    assert [result[1] for result in expected] == [20, 20, 20]
    while keyspace.compact_step(1):
        assert [keyspace.hash_kv(revision) for revision in (20, 25, 0)] == expected
    assert [keyspace.hash_kv(revision) for revision in (20, 25, 0)] == expected


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
