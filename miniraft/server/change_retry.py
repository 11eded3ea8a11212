"""Membership changes that got lost on their way to the leader, proposed again.

A leader takes one change at a time, and none before it has committed something in its term; what
a follower passes on to it in between is dropped, and nobody is told. Other proposals may not be
repeated, for they could be applied twice. A member can only be added, promoted or removed once,
so here the second entry changes nothing. Not so an update of URLs: repeated, it could undo a
later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.state import ConfigChangeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from miniraft.pb.log_pb2 import ConfigChange


class ChangeRetry:
    """The changes that somebody waits for, and when each was proposed last."""

    __slots__ = ("_interval_ms", "_is_waiting", "_proposed")

    def __init__(self, interval_ms: int, is_waiting: Callable[[int], bool]) -> None:
        """`is_waiting`: whether the request of this id has not been answered yet."""
        self._interval_ms = interval_ms
        self._is_waiting = is_waiting
        self._proposed: dict[int, tuple[int, bytes]] = {}  # request id -> (time, serialized change)

    def add(self, change: ConfigChange, data: bytes, now_ms: int) -> None:
        """A change has been proposed."""
        if change.kind != ConfigChangeKind.UPDATE:
            self._proposed[change.request_id] = (now_ms, data)

    def due(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """Yields (request id, serialized change) of those to propose again now."""
        if not self._proposed:
            return
        for request_id, (proposed_ms, data) in list(self._proposed.items()):
            if not self._is_waiting(request_id):
                del self._proposed[request_id]
            elif now_ms >= proposed_ms + self._interval_ms:
                self._proposed[request_id] = (now_ms, data)
                yield request_id, data
