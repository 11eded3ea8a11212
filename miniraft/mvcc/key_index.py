"""Which keys exist and at which revisions they changed: the keyspace's index in memory.

A key's history is a flat list of the store's keys, oldest first; a tombstone in it ends what
etcd calls a generation. Keys that are alive and keys that are deleted but not yet compacted
away stand in two sorted lists, so that a range at the current revision touches nothing that
is not in its answer, and its count is a difference of two positions.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from sortedcontainers import SortedList

from miniraft.mvcc.revision import is_tombstone, main_of, revision_key


class KeyHistory:
    """The revisions of one key that are not compacted away.

    Invariants: `older` and then `modified` ascend; `version == 0` exactly when `modified` is
    a tombstone; a key in the index has at least `modified`.
    """

    __slots__ = ("create_revision", "modified", "older", "version")

    def __init__(self, create_revision: int, version: int, modified: bytes) -> None:
        self.create_revision = create_revision  # main revision; of no meaning while deleted
        self.version = version  # puts since creation; 0 while deleted
        self.modified = modified  # the newest revision, as the store's key
        self.older: list[bytes] | None = None  # None rather than empty: most keys have none

    def push(self, modified: bytes) -> None:
        """Makes `modified` the newest revision."""
        if self.older is None:
            self.older = [self.modified]
        else:
            self.older.append(self.modified)
        self.modified = modified

    def before(self, bound: bytes) -> bytes | None:
        """Returns the newest revision below `bound`, also if it is a tombstone."""
        if self.modified < bound:
            return self.modified
        if self.older is None:
            return None
        position = bisect_left(self.older, bound)
        return self.older[position - 1] if position else None

    def compact(self, revision: int, limit: int) -> list[bytes]:
        """Takes out up to `limit` revisions that a compaction at `revision` does not keep.

        Kept are everything newer, and the newest at or below `revision`, unless that is a
        tombstone from before it. (A tombstone exactly at `revision` stays, as in etcd since
        3.5.16: a watch from `revision` on still has to see the delete.) Oldest go first.
        """
        older = self.older or []
        bound = revision_key(revision + 1)
        below = len(older) + 1 if self.modified < bound else bisect_left(older, bound)
        if below == 0:
            return []
        newest = self.modified if below > len(older) else older[below - 1]
        is_needed = not is_tombstone(newest) or main_of(newest) == revision
        dropped = older[: min(below - is_needed, limit)]
        if dropped:
            del older[: len(dropped)]
            self.older = older or None
        return dropped

    def is_gone(self, revision: int) -> bool:
        """Whether a compaction at `revision` leaves nothing: a tombstone from before it."""
        return self.version == 0 and self.older is None and main_of(self.modified) < revision


class Selection(NamedTuple):
    """What a range found: the store's keys in key order, and how many there are in all."""

    revisions: list[bytes]
    total: int


