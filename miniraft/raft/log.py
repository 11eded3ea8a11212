"""The log in memory: entries behind the last compacted one, and how far they got.

    compacted | first_index ... applied ... delivered ... committed ... last_index

Entries live in one list, so that a batch is one slice and one bulk extend: nothing here
costs a Python call for each entry. Beside it runs a list of byte positions, which turns
"as many entries as fit into a message" into a binary search.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, islice, repeat
from operator import add, itemgetter
from typing import TYPE_CHECKING, cast

from miniraft.raft.entry import ENTRY_OVERHEAD_BYTES, EntryKind
from miniraft.raft.invariant import InvariantViolation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.raft.entry import Entry

# Fields of an Entry by position, without a Python-level call.
ENTRY_TERM = cast("Callable[[Entry], int]", itemgetter(0))
ENTRY_INDEX = cast("Callable[[Entry], int]", itemgetter(1))
ENTRY_KIND = cast("Callable[[Entry], int]", itemgetter(2))
ENTRY_DATA = cast("Callable[[Entry], bytes]", itemgetter(3))


class RaftLog:
    """Invariants: indexes are consecutive, terms never decrease, and
    `compacted_index <= applied <= delivered <= committed <= last_index`.
    """

    __slots__ = (
        "_ends",
        "_entries",
        "_slice",
        "_slice_bounds",
        "applied",
        "committed",
        "compacted_index",
        "compacted_term",
        "delivered",
        "last_index",
        "last_term",
        "newest_config_change",
    )

    def __init__(self, compacted_index: int, compacted_term: int) -> None:
        self.compacted_index = compacted_index  # the last entry that is gone
        self.compacted_term = compacted_term  # kept: APPENDs behind it name it
        self.last_index = compacted_index
        self.last_term = compacted_term
        self.committed = compacted_index  # commitIndex
        self.delivered = compacted_index  # handed out for applying
        self.applied = compacted_index  # lastApplied: reported back as applied
        self.newest_config_change = 0  # behind it there is no membership change
        self._entries: list[Entry] = []
        self._ends = [0]  # _ends[n]: where the first n entries end, in bytes from a fixed origin
        self._slice: list[Entry] = []
        self._slice_bounds = (0, 0)

    # Reading ------------------------------------------------------------------------------
    @property
    def first_index(self) -> int:
        """The first entry that is still here, or would be."""
        return self.compacted_index + 1

    def term(self, index: int) -> int | None:
        """Returns the term of the entry at `index`, None if it is compacted or not there yet."""
        if index == self.last_index:
            return self.last_term
        position = index - self.compacted_index - 1
        if position < -1 or index > self.last_index:
            return None
        return self.compacted_term if position == -1 else self._entries[position].term

    def slice(self, first: int, last: int) -> Sequence[Entry]:
        """Returns the entries `first`..`last`, both included, which must be here.

        The same slice asked for again is the same object (a batch goes to the disk, to every
        follower and to the state machine): nobody may change it.
        """
        if self._slice_bounds != (first, last):
            offset = self.compacted_index + 1
            if first < offset or last > self.last_index:
                raise InvariantViolation(
                    f"entries {first}..{last} asked for, the log holds {offset}..{self.last_index}"
                )
            self._slice = self._entries[first - offset : last + 1 - offset]
            self._slice_bounds = (first, last)
        return self._slice

    def last_within(self, first: int, max_bytes: int) -> int:
        """Returns the last index such that `first`..it fit into `max_bytes`; at least `first`."""
        position = first - self.compacted_index - 1
        limit = self._ends[position] + max_bytes
        if self._ends[-1] <= limit:
            return self.last_index
        return self.compacted_index + max(bisect_right(self._ends, limit, position + 1) - 1, position + 1)

    def size_bytes(self, after: int, last: int) -> int:
        """Returns the encoded size of the entries behind `after` up to `last`."""
        return self._ends[last - self.compacted_index] - self._ends[after - self.compacted_index]

    def last_with_term_at_most(self, index: int, term: int) -> int:
        """Returns the last entry up to `index` whose term is not above `term`.

        Where two logs disagree, they can only agree again at or before it: this is how a
        leader backs off by whole terms (section 5.3, end). Below the compacted part nothing
        is known, and `index` or the entry before the compacted one is returned.
        """
        index = min(index, self.last_index)
        if index <= self.compacted_index:
            return index
        offset = self.compacted_index + 1
        count = bisect_right(self._entries, term, 0, index + 1 - offset, key=ENTRY_TERM)
        if count == 0 and self.compacted_term > term:
            return self.compacted_index - 1
        return self.compacted_index + count

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Returns whether a log that ends there is at least as up to date as this one (5.4.1)."""
        return (term, index) >= (self.last_term, self.last_index)

    def first_config_change(self, after: int, last: int) -> int:
        """Returns the first membership change behind `after` up to `last`, 0 if there is none."""
        if min(last, self.newest_config_change) <= after:
            return 0
        changes = (
            entry.index for entry in self.slice(after + 1, last) if entry.kind == EntryKind.CONFIG_CHANGE
        )
        return next(changes, 0)

    def config_changes(self, after: int) -> list[int]:
        """Returns the indexes of all membership changes behind `after`."""
        if after >= self.last_index:
            return []
        entries = self.slice(after + 1, self.last_index)
        return [entry.index for entry in entries if entry.kind == EntryKind.CONFIG_CHANGE]

    def first_difference(self, previous: int, entries: Sequence[Entry]) -> int:
        """Returns how many of `entries`, which follow `previous`, are in this log already.

        Two entries with the same index and term are the same, and so is all before them
        (log matching, section 5.3).
        """
        overlap = min(len(entries), self.last_index - previous)
        if overlap == 0 or self.term(previous + overlap) == entries[overlap - 1].term:
            return overlap
        count = 0
        while self.term(previous + count + 1) == entries[count].term:
            count += 1
        return count

    # Changing -----------------------------------------------------------------------------
    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries that follow the last one; the caller has checked that they do."""
        if entries[0].index != self.last_index + 1 or entries[0].term < self.last_term:
            raise InvariantViolation(
                f"entry {entries[0].index} of term {entries[0].term} appended behind "
                f"{self.last_index} of term {self.last_term}"
            )
        if any(map(ENTRY_KIND, entries)):
            self.newest_config_change = entries[-1].index
        self._entries.extend(entries)
        sizes = map(add, repeat(ENTRY_OVERHEAD_BYTES), map(len, map(ENTRY_DATA, entries)))
        self._ends.extend(islice(accumulate(sizes, initial=self._ends[-1]), 1, None))
        self.last_term, self.last_index = entries[-1][:2]

    def truncate(self, last: int) -> None:
        """Drops everything behind `last`, none of which may be committed."""
        if last < self.committed:
            raise InvariantViolation(f"entry {last + 1} is to be removed, committed is {self.committed}")
        term = self.term(last)
        if term is None:
            raise InvariantViolation(f"the log is to end at {last}, it holds up to {self.last_index}")
        keep = last - self.compacted_index
        del self._entries[keep:]
        del self._ends[keep + 1 :]
        self.last_index, self.last_term = last, term
        self.newest_config_change = min(self.newest_config_change, last)
        self._slice_bounds = (0, 0)

    def commit_to(self, index: int) -> bool:
        """Moves the commit index on, never back; returns whether it moved."""
        if index <= self.committed:
            return False
        if index > self.last_index:
            raise InvariantViolation(f"commit index {index} is beyond the log's end {self.last_index}")
        self.committed = index
        return True

    def mark_applied(self, index: int) -> None:
        """Notes that the state machine holds everything up to `index`."""
        if index > self.delivered:
            raise InvariantViolation(
                f"applied {index}, but only entries up to {self.delivered} were handed out"
            )
        self.applied = max(self.applied, index)

    def compact(self, index: int) -> None:
        """Drops entries up to and including `index`, which must be applied."""
        if index > self.applied:
            raise InvariantViolation(f"log to be compacted at {index}, applied is {self.applied}")
        term = self.term(index)
        if term is None or index == self.compacted_index:
            return  # done before
        drop = index - self.compacted_index
        del self._entries[:drop]
        del self._ends[:drop]
        self.compacted_index, self.compacted_term = index, term
