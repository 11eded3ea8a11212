"""What the log needs of a disk. `runtime/disk.py` is the real one, `sim/disk.py` one that
loses unsynced data, tears writes and runs full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class AppendFile(Protocol):
    """A file open for appending."""

    name: str

    def append(self, data: bytes) -> None:
        """Writes `data` whole at the end. Raises OSError (ENOSPC, EIO, ...)."""

    def sync(self) -> None:
        """Returns once everything appended is durable, the file's length included.

        Raises OSError. After that nothing is known about what is on disk: the caller stops
        (a second fsync may succeed without having written the lost pages).
        """

    def truncate(self, length: int) -> None:
        """Cuts the file to `length` bytes and goes on there; durable with the next sync.

        Space that was reserved behind may stay reserved.
        """

    def close(self) -> None:
        """Closes the file without syncing."""


class Disk(Protocol):
    """One folder of plain files."""

    def list(self) -> Sequence[str]:
        """Returns the names of all files, sorted."""

    def read(self, name: str) -> bytes:
        """Returns a whole file. Raises FileNotFoundError."""

    def create(self, name: str, preallocate_bytes: int = 0) -> AppendFile:
        """Creates an empty file, durable in its folder once `sync_folder` returns.

        `preallocate_bytes` reserves space so that a full disk is met here and not in the middle
        of a write. Appending begins at 0 all the same; until then `read` may show what is
        reserved as zeros. Raises FileExistsError, OSError.
        """

    def open_append(self, name: str) -> AppendFile:
        """Opens an existing file at its end (zeros that are only reserved included: `truncate`)."""

    def rename(self, old: str, new: str) -> None:
        """Renames atomically, replacing `new`."""

    def remove(self, name: str) -> None:
        """Removes a file."""

    def sync_folder(self) -> None:
        """Makes creations, renames and removals durable."""
