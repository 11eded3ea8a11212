"""One client's stream of watches, and the messages that wait to be sent on it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from miniraft.errors import COMPACTED
from miniraft.mvcc.watch.message import NO_WATCH_ID, EventsMessage, Notice
from miniraft.mvcc.watch.watcher import Watcher, WatcherState, bounds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.mvcc.watch.hub import WatchHub
    from miniraft.mvcc.watch.message import Message, WatchEvent
    from miniraft.pb.rpc_pb2 import WatchCreateRequest

MOST_MESSAGES: Final = 1024  # and one for each watcher, so that one change can go to all of them
MOST_BYTES: Final = 4 * 1024 * 1024

_EMPTY_RANGE = "mvcc: watcher range is empty"
_DUPLICATE_ID = "mvcc: duplicate watch ID provided on the WatchStream"


class WatchStream:
    """Watches that share one way to the client.

    Messages leave in the order in which they came: an event never overtakes the answer that
    created its watch, nothing of a watch follows its end, and progress follows the events it
    speaks of. `on_ready` is called whenever there is something to `take` after there was not.
    `most_messages` is another bound than MOST_MESSAGES.

    Invariants: no more than `most_messages`, one for each watcher, and MOST_BYTES of events
    wait (one message of events may lie across the bound); each watcher of the stream that
    finds no room is in `_slow`. Notices are answers: whoever reads requests waits while
    `has_many_notices`.
    """

    def __init__(self, hub: WatchHub, on_ready: Callable[[], None], most_messages: int | None = None) -> None:
        self.watchers: dict[int, Watcher] = {}
        self._hub = hub
        self._on_ready = on_ready
        self._own_bound = most_messages
        self._next_id = 0
        self._queue: deque[Message] = deque()
        self._notice_count = 0
        self._event_count = 0
        self._event_bytes = 0
        self._slow: dict[Watcher, None] = {}
        self._is_closed = False

    # Requests ---------------------------------------------------------------------------------
    def create(self, request: WatchCreateRequest) -> Watcher | None:
        """Begins a watch and answers the request; returns None when it is refused."""
        revision = self._hub.revision
        reason = self._reason_to_refuse(request)
        if reason:
            self.refuse(reason)
            return None
        watch_id = request.watch_id or self._free_id()
        watcher = self.watchers[watch_id] = Watcher(self, watch_id, request)
        self._push_notice(Notice(watch_id, revision, created=True))
        self._hub.add(watcher)
        return watcher

    def refuse(self, reason: str) -> None:
        """Answers a request for a watch that is not begun."""
        self._push_notice(
            Notice(NO_WATCH_ID, self._hub.revision, created=True, canceled=True, cancel_reason=reason)
        )

    def cancel(self, watch_id: int) -> None:
        """Ends a watch and says so. An id that is not in use gets no answer, as in etcd."""
        watcher = self.watchers.get(watch_id)
        if watcher is not None:
            self._forget(watcher)
            self._push_notice(Notice(watch_id, self._hub.revision, canceled=True))

    def request_progress(self) -> None:
        """Tells up to where the whole stream is complete, or nothing unless all watches are."""
        if self.watchers and all(map(self._is_complete, self.watchers.values())):
            self._push_notice(Notice(NO_WATCH_ID, self._hub.revision))

    def notify_progress(self) -> None:
        """An interval has passed: tells the watches that asked for it and had no events meanwhile."""
        revision = self._hub.revision
        for watcher in self.watchers.values():
            if not watcher.wants_progress:
                continue
            if not watcher.has_had_events and self._is_complete(watcher) and not self.is_full:
                self._push_notice(Notice(watcher.watch_id, revision))
            watcher.has_had_events = False

    def close(self) -> None:
        """The client is gone: lets go of everything. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for watcher in list(self.watchers.values()):
            self._forget(watcher)
        self._hub.stream_closed(self, self._event_count)
        self._queue.clear()

    # Messages ---------------------------------------------------------------------------------
    def take(self) -> Message | None:
        """Returns the next message to send, or None when there is none."""
        if not self._queue:
            return None
        message = self._queue.popleft()
        if isinstance(message, Notice):
            self._notice_count -= 1
        else:
            count = len(message.events)
            self._event_count -= count
            self._event_bytes -= message.size_bytes
            self._hub.events_taken(count)
        if self._slow and self._has_much_room:
            slow, self._slow = self._slow, {}
            self._hub.have_room(slow)
        return message

    @property
    def is_full(self) -> bool:
        """Whether no more events fit."""
        if self._event_bytes >= MOST_BYTES:
            return True
        return len(self._queue) - self._notice_count >= self._most_messages + len(self.watchers)

    @property
    def _most_messages(self) -> int:
        return MOST_MESSAGES if self._own_bound is None else self._own_bound

    @property
    def has_many_notices(self) -> bool:
        """Whether the client asks for more answers than it reads."""
        return self._notice_count >= MOST_MESSAGES

    @property
    def _has_much_room(self) -> bool:
        """Catching up begins only when a good part of the room is free, not for every message."""
        return self._event_bytes <= MOST_BYTES // 2 and len(self._queue) <= self._most_messages // 2

    def push_events(self, watcher: Watcher, revision: int, events: Sequence[WatchEvent]) -> bool:
        """Adds events of one watcher; False, and nothing is changed, when the stream is full."""
        if self.is_full:
            return False
        size_bytes = 0
        for event in events:
            size_bytes += event.size_bytes
        self._push(
            EventsMessage(
                watcher.watch_id, revision, events, watcher.with_previous, watcher.may_fragment, size_bytes
            )
        )
        self._event_count += len(events)
        self._event_bytes += size_bytes
        self._hub.events_queued(len(events))
        watcher.has_had_events = True
        return True

    def wait_for_room(self, watcher: Watcher) -> None:
        """Hands the watcher back to the hub once there is room again."""
        self._slow[watcher] = None

    def end_compacted(self, watcher: Watcher, compact_revision: int) -> None:
        """Ends a watch whose next event is no longer in the history. As in etcd, that is the reason."""
        self._forget(watcher)
        self._push_notice(Notice(watcher.watch_id, 0, canceled=True, compact_revision=compact_revision))

    def _push_notice(self, notice: Notice) -> None:
        self._notice_count += 1
        self._push(notice)

    def _push(self, message: Message) -> None:
        self._queue.append(message)
        if len(self._queue) == 1:
            self._on_ready()

    # Watches ----------------------------------------------------------------------------------
    def _reason_to_refuse(self, request: WatchCreateRequest) -> str:
        if request.start_revision < 0:
            return COMPACTED.message
        key, end = bounds_of(request)
        if end and end <= key:
            return _EMPTY_RANGE
        if request.watch_id in self.watchers and request.watch_id != 0:
            return _DUPLICATE_ID
        return ""

    def _free_id(self) -> int:
        """Ids count up and are not given twice, past those that the client has chosen."""
        while self._next_id in self.watchers:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _is_complete(self, watcher: Watcher) -> bool:
        """Whether every event of the watch up to the current revision was pushed."""
        return watcher.state is WatcherState.SYNCED and watcher.start_revision <= self._hub.revision

    def _forget(self, watcher: Watcher) -> None:
        del self.watchers[watcher.watch_id]
        self._slow.pop(watcher, None)
        self._hub.remove(watcher)
