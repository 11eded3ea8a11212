"""The leader's duties to leases: it keeps their time, answers renewals and ends what has run out.

Why a lease never ends early, and never outlives a revocation:

- Only a leader that has applied an entry of its own term keeps time: by then it has applied
  all that earlier leaders have decided. It gives each lease what the log says is left of it,
  and an election timeout on top.
- A question is answered only after a round to a majority that began after the question came:
  so no later leader had taken over when it came, and one that takes over afterwards counts the
  lease's time from then on.
- What a leader decides about leases (their end, checkpoints) carries its term, and has no
  effect in an entry of another term: a leader that was deposed without knowing it, as after a
  pause, can end nothing, for what it appends in its own term does not get a majority any more,
  and what is passed on to its successor counts for nothing.
- A renewal of a lease that has a checkpoint in the log puts an end to it there, and is
  answered only when that is applied: otherwise the next leader would take the lease to be
  older than its client was told.

Ten thousand leases that end at once do not hold up anything else: at most
`_MOST_ENDS_PER_PASS` are taken up in a pass, every half second, and at most
`_MOST_REVOKES_IN_FLIGHT` revocations are under way, each an entry among those of the clients.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from miniraft.errors import LEASE_NOT_FOUND, NOT_PRIMARY_LESSOR, TIMED_OUT
from miniraft.mvcc.lease_deadlines import LeaseDeadlines
from miniraft.mvcc.results import LeaseTimes
from miniraft.pb.rpc_pb2 import LeaseCheckpointRequest, LeaseRevokeRequest
from miniraft.server.effects import Reply
from miniraft.server.lease_clock import LeaseClock
from miniraft.server.lease_counters import LeaseCounters
from miniraft.server.proposal import RequestKind
from miniraft.server.reads import ReadRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from miniraft.errors import EtcdError
    from miniraft.mvcc.lease_deadlines import TimedLease
    from miniraft.mvcc.lessor import Lease, Lessor
    from miniraft.raft.interface import RaftCore
    from miniraft.raft.ready import ReadState
    from miniraft.server.config import MemberConfig

_PASS_INTERVAL_MS = 500
_MOST_ENDS_PER_PASS = 500
_MOST_REVOKES_IN_FLIGHT = 64
_MOST_CHECKPOINTS_PER_PASS = 1000  # so at most 2000 a second, in two entries of some 15 KB


class ProposeInTerm(Protocol):
    """Proposes something that has no effect in another term; returns the request's id."""

    def __call__(self, kind: RequestKind, request: bytes, term: int, /) -> int:
        """See there."""


class LeaseQuestion(NamedTuple):
    """A renewal, or a look at what is left."""

    handle: Any
    lease_id: int
    renew: bool
    with_keys: bool
    deadline_ms: int


class _Renewal(NamedTuple):
    """A renewal that waits until the log has put an end to the lease's checkpoint."""

    question: LeaseQuestion
    timed: TimedLease


