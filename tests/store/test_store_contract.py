"""What every Store keeps, shown on all of them against a plain dict."""

import errno
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import MAX_KEY_BYTES, Bucket, Store
from miniraft.runtime.lmdb_store import LmdbStore


class MemoryKind:
    """A MemoryStore and how it crashes."""

    def __init__(self, folder):
        self.copies = 0
        self.folder = folder

    def open(self) -> Store:
        return MemoryStore()

    def crash(self, store):
        return store.crash()

    def copy(self, store):
        self.copies += 1
        path = self.folder / f"copy{self.copies}"
        store.copy_to(path)
        return MemoryStore.read_copy(path)


class LmdbKind:
    """An LmdbStore; a crash of the process leaves the file as it is."""

    budget_s = 1.0

    def __init__(self, folder):
        self.folder = folder
        self.copies = 0

    def open(self, path=None) -> Store:
        return LmdbStore(path or self.folder / "db", loop_budget_s=self.budget_s, unsafe_no_fsync=True)

    def crash(self, store):
        store.close()
        return self.open()

    def copy(self, store):
        self.copies += 1
        path = self.folder / f"copy{self.copies}"
        store.copy_to(path)
        return self.open(path)


class LmdbInThreadKind(LmdbKind):
    """All changes are made in the thread, as the rest of an oversized batch is."""

    budget_s = 0.0


KINDS = [MemoryKind, LmdbKind, LmdbInThreadKind]


