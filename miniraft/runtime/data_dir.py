"""A member's folder on disk: etcd's layout, locked, and checked before anything is touched.

<data-dir>/lock                 keeps a second process out
<data-dir>/member/format        whose folder this is and in which layout: `miniraft 1`
<data-dir>/member/wal/          the Raft log (or --wal-dir)
<data-dir>/member/snap/db       the keyspace
<data-dir>/member/snap/received-<index>-<term>.db      a leader's snapshot, being installed
<data-dir>/member/snap/incoming-*.snapshot.tmp         a leader's snapshot, being received
<data-dir>/member/snap/outgoing-*.snapshot.tmp         a copy for a follower, being sent
<data-dir>/fixtures/client/, .../peer/                 certificates of the member's own making
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from miniraft.peer.snapshot_receiver import INCOMING_PREFIX, INCOMING_SUFFIX
from miniraft.runtime.disk import FILE_MODE, FolderLock, make_folder, sync_folder
from miniraft.wal.segment import segments_in

if TYPE_CHECKING:
    from pathlib import Path

    from miniraft.raft.state import SnapshotMetadata

FORMAT = "miniraft 1\n"
_OUTGOING_PREFIX = "outgoing-"
_BBOLT_MAGIC = 0xED0CDAED
_BBOLT_MAGIC_OFFSET = 16  # behind the header of the file's first page


class DataFolderError(Exception):
    """The data folder cannot be used. The message says why, and what to do."""


class DataFolder:
    """The folders and files of one member; holds the lock until `release`.

    Invariant: nothing in it is changed before it is known to be empty or this program's own.
    """

    def __init__(self, root: Path, wal: Path | None = None) -> None:
        """Locks and checks the folder, makes what is missing, removes what a crash left.

        Raises DataFolderError.
        """
        self.root = root
        self.wal = wal if wal is not None else root / "member" / "wal"
        self.snapshots = root / "member" / "snap"
        self.store_file = self.snapshots / "db"
        self._format_file = root / "member" / "format"
        self._outgoing_count = 0
        try:
            self._lock = FolderLock(root)
        except BlockingIOError as error:
            raise DataFolderError(f"{error.filename}: {error.strerror}") from error
        except OSError as error:
            raise DataFolderError(
                f"cannot use {root} as data folder: {error.strerror or error}; choose another with "
                f"--data-dir, or give this user the right to write there"
            ) from error
        try:
            self._check_owner()
            self._prepare()
        except OSError as error:
            self.release()
            raise DataFolderError(f"cannot prepare data folder {root}: {error}") from error
        except DataFolderError:
            self.release()
            raise

    def release(self) -> None:
        """Lets other processes in."""
        self._lock.release()

    def received_file(self, metadata: SnapshotMetadata) -> Path:
        """Returns where the data of a leader's snapshot is kept until it has taken the store's place."""
        return self.snapshots / f"received-{metadata.index:016x}-{metadata.term:016x}.db"

    def next_outgoing_file(self) -> Path:
        """Returns a fresh name for a copy of the store that goes to a follower."""
        self._outgoing_count += 1
        return self.snapshots / f"{_OUTGOING_PREFIX}{self._outgoing_count}{INCOMING_SUFFIX}"

    def keep_received(self, incoming: Path, metadata: SnapshotMetadata) -> Path:
        """Gives a received snapshot the name under which a restart finds it, durably. Blocks."""
        kept = self.received_file(metadata)
        incoming.replace(kept)
        sync_folder(self.snapshots)
        return kept

    def put_in_place(self, received: Path) -> None:
        """Makes a received snapshot the store's file, durably. Blocks. The store must be closed,
        or already be the one that was opened under the name `received`."""
        received.replace(self.store_file)
        sync_folder(self.snapshots)

    def remove_received(self) -> None:
        """Removes received snapshots that no log refers to any more."""
        for path in self.snapshots.glob("received-*.db"):
            path.unlink(missing_ok=True)

    # Checks --------------------------------------------------------------------------------
    def _check_owner(self) -> None:
        if self._format_file.exists():
            found = self._format_file.read_text(errors="replace")
            if found != FORMAT:
                raise DataFolderError(
                    f"{self.root} has the layout {found.strip()[:40]!r}, this version writes "
                    f"{FORMAT.strip()!r}: start the version that wrote it, or name another --data-dir"
                )
            return
        if _is_bbolt(self.store_file):
            raise DataFolderError(
                f"{self.root} holds the data of an etcd member (its keyspace is a bbolt file), which this "
                f"program cannot use in place. Nothing was changed. To bring it over, that etcd stopped: "
                f"'etcdutl-py snapshot restore {self.store_file} --skip-hash-check --data-dir NEW-FOLDER'"
            )
        log = segments_in([path.name for path in self.wal.iterdir()]) if self.wal.is_dir() else []
        if self.store_file.exists() or log:
            raise DataFolderError(
                f"{self.root} holds files that this program did not write (member/format is missing): "
                f"nothing was changed; start with an empty --data-dir, or bring back the whole folder"
            )

    def _prepare(self) -> None:
        make_folder(self.snapshots)
        make_folder(self.wal)
        if not self._format_file.exists():
            unfinished = self._format_file.with_suffix(".tmp")
            unfinished.write_text(FORMAT)
            unfinished.chmod(FILE_MODE)
            unfinished.replace(self._format_file)
            sync_folder(self._format_file.parent)
        for prefix in (INCOMING_PREFIX, _OUTGOING_PREFIX):
            for path in self.snapshots.glob(f"{prefix}*{INCOMING_SUFFIX}"):
                path.unlink(missing_ok=True)


def _is_bbolt(path: Path) -> bool:
    """Whether the file is etcd's database."""
    try:
        with path.open("rb") as file:
            head = file.read(_BBOLT_MAGIC_OFFSET + 4)
    except OSError:
        return False
    return len(head) == _BBOLT_MAGIC_OFFSET + 4 and struct.unpack_from("<I", head, 16)[0] == _BBOLT_MAGIC
