"""A disk that keeps its promises and not one more: what was not synced may be gone after a crash.

When the power fails, of a file's unsynced end each sector is there or reads as zeros, or the
file ends before it; creations, renames and removals since the last `sync_folder` are undone
from some point on. A process that is only killed loses nothing: the system still has it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

SECTOR_BYTES = 512
_KEPT_SECTOR_SHARE = 0.7


@dataclass(slots=True)
class _Content:
    """A file's bytes: as seen now, and as of its last sync."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


class SimFile:
    """An `AppendFile` of a SimDisk."""

    def __init__(self, disk: SimDisk, name: str, content: _Content) -> None:
        self.name = name
        self._disk = disk
        self._content = content

    def append(self, data: bytes) -> None:
        """See `AppendFile.append`. A disk that runs full takes a part first."""
        if self._disk.full:
            self._content.seen += data[: self._disk.random.randrange(len(data) + 1)]
            raise OSError(errno.ENOSPC, "no space left on the simulated disk", self.name)
        self._content.seen += data

    def sync(self) -> None:
        """See `AppendFile.sync`."""
        self._content.durable = bytes(self._content.seen)

    def truncate(self, length: int) -> None:
        """See `AppendFile.truncate`."""
        del self._content.seen[length:]

    def close(self) -> None:
        """See `AppendFile.close`."""


class SimDisk:
    """A `Disk` that survives its process, and its power failing."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.full = False
        self._files: dict[str, _Content] = {}
        self._durable_files: dict[str, _Content] = {}
        self._changes: list[tuple[str, _Content | None]] = []  # to the folder, since its last sync

    def list(self) -> Sequence[str]:
        """See `Disk.list`."""
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        """See `Disk.read`."""
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, "no such file on the simulated disk", name)
        return bytes(self._files[name].seen)

    def create(self, name: str, preallocate_bytes: int = 0) -> SimFile:  # noqa: ARG002
        """See `Disk.create`."""
        if name in self._files:
            raise FileExistsError(errno.EEXIST, "exists on the simulated disk", name)
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on the simulated disk", name)
        self._change(name, _Content())
        return SimFile(self, name, self._files[name])

    def open_append(self, name: str) -> SimFile:
        """See `Disk.open_append`."""
        return SimFile(self, name, self._files[name])

    def rename(self, old: str, new: str) -> None:
        """See `Disk.rename`."""
        content = self._files.pop(old)
        self._files[new] = content
        self._changes.append((f"{old}\0{new}", content))

    def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        self._change(name, None)

    def sync_folder(self) -> None:
        """See `Disk.sync_folder`."""
        self._durable_files = dict(self._files)
        self._changes.clear()

    def lose_power(self) -> None:
        """Forgets what was not synced, or parts of it."""
        files = dict(self._durable_files)
        for name, content in self._changes[: self.random.randint(0, len(self._changes))]:
            old, separator, new = name.partition("\0")
            if content is None or separator:
                files.pop(old, None)
            if content is not None:
                files[new or old] = content
        for name in sorted(files):
            self._lose_unsynced(files[name])
        self._files, self._durable_files = files, dict(files)
        self._changes.clear()

    def _change(self, name: str, content: _Content | None) -> None:
        if content is None:
            del self._files[name]
        else:
            self._files[name] = content
        self._changes.append((name, content))

    def _lose_unsynced(self, content: _Content) -> None:
        durable, seen = content.durable, content.seen
        if seen == durable:
            return
        if not seen.startswith(durable):  # it was cut shorter: either the cut has reached the disk or not
            if self.random.random() < 0.5:
                content.seen = bytearray(durable)
            content.durable = bytes(content.seen)
            return
        del seen[self.random.randint(len(durable), len(seen)) :]
        start = len(durable)
        while start < len(seen):
            end = min(len(seen), (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
            if self.random.random() >= _KEPT_SECTOR_SHARE:
                seen[start:end] = bytes(end - start)
            start = end
        content.durable = bytes(seen)
