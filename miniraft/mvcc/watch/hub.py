"""All watches of a member: new changes to those who are up to date, history to the others.

A watcher is synced, or behind. The synced are told of each change as it is made, found by key
or range. Whoever is behind, because it asked for an earlier revision or because its stream was
full when a change came, reads the history in small steps until it has caught up. Nothing is
kept for a slow client but its place: what it missed is in the store, and if a compaction takes
that away the watch ends and says so, rather than skip.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from miniraft.mvcc.watch.message import WatchEvent
from miniraft.mvcc.watch.stream import WatchStream
from miniraft.mvcc.watch.watcher import Interests, WatcherState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from miniraft.mvcc.change import Change
    from miniraft.mvcc.interface import KeyspaceCore
    from miniraft.mvcc.watch.watcher import Watcher

MOST_REVISIONS: Final = 1000  # in one step, and so in one message

# What bounds a step's time; but a revision is never split, so a large one may go beyond.
_MOST_WATCHERS = 256
_MOST_EVENTS = 2000  # read, or handed on
_MOST_BYTES = 1024 * 1024


class WatchHub:
    """The watches on one keyspace. No clock: whoever owns it calls `replay_step`.

    `on_replay_due` is called when there is something to replay after there was not.

    Invariants: a watcher is in exactly one of `_synced`, `_replaying` and its stream's slow
    ones, as its `state` says; every synced watcher was handed all there is up to the current
    revision; the keyspace tells of its changes exactly while somebody is synced.
    """

    def __init__(self, keyspace: KeyspaceCore) -> None:
        self.on_replay_due: Callable[[], None] | None = None
        self.event_count = 0  # taken by streams, ever
        self.pending_event_count = 0  # waiting in streams
        self.watcher_count = 0
        self._keyspace = keyspace
        self._streams: dict[WatchStream, None] = {}
        self._synced = Interests()
        self._synced_count = 0
        self._replaying: dict[Watcher, None] = {}  # in turn

    @property
    def revision(self) -> int:
        """The keyspace's current revision."""
        return self._keyspace.revision

    @property
    def stream_count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def slow_watcher_count(self) -> int:
        """How many watchers are behind."""
        return self.watcher_count - self._synced_count

    @property
    def is_replay_due(self) -> bool:
        """Whether `replay_step` has something to do."""
        return bool(self._replaying)

    def open_stream(self, on_ready: Callable[[], None], most_messages: int | None = None) -> WatchStream:
        """Returns a new stream; see there for the arguments. It is to be closed in the end."""
        stream = WatchStream(self, on_ready, most_messages)
        self._streams[stream] = None
        return stream

    def replace_keyspace(self, keyspace: KeyspaceCore) -> None:
        """A snapshot has taken the keyspace's place: everybody goes on from where they were."""
        old_revision = self._keyspace.revision
        self._keyspace.on_changes = None
        self._keyspace = keyspace
        for stream in self._streams:
            for watcher in stream.watchers.values():
                if watcher.state is not WatcherState.SYNCED:
                    continue
                watcher.next_revision = max(watcher.next_revision, old_revision + 1)
                if watcher.next_revision <= keyspace.revision:
                    self._leave_synced(watcher)
                    self._join_replay(watcher)
        if self._synced_count:
            keyspace.on_changes = self._on_changes

    # Watchers ---------------------------------------------------------------------------------
    def add(self, watcher: Watcher) -> None:
        """Begins to serve a watcher of one of the streams."""
        self.watcher_count += 1
        if 0 < watcher.start_revision <= self.revision:
            self._join_replay(watcher)
        else:
            self._join_synced(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Ends the service of a watcher."""
        self.watcher_count -= 1
        if watcher.state is WatcherState.SYNCED:
            self._leave_synced(watcher)
        elif watcher.state is WatcherState.REPLAYING:
            del self._replaying[watcher]

    def have_room(self, watchers: Iterable[Watcher]) -> None:
        """The stream of these slow watchers takes events again."""
        for watcher in watchers:
            self._join_replay(watcher)

    def stream_closed(self, stream: WatchStream, pending_event_count: int) -> None:
        """The stream, which has no watchers any more, will take nothing."""
        del self._streams[stream]
        self.pending_event_count -= pending_event_count

    def events_queued(self, count: int) -> None:
        """Events wait in a stream."""
        self.pending_event_count += count

    def events_taken(self, count: int) -> None:
        """Events were taken from a stream, to be sent."""
        self.pending_event_count -= count
        self.event_count += count

    def _join_synced(self, watcher: Watcher) -> None:
        watcher.state = WatcherState.SYNCED
        self._synced.add(watcher)
        self._synced_count += 1
        self._keyspace.on_changes = self._on_changes

    def _leave_synced(self, watcher: Watcher) -> None:
        self._synced.remove(watcher)
        self._synced_count -= 1
        if not self._synced_count:
            self._keyspace.on_changes = None

    def _join_replay(self, watcher: Watcher) -> None:
        watcher.state = WatcherState.REPLAYING
        self._replaying[watcher] = None
        if len(self._replaying) == 1 and self.on_replay_due is not None:
            self.on_replay_due()

    def _join_slow(self, watcher: Watcher) -> None:
        watcher.state = WatcherState.SLOW
        watcher.stream.wait_for_room(watcher)

    # New changes ------------------------------------------------------------------------------
    def _on_changes(self, revision: int, changes: Sequence[Change]) -> None:
        """The keyspace has made a write: its synced watchers are told of it."""
        if len(changes) == 1:
            change = changes[0]
            watchers = self._synced.watching(change.key)
            if watchers:
                events = [self._event(revision, change, watchers)]
                for watcher in watchers:
                    if watcher.keeps(is_delete=change.is_delete):
                        self._tell(watcher, revision, events)
            return
        for watcher, events in self._sorted_out(revision, changes).items():
            self._tell(watcher, revision, events)

    def _sorted_out(self, revision: int, changes: Sequence[Change]) -> dict[Watcher, list[WatchEvent]]:
        """Returns which watcher is to see which events of one revision."""
        told: dict[Watcher, list[WatchEvent]] = {}
        for change in changes:
            watchers = self._synced.watching(change.key)
            if watchers:
                event = self._event(revision, change, watchers)
                for watcher in watchers:
                    if watcher.keeps(is_delete=change.is_delete):
                        told.setdefault(watcher, []).append(event)
        return told

    def _tell(self, watcher: Watcher, revision: int, events: Sequence[WatchEvent]) -> None:
        if revision < watcher.next_revision:
            return  # it asked to begin later
        if not watcher.stream.push_events(watcher, revision, events):
            watcher.next_revision = revision
            self._leave_synced(watcher)
            self._join_slow(watcher)

    def _event(self, revision: int, change: Change, watchers: Iterable[Watcher]) -> WatchEvent:
        event = WatchEvent(change.key, change.pair, revision, change.is_delete)
        if any(watcher.with_previous for watcher in watchers):
            event.previous = self._keyspace.pair_before(change.key, revision)
        return event

    # History ----------------------------------------------------------------------------------
    def replay_step(self) -> bool:
        """Reads a bounded piece of the history for some of those who are behind.

        Watchers take turns; those at about the same place share the reading. Returns whether
        there is more to do.
        """
        group = self._next_group()
        if group:
            reading = _Reading(self._keyspace, group)
            reading.read()
            for watcher in group:
                if watcher.next_revision <= reading.last_revision:
                    self._advance(watcher, reading)
        return bool(self._replaying)

    def _next_group(self) -> list[Watcher]:
        """Returns the one whose turn it is, and others that the same reading can serve."""
        compact_revision = self._keyspace.compact_revision
        group: list[Watcher] = []
        for watcher in list(islice(self._replaying, _MOST_WATCHERS)):
            if watcher.next_revision < compact_revision:
                watcher.stream.end_compacted(watcher, compact_revision)
            elif not group or 0 <= watcher.next_revision - group[0].next_revision < MOST_REVISIONS:
                group.append(watcher)
        return group

    def _advance(self, watcher: Watcher, reading: _Reading) -> None:
        """Hands a watcher what was read for it, and takes it to where it goes on."""
        del self._replaying[watcher]
        events = reading.found.get(watcher)
        if events and not watcher.stream.push_events(watcher, self.revision, events):
            self._join_slow(watcher)
            return
        watcher.next_revision = reading.last_revision + 1
        if watcher.next_revision > self.revision:
            self._join_synced(watcher)
        else:
            self._join_replay(watcher)


class _Reading:
    """One piece of the history, read for a group of watchers.

    It starts where the first of the group stands; none stands before it.
    """

    def __init__(self, keyspace: KeyspaceCore, group: Sequence[Watcher]) -> None:
        self.found: dict[Watcher, list[WatchEvent]] = {}
        self.last_revision = 0  # read completely up to here
        self._keyspace = keyspace
        self._first_revision = group[0].next_revision
        self._interests = Interests()
        for watcher in group:
            self._interests.add(watcher)
        self._events = 0
        self._bytes = 0

    def read(self) -> None:
        """Reads on until the bounds of one step, the end of a revision, or the present."""
        last = min(self._first_revision + MOST_REVISIONS - 1, self._keyspace.revision)
        reading = self._first_revision
        for revision, change in self._keyspace.history(self._first_revision, last):
            if revision != reading:
                if self._events >= _MOST_EVENTS or self._bytes >= _MOST_BYTES:
                    last = revision - 1
                    break
                reading = revision
            self._take(revision, change)
        self.last_revision = last

    def _take(self, revision: int, change: Change) -> None:
        self._events += 1
        self._bytes += len(change.pair)
        event = None
        for watcher in self._interests.watching(change.key):
            if revision < watcher.next_revision or not watcher.keeps(is_delete=change.is_delete):
                continue
            if event is None:
                event = WatchEvent(change.key, change.pair, revision, change.is_delete)
            if watcher.with_previous and event.previous is None:
                event.previous = self._keyspace.pair_before(change.key, revision)
                self._bytes += len(event.previous or b"")
            self.found.setdefault(watcher, []).append(event)
            self._events += 1
