import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.keyspace import Keyspace
from miniraft.mvcc.revision import is_tombstone, main_of
from miniraft.mvcc.store import Bucket
from tests.mvcc.helpers import compact, delete, get, keys, new_keyspace, put, read
from tests.support.dict_store import DictStore


def stored(store):
    """Returns (main revision, key, is a delete) of every stored revision."""
    return [(main_of(place), pair[2:3], is_tombstone(place)) for place, pair in store.scan(Bucket.KEY)]


def test_what_can_be_compacted():
    keyspace = new_keyspace()
    put(keyspace, b"k")
    with pytest.raises(EtcdError, match="future revision"):
        compact(keyspace, 3)
    with pytest.raises(EtcdError, match="has been compacted"):
        compact(keyspace, -1)
    compact(keyspace, 0)  # accepted once, before any other
    for revision in (0, -1):
        with pytest.raises(EtcdError, match="has been compacted"):
            compact(keyspace, revision)
    compact(keyspace, 2)
    with pytest.raises(EtcdError, match="has been compacted"):
        compact(keyspace, 2)
    assert (keyspace.revision, keyspace.compact_revision) == (2, 2)


def test_recording_alone_ends_reads_below():
    keyspace = new_keyspace()
    for value in (b"1", b"2", b"3"):
        put(keyspace, b"k", value)
    compact(keyspace, 3, finish=False)
    with pytest.raises(EtcdError, match="has been compacted"):
        get(keyspace, b"k", 2)
    assert [get(keyspace, b"k", revision).value for revision in (3, 4)] == [b"2", b"3"]


def test_keeps_the_newest_at_or_below_and_all_above():
    store = DictStore()
    keyspace = Keyspace(store)
    for key in (b"a", b"b", b"a", b"a", b"c", b"a"):  # revisions 2 to 7
        put(keyspace, key)
    compact(keyspace, 5)
    assert stored(store) == [(3, b"b", False), (5, b"a", False), (6, b"c", False), (7, b"a", False)]


def test_a_tombstone_at_the_very_revision_stays_until_the_next():
    # etcd#18089, etcd#19179: a watch from there on still has to see the delete.
    store = DictStore()
    keyspace = Keyspace(store)
    put(keyspace, b"k")
    delete(keyspace, b"k")
    put(keyspace, b"x")
    compact(keyspace, 3)
    assert stored(store) == [(3, b"k", True), (4, b"x", False)]
    assert get(keyspace, b"k", 3) is None
    keyspace = Keyspace(store)
    compact(keyspace, 4)
    assert stored(store) == [(4, b"x", False)]
    put(keyspace, b"k")
    assert get(keyspace, b"k").version == 1


def test_an_older_tombstone_goes_with_what_is_before_it():
    store = DictStore()
    keyspace = Keyspace(store)
    put(keyspace, b"k")
    delete(keyspace, b"k")
    put(keyspace, b"k")
    delete(keyspace, b"k")
    put(keyspace, b"k", b"now")
    compact(keyspace, 4)
    assert stored(store) == [(4, b"k", False), (5, b"k", True), (6, b"k", False)]
    compact(keyspace, 6)
    assert stored(store) == [(6, b"k", False)]
    assert get(keyspace, b"k").create_revision == 6


def test_steps_are_bounded_and_end():
    store = DictStore()
    keyspace = Keyspace(store)
    for number in range(300):
        put(keyspace, b"hot" if number % 3 else b"k%d" % number)
    delete(keyspace, b"k", b"l")
    compact(keyspace, keyspace.revision, finish=False)
    steps, left = 0, True
    while left:
        before = store.operations
        left = keyspace.compact_step(10)
        steps += 1
        assert store.operations - before <= 12
        assert steps < 200
    assert len(stored(store)) == 101
    compact(keyspace, put(keyspace, b"x").revision)
    assert len(stored(store)) == 2
    before = store.operations
    assert keyspace.compact_step(10) is False
    assert store.operations == before


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_writes_and_another_compaction_amid_a_compaction(limit):
    store = DictStore()
    keyspace = Keyspace(store)
    for round_number in range(4):
        for key in (b"a", b"b", b"c"):
            put(keyspace, key, b"%d" % round_number)
    compact(keyspace, 8, finish=False)
    keyspace.compact_step(limit)
    put(keyspace, b"a", b"new")
    delete(keyspace, b"b")
    put(keyspace, b"b", b"again")
    keyspace.compact_step(limit)
    compact(keyspace, 15, finish=False)
    while keyspace.compact_step(limit):
        assert get(keyspace, b"b", 15) is None
        assert get(keyspace, b"a", 15).value == b"new"
    assert stored(store) == [
        (13, b"c", False),
        (14, b"a", False),
        (15, b"b", True),
        (16, b"b", False),
    ]
    assert keys(read(keyspace)) == [b"a", b"b", b"c"]


def test_a_tombstone_between_two_lives_of_a_key_goes_too():
    store = DictStore()
    keyspace = Keyspace(store)
    put(keyspace, b"k")
    delete(keyspace, b"k")
    put(keyspace, b"x")
    put(keyspace, b"k")
    compact(keyspace, 4)
    assert stored(store) == [(4, b"x", False), (5, b"k", False)]
