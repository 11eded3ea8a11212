"""`snapshot restore`: from a snapshot to the data directory of one member of a new cluster.

Every member of it is restored from the same snapshot with the same --initial-cluster and
token, as with etcdutl; each then works out the same cluster and member ids.

Where the log begins. etcdutl lets a restored log begin with the new membership at entry 1. Here
it begins behind the entry that the snapshot's data stand for, in term 1. So a member of the same
cluster that was started empty by mistake, or restored from an older snapshot, does not count as
equal: it cannot be elected by those with the newer data, and gets theirs.

Nothing half-made: all is built in a folder `restoring.tmp` within the data directory, which is
renamed as the last step. What a restore that was killed left there, the next one clears away.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from miniraft.runtime.data_dir import DataFolder
from miniraft.runtime.disk import LOCK_FILE_NAME, FolderLock, RealDisk, sync_folder
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.bootstrap import (
    FIRST_INDEX,
    FIRST_TERM,
    FirstState,
    check_own_entry,
    new_cluster,
    parse_initial_cluster,
    parse_urls,
    seed_store,
)
from miniraft.snapshot.contents import Progress, no_progress
from miniraft.snapshot.importing import Imported, bump_revision, commit_now, import_contents
from miniraft.snapshot.opening import open_contents
from miniraft.snapshot.problem import SnapshotError
from miniraft.wal.interface import WalMetadata
from miniraft.wal.wal import create_log

if TYPE_CHECKING:
    from pathlib import Path

    from miniraft.snapshot.contents import Contents

_STAGING_NAME = "restoring.tmp"


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What is restored, and as whose data. The fields are etcdutl's flags."""

    snapshot: Path
    data_dir: Path
    wal_dir: Path | None = None
    name: str = "default"
    initial_cluster: str = "default=http://localhost:2380"
    initial_cluster_token: str = "etcd-cluster"  # noqa: S105 (not a secret)
    initial_advertise_peer_urls: str = "http://localhost:2380"
    skip_hash_check: bool = False
    bump_revision: int = 0  # together with `mark_compacted` or not at all
    mark_compacted: bool = False


class Restored(NamedTuple):
    """What has been made."""

    first: FirstState
    imported: Imported
    revision: int  # with the bump


def restore_snapshot(
    request: RestoreRequest, verifying: Progress = no_progress, importing: Progress = no_progress
) -> Restored:
    """Makes the data directory, durably; or changes nothing. Blocks.

    Raises SnapshotError, BootstrapError, DataFolderError, WalError, BoltError, OSError.
    """
    if bool(request.bump_revision) != request.mark_compacted:
        raise SnapshotError("--mark-compacted required if --revision-bump > 0")
    first = _first_state(request)
    with open_contents(request.snapshot) as contents:
        if not request.skip_hash_check:
            contents.verify_hash(verifying)
        with _Target(request) as target:
            restored = _build(request, contents, first, target, importing)
            target.put_in_place()
            return restored


def _first_state(request: RestoreRequest) -> FirstState:
    """Returns who the members are, as at the start of a new cluster."""
    members = parse_initial_cluster(request.initial_cluster)
    own_urls = parse_urls(request.initial_advertise_peer_urls, "--initial-advertise-peer-urls")
    check_own_entry(members, request.name, own_urls)
    return new_cluster(members, request.name, request.initial_cluster_token)


def _build(
    request: RestoreRequest, contents: Contents, first: FirstState, target: _Target, progress: Progress
) -> Restored:
    store = LmdbStore(target.folder.store_file, unsafe_no_fsync=True)  # synced as a whole, below
    try:
        imported = import_contents(contents, store, progress)
        revision = imported.revision
        if request.bump_revision:
            revision = bump_revision(store, imported, request.bump_revision)
        index = max(FIRST_INDEX, imported.applied_index)
        first = first._replace(snapshot=first.snapshot._replace(index=index, term=FIRST_TERM))
        seed_store(store, first)
        commit_now(store)
    finally:
        store.close()
    _sync_file(target.folder.store_file)
    metadata = WalMetadata(first.cluster_id, first.member_id)
    create_log(RealDisk(target.folder.wal), metadata, first.snapshot).close()
    return Restored(first, imported, revision)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Target:
    """The data directory in the making. Leaving it without `put_in_place` removes everything."""

    def __init__(self, request: RestoreRequest) -> None:
        self._root = request.data_dir
        self._wal = request.wal_dir
        self._staging = self._root / _STAGING_NAME
        self._existed = self._root.exists()
        self._done = False

    def __enter__(self) -> _Target:
        """Raises SnapshotError when the folders are not empty, DataFolderError, OSError."""
        _check_empty(self._root, self._wal)
        self._lock = FolderLock(self._root)
        try:
            shutil.rmtree(self._staging, ignore_errors=True)
            self.folder = DataFolder(self._staging, self._wal)
        except BaseException:
            self._clear()
            raise
        return self

    def put_in_place(self) -> None:
        """Gives the data its name, durably."""
        self.folder.release()
        sync_folder(self.folder.snapshots)
        (self._staging / "member").rename(self._root / "member")
        sync_folder(self._root)
        self._done = True

    def __exit__(self, *_: object) -> None:
        self.folder.release()
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        if not self._done:
            if self._wal is not None and self._wal.is_dir():
                for file in self._wal.iterdir():
                    file.unlink()
            (self._root / LOCK_FILE_NAME).unlink(missing_ok=True)
            if not self._existed:
                self._root.rmdir()
        self._lock.release()


def _check_empty(root: Path, wal: Path | None) -> None:
    try:
        names = {entry.name for entry in root.iterdir()} if root.exists() else set()
    except OSError as error:
        raise _not_empty("data-dir", root) from error
    left_by_a_killed_restore = {LOCK_FILE_NAME, _STAGING_NAME}
    if names - (left_by_a_killed_restore if _STAGING_NAME in names else set()):
        raise _not_empty("data-dir", root)
    if wal is not None and wal.exists() and (not wal.is_dir() or any(wal.iterdir())):
        raise _not_empty("wal-dir", wal)


def _not_empty(flag: str, folder: Path) -> SnapshotError:
    return SnapshotError(
        f'{flag} "{folder}" not empty or could not be read',
        f"A restore never writes over data: name another --{flag}, or move that folder away",
    )