@pytest.fixture(params=KINDS, ids=["memory", "lmdb", "lmdb-in-thread"])
def kind(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def store(kind):
    opened = kind.open()
    yield opened
    opened.close()


def write_in_thread(commit):
    failures = []

    def run():
        try:
            commit.write()
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def commit_all(store):
    commit = store.begin_commit()
    if commit is not None:
        write_in_thread(commit)
        commit.finish()
    return commit


def content(store):
    return {bucket: list(store.scan(bucket)) for bucket in Bucket}


def test_a_write_is_seen_at_once_and_survives_a_crash_only_when_committed(kind, store):
    store.put(Bucket.KEY, b"a", b"1")
    commit_all(store)
    store.put(Bucket.KEY, b"a", b"2")
    store.put(Bucket.META, b"b", b"3")
    assert store.get(Bucket.KEY, b"a") == b"2"
    after = kind.crash(store)
    assert after.get(Bucket.KEY, b"a") == b"1"
    assert after.get(Bucket.META, b"b") is None
    after.close()


def test_a_commit_holds_what_was_there_when_it_began(kind, store):
    store.put(Bucket.KEY, b"a", b"old")
    store.put(Bucket.KEY, b"b", b"old")
    commit = store.begin_commit()
    assert commit.operation_count == 2
    store.put(Bucket.KEY, b"a", b"new")
    store.delete(Bucket.KEY, b"b")
    assert list(store.scan(Bucket.KEY)) == [(b"a", b"new")]
    assert store.pending_operations() == 2
    write_in_thread(commit)
    assert list(store.scan(Bucket.KEY)) == [(b"a", b"new")]
    commit.finish()
    assert list(store.scan(Bucket.KEY)) == [(b"a", b"new")]
    after = kind.crash(store)
    assert list(after.scan(Bucket.KEY)) == [(b"a", b"old"), (b"b", b"old")]
    after.close()


def test_one_commit_at_a_time_and_none_of_nothing(store):
    assert store.begin_commit() is None
    store.put(Bucket.KEY, b"a", b"1")
    commit = store.begin_commit()
    store.put(Bucket.KEY, b"b", b"2")
    assert store.begin_commit() is None
    write_in_thread(commit)
    assert store.begin_commit() is None
    commit.finish()
    assert store.pending_operations() == 1
    assert commit_all(store).operation_count == 1
    assert store.pending_operations() == 0
    assert store.pending_bytes() == 0


def test_a_commit_is_finished_once_and_only_after_it_was_written(store):
    store.put(Bucket.KEY, b"a", b"1")
    commit = store.begin_commit()
    with pytest.raises(ValueError, match="once its write has returned"):
        commit.finish()
    write_in_thread(commit)
    with pytest.raises(ValueError, match="written already"):
        commit.write()
    commit.finish()
    with pytest.raises(ValueError, match="only the running commit"):
        commit.finish()


def test_a_scan_merges_gathering_committing_and_committed(store):
    for key in (b"a", b"b", b"c", b"d"):
        store.put(Bucket.LEASE, key, b"disk")
    commit_all(store)
    store.put(Bucket.LEASE, b"b", b"frozen")
    store.put(Bucket.LEASE, b"bb", b"frozen")
    store.delete(Bucket.LEASE, b"c")
    store.put(Bucket.LEASE, b"e", b"frozen")
    commit = store.begin_commit()
    store.put(Bucket.LEASE, b"bb", b"pending")
    store.put(Bucket.LEASE, b"c", b"pending")
    store.delete(Bucket.LEASE, b"d")
    store.put(Bucket.LEASE, b"A", b"pending")
    store.put(Bucket.LEASE, b"f", b"")
    expected = [
        (b"A", b"pending"),
        (b"a", b"disk"),
        (b"b", b"frozen"),
        (b"bb", b"pending"),
        (b"c", b"pending"),
        (b"e", b"frozen"),
        (b"f", b""),
    ]
    assert list(store.scan(Bucket.LEASE)) == expected
    assert list(store.scan(Bucket.LEASE, b"b", b"e")) == expected[2:5]
    assert list(store.scan(Bucket.LEASE, b"b\0")) == expected[3:]
    assert list(store.scan(Bucket.LEASE, b"x")) == []
    assert list(store.scan(Bucket.KEY)) == []
    write_in_thread(commit)
    commit.finish()
    assert list(store.scan(Bucket.LEASE)) == expected


def test_keys_that_cannot_be_stored_are_refused_and_never_found(store):
    too_long = b"u" * (MAX_KEY_BYTES + 1)
    store.put(Bucket.AUTH_USERS, too_long[:-1], b"longest")
    store.put(Bucket.AUTH_USERS, b"z", b"after")
    for _ in range(2):
        for key in (b"", too_long):
            with pytest.raises(ValueError, match="1 to 511 can be stored"):
                store.put(Bucket.AUTH_USERS, key, b"x")
            assert store.get(Bucket.AUTH_USERS, key) is None
            store.delete(Bucket.AUTH_USERS, key)
        assert list(store.scan(Bucket.AUTH_USERS, too_long)) == [(b"z", b"after")]
        assert list(store.scan(Bucket.AUTH_USERS, b"a", too_long)) == [(too_long[:-1], b"longest")]
        commit_all(store)


def test_a_copy_has_the_last_commit_and_no_more(kind, store):
    for number in range(2000):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v" * 100)
    commit_all(store)
    for number in range(1500):
        store.delete(Bucket.KEY, number.to_bytes(8, "big"))
    commit_all(store)
    committed = content(store)
    store.put(Bucket.META, b"later", b"x")
    copied = kind.copy(store)
    assert content(copied) == committed
    assert copied.size_bytes() < store.size_bytes()
    copied.close()


def test_no_copy_while_a_commit_runs(kind, store, tmp_path):
    store.put(Bucket.KEY, b"a", b"1")
    commit = store.begin_commit()
    with pytest.raises(ValueError, match="while a commit is running"):
        store.copy_to(tmp_path / "early")
    write_in_thread(commit)
    commit.finish()
    store.copy_to(tmp_path / "late")
    with pytest.raises(FileExistsError):
        store.copy_to(tmp_path / "late")


def test_size_grows_with_data_and_in_use_shrinks_when_it_goes(store):
    empty = store.size_bytes(), store.size_in_use_bytes()
    for number in range(3000):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v" * 1000)
    assert (store.size_bytes(), store.size_in_use_bytes()) == empty
    commit_all(store)
    full = store.size_bytes()
    assert full > 3_000_000
    assert 3_000_000 < store.size_in_use_bytes() <= full
    for number in range(3000):
        store.delete(Bucket.KEY, number.to_bytes(8, "big"))
    commit_all(store)
    assert store.size_in_use_bytes() < 200_000
    assert store.size_bytes() >= full


def test_pending_bytes_counts_large_values(store):
    store.put(Bucket.KEY, b"a", b"v" * 1_000_000)
    assert 1_000_000 < store.pending_bytes() < 1_001_000


def test_a_closed_store_refuses_use(store):
    store.put(Bucket.KEY, b"a", b"1")
    commit = store.begin_commit()
    store.close()
    for use in (
        lambda: store.get(Bucket.KEY, b"a"),
        lambda: store.put(Bucket.KEY, b"a", b"1"),
        lambda: store.delete(Bucket.KEY, b"a"),
        lambda: store.scan(Bucket.KEY),
        store.begin_commit,
    ):
        with pytest.raises(OSError, match="closed"):
            use()
    with pytest.raises((OSError, ValueError), match="closed"):
        commit.write()


def test_a_failed_commit_stops_the_memory_store_and_loses_nothing_committed():
    disk_is_full = threading.Event()

    def before_write():
        if disk_is_full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")

    store = MemoryStore(before_write)
    store.put(Bucket.KEY, b"a", b"1")
    commit_all(store)
    disk_is_full.set()
    store.put(Bucket.KEY, b"b", b"2")
    commit = store.begin_commit()
    with pytest.raises(OSError, match="No space left") as raised:
        commit.write()
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="no more requests"):
        store.get(Bucket.KEY, b"a")
    after = store.crash()
    assert list(after.scan(Bucket.KEY)) == [(b"a", b"1")]


