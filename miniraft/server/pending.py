"""Who waits for which request.

A request ends in one of three ways: its entry is applied here, it waited too long, or the
member stops. Whichever comes first takes the handle out, so that nobody is answered twice.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_ID = (1 << 64) - 1
NOBODY: Any = object()  # what `take` returns when nobody waits


class Expired(NamedTuple):
    """A request that waited too long."""

    request_id: int
    handle: Any
    started_ms: int


class PendingRequests:
    """Waiting requests by id.

    Ids count up from a first one that the driver chooses so that no member ever uses an id
    twice, over restarts too: an entry in the log then names one request of one member. All
    requests have the same patience, so they expire in the order in which they came.
    """

    __slots__ = ("_next_id", "_started", "_timeout_ms", "_waiting")

    def __init__(self, first_request_id: int, timeout_ms: int) -> None:
        self._next_id = first_request_id & _LARGEST_ID or 1
        self._timeout_ms = timeout_ms
        self._waiting: dict[int, Any] = {}
        self._started: deque[tuple[int, int]] = deque()  # (started_ms, id) in order; ended ones too

    def __len__(self) -> int:
        return len(self._waiting)

    def next_id(self) -> int:
        """Returns a fresh request id, never 0."""
        request_id = self._next_id
        self._next_id = 1 if request_id == _LARGEST_ID else request_id + 1
        return request_id

    def add(self, handle: Any, now_ms: int) -> int:
        """Lets `handle` wait; returns its request id."""
        request_id = self.next_id()
        self._waiting[request_id] = handle
        self._started.append((now_ms, request_id))
        return request_id

    def is_waiting(self, request_id: int) -> bool:
        """Whether somebody waits for this request."""
        return request_id in self._waiting

    def take(self, request_id: int) -> Any:
        """Returns who waits for this request, and that is over then; NOBODY when none does."""
        return self._waiting.pop(request_id, NOBODY)

    def expired(self, now_ms: int) -> Iterator[Expired]:
        """Yields the requests that have waited for the whole timeout; they wait no more."""
        oldest_ms = now_ms - self._timeout_ms
        started = self._started
        while started and (started[0][0] <= oldest_ms or started[0][1] not in self._waiting):
            started_ms, request_id = started.popleft()
            handle = self._waiting.pop(request_id, NOBODY)
            if handle is not NOBODY:
                yield Expired(request_id, handle, started_ms)

    def take_all(self) -> list[Any]:
        """Returns everybody who waits; nobody does then."""
        handles = list(self._waiting.values())
        self._waiting.clear()
        self._started.clear()
        return handles
