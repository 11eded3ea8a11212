"""Writes a store as an etcd snapshot: a bbolt file, then the SHA-256 hash of it.

    python -m miniraft.snapshot.export STORE_COPY NEW_FILE

The buckets go over as they are: the store keeps them under etcd's names and in etcd's forms
(`mvcc/store.py`). A storage version is not written, for there is none in the store: to etcd
3.5, which has none either, this is its own form, and etcd from 3.6 on takes it for one of 3.5's
and brings it up to date when it starts.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from miniraft.bolt.writer import write_database
from miniraft.snapshot.contents import no_progress
from miniraft.snapshot.store_contents import StoreContents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from miniraft.snapshot.contents import Contents, Progress, Run

_FILE_MODE = 0o600  # a snapshot holds every secret of the store
_STEP_BYTES = 1 << 20


def write_snapshot(contents: Contents, target: Path, progress: Progress = no_progress) -> int:
    """Writes the snapshot to a new file and syncs it; returns its size, the hash included.

    Leaves no file behind when it fails. Raises FileExistsError, OSError, SnapshotError, BoltError.
    """
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb+") as file:
            total = contents.size_bytes()
            counted = _Counter(total, progress)
            size = write_database(file, ((name, counted.pairs(runs)) for name, runs in contents.walk()))
            file.write(_hash_of(file, size))
            file.flush()
            os.fsync(file.fileno())
            progress(total, total)
            return file.tell()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


class _Counter:
    """Passes pairs on and tells how far it has come."""

    def __init__(self, total_bytes: int, progress: Progress) -> None:
        self._total_bytes = total_bytes
        self._progress = progress
        self._done_bytes = 0

    def pairs(self, runs: Iterator[Run]) -> Iterator[tuple[bytes, bytes]]:
        """Yields the pairs of the runs."""
        for keys, values in runs:
            yield from zip(keys, values, strict=True)
            self._done_bytes += sum(map(len, keys)) + sum(map(len, values))
            self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)


def _hash_of(file: BinaryIO, size: int) -> bytes:
    """Reads the file back: the first pages, which everything depends on, were written last."""
    digest = hashlib.sha256()
    file.seek(0)
    left = size
    while left:
        part = file.read(min(_STEP_BYTES, left))
        digest.update(part)
        left -= len(part)
    file.seek(size)
    return digest.digest()


def main(arguments: Sequence[str]) -> int:
    """Runs the module as a program; what goes wrong is one line on stderr."""
    from miniraft.bolt.problem import BoltError
    from miniraft.snapshot.problem import SnapshotError

    source, target = map(Path, arguments)
    try:
        contents = StoreContents(source)
        try:
            write_snapshot(contents, target)
        finally:
            contents.close()
    except (OSError, SnapshotError, BoltError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
