"""A snapshot that is a bbolt file: etcd's and, once exported, ours."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from miniraft.bolt.reader import Database
from miniraft.snapshot.problem import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from miniraft.snapshot.contents import Progress, Run

HASH_BYTES = hashlib.sha256().digest_size
_HASH_ALIGNMENT = 512  # a page size is a multiple of it, so what is beyond must be a hash
_STEP_BYTES = 1 << 20
HASH_REMEDY = (
    "If it was copied out of a data directory it has no hash: add --skip-hash-check. Else it is not whole: "
    "save it again with `etcdctl-py snapshot save FILE`"
)


class FileSource:
    """A `bolt.Source` on a file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.name = str(path)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size

    def size(self) -> int:
        """See `Source.size`."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Source.read_at`."""
        if offset >= self._size:  # also an offset that the system's call cannot take
            return b""
        data = os.pread(self._descriptor, length, offset)
        while 0 < len(data) < length:
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


class BoltContents:
    """`Contents` of a bbolt file, with or without a hash behind it."""

    def __init__(self, path: Path) -> None:
        """Raises BoltError, OSError."""
        self.path = path
        self._source = FileSource(path)
        try:
            self._database = Database(self._source)
        except BaseException:
            self._source.close()
            raise

    def size_bytes(self) -> int:
        """See `Contents.size_bytes`."""
        return self._database.size_bytes()

    def runs(self, bucket: bytes) -> Iterator[Run]:
        """See `Contents.runs`."""
        return self._database.runs(bucket) if bucket in self._database.buckets() else iter(())

    def walk(self) -> Iterator[tuple[bytes, Iterator[Run]]]:
        """See `Contents.walk`."""
        use = self._database.page_use()
        for bucket in self._database.buckets():
            yield bucket, self._database.runs(bucket, use)
        self._database.check_use(use)

    @property
    def has_hash(self) -> bool:
        """See `Contents.has_hash`."""
        return self._source.size() % _HASH_ALIGNMENT == HASH_BYTES

    def verify_hash(self, progress: Progress) -> None:
        """See `Contents.verify_hash`."""
        if not self.has_hash:
            raise SnapshotError("snapshot missing hash but --skip-hash-check=false", HASH_REMEDY)
        end = self._source.size() - HASH_BYTES
        expected = self._source.read_at(end, HASH_BYTES)
        digest = hashlib.sha256()
        for offset in range(0, end, _STEP_BYTES):
            digest.update(self._source.read_at(offset, min(_STEP_BYTES, end - offset)))
            progress(offset, end)
        if digest.digest() != expected:
            raise SnapshotError(
                f"expected sha256 {_as_list(expected)}, got {_as_list(digest.digest())}",
                "The file was damaged or cut off on its way: take the original, or save another one",
            )

    def close(self) -> None:
        """See `Contents.close`."""
        self._source.close()


def _as_list(digest: bytes) -> str:
    return f"[{' '.join(map(str, digest))}]"
