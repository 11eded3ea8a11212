"""One watch of a client, and watchers by what they watch."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from miniraft.mvcc.watch.range_tree import RangeTree
from miniraft.pb.rpc_pb2 import WatchCreateRequest

if TYPE_CHECKING:
    from miniraft.mvcc.watch.stream import WatchStream

_FIRST_KEY = b"\0"
_FROM_KEY = b"\0"  # a range end that means: every key from the start on


class WatcherState(Enum):
    """Where a watcher's next event comes from."""

    SYNCED = "synced"  # it has seen every revision there is: events come as they happen
    REPLAYING = "replaying"  # it is behind and reads the history
    SLOW = "slow"  # it is behind, and its stream has no room: it reads on when there is


class Watcher:
    """What is watched, how, and up to where it has been told.

    Invariants: of every revision below `next_revision` the stream was handed all that this
    watcher is to see, of no revision at or above it anything. While synced, "the current
    revision + 1" stands for a lower `next_revision`.
    """

    __slots__ = (
        "end",
        "has_had_events",
        "is_single_key",
        "keeps_deletes",
        "keeps_puts",
        "key",
        "may_fragment",
        "next_revision",
        "start_revision",
        "state",
        "stream",
        "wants_progress",
        "watch_id",
        "with_previous",
    )

    def __init__(self, stream: WatchStream, watch_id: int, request: WatchCreateRequest) -> None:
        self.stream = stream
        self.watch_id = watch_id
        self.key, self.end = bounds_of(request)
        self.is_single_key = not request.range_end
        self.with_previous = request.prev_kv
        self.may_fragment = request.fragment
        self.wants_progress = request.progress_notify
        self.keeps_puts = WatchCreateRequest.NOPUT not in request.filters
        self.keeps_deletes = WatchCreateRequest.NODELETE not in request.filters
        self.start_revision = request.start_revision  # 0: from the next one on
        self.next_revision = request.start_revision
        self.state = WatcherState.REPLAYING
        self.has_had_events = False  # since the last time progress was told

    def keeps(self, *, is_delete: bool) -> bool:
        """Whether the filters let this kind of change through."""
        return self.keeps_deletes if is_delete else self.keeps_puts


def bounds_of(request: WatchCreateRequest) -> tuple[bytes, bytes | None]:
    """Returns the first key and the end of a request's range; None: no upper bound.

    A single key's end has no meaning. An empty key stands for the first one.
    """
    end = request.range_end
    return request.key or _FIRST_KEY, None if end == _FROM_KEY else end


class Interests:
    """Watchers by the key or range they watch. Finding those of a key does not look at others."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, dict[Watcher, None]] = {}  # ordered sets
        self._ranges: RangeTree[Watcher] = RangeTree()

    def __bool__(self) -> bool:
        return bool(self._by_key or self._ranges)

    def add(self, watcher: Watcher) -> None:
        """Adds a watcher that is not in here."""
        if watcher.is_single_key:
            self._by_key.setdefault(watcher.key, {})[watcher] = None
        else:
            self._ranges.add(watcher.key, watcher.end, watcher)

    def remove(self, watcher: Watcher) -> None:
        """Removes a watcher. Raises KeyError when it is not in here."""
        if not watcher.is_single_key:
            self._ranges.remove(watcher.key, watcher.end, watcher)
            return
        same_key = self._by_key[watcher.key]
        del same_key[watcher]
        if not same_key:
            del self._by_key[watcher.key]

    def watching(self, key: bytes) -> list[Watcher]:
        """Returns the watchers of `key`, in a list of the caller's own."""
        same_key = self._by_key.get(key)
        found = list(same_key) if same_key is not None else []
        if self._ranges:
            self._ranges.collect(key, found)
        return found
