"""Giving a store's unused pages back, with writes going on."""

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.runtime.lmdb_store import LmdbStore

BIG = b"x" * 4000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def store(path):
    """A store whose file is mostly unused pages."""
    store = LmdbStore(path, unsafe_no_fsync=True)
    for number in range(500):
        store.put(Bucket.KEY, b"%04d" % number, BIG)
    commit(store)
    for number in range(490):
        store.delete(Bucket.KEY, b"%04d" % number)
    commit(store)
    store.put(Bucket.META, b"after", b"1")
    commit(store)
    yield store
    store.close()


def commit(store):
    running = store.begin_commit()
    running.write()
    running.finish()


def keys(store):
    return [key for key, _ in store.scan(Bucket.KEY)]


def test_the_file_shrinks_and_nothing_else_changes(store, path):
    before, file_before = store.size_bytes(), path.stat().st_size
    found = keys(store)
    work = store.defragmentation()
    work.write()
    work.finish()
    work.close()
    assert store.size_bytes() < before / 5
    assert path.stat().st_size < file_before / 5
    assert keys(store) == found == [b"%04d" % number for number in range(490, 500)]
    store.put(Bucket.KEY, b"new", b"value")
    commit(store)
    store.close()
    again = LmdbStore(path)
    assert again.get(Bucket.KEY, b"new") == b"value"
    again.close()
    assert [file.name for file in path.parent.iterdir()] == ["db"]


def test_writes_in_between_are_kept_and_commits_wait(store, path):
    work = store.defragmentation()
    store.put(Bucket.KEY, b"before", b"1")
    work.write()
    store.put(Bucket.KEY, b"between", b"2")
    assert store.begin_commit() is None, "a commit would go to the file that is no longer there"
    assert store.get(Bucket.KEY, b"before") == b"1"
    work.finish()
    assert store.get(Bucket.KEY, b"between") == b"2"
    commit(store)
    work.close()
    store.close()
    again = LmdbStore(path)
    assert again.get(Bucket.KEY, b"before") == b"1"
    assert again.get(Bucket.KEY, b"between") == b"2"
    again.close()


def test_a_crash_between_the_two_steps_leaves_what_was_committed(store, path):
    store.defragmentation().write()
    store.put(Bucket.KEY, b"lost", b"the log has it")
    again = LmdbStore(path)
    assert keys(again) == [b"%04d" % number for number in range(490, 500)]
    assert again.get(Bucket.KEY, b"lost") is None
    again.close()


def test_a_file_left_over_from_a_crash_is_in_nobodys_way(store, path):
    leftover = path.with_name("db.defragmented.tmp")
    leftover.write_bytes(b"half a copy")
    work = store.defragmentation()
    work.write()
    work.finish()
    work.close()
    assert not leftover.exists()


def test_it_is_not_begun_while_a_commit_runs(store):
    store.put(Bucket.KEY, b"k", b"v")
    running = store.begin_commit()
    with pytest.raises(ValueError, match="while a commit is running"):
        store.defragmentation().write()
    running.write()
    running.finish()
    assert store.get(Bucket.KEY, b"k") == b"v"


def test_the_hash_is_of_the_contents_and_not_of_the_place_in_the_log(store):
    first = store.hash_committed()
    work = store.defragmentation()
    work.write()
    work.finish()
    work.close()
    assert store.hash_committed() == first
    store.put(Bucket.META, b"consistent_index", b"12345678")
    commit(store)
    assert store.hash_committed() == first
    store.put(Bucket.LEASE, b"k", b"v")
    commit(store)
    assert store.hash_committed() != first
