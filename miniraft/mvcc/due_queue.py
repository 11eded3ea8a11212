"""What is due when: a heap that copes with things that are put off again and again."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")

_FEW = 64  # entries that nobody need bother to clear away


class DueQueue(Generic[Item]):
    """Items, each with at most one entry in a heap, ordered by when they are due.

    `due_ms` returns when an item is due, None when never more. It may put an item off without
    telling the queue: the entry is moved when its old time comes, so that a lease that is
    renewed a thousand times costs nothing in between. An item must not become due earlier.

    Invariant: the heap holds at most twice as many entries as there are live items, and a few.
    """

    def __init__(self, items: Iterable[Item], due_ms: Callable[[Item], int | None]) -> None:
        self._due_ms = due_ms
        self._order = count()  # items of the same time in the order they came; never compared themselves
        self._heap: list[tuple[int, int, Item]] = []
        for item in items:
            due = due_ms(item)
            if due is not None:
                self._heap.append((due, next(self._order), item))
        heapify(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, item: Item) -> None:
        """Adds an item that has no entry."""
        due = self._due_ms(item)
        if due is not None:
            heappush(self._heap, (due, next(self._order), item))

    def take(self, now_ms: int, limit: int) -> list[Item]:
        """Takes up to `limit` items out that are due; those put off stay, with their new time.

        Looks at ten times as many at most, so that one call never takes long: the rest comes
        with the next.
        """
        taken: list[Item] = []
        heap = self._heap
        looks = 10 * limit
        while heap and heap[0][0] <= now_ms and len(taken) < limit and looks > 0:
            looks -= 1
            item = heappop(heap)[2]
            due = self._due_ms(item)
            if due is None:
                continue
            if due <= now_ms:
                taken.append(item)
            else:
                heappush(heap, (due, next(self._order), item))
        return taken

    def clear_away(self, live_count: int) -> None:
        """Drops the entries of items that are gone, when they have become many."""
        if len(self._heap) > 2 * live_count + _FEW:
            entries = ((self._due_ms(item), order, item) for _, order, item in self._heap)
            self._heap = [(due, order, item) for due, order, item in entries if due is not None]
            heapify(self._heap)
