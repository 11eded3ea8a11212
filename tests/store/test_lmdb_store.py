"""What only the store on disk has: its file, its limits and its errors."""

import errno
import os
import random
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.runtime import lmdb_store
from miniraft.runtime.lmdb_store import LmdbStore, StoreRefused, verify_store


def commit_all(store):
    commit = store.begin_commit()
    commit.write()
    commit.finish()


def filled(path, count=2000, **options):
    store = LmdbStore(path, unsafe_no_fsync=True, **options)
    for number in range(count):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v" * 200)
    commit_all(store)
    return store


def test_the_file_is_made_for_its_owner_only_and_without_leftovers(tmp_path):
    path = tmp_path / "member" / "snap" / "db"
    path.parent.mkdir(parents=True)
    (path.parent / "db.tmp").write_bytes(b"of a crash")
    LmdbStore(path).close()
    assert [file.name for file in path.parent.iterdir()] == ["db"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: b"", "it is empty"),
        (lambda content: b"not a store" * 1000, "not a store of this program, or damaged"),
        (lambda content: bytes(len(content)), "not a store of this program, or damaged"),
        (lambda content: content[: len(content) // 2], "it was cut off at"),
        (lambda content: content[:8192], "it was cut off at 8192 bytes"),
    ],
    ids=["empty", "text", "zeros", "half", "heads only"],
)
def test_a_file_that_is_damaged_is_refused_and_left_as_it_is(tmp_path, damage, reason):
    path = tmp_path / "db"
    filled(path).close()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(StoreRefused, match=reason) as raised:
        LmdbStore(path)
    assert str(path) in str(raised.value)
    assert "etcdctl-py member remove" in str(raised.value)
    assert path.read_bytes() == damaged


def test_another_lmdb_file_is_refused(tmp_path):
    import lmdb

    lmdb.open(str(tmp_path / "db"), subdir=False, lock=False).close()
    with pytest.raises(StoreRefused, match="no readable table key"):
        LmdbStore(tmp_path / "db")


def test_verify_finds_a_damaged_page(tmp_path):
    path = tmp_path / "db"
    filled(path).close()
    assert verify_store(path) == []
    content = bytearray(path.read_bytes())
    content[20 * 4096 : 21 * 4096] = random.Random(1).randbytes(4096)
    path.write_bytes(content)
    assert verify_store(path)
    path.write_bytes(b"nothing")
    assert verify_store(path)


def test_the_map_grows_before_it_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "SMALLEST_MAP_BYTES", 1 << 20)
    store = LmdbStore(tmp_path / "db", map_bytes=1 << 20, unsafe_no_fsync=True)
    for number in range(200):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), bytes(50_000))
        if number % 20 == 19:
            commit_all(store)
    assert store.size_bytes() > 10_000_000
    assert len(list(store.scan(Bucket.KEY))) == 200
    store.close()


@pytest.mark.parametrize("loop_budget_s", [0.0, 60.0])
def test_a_full_map_is_a_full_disk_and_loses_nothing_committed(tmp_path, monkeypatch, loop_budget_s):
    path = tmp_path / "db"
    filled(path, count=10).close()
    monkeypatch.setattr(LmdbStore, "_make_room", lambda self, changed_bytes: None)
    store = LmdbStore(path, map_bytes=1 << 20, loop_budget_s=loop_budget_s)
    for number in range(100):
        store.put(Bucket.LEASE, number.to_bytes(8, "big"), bytes(50_000))
    commit = store.begin_commit()
    with pytest.raises(OSError, match="the store failed") as raised:
        commit.write()
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(path)
    for use in (
        lambda: store.get(Bucket.KEY, b"a"),
        lambda: store.put(Bucket.KEY, b"a", b""),
        store.begin_commit,
    ):
        with pytest.raises(OSError, match="no more requests after") as raised:
            use()
        assert raised.value.errno == errno.ENOSPC
    store.close()
    monkeypatch.undo()
    store = LmdbStore(path)
    assert len(list(store.scan(Bucket.KEY))) == 10
    assert list(store.scan(Bucket.LEASE)) == []
    store.close()


def test_little_address_space_gets_a_smaller_map(tmp_path):
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from miniraft.runtime.lmdb_store import LmdbStore\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "LmdbStore(Path(sys.argv[1])).close()\n"
        "print('opened')\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "db")],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert finished.stdout == "opened\n", finished.stderr


