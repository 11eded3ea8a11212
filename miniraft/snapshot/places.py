"""The keys of the bucket `key`: revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.mvcc.revision import main_of, revision_key, tombstone_key
from miniraft.snapshot.problem import SnapshotError

if TYPE_CHECKING:
    from pathlib import Path

MAX_REVISION = (1 << 63) - 1
_LENGTHS = (len(revision_key(0)), len(tombstone_key(0, 0)))


def check_places(path: Path, places: list[bytes]) -> None:
    """Checks that ascending keys of the bucket are revisions. Raises SnapshotError."""
    for place in places:
        if len(place) not in _LENGTHS:
            raise SnapshotError(f"{path}: {place[:32]!r} in bucket key is no revision")
    if places and main_of(places[-1]) > MAX_REVISION:
        raise SnapshotError(f"{path}: revision {main_of(places[-1])} in bucket key is over {MAX_REVISION}")
