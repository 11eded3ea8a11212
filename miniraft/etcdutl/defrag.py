"""`defrag`: gives back the space in the store of a stopped member that holds nothing any more."""

from __future__ import annotations

import sys
from pathlib import Path

from etcdctl_py.failure import CommandError
from etcdctl_py.flags import Flag
from etcdctl_py.golang.sizes import humanize_bytes
from miniraft.etcdutl.command import TEXT, Command, Invocation
from miniraft.runtime.data_dir import DataFolder, DataFolderError
from miniraft.runtime.lmdb_store import LmdbStore, StoreRefused
from miniraft.snapshot.opening import is_own_data_folder


def _run(call: Invocation) -> None:
    root = Path(call.flags["data-dir"])
    try:
        before_bytes, after_bytes = _defragment(root)
    except (OSError, DataFolderError, StoreRefused) as error:
        raise CommandError(f"Failed to defragment etcd data[{root}] ({_reason(error)})") from error
    sys.stderr.write(
        f"Defragmented {root}: {humanize_bytes(before_bytes)}, now {humanize_bytes(after_bytes)}.\n"
    )


def _defragment(root: Path) -> tuple[int, int]:
    """Puts a copy without unused pages in the store's place, in one step; returns both sizes."""
    database = root / "member" / "snap" / "db"
    before_bytes = database.stat().st_size
    if not is_own_data_folder(root):
        raise DataFolderError("its database is etcd's own: use etcdutl of etcd")
    folder = DataFolder(root)
    try:
        copy = folder.next_outgoing_file()
        store = LmdbStore(database)
        try:
            store.copy_to(copy)
        finally:
            store.close()
        folder.put_in_place(copy)
    finally:
        folder.release()
    return before_bytes, database.stat().st_size


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"stat {error.filename}: no such file or directory"
    return str(error)


DEFRAG = Command(
    "defrag",
    "--data-dir {dir}",
    "give back unused space in the store of a stopped member",
    _run,
    flags=(Flag("data-dir", TEXT, "", "required: the data directory of a member that is not running"),),
    required=("data-dir",),
)
