"""The store on disk: LMDB, with what is not committed yet in memory before it.

Which thread does what. py-lmdb lets go of the interpreter's lock around every put. In a thread
beside a busy event loop each put then waits for the lock (35 µs measured); on the loop itself
it costs 0.2 µs. So `begin_commit` does the puts, on the loop, in one write transaction, and
`Commit.write` only commits it, in a thread: one wait for the lock for the whole of it. A batch
that would hold the loop up for more than `LOOP_BUDGET_S` has its rest put in the thread.

A write transaction may be begun in one thread and committed in another only without LMDB's own
locks (lock=False; its mutex belongs to a thread). The member keeps other processes out with the
lock on its data folder, and there is one owner here. Without locks there is no table of
readers either, so these rules keep the pages apart that a reader sees and a writer reuses:

- The reader of commit N is begun when N has been written and no commit is running, for one that
  is begun while the head of the file is being written could read half of it.
- While N+1 is written it stays open. A writer without a table of readers reuses only pages
  freed by N-1 or before, that is, pages that commit N-1 did not use any more, and N does not
  either. (The same rule makes the file safe against power loss: N stays whole until the head
  that names N+1 is on disk.)
- When N+1 has been written, the reader is ended and one of N+1 begun, always before the writer
  of N+2 begins, which may reuse what N+1 has freed after N needed it.

Power loss. LMDB syncs the pages of a commit before it writes the head that names it, and that
write is synced itself. So a crash leaves the last commit or the one before, never a mix
(tests/store/test_power_loss.py). With syncing off it can leave a mix, which is corrupt.
"""

from __future__ import annotations

import errno
import os
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import crc32c
import lmdb

from miniraft.mvcc.store import BUCKET_NAMES, MAX_KEY_BYTES, Bucket
from miniraft.runtime.disk import FILE_MODE, make_folder, sync_folder
from miniraft.runtime.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# Address space, not memory or disk: 32 times the default quota, 8 times the largest one advised.
# Doubled when the file comes near it.
MAP_BYTES = 64 << 30
SMALLEST_MAP_BYTES = 64 << 20
LOOP_BUDGET_S = 0.005
_STEP_OPERATIONS = 250
_STEP_BYTES = 256 << 10
_FULL_BYTES = 64 << 10
_OPERATION_OVERHEAD_BYTES = 150  # what a change takes in memory beside key and value, about
_UNFINISHED_SUFFIX = ".tmp"
_DEFRAGMENTED_SUFFIX = ".defragmented.tmp"
_NO_MORE: Final = (None, None)
_NOT_HASHED = frozenset((b"consistent_index", b"term"))


class StoreRefused(Exception):  # noqa: N818 (it says what happened)
    """The store's file is damaged or not one. The message names it and says what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"store refused: {path}: {reason}. Nothing was changed. While the other members have a majority, "
            "replace this one: `etcdctl-py member remove MEMBER_ID`, `etcdctl-py member add NAME "
            "--peer-urls=URL`, then start it with an empty data directory and "
            "--initial-cluster-state=existing. Without a majority, restore the cluster from a snapshot: "
            "`etcdutl-py snapshot restore`."
        )
        self.path = path


class LmdbCommit:
    """A `Commit`: a write transaction with, mostly, all changes in it."""

    def __init__(self, store: LmdbStore, changes: Sequence[Overlay]) -> None:
        self.operation_count = sum(len(overlay.values) for overlay in changes)
        self.written = False
        self._store = store
        self._changes = changes
        self._transaction: Any = None
        self._steps: Iterator[None] = iter(())
        self._failure: OSError | None = None
        self._running = threading.Lock()  # held by `write`; `abandon` waits for it

    def prepare(self, environment: Any, databases: Sequence[Any], budget_s: float) -> None:
        """Begins the transaction and makes the changes, as far as they come in `budget_s`.

        An error is kept for `write`, where the owner expects it.
        """
        until = perf_counter() + budget_s
        try:
            self._transaction = environment.begin(write=True)
            self._steps = _put_changes(self._transaction, databases, self._changes)
            while perf_counter() < until:
                if next(self._steps, _NO_MORE) is _NO_MORE:
                    break
        except lmdb.Error as error:
            self._failure = self._store.fail(error)

    def write(self) -> None:
        """See `Commit.write`."""
        with self._running:
            if self._failure is not None:
                raise self._failure
            if self._transaction is None:
                raise ValueError("this commit was written already, or its store closed")
            try:
                for _ in self._steps:
                    pass
                self._transaction.commit()
            except lmdb.Error as error:
                self._failure = self._store.fail(error)
                raise self._failure from error
            self._transaction = None
            self.written = True

    def finish(self) -> None:
        """See `Commit.finish`."""
        self._store.finish_commit(self)

    def abandon(self) -> None:
        """Ends the transaction, if `write` has not. Waits for a `write` that is running."""
        with self._running:
            if self._transaction is not None:
                self._steps = iter(())
                self._transaction.abort()
                self._transaction = None


class LmdbDefragmentation:
    """The store's file being written anew, without the pages that nothing uses.

    `write` runs in a thread with no commit running or beginning, `finish` on the loop before the
    next one, `close` in a thread. A crash at any point leaves the old file or the new one, which
    hold the same. In between the two the store commits nothing: it would go to the old file.
    """

    def __init__(self, store: LmdbStore) -> None:
        self._store = store
        self._opened: tuple[Any, int, list[Any]] | None = None
        self._old: Any = None

    def write(self) -> None:
        """Writes the new file and puts it in the old one's place. Blocks. Raises OSError, StoreRefused."""
        self._opened = self._store.write_defragmented()

    def finish(self) -> None:
        """From now on the store works with the new file."""
        if self._opened is None:
            raise ValueError("the new file has not been written")
        self._old = self._store.take_over(*self._opened)
        self._opened = None

    def close(self) -> None:
        """Lets go of the old file. Blocks."""
        if self._old is not None:
            self._old.close()


