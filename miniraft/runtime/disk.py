"""The real disk: a folder of files, synced as the log asks, and the lock on a data folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700
LOCK_FILE_NAME = "lock"
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


class RealAppendFile:
    """An `AppendFile` on a file descriptor.

    Space is reserved as zeros within the file's length. Appending a record of some hundred
    bytes then mostly changes neither length nor extents, and fdatasync has no journal to
    write: measured on ext4, 80 to 110 µs instead of 145 to 160.
    """

    def __init__(self, name: str, descriptor: int, end: int, *, unsafe_no_fsync: bool) -> None:
        self.name = name
        self._descriptor = descriptor
        self._end = end
        self._unsafe_no_fsync = unsafe_no_fsync
        # fdatasync writes a length that grew through writes, for without it they could not be
        # read back. That it does so for fallocate and ftruncate is nowhere promised.
        self._needs_full_sync = True

    def append(self, data: bytes) -> None:
        """See `AppendFile.append`."""
        written = os.pwrite(self._descriptor, data, self._end)
        if written < len(data):  # a full disk, a limit or a signal: go on, or learn why not
            written += _write_rest(self._descriptor, memoryview(data)[written:], self._end + written)
        self._end += written

    def sync(self) -> None:
        """See `AppendFile.sync`."""
        if self._unsafe_no_fsync:
            return
        if self._needs_full_sync:
            os.fsync(self._descriptor)
            self._needs_full_sync = False
        else:
            os.fdatasync(self._descriptor)

    def truncate(self, length: int) -> None:
        """See `AppendFile.truncate`. What was reserved behind `length` is reserved again."""
        size = os.fstat(self._descriptor).st_size
        self._needs_full_sync = True
        os.ftruncate(self._descriptor, length)
        self._end = length
        with contextlib.suppress(OSError):  # without it, appending is only slower
            _reserve(self._descriptor, length, size - length)

    def close(self) -> None:
        """See `AppendFile.close`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RealDisk:
    """A `Disk` on a folder, which is made when it is not there.

    `unsafe_no_fsync` leaves it to the operating system when anything reaches the disk: safe
    against the end of the process, not against that of the machine.
    """

    def __init__(self, folder: Path, *, unsafe_no_fsync: bool = False) -> None:
        self._folder = folder
        self._unsafe_no_fsync = unsafe_no_fsync
        make_folder(folder)

    def list(self) -> list[str]:
        """See `Disk.list`."""
        return sorted(entry.name for entry in os.scandir(self._folder) if entry.is_file())

    def read(self, name: str) -> bytes:
        """See `Disk.read`."""
        return (self._folder / name).read_bytes()

    def create(self, name: str, preallocate_bytes: int = 0) -> RealAppendFile:
        """See `Disk.create`."""
        path = self._folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            _reserve(descriptor, 0, preallocate_bytes)
        except OSError as error:
            os.close(descriptor)
            path.unlink()
            raise OSError(
                error.errno,
                f"{os.strerror(error.errno or 0)}: cannot reserve {preallocate_bytes} bytes for the log. "
                "Free some space, then start the member again",
                str(path),
            ) from error
        return RealAppendFile(name, descriptor, 0, unsafe_no_fsync=self._unsafe_no_fsync)

    def open_append(self, name: str) -> RealAppendFile:
        """See `Disk.open_append`."""
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(descriptor).st_size
        return RealAppendFile(name, descriptor, size, unsafe_no_fsync=self._unsafe_no_fsync)

    def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        (self._folder / old).replace(self._folder / new)

    def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        (self._folder / name).unlink()

    def sync_folder(self) -> None:
        """See `Disk.sync_folder`."""
        if not self._unsafe_no_fsync:
            sync_folder(self._folder)


def sync_folder(folder: Path) -> None:
    """Makes creations, renames and removals in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, durably and for this user only. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)
    sync_folder(folder.parent)


class FolderLock:
    """Keeps every other process out of a data folder while this object lives.

    The lock goes away with the process, however that ends. Raises BlockingIOError, naming the
    folder and the process that holds it.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        path = folder / LOCK_FILE_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip()
            self.release()
            raise BlockingIOError(
                errno.EWOULDBLOCK,
                f"another process{f' (pid {holder})' if holder.isdigit() else ''} is using the data folder: "
                "stop it, or give this member a folder of its own with --data-dir",
                str(folder),
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Lets others in. The file stays: removing it would let two processes lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_rest(descriptor: int, rest: memoryview, offset: int) -> int:
    total = len(rest)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest, offset = rest[written:], offset + written
    return total


def _reserve(descriptor: int, offset: int, length: int) -> None:
    """Reserves space as zeros. Does nothing where the file system cannot."""
    if length <= 0 or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, offset, length)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
