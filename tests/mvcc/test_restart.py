import pytest

from miniraft.mvcc.keyspace import FINISHED_COMPACTION_KEY, SCHEDULED_COMPACTION_KEY, Keyspace
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.revision import revision_key
from miniraft.mvcc.store import Bucket
from tests.mvcc.helpers import Leases, compact, delete, get, put, read
from tests.support.dict_store import DictStore


def test_everything_comes_back():
    store = DictStore()
    keyspace = Keyspace(store)
    put(keyspace, b"a", b"1")
    put(keyspace, b"b", b"2")
    put(keyspace, b"a", b"3")
    delete(keyspace, b"b")
    again = Keyspace(store.copy())
    assert (again.revision, again.compact_revision, again.key_count) == (5, -1, 1)
    for revision in range(2, 6):
        assert read(again, revision=revision) == read(keyspace, revision=revision)
    put(again, b"a", b"4")
    pair = get(again, b"a")
    assert (pair.create_revision, pair.mod_revision, pair.version) == (2, 6, 3)
    put(again, b"b")
    assert get(again, b"b").version == 1


def test_the_version_is_right_after_history_was_compacted():
    store = DictStore()
    keyspace = Keyspace(store)
    for _ in range(5):
        put(keyspace, b"k")
    compact(keyspace, 5)
    again = Keyspace(store)
    put(again, b"k")
    assert (get(again, b"k").version, get(again, b"k").create_revision) == (6, 2)


def test_keys_hang_on_their_leases_again():
    store = DictStore()
    keyspace = Keyspace(store, Leases(7, 8, 9))
    for key, lease in ((b"a", 7), (b"b", 7), (b"c", 7), (b"d", 9), (b"b", 8), (b"c", 0)):
        put(keyspace, key, lease=lease)
    delete(keyspace, b"a")
    leases = Leases(7, 8)  # 9 is gone
    again = Keyspace(store, leases)
    assert leases.keys == {7: set(), 8: {b"b"}}
    delete(again, b"b")
    delete(again, b"d")
    assert leases.keys == {7: set(), 8: set()}


@pytest.mark.parametrize("steps", range(8))
def test_revision_does_not_go_back_after_a_crash_in_a_compaction(steps):
    # etcd#17780: the newest revisions are tombstones, and all that was compacted away.
    store = DictStore()
    keyspace = Keyspace(store)
    for key in (b"a", b"b", b"c"):
        put(keyspace, key)
    delete(keyspace, b"\0", b"\0")
    compact(keyspace, 5)
    put(keyspace, b"a")
    delete(keyspace, b"a")  # 7
    compact(keyspace, 7, finish=False)
    for _ in range(steps):
        keyspace.compact_step(1)
    again = Keyspace(store.copy())
    assert (again.revision, again.compact_revision) == (7, 7)
    assert again.compact_step(1) is False
    assert put(again, b"a").revision == 8


def test_compaction_points_alone_give_the_revision():
    store = DictStore()
    store.put(Bucket.META, SCHEDULED_COMPACTION_KEY, revision_key(9))
    keyspace = Keyspace(store)
    assert (keyspace.revision, keyspace.compact_revision) == (9, 9)
    assert store.get(Bucket.META, FINISHED_COMPACTION_KEY) == revision_key(9)
    assert Keyspace(store).revision == 9


def test_a_revision_missing_in_the_store_is_said_to_be_damage():
    store = DictStore()
    keyspace = Keyspace(store)
    put(keyspace, b"k")
    store.delete(Bucket.KEY, revision_key(2))
    with pytest.raises(RuntimeError, match="the store is damaged"):
        get(keyspace, b"k")


def test_what_was_not_committed_is_gone_as_a_whole():
    store = MemoryStore()
    keyspace = Keyspace(store)
    for value in (b"1", b"2", b"3"):
        put(keyspace, b"k", value)
    compact(keyspace, 3, finish=False)
    commit = store.begin_commit()
    commit.write()
    commit.finish()
    put(keyspace, b"k", b"lost")
    while keyspace.compact_step(1):
        pass
    again = Keyspace(store.crash())
    assert (again.revision, again.compact_revision) == (4, 3)
    assert [get(again, b"k", revision).value for revision in (3, 4)] == [b"2", b"3"]
