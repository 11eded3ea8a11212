"""Linearizable reads: many of them share one read index round (thesis 6.4).

One round is under way at a time. Reads that come in meanwhile wait for the next one: they may
not join, for what was committed between the round's start and their own would be missed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from miniraft.errors import LEADER_CHANGED, TIMED_OUT
from miniraft.server.effects import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.raft.interface import RaftCore
    from miniraft.raft.ready import ReadState
    from miniraft.server.member_figures import MemberFigures


_ASK_AGAIN_AFTER_FAILURE_MS = 50


class _Read(NamedTuple):
    handle: Any
    deadline_ms: int


class ReadRequests:
    """Reads that wait for a round, one round under way, and confirmed reads that wait for apply.

    A round's request or answer may be lost, so it is asked again after a while, under a new
    context: every context of the round confirms it, for all were asked after its reads came.
    Contexts ascend and are never used twice, over restarts too: a late answer to a question
    from before a crash must confirm nothing.
    A round asked of a leader that has been replaced fails with LEADER_CHANGED, as in etcd;
    reads that were asked of nobody yet wait for the next leader.
    """

    __slots__ = (
        "_ask_again_at_ms",
        "_asked_leader",
        "_confirmed",
        "_figures",
        "_first_context",
        "_last_context",
        "_next_context",
        "_retry_ms",
        "_round",
        "_slow_until_ms",
        "_timeout_ms",
        "_waiting",
    )

    def __init__(
        self,
        next_context: Callable[[], int],
        timeout_ms: int,
        retry_ms: int,
        figures: MemberFigures | None = None,
    ) -> None:
        """`figures`: where rounds that come to nothing are counted."""
        self._next_context = next_context
        self._figures = figures
        self._slow_until_ms = 0
        self._timeout_ms = timeout_ms
        self._retry_ms = retry_ms
        self._waiting: list[_Read] = []
        self._round: list[_Read] = []
        self._first_context = 0  # of the round under way
        self._last_context = 0
        self._asked_leader = 0  # whom the round was asked of, 0: nobody yet
        self._ask_again_at_ms = 0
        self._confirmed: deque[tuple[int, Sequence[_Read]]] = deque()  # (read index, reads)

    def __bool__(self) -> bool:
        return bool(self._waiting or self._round)

    def add(self, handle: Any, now_ms: int) -> None:
        """A read comes in."""
        self._waiting.append(_Read(handle, now_ms + self._timeout_ms))

    def ask(self, raft: RaftCore, now_ms: int) -> None:
        """Starts a round if none is under way, or asks again for the one that got no answer."""
        leader = raft.leader
        if not leader:
            return
        if not self._round:
            if not self._waiting:
                return
            self._round, self._waiting = self._waiting, []
            self._first_context = self._last_context = self._next_context()
        elif now_ms < self._ask_again_at_ms:
            return
        else:
            self._last_context = self._next_context()
        self._asked_leader = leader
        self._ask_again_at_ms = now_ms + self._retry_ms
        raft.read_index(self._last_context)

    def answered(self, states: Sequence[ReadState], now_ms: int) -> None:
        """Raft has answered: a round is confirmed, or has failed and is asked again soon."""
        for context, index in states:
            if not self._round or not self._first_context <= context <= self._last_context:
                continue  # the answer to a round that ended otherwise
            if index < 0:
                if context == self._last_context:
                    self._ask_again_at_ms = now_ms + _ASK_AGAIN_AFTER_FAILURE_MS
                continue
            self._confirmed.append((index, self._round))
            self._end_round()

    def applied(self, applied: int, replies: list[Reply]) -> None:
        """Everything up to `applied` can be read: answers the reads that waited for it."""
        confirmed = self._confirmed
        while confirmed and confirmed[0][0] <= applied:
            replies.extend(Reply(read.handle, None, None) for read in confirmed.popleft()[1])

    def leader_changed(self, leader: int, replies: list[Reply]) -> None:
        """Another leader is known (0: none): the round asked of the previous one is over."""
        if leader and self._asked_leader not in (0, leader):
            replies.extend(Reply(read.handle, None, LEADER_CHANGED) for read in self._round)
            if self._figures is not None and self._round:
                self._figures.read_rounds_failed += 1
            self._end_round()

    def expire(self, now_ms: int, replies: list[Reply]) -> None:
        """Ends the reads whose time is up."""
        before = len(replies)
        self._waiting = _split_expired(self._waiting, now_ms, replies)
        self._round = _split_expired(self._round, now_ms, replies)
        if not self._round:
            self._end_round()
        if len(replies) > before and now_ms >= self._slow_until_ms:
            # What goes on failing for as long again is a round of its own, as in etcd.
            self._slow_until_ms = now_ms + self._timeout_ms
            if self._figures is not None:
                self._figures.read_rounds_slow += 1
        if self._confirmed and self._confirmed[0][1][0].deadline_ms <= now_ms:
            kept = ((index, _split_expired(reads, now_ms, replies)) for index, reads in self._confirmed)
            self._confirmed = deque((index, reads) for index, reads in kept if reads)

    def take_all(self) -> list[Any]:
        """Returns everybody who waits; nobody does then."""
        reads = [*self._waiting, *self._round]
        for _, confirmed in self._confirmed:
            reads.extend(confirmed)
        self._waiting = []
        self._confirmed.clear()
        self._end_round()
        return [read.handle for read in reads]

    def _end_round(self) -> None:
        self._round = []
        self._asked_leader = 0


def _split_expired(reads: Sequence[_Read], now_ms: int, replies: list[Reply]) -> list[_Read]:
    """Answers the reads at the front whose time is up; returns the rest (deadlines ascend)."""
    count = 0
    while count < len(reads) and reads[count].deadline_ms <= now_ms:
        replies.append(Reply(reads[count].handle, None, TIMED_OUT))
        count += 1
    return list(reads[count:]) if count else list(reads)