class LmdbStore:
    """A `Store` in one LMDB file.

    Reads look at the changes that are gathering, then at those being committed, then at the
    last finished commit.
    Invariants: `_frozen` are the changes of `_commit`, all empty when there is none; the
    reader sees everything committed before `_commit`.
    """

    def __init__(
        self,
        path: Path,
        *,
        unsafe_no_fsync: bool = False,
        map_bytes: int = MAP_BYTES,
        loop_budget_s: float = LOOP_BUDGET_S,
    ) -> None:
        """Opens the file at `path`, or makes one. Raises StoreRefused, OSError."""
        self._path = path
        self._unsafe_no_fsync = unsafe_no_fsync
        self._loop_budget_s = loop_budget_s
        if not path.exists():
            _create(path)
        self._environment, self._map_bytes = _open(path, map_bytes, unsafe_no_fsync=unsafe_no_fsync)
        try:
            _check_length(self._environment, path)
            self._databases = _open_buckets(self._environment, path)
        except Exception:
            self._environment.close()
            raise
        self._pending = [Overlay() for _ in Bucket]
        self._frozen = [Overlay() for _ in Bucket]
        self._pending_bytes = 0
        self._commit: LmdbCommit | None = None
        self._failure: OSError | None = None
        self._is_replaced = False  # a defragmented file is in place, and not in use yet
        self._copying = threading.Lock()  # held while copying, so that `_commit` stays None
        self._begin_reader()

    # Reads --------------------------------------------------------------------------------
    def get(self, bucket: Bucket, key: bytes) -> bytes | None:
        """See `Store.get`."""
        if self._failure is not None:
            raise self._refusal()
        values = self._pending[bucket].values
        if key in values:
            return values[key]
        values = self._frozen[bucket].values
        if key in values:
            return values[key]
        try:
            value: bytes | None = self._reader.get(key, db=self._databases[bucket])
        except lmdb.BadValsizeError:
            return None  # no key is empty or that long
        except lmdb.Error as error:
            raise self.fail(error) from error
        return value

    def scan(
        self, bucket: Bucket, start: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Store.scan`."""
        if self._failure is not None:
            raise self._refusal()
        changes: dict[bytes, bytes | None] = {}
        for overlay in (self._frozen[bucket], self._pending[bucket]):
            values = overlay.values
            if values:
                changes.update([(key, values[key]) for key in overlay.keys_between(start, end)])
        on_disk = self._scan_disk(bucket, start, end)
        return _merge(on_disk, sorted(changes.items())) if changes else on_disk

    def _scan_disk(self, bucket: Bucket, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        try:
            with self._reader.cursor(self._databases[bucket]) as cursor:
                if not cursor.set_range(start[:MAX_KEY_BYTES]):
                    return
                for pair in cursor.iternext():
                    if end is not None and pair[0] >= end:
                        return
                    if pair[0] >= start:  # fails only for the first one behind a start that is too long
                        yield pair
        except lmdb.Error as error:
            raise self.fail(error) from error

    # Writes -------------------------------------------------------------------------------
    def put(self, bucket: Bucket, key: bytes, value: bytes) -> None:
        """See `Store.put`."""
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise ValueError(
                f"a key of {len(key)} bytes in {bucket.name}: 1 to {MAX_KEY_BYTES} can be stored"
            )
        if self._failure is not None:
            raise self._refusal()
        self._pending[bucket].set(key, value)
        self._pending_bytes += len(key) + len(value) + _OPERATION_OVERHEAD_BYTES

    def delete(self, bucket: Bucket, key: bytes) -> None:
        """See `Store.delete`."""
        if self._failure is not None:
            raise self._refusal()
        if 0 < len(key) <= MAX_KEY_BYTES:
            self._pending[bucket].set(key, None)
            self._pending_bytes += len(key) + _OPERATION_OVERHEAD_BYTES

    def pending_operations(self) -> int:
        """See `Store.pending_operations`."""
        return sum([len(overlay.values) for overlay in self._pending])

    def pending_bytes(self) -> int:
        """See `Store.pending_bytes`."""
        return self._pending_bytes

    # Commits ------------------------------------------------------------------------------
    def begin_commit(self) -> LmdbCommit | None:
        """See `Store.begin_commit`."""
        if self._failure is not None:
            raise self._refusal()
        if self._commit is not None or self._is_replaced or not self.pending_operations():
            return None
        if not self._copying.acquire(blocking=False):
            return None
        try:
            self._make_room(self._pending_bytes)
            commit = self._commit = LmdbCommit(self, self._pending)
        finally:
            self._copying.release()
        self._frozen = self._pending
        self._pending, self._pending_bytes = [Overlay() for _ in Bucket], 0
        commit.prepare(self._environment, self._databases, self._loop_budget_s)
        return commit

    def finish_commit(self, commit: LmdbCommit) -> None:
        """What `Commit.finish` does."""
        if commit is not self._commit or not commit.written:
            raise ValueError("only the running commit can be finished, once its write has returned")
        self._commit = None
        self._frozen = [Overlay() for _ in Bucket]
        self._reader.abort()
        self._begin_reader()

    def fail(self, error: lmdb.Error) -> OSError:
        """Makes the store refuse further use; returns the error as an OSError."""
        self._failure = _as_os_error(error, self._path)
        return self._failure

    def _refusal(self) -> OSError:
        failure = self._failure or OSError()
        return OSError(
            failure.errno, f"the store takes no more requests after: {failure}. Restart the member"
        )

    def _begin_reader(self) -> None:
        self._reader: Any = self._environment.begin(buffers=False)
        page_bytes = self._environment.stat()["psize"]
        in_use = 2  # the heads
        for database in (None, *self._databases):
            stat = self._reader.stat(database) if database else self._environment.stat()
            in_use += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        self._size_in_use_bytes: int = in_use * page_bytes
        self._size_bytes: int = (self._environment.info()["last_pgno"] + 1) * page_bytes

    def _make_room(self, changed_bytes: int) -> None:
        """Grows the map well before a commit could fill it (pages are copied, then changed)."""
        needed = self._size_bytes + 4 * changed_bytes + SMALLEST_MAP_BYTES // 4
        if needed <= self._map_bytes:
            return
        while self._map_bytes < needed:
            self._map_bytes *= 2
        self._reader.abort()  # the map may move: nothing may be reading
        try:
            self._environment.set_mapsize(self._map_bytes)
        except lmdb.Error as error:
            raise self.fail(error) from error
        self._begin_reader()

    # The file -----------------------------------------------------------------------------
    def size_bytes(self) -> int:
        """See `Store.size_bytes`. As of the last finished commit."""
        return self._size_bytes

    def size_in_use_bytes(self) -> int:
        """See `Store.size_in_use_bytes`. As of the last finished commit."""
        return self._size_in_use_bytes

    def copy_to(self, path: Path) -> None:
        """See `Store.copy_to`. The copy has no unused pages.

        Raises FileExistsError, OSError, and ValueError while a commit is running.
        """
        if self._failure is not None:
            raise self._refusal()
        with self._copying:
            self._write_copy(path)

    def _write_copy(self, path: Path) -> None:
        if self._commit is not None:
            raise ValueError("the store cannot be copied while a commit is running")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            self._environment.copyfd(descriptor, compact=True)
            if not self._unsafe_no_fsync:
                os.fsync(descriptor)
                sync_folder(path.parent)
        except BaseException as error:
            path.unlink()
            if isinstance(error, lmdb.Error):
                raise _as_os_error(error, path) from error
            raise
        finally:
            os.close(descriptor)

    def defragmentation(self) -> LmdbDefragmentation:
        """Returns the work that gives the file's unused pages back to the file system."""
        return LmdbDefragmentation(self)

    def write_defragmented(self) -> tuple[Any, int, list[Any]]:
        """What `LmdbDefragmentation.write` does; returns the new environment, its map's size, its tables."""
        if self._failure is not None:
            raise self._refusal()
        new = self._path.with_name(self._path.name + _DEFRAGMENTED_SUFFIX)
        with self._copying:
            new.unlink(missing_ok=True)  # of an attempt that was interrupted
            self._write_copy(new)
            environment, map_bytes = _open(new, self._map_bytes, unsafe_no_fsync=self._unsafe_no_fsync)
            try:
                databases = _open_buckets(environment, new)
                self._is_replaced = True
                new.replace(self._path)
                sync_folder(self._path.parent)
            except BaseException:
                environment.close()
                raise
            return environment, map_bytes, databases

    def take_over(self, environment: Any, map_bytes: int, databases: list[Any]) -> Any:
        """What `LmdbDefragmentation.finish` does; returns the old environment."""
        self._reader.abort()
        old, self._environment = self._environment, environment
        self._map_bytes, self._databases = map_bytes, databases
        self._is_replaced = False
        self._begin_reader()
        return old

    def hash_committed(self) -> int:
        """Returns CRC-32C over all tables as last committed, but for the place in the log. Blocks.

        No commit may be running. Members that hold the same have the same hash if they have
        applied the same entries; other versions may count otherwise.
        """
        if self._failure is not None:
            raise self._refusal()
        checksum: int = 0
        with self._copying, self._environment.begin(buffers=True) as transaction:
            for bucket, database in zip(Bucket, self._databases, strict=True):
                checksum = crc32c.crc32c(BUCKET_NAMES[bucket], checksum)
                with transaction.cursor(database) as cursor:
                    for key, value in cursor.iternext():
                        if bucket is not Bucket.META or bytes(key) not in _NOT_HASHED:
                            checksum = crc32c.crc32c(value, crc32c.crc32c(key, checksum))
        return checksum

    def close(self) -> None:
        """See `Store.close`. Waits for a commit or copy that is running."""
        if self._commit is not None:
            self._commit.abandon()
        with self._copying:
            if self._failure is None:
                self._failure = OSError(errno.EBADF, "the store was closed")
            self._reader.abort()
            self._environment.close()


def verify_store(path: Path) -> list[str]:
    """Reads the whole file of a member that is not running; returns what is wrong with it.

    Takes about 1.5 s for each GiB. Raises OSError.
    """
    import lmdb.verify as lmdb_verify

    check: Callable[..., list[str]] = lmdb_verify.verify
    try:
        return check(str(path), subdir=False)
    except lmdb_verify.VerifyError as error:
        return [str(error)]


def _put_changes(transaction: Any, databases: Sequence[Any], changes: Sequence[Overlay]) -> Iterator[None]:
    """Makes the changes in a write transaction; yields after each small part of them."""
    for database, overlay in zip(databases, changes, strict=True):
        if not overlay.values:
            continue
        with transaction.cursor(database) as cursor:
            for puts, deletes in _in_parts(overlay):
                for key in deletes:
                    if cursor.set_key(key):
                        cursor.delete()
                if puts:
                    # Behind the last key LMDB need not search, and fills pages whole.
                    append = not cursor.last() or puts[0][0] > cursor.key()
                    consumed, _ = cursor.putmulti(puts, dupdata=False, append=append)
                    if consumed != len(puts):
                        raise lmdb.Error(f"only {consumed} of {len(puts)} changes were taken")
                yield


def _in_parts(overlay: Overlay) -> Iterator[tuple[list[tuple[bytes, bytes]], list[bytes]]]:
    """Yields the changes in key order, some operations or bytes at a time, as puts and deletes."""
    values = overlay.values
    puts: list[tuple[bytes, bytes]] = []
    deletes: list[bytes] = []
    part_bytes = 0
    for key in overlay.sorted_keys():
        value = values[key]
        if value is None:
            deletes.append(key)
        else:
            puts.append((key, value))
            part_bytes += len(value)
        if len(puts) + len(deletes) >= _STEP_OPERATIONS or part_bytes >= _STEP_BYTES:
            yield puts, deletes
            puts, deletes, part_bytes = [], [], 0
    if puts or deletes:
        yield puts, deletes


def _merge(
    on_disk: Iterator[tuple[bytes, bytes]], changes: Sequence[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    """Yields the pairs on disk with the changes made, in key order."""
    waiting = iter(changes)
    changed_key, changed_value = next(waiting, _NO_MORE)
    for pair in on_disk:
        while changed_key is not None and changed_key < pair[0]:
            if changed_value is not None:
                yield changed_key, changed_value
            changed_key, changed_value = next(waiting, _NO_MORE)
        if changed_key != pair[0]:
            yield pair
    while changed_key is not None:
        if changed_value is not None:
            yield changed_key, changed_value
        changed_key, changed_value = next(waiting, _NO_MORE)


def _create(path: Path) -> None:
    """Makes an empty store: whole and durable under its name, or not there."""
    make_folder(path.parent)
    unfinished = path.with_name(path.name + _UNFINISHED_SUFFIX)
    unfinished.unlink(missing_ok=True)
    environment, _ = _open(unfinished, SMALLEST_MAP_BYTES, unsafe_no_fsync=False)
    try:
        with environment.begin(write=True) as transaction:
            for name in BUCKET_NAMES.values():
                environment.open_db(name, txn=transaction)
    except lmdb.Error as error:
        raise _as_os_error(error, path) from error
    finally:
        environment.close()
    unfinished.replace(path)
    sync_folder(path.parent)


def _open(path: Path, map_bytes: int, *, unsafe_no_fsync: bool) -> tuple[Any, int]:
    """Returns the environment and the size of its map: less than asked for if need be."""
    size = path.stat().st_size if path.exists() else 0
    if path.exists() and size == 0:
        raise StoreRefused(path, "it is empty")
    while True:
        try:
            environment = lmdb.open(
                str(path),
                map_size=map_bytes,
                subdir=False,
                sync=not unsafe_no_fsync,
                metasync=not unsafe_no_fsync,
                mode=FILE_MODE,
                max_dbs=len(Bucket),
                lock=False,
            )
        except lmdb.MemoryError as error:  # address space is limited here
            map_bytes //= 2
            if map_bytes < max(SMALLEST_MAP_BYTES, 2 * size):
                raise _as_os_error(error, path) from error
        except (lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.CorruptedError) as error:
            raise StoreRefused(path, f"it is not a store of this program, or damaged ({error})") from error
        except lmdb.Error as error:
            raise _as_os_error(error, path) from error
        else:
            return environment, int(environment.info()["map_size"])


def _open_buckets(environment: Any, path: Path) -> list[Any]:
    """Returns the handles of all buckets, in the order of Bucket."""
    handles: list[Any] = []
    with environment.begin(write=True) as transaction:  # changes nothing; a handle lives only when it commits
        for bucket in Bucket:
            name = BUCKET_NAMES[bucket]
            try:
                handles.append(environment.open_db(name, txn=transaction, create=False))
            except lmdb.Error as error:
                raise StoreRefused(path, f"it has no readable table {name.decode()} ({error})") from error
    return handles


def _check_length(environment: Any, path: Path) -> None:
    """Refuses a file that was cut off: reading pages behind its end would kill the process."""
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if path.stat().st_size < needed:
        problems = verify_store(path)  # pages in use may all be there
        if problems:
            raise StoreRefused(path, f"it was cut off at {path.stat().st_size} bytes: {problems[0]}")


def _as_os_error(error: lmdb.Error, path: Path) -> OSError:
    """Returns LMDB's error as an OSError. LMDB has the system's errors only as their texts."""
    text = str(error)
    number = next((code for code in _SYSTEM_ERRORS if os.strerror(code) in text), errno.EIO)
    # A write that was cut short because the disk ran full is an I/O error to LMDB.
    if isinstance(error, lmdb.MapFullError) or (number == errno.EIO and _is_full(path.parent)):
        number = errno.ENOSPC
    return OSError(number, f"the store failed: {text}", str(path))


def _is_full(folder: Path) -> bool:
    try:
        space = os.statvfs(folder)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _FULL_BYTES


_SYSTEM_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOMEM,
    errno.EACCES,
    errno.EROFS,
    errno.ENODEV,
    errno.EINVAL,
)