class LeaseKeeper:
    """See above. Used on every member; on one that does not lead it has nothing to do.

    Invariants: `_term` is 0, or the term in which this member leads and has applied an entry;
    every question gets exactly one reply.
    """

    def __init__(self, config: MemberConfig, next_id: Callable[[], int], propose: ProposeInTerm) -> None:
        self.counters = LeaseCounters()
        self._extension_ms = config.election_timeout_ms
        self._timeout_ms = config.request_timeout_ms
        self._makes_checkpoints = config.lease_checkpoints
        self._propose = propose
        self._clock = LeaseClock(config.election_timeout_ms)
        self._questions = ReadRequests(next_id, config.request_timeout_ms, config.read_retry_ms)
        self._term = 0
        self._deadlines = LeaseDeadlines((), 0, 0)
        self._next_pass_ms = 0
        self._begun: list[TimedLease] = []  # granted or renewed since the last tick: see `_begin_time`
        self._ended: deque[TimedLease] = deque()  # to be revoked
        self._revoking: dict[int, TimedLease] = {}  # by request id
        self._renewals: list[_Renewal] = []  # that have to go through the log
        self._logged_renewals: dict[int, list[_Renewal]] = {}  # by request id
        self._until_revoked: dict[int, list[LeaseQuestion]] = {}  # renewals that came too late, by lease

    @property
    def awaits_entries(self) -> bool:
        """Whether `applied` wants to be told of entries."""
        return bool(self._revoking or self._logged_renewals)

    def times(self) -> Sequence[Lease] | None:
        """Returns the leases with the one that ends first in front; None: this member keeps no time."""
        return self._deadlines.in_order() if self._term else None

    # Questions --------------------------------------------------------------------------------
    def ask(self, handle: Any, lease_id: int, now_ms: int, *, renew: bool, with_keys: bool = False) -> None:
        """A question comes in at the leader. Answered with LeaseTimes, or None: no such lease.

        Errors: NOT_PRIMARY_LESSOR (it leads no more), LEADER_CHANGED, TIMED_OUT.
        """
        question = LeaseQuestion(handle, lease_id, renew, with_keys, now_ms + self._timeout_ms)
        self._questions.add(question, now_ms)

    def ask_raft(self, raft: RaftCore, now_ms: int) -> None:
        """Has Raft confirm that this member still leads, if there are questions."""
        if self._questions and raft.leader == raft.member_id:
            self._questions.ask(raft, now_ms)

    def confirmed(self, states: Sequence[ReadState], now_ms: int) -> None:
        """Raft has answered."""
        self._questions.answered(states, now_ms)

    def answer(self, applied: int, now_ms: int, replies: list[Reply]) -> None:
        """Answers the questions that are confirmed, with everything up to `applied` in place."""
        confirmed: list[Reply] = []
        self._questions.applied(applied, confirmed)
        if not confirmed:
            return
        if not self._term:
            replies.extend(Reply(reply.handle.handle, None, NOT_PRIMARY_LESSOR) for reply in confirmed)
            return
        clock_ms = self._clock.read(now_ms)
        for reply in confirmed:
            self._answer(reply.handle, clock_ms, replies)
        self._log_renewals()

    def _answer(self, question: LeaseQuestion, clock_ms: int, replies: list[Reply]) -> None:
        timed = self._deadlines.find(question.lease_id)
        if timed is None:
            replies.append(Reply(question.handle, None, None))
        elif not question.renew:
            replies.append(Reply(question.handle, _times(timed, clock_ms, question.with_keys), None))
        elif timed.has_ended(clock_ms):
            self._until_revoked.setdefault(question.lease_id, []).append(question)
        else:
            timed.renew(clock_ms)
            self._begun.append(timed)
            self.counters.renewed += 1
            if timed.checkpoint_in_log:
                self._renewals.append(_Renewal(question, timed))
            else:
                replies.append(Reply(question.handle, _renewed(timed), None))

    def _log_renewals(self) -> None:
        if self._renewals:
            renewals, self._renewals = self._renewals, []
            request = _checkpoint_request((renewal.timed.lease.id, 0) for renewal in renewals)
            self._logged_renewals[self._propose(RequestKind.LEASE_CHECKPOINT, request, self._term)] = renewals

    # Leading ----------------------------------------------------------------------------------
    def follow(self, leading_term: int, lessor: Lessor, now_ms: int, replies: list[Reply]) -> None:
        """Begins or ends to keep time: `leading_term` is 0 on a member that must not."""
        if leading_term == self._term:
            return
        if self._term:
            self._demote(replies)
        if leading_term:
            self._term = leading_term
            clock_ms = self._clock.read(now_ms)
            self._next_pass_ms = clock_ms + _PASS_INTERVAL_MS
            self._deadlines = LeaseDeadlines(
                lessor, clock_ms, self._extension_ms, checkpoints=self._makes_checkpoints
            )

    def leader_lost(self, replies: list[Reply]) -> None:
        """This member does not lead, or not any more: others have to be asked."""
        replies.extend(
            Reply(question.handle, None, NOT_PRIMARY_LESSOR) for question in self._questions.take_all()
        )
        if self._term:
            self._demote(replies)

    def _demote(self, replies: list[Reply]) -> None:
        self._term = 0
        self._deadlines = LeaseDeadlines((), 0, 0)
        self._begun.clear()
        self._ended.clear()
        self._revoking.clear()
        replies.extend(Reply(question.handle, None, NOT_PRIMARY_LESSOR) for question in self._take_waiting())

    # What the log did -------------------------------------------------------------------------
    def changed(self, leases: Iterable[Lease], lessor: Lessor, now_ms: int, replies: list[Reply]) -> None:
        """These leases were granted or revoked by entries just applied."""
        clock_ms = self._clock.read(now_ms)
        for lease in leases:
            if lessor.find(lease.id) is lease:
                self.counters.count_grant(lease.ttl_seconds)
                if self._term:
                    self._begun.append(self._deadlines.granted(lease, clock_ms))
            else:
                self.counters.revoked += 1
                self._deadlines.revoked(lease)
                too_late = self._until_revoked.pop(lease.id, ())
                replies.extend(Reply(question.handle, None, None) for question in too_late)

    def applied(self, request_id: int, error: EtcdError | None, now_ms: int, replies: list[Reply]) -> None:
        """An entry that nobody else waits for was applied."""
        ended = self._revoking.pop(request_id, None)
        if ended is not None:
            self._revoke_applied(ended, error, now_ms)
        for question, timed in self._logged_renewals.pop(request_id, ()):
            if error is not None:
                replies.append(Reply(question.handle, None, error))
                continue
            if timed.checkpoint_in_log < request_id:
                timed.checkpoint_in_log = 0
            replies.append(Reply(question.handle, _renewed(timed), None))

    def _revoke_applied(self, timed: TimedLease, error: EtcdError | None, now_ms: int) -> None:
        if error is None:
            self.counters.expired += 1
        elif error.message != LEASE_NOT_FOUND.message:  # an alarm forbids it: until that is over
            self._deadlines.try_again(timed, self._clock.read(now_ms) + self._timeout_ms)

    # Time -------------------------------------------------------------------------------------
    def tick(self, now_ms: int, replies: list[Reply]) -> None:
        """Ends questions whose time is up; every half second looks which leases have ended."""
        if self._questions or self._until_revoked or self._logged_renewals:
            self._expire(now_ms, replies)
        if not self._term:
            return
        clock_ms = self._clock.read(now_ms)
        self._begin_time(clock_ms)
        if clock_ms >= self._next_pass_ms:
            self._next_pass_ms = clock_ms + _PASS_INTERVAL_MS
            room = _MOST_ENDS_PER_PASS - len(self._ended)
            self._ended.extend(self._deadlines.take_ended(clock_ms, max(room, 0)))
            self._make_checkpoints(clock_ms)
        self.revoke_ended()

    def _begin_time(self, clock_ms: int) -> None:
        """Between two ticks the member's time stands still, so what was granted or renewed since
        the last one may have got a deadline that is too early by as much."""
        for timed in self._begun:
            timed.begin(clock_ms)
        self._begun.clear()

    def revoke_ended(self) -> None:
        """Proposes the end of leases, as far as there is room under way."""
        while self._ended and len(self._revoking) < _MOST_REVOKES_IN_FLIGHT:
            timed = self._ended.popleft()
            if not timed.gone:
                request = LeaseRevokeRequest(ID=timed.lease.id).SerializeToString()
                self._revoking[self._propose(RequestKind.LEASE_REVOKE, request, self._term)] = timed

    def _make_checkpoints(self, clock_ms: int) -> None:
        checkpoints = self._deadlines.take_checkpoints(clock_ms, _MOST_CHECKPOINTS_PER_PASS)
        if checkpoints:
            request = _checkpoint_request((timed.lease.id, seconds) for timed, seconds in checkpoints)
            number = self._propose(RequestKind.LEASE_CHECKPOINT, request, self._term)
            for timed, _ in checkpoints:
                timed.checkpoint_in_log = number

    # Waiting ----------------------------------------------------------------------------------
    def _expire(self, now_ms: int, replies: list[Reply]) -> None:
        overdue: list[Reply] = []
        self._questions.expire(now_ms, overdue)
        replies.extend(Reply(reply.handle.handle, None, reply.error) for reply in overdue)
        for lease_id, questions in list(self._until_revoked.items()):
            kept = [question for question in questions if question.deadline_ms > now_ms]
            _time_out(questions, now_ms, replies)
            if kept:
                self._until_revoked[lease_id] = kept
            else:
                del self._until_revoked[lease_id]
        for request_id, renewals in self._logged_renewals.items():
            _time_out((renewal.question for renewal in renewals), now_ms, replies)
            self._logged_renewals[request_id] = [
                renewal for renewal in renewals if renewal.question.deadline_ms > now_ms
            ]

    def take_all(self) -> list[Any]:
        """Returns everybody who waits; nobody does then."""
        questions = [*self._questions.take_all(), *self._take_waiting()]
        return [question.handle for question in questions]

    def _take_waiting(self) -> list[LeaseQuestion]:
        questions = [question for waiting in self._until_revoked.values() for question in waiting]
        renewals = [*self._renewals, *(one for logged in self._logged_renewals.values() for one in logged)]
        questions.extend(renewal.question for renewal in renewals)
        self._until_revoked.clear()
        self._renewals.clear()
        self._logged_renewals.clear()
        return questions


def _times(timed: TimedLease, clock_ms: int, with_keys: bool) -> LeaseTimes:
    keys = sorted(timed.lease.keys) if with_keys else ()
    return LeaseTimes(timed.lease.ttl_seconds, timed.remaining_ms(clock_ms) // 1000, keys)


def _renewed(timed: TimedLease) -> LeaseTimes:
    return LeaseTimes(timed.lease.ttl_seconds, timed.lease.ttl_seconds, ())


def _checkpoint_request(checkpoints: Iterable[tuple[int, int]]) -> bytes:
    request = LeaseCheckpointRequest()
    for lease_id, seconds in checkpoints:
        request.checkpoints.add(ID=lease_id, remaining_TTL=seconds)
    return request.SerializeToString()


def _time_out(questions: Iterable[LeaseQuestion], now_ms: int, replies: list[Reply]) -> None:
    replies.extend(
        Reply(question.handle, None, TIMED_OUT) for question in questions if question.deadline_ms <= now_ms
    )