class KeyIndex:
    """The histories of all keys.

    A range is [key, end) bytewise; `end` None means no upper bound.
    Invariant: a key stands in `_compactable` or `_compacting` whenever it has more than one
    revision or is deleted, which is when a compaction may find something to drop.
    """

    def __init__(self) -> None:
        self._histories: dict[bytes, KeyHistory] = {}
        self._alive: SortedList[bytes] = SortedList()
        self._deleted: SortedList[bytes] = SortedList()
        # Dicts for sets: they keep an order that does not depend on the process's hash seed.
        self._compactable: dict[bytes, None] = {}
        self._compacting: dict[bytes, None] = {}

    @property
    def alive_count(self) -> int:
        """How many keys are alive."""
        return len(self._alive)

    # Building ---------------------------------------------------------------------------------
    def restore(self, key: bytes, revision: bytes, create_revision: int, version: int) -> None:
        """Takes in one stored revision, in ascending order; `end_restore` follows the last."""
        history = self._histories.get(key)
        if history is None:
            self._histories[key] = KeyHistory(create_revision, version, revision)
            return
        history.push(revision)
        history.create_revision = create_revision
        history.version = version

    def end_restore(self) -> None:
        """Sorts the keys that `restore` brought."""
        histories = self._histories
        self._alive.update(key for key, history in histories.items() if history.version)
        self._deleted.update(key for key, history in histories.items() if not history.version)
        self._compactable = {
            key: None for key, history in histories.items() if history.older or not history.version
        }

    # Writing ----------------------------------------------------------------------------------
    def put(self, key: bytes, revision: bytes, main: int) -> KeyHistory:
        """Notes a put and returns the key's history, which tells its creation and version."""
        history = self._histories.get(key)
        if history is None:
            history = self._histories[key] = KeyHistory(main, 1, revision)
            self._alive.add(key)
            return history
        if history.version == 0:
            self._deleted.remove(key)
            self._alive.add(key)
            history.create_revision = main
        if history.older is None:
            self._compactable[key] = None
        history.push(revision)
        history.version += 1
        return history

    def delete(self, key: bytes, revision: bytes) -> None:
        """Notes the delete of a key that is alive."""
        history = self._histories[key]
        history.push(revision)
        history.version = 0
        self._alive.remove(key)
        self._deleted.add(key)
        self._compactable[key] = None

    # Reading ----------------------------------------------------------------------------------
    def current(self, key: bytes) -> bytes | None:
        """Returns where the key's pair is stored, None if it does not exist."""
        history = self._histories.get(key)
        return history.modified if history is not None and history.version else None

    def at(self, key: bytes, revision: int) -> bytes | None:
        """Returns where the pair of the key as of a main revision is stored, or None."""
        history = self._histories.get(key)
        if history is None:
            return None
        found = history.before(revision_key(revision + 1))
        return None if found is None or is_tombstone(found) else found

    def has_pair_at(self, revision: int) -> bool:
        """Whether any key existed as of a main revision."""
        bound = revision_key(revision + 1)
        places = (history.before(bound) for history in self._histories.values())
        return any(place is not None and not is_tombstone(place) for place in places)

    def keys(self, key: bytes, end: bytes | None) -> list[bytes]:
        """Returns the keys that are alive in the range."""
        start, stop = _positions(self._alive, key, end)
        return list(self._alive.islice(start, stop))

    def count(self, key: bytes, end: bytes | None) -> int:
        """Returns how many keys are alive in the range."""
        start, stop = _positions(self._alive, key, end)
        return stop - start

    def select(self, key: bytes, end: bytes | None, limit: int) -> Selection:
        """Returns the first `limit` (0: all) pairs of the range."""
        start, stop = _positions(self._alive, key, end)
        total = stop - start
        if limit:
            stop = start + min(limit, total)
        histories = self._histories
        found = [histories[name].modified for name in self._alive.islice(start, stop)]
        return Selection(found, total)

    def select_at(self, key: bytes, end: bytes | None, limit: int, revision: int) -> Selection:
        """Returns the first `limit` (0: all) pairs of the range as of a main revision.

        Looks at every key in the range, as etcd does: the count asks for it.
        """
        names = self.keys(key, end)
        start, stop = _positions(self._deleted, key, end)
        if start < stop:
            names += self._deleted.islice(start, stop)
            names.sort()
        histories = self._histories
        bound = revision_key(revision + 1)
        found = [histories[name].before(bound) for name in names]
        alive = [place for place in found if place is not None and not is_tombstone(place)]
        return Selection(alive[:limit] if limit else alive, len(alive))

    # Compaction -------------------------------------------------------------------------------
    def begin_compaction(self) -> None:
        """Marks every key that may have something to drop, for `compact_step` to visit."""
        if self._compacting:  # the compaction before is not through: go on with both
            self._compacting.update(self._compactable)
        else:
            self._compacting = self._compactable
        self._compactable = {}

    def compact_step(self, revision: int, limit: int) -> list[bytes]:
        """Returns revisions now dropped from the index; keys visited count toward the limit.

        When it is done, `compacting` is False.
        """
        dropped: list[bytes] = []
        budget = max(limit, 1)
        while self._compacting and budget > 0:
            key, _ = self._compacting.popitem()
            history = self._histories[key]
            from_key = history.compact(revision, budget)
            dropped += from_key
            if len(from_key) == budget:  # perhaps cut short
                self._compacting[key] = None
            elif history.is_gone(revision):
                dropped.append(history.modified)
                del self._histories[key]
                self._deleted.remove(key)
            elif history.older is not None or history.version == 0:
                self._compactable[key] = None
            budget -= 1 + len(from_key)
        return dropped

    @property
    def compacting(self) -> bool:
        """Whether `compact_step` has keys left to visit."""
        return bool(self._compacting)


def _positions(names: SortedList[bytes], key: bytes, end: bytes | None) -> tuple[int, int]:
    start = names.bisect_left(key)
    if end is None:
        return start, len(names)
    return start, max(start, names.bisect_left(end))