# Against a model --------------------------------------------------------------------------
KEYS = st.one_of(
    st.sampled_from([b"a", b"ab", b"b", b"\0", b"\xff" * 9, b"m" * MAX_KEY_BYTES]),
    st.binary(min_size=1, max_size=3),
)
VALUES = st.one_of(st.binary(max_size=8), st.just(b"x" * 5000))
BUCKETS = st.sampled_from([Bucket.KEY, Bucket.META, Bucket.AUTH_USERS])


class StoreMachine(RuleBasedStateMachine):
    """Live, frozen and durable state of a store, each as a dict."""

    kind_type = MemoryKind

    @initialize()
    def begin(self):
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.kind = self.kind_type(Path(self.folder.name))
        self.store = self.kind.open()
        self.live, self.frozen, self.durable = {}, None, {}
        self.commit = None
        self.revision = 0

    @rule(bucket=BUCKETS, key=KEYS, value=VALUES)
    def put(self, bucket, key, value):
        self.store.put(bucket, key, value)
        self.live[bucket, key] = value

    @rule(count=st.integers(1, 40))
    def append_revisions(self, count):
        for _ in range(count):
            self.revision += 1
            key = self.revision.to_bytes(8, "big") + b"_" + bytes(8)
            self.store.put(Bucket.KEY, key, b"revision")
            self.live[Bucket.KEY, key] = b"revision"

    @rule(bucket=BUCKETS, key=KEYS)
    def delete(self, bucket, key):
        self.store.delete(bucket, key)
        self.live.pop((bucket, key), None)

    @rule(keep_every=st.integers(2, 9))
    def compact(self, keep_every):
        for position, (bucket, key) in enumerate(sorted(self.live)):
            if bucket == Bucket.KEY and position % keep_every:
                self.store.delete(bucket, key)
                del self.live[bucket, key]

    @rule(bucket=BUCKETS, key=KEYS)
    def get(self, bucket, key):
        assert self.store.get(bucket, key) == self.live.get((bucket, key))

    @rule(bucket=BUCKETS, start=st.one_of(st.just(b""), KEYS), end=st.one_of(st.none(), KEYS))
    def scan(self, bucket, start, end):
        expected = sorted(
            (key, value)
            for (where, key), value in self.live.items()
            if where == bucket and start <= key and (end is None or key < end)
        )
        assert list(self.store.scan(bucket, start, end)) == expected

    @rule()
    def begin_commit(self):
        pending = self.store.pending_operations()
        commit = self.store.begin_commit()
        if self.commit is not None or not pending:
            assert commit is None
            return
        self.commit, self.frozen = commit, dict(self.live)

    @precondition(lambda self: self.commit is not None and self.frozen is not None)
    @rule()
    def write(self):
        write_in_thread(self.commit)
        self.durable, self.frozen = self.frozen, None

    @precondition(lambda self: self.commit is not None and self.frozen is None)
    @rule()
    def finish(self):
        self.commit.finish()
        self.commit = None

    @precondition(lambda self: self.commit is None)
    @rule()
    def copy(self):
        copied = self.kind.copy(self.store)
        assert flat(copied) == self.durable
        copied.close()

    @rule()
    def crash(self):
        self.store = self.kind.crash(self.store)
        self.commit = self.frozen = None
        self.live = dict(self.durable)
        assert flat(self.store) == self.durable

    @invariant()
    def sizes_make_sense(self):
        if hasattr(self, "store"):
            assert 0 <= self.store.size_in_use_bytes() <= self.store.size_bytes()

    def teardown(self):
        if hasattr(self, "store"):
            assert flat(self.store) == self.live
            self.store.close()
            self.folder.cleanup()


def flat(store):
    return {(bucket, key): value for bucket in Bucket for key, value in store.scan(bucket)}


def machine_for(kind_type, examples):
    machine = type(f"{kind_type.__name__}Machine", (StoreMachine,), {"kind_type": kind_type})
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    return case


TestMemoryStoreMachine = machine_for(MemoryKind, 60)
TestLmdbStoreMachine = machine_for(LmdbKind, 40)
TestLmdbInThreadStoreMachine = machine_for(LmdbInThreadKind, 30)