def test_a_file_size_limit_in_a_commit_is_an_error_and_nothing_committed_is_lost(tmp_path):
    """A write that fails in the middle of LMDB's commit, as on a full disk."""
    path = tmp_path / "db"
    store = filled(path, count=2000)
    before = list(store.scan(Bucket.KEY))
    for number in range(100):
        store.put(Bucket.LEASE, number.to_bytes(8, "big"), bytes(50_000))
    commit = store.begin_commit()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="the store failed") as raised:
            commit.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno in (errno.EFBIG, errno.EIO, errno.ENOSPC)
    store.close()
    assert verify_store(path) == []
    store = LmdbStore(path)
    assert list(store.scan(Bucket.KEY)) == before
    assert list(store.scan(Bucket.LEASE)) == []
    store.close()


def test_a_large_batch_leaves_the_loop_after_its_budget(tmp_path):
    """What does not fit is put in the thread: the whole is one commit all the same."""
    store = LmdbStore(tmp_path / "db", unsafe_no_fsync=True, loop_budget_s=0.0)
    for number in range(20_000):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v")
    commit = store.begin_commit()
    assert commit.operation_count == 20_000
    thread = threading.Thread(target=commit.write)
    thread.start()
    while thread.is_alive():  # reads go on meanwhile, and see everything
        assert store.get(Bucket.KEY, (19_999).to_bytes(8, "big")) == b"v"
    thread.join()
    commit.finish()
    assert len(list(store.scan(Bucket.KEY))) == 20_000
    store.close()


def test_the_loop_is_held_up_for_its_budget_only(tmp_path, monkeypatch):
    made = []
    whole = lmdb_store._put_changes

    def counted(*arguments):
        for step in whole(*arguments):
            made.append(step)
            yield step

    clock = iter(range(1000))
    monkeypatch.setattr(lmdb_store, "_put_changes", counted)
    monkeypatch.setattr(lmdb_store, "perf_counter", lambda: next(clock))
    store = LmdbStore(tmp_path / "db", unsafe_no_fsync=True, loop_budget_s=5)
    for number in range(20_000):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v")
    commit = store.begin_commit()
    assert 3 <= len(made) <= 5
    commit.write()
    commit.finish()
    assert len(made) == 20_000 / 250
    assert len(list(store.scan(Bucket.KEY))) == 20_000
    store.close()


def test_reads_are_stable_while_commits_reuse_pages(tmp_path):
    """A reader of commit N while N+1 is written, many times over, with a model beside it."""
    random_ = random.Random(1)
    store = filled(tmp_path / "db", count=500)
    model = {number.to_bytes(8, "big"): b"v" * 200 for number in range(500)}
    for _ in range(60):
        for _ in range(100):
            key = random_.randrange(500).to_bytes(8, "big")
            if random_.random() < 0.3:
                store.delete(Bucket.KEY, key)
                model.pop(key, None)
            else:
                model[key] = random_.randbytes(random_.choice([20, 400, 5000]))
                store.put(Bucket.KEY, key, model[key])
        commit = store.begin_commit()
        thread = threading.Thread(target=commit.write)
        thread.start()
        while thread.is_alive():
            key = random_.randrange(500).to_bytes(8, "big")
            assert store.get(Bucket.KEY, key) == model.get(key)
        thread.join()
        assert dict(store.scan(Bucket.KEY)) == model
        commit.finish()
        assert dict(store.scan(Bucket.KEY)) == model
    store.close()
    assert verify_store(tmp_path / "db") == []


def test_closing_waits_for_a_running_commit_and_abandons_one_not_written(tmp_path):
    store = filled(tmp_path / "db", count=10)
    store.put(Bucket.META, b"a", b"1")
    commit = store.begin_commit()
    store.close()
    with pytest.raises(ValueError, match="its store closed"):
        commit.write()
    store = LmdbStore(tmp_path / "db")
    assert store.get(Bucket.META, b"a") is None
    store.put(Bucket.META, b"a", b"1")
    for number in range(3000):
        store.put(Bucket.LEASE, number.to_bytes(8, "big"), bytes(1000))
    thread = threading.Thread(target=store.begin_commit().write)
    thread.start()
    while store._commit is not None and not store._commit._running.locked() and thread.is_alive():
        pass
    store.close()
    thread.join()
    store = LmdbStore(tmp_path / "db")
    assert store.get(Bucket.META, b"a") == b"1"
    store.close()


def test_a_copy_is_a_whole_store_for_its_owner_only(tmp_path):
    store = filled(tmp_path / "db")
    store.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert verify_store(tmp_path / "copy") == []
    with pytest.raises(FileNotFoundError):
        store.copy_to(tmp_path / "no folder" / "copy")
    store.close()


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path):
    store = filled(tmp_path / "db")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="the store failed"):
            store.copy_to(tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["db"]  # noqa: PTH208
    assert store.get(Bucket.KEY, bytes(8)) == b"v" * 200
    store.close()
