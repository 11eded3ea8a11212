"""The hashes taken at the last compactions: members compare them without hashing anything anew."""

from __future__ import annotations

from typing import NamedTuple

_MOST_KEPT = 10  # as etcd


class CompactionHash(NamedTuple):
    """What a keyspace held up to the revision of a compaction, from the one before on."""

    hash: int
    revision: int
    compact_revision: int  # of the compaction before, -1 if there was none


class CompactionHashes:
    """The newest few, in memory only: a member that has just started has none."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes: dict[int, CompactionHash] = {}  # by revision, ascending

    def add(self, taken: CompactionHash) -> None:
        """Keeps the hash of a compaction, which is later than the ones before."""
        self._hashes[taken.revision] = taken
        if len(self._hashes) > _MOST_KEPT:
            del self._hashes[next(iter(self._hashes))]

    def at(self, revision: int) -> CompactionHash | None:
        """Returns the hash of the compaction at exactly this revision, if it is known."""
        return self._hashes.get(revision)

    def newest_first(self) -> list[CompactionHash]:
        """Returns all that are kept."""
        return list(reversed(self._hashes.values()))
