"""What a snapshot holds, whatever kind of file it is: buckets of sorted pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

# Keys and values of some neighbouring pairs, each list as long as the other.
Run = tuple[list[bytes], list[bytes]]

# Told now and then how many bytes have been worked through, of how many (an estimate).
Progress = Callable[[int, int], None]


def no_progress(_done: int, _total: int) -> None:
    """Tells nobody."""


class Contents(Protocol):
    """A file with a keyspace, open for reading. Errors are SnapshotError, BoltError, OSError."""

    path: Path

    @property
    def has_hash(self) -> bool:
        """Whether a hash stands behind the database, to judge by the length of the file."""

    def size_bytes(self) -> int:
        """Returns the size of the database, without a hash that may stand behind it."""

    def runs(self, bucket: bytes) -> Iterator[Run]:
        """Yields a bucket's pairs in key order; nothing for a bucket that is not there."""

    def walk(self) -> Iterator[tuple[bytes, Iterator[Run]]]:
        """Yields all buckets in the order of their names.

        Each one's runs are to be read to their end before the next bucket is asked for. When
        all has been read, the structure of the whole file has been checked.
        """

    def verify_hash(self, progress: Progress) -> None:
        """Compares the file with the hash behind it.

        Raises SnapshotError when it does not match, or there is none.
        """

    def close(self) -> None:
        """Closes the file."""


def value_of(contents: Contents, bucket: bytes, key: bytes) -> bytes | None:
    """Returns one value, or None; reads the bucket up to there."""
    for keys, values in contents.runs(bucket):
        if key in keys:
            return values[keys.index(key)]
    return None
