"""Opens whatever file a user names: a snapshot, etcd's database, or a store of ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from miniraft.runtime.data_dir import FORMAT
from miniraft.runtime.disk import FolderLock
from miniraft.runtime.lmdb_store import verify_store
from miniraft.snapshot.bolt_contents import BoltContents
from miniraft.snapshot.problem import SnapshotError
from miniraft.snapshot.store_contents import StoreContents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from miniraft.snapshot.contents import Contents

_MAGIC_OFFSET = 16  # in both formats
_LMDB_MAGIC = 0xBEEFC0DE.to_bytes(4, "little")


def is_store(path: Path) -> bool:
    """Whether the file is one of our store's, going by its first page. Raises OSError."""
    with path.open("rb") as file:
        return file.read(_MAGIC_OFFSET + 4)[_MAGIC_OFFSET:] == _LMDB_MAGIC


def is_own_data_folder(folder: Path) -> bool:
    """Whether a member of ours has its data in this folder."""
    try:
        return (folder / "member" / "format").read_text(errors="replace") == FORMAT
    except OSError:
        return False


@contextmanager
def open_contents(path: Path) -> Iterator[Contents]:
    """Opens a file, or the database in a data folder, for reading.

    A member's own file is locked meanwhile. Raises SnapshotError, BoltError, OSError.
    """
    file = path / "member" / "snap" / "db" if path.is_dir() else path
    if not is_store(file):
        with _closing(BoltContents(file)) as contents:
            yield contents
        return
    folder = file.absolute().parent.parent.parent
    lock = _lock(folder) if file.name == "db" and is_own_data_folder(folder) else None
    try:
        problems = verify_store(file)  # LMDB trusts its file: a damaged one could end the process
        if problems:
            raise SnapshotError(
                f"{file}: {problems[0]}", "The store is damaged: take another member's, or a snapshot"
            )
        with _closing(StoreContents(file)) as contents:
            yield contents
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _closing(contents: Contents) -> Iterator[Contents]:
    try:
        yield contents
    finally:
        contents.close()


def _lock(folder: Path) -> FolderLock:
    try:
        return FolderLock(folder)
    except BlockingIOError as error:
        raise SnapshotError(
            f"{folder}: {error.strerror}",
            "A running member's store cannot be read from outside: ask it for a snapshot with "
            "`etcdctl-py snapshot save FILE`, or stop it first",
        ) from error
