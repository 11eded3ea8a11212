"""A file of our own store that nobody writes to: a copy of one, or that of a stopped member."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lmdb

from miniraft.mvcc.store import BUCKET_NAMES, Bucket
from miniraft.snapshot.problem import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from miniraft.snapshot.contents import Progress, Run

_RUN_PAIRS = 256


class StoreContents:
    """`Contents` of an LMDB file. Nothing may write to it meanwhile: there is no lock."""

    def __init__(self, path: Path) -> None:
        """Raises SnapshotError when it is no store of ours, or was cut off; OSError."""
        self.path = path
        file_bytes = path.stat().st_size
        try:
            self._environment = lmdb.open(
                str(path), readonly=True, lock=False, subdir=False, max_dbs=len(Bucket), map_size=file_bytes
            )
        except lmdb.Error as error:
            raise _not_a_store(path, str(error)) from error
        try:
            self._transaction: Any = self._environment.begin()
            self._size_bytes: int = (self._environment.info()["last_pgno"] + 1) * self._environment.stat()[
                "psize"
            ]
            _check_length(path, file_bytes, self._size_bytes)
            self._databases = {name: self._open(name) for name in sorted(BUCKET_NAMES.values())}
        except BaseException:
            self._environment.close()
            raise

    has_hash = False

    def size_bytes(self) -> int:
        """See `Contents.size_bytes`. A store of ours has another size than the bbolt file made of it."""
        return self._size_bytes

    def runs(self, bucket: bytes) -> Iterator[Run]:
        """See `Contents.runs`."""
        database = self._databases.get(bucket)
        if database is None:
            return
        keys: list[bytes] = []
        values: list[bytes] = []
        try:
            with self._transaction.cursor(database) as cursor:
                for key, value in cursor.iternext():
                    keys.append(key)
                    values.append(value)
                    if len(keys) == _RUN_PAIRS:
                        yield keys, values
                        keys, values = [], []
        except lmdb.Error as error:
            raise _not_a_store(self.path, str(error)) from error
        if keys:
            yield keys, values

    def walk(self) -> Iterator[tuple[bytes, Iterator[Run]]]:
        """See `Contents.walk`. LMDB itself has checked what was read."""
        for bucket in self._databases:
            yield bucket, self.runs(bucket)

    def verify_hash(self, progress: Progress) -> None:  # noqa: ARG002 (there is nothing to read)
        """See `Contents.verify_hash`: a store never has one."""
        raise SnapshotError(
            "snapshot missing hash but --skip-hash-check=false",
            "This is a copy of a member's store, which has no hash: add --skip-hash-check",
        )

    def close(self) -> None:
        """See `Contents.close`."""
        self._transaction.abort()
        self._environment.close()

    def _open(self, name: bytes) -> Any:
        try:
            return self._environment.open_db(name, txn=self._transaction, create=False)
        except lmdb.Error as error:
            raise _not_a_store(self.path, f"it has no readable table {name.decode()} ({error})") from error


def _check_length(path: Path, file_bytes: int, needed_bytes: int) -> None:
    if file_bytes < needed_bytes:  # reading behind the end would kill the process
        raise _not_a_store(path, f"it was cut off: {file_bytes} bytes of {needed_bytes} are there")


def _not_a_store(path: Path, reason: str) -> SnapshotError:
    return SnapshotError(f"{path}: {reason}", "It is no file of a member's store, or it is damaged")
