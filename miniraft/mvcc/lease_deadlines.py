"""When leases end: kept by the leader, for as long as it leads, on its own clock.

A leader begins with what the log says is left of each lease, and gives every lease an
election timeout on top: its clients could not renew while there was no leader. So no lease
ends early, however often the leader changes.

Nor does it start anew each time, for the leader notes in the log what is left of a lease
(a checkpoint). How often, so that this costs next to nothing:

- A lease that is renewed at regular intervals, as sessions and locks are, needs none: the next
  renewal gives it its whole time again anyway. It gets its first checkpoint only when a renewal
  is overdue: half as much again as the last interval has passed, at most half its time.
- Any other lease gets one every twentieth of its time, but at most each second (what is noted
  is whole seconds) and at least every five minutes: it outlives a change of leader by no more
  than that, and an election.
- A renewal puts an end to the last checkpoint by another note in the log, before it is
  answered. Without one there is nothing to put an end to, and a renewal stays out of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.mvcc.due_queue import DueQueue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from miniraft.mvcc.lessor import Lease

MOST_ENDS_PER_SECOND = 750  # of leases that a new leader takes over; later ones may do as they like
_SECOND_MS = 1000
_CHECKPOINTS_IN_A_LIFE = 20
_LONGEST_CHECKPOINT_INTERVAL_MS = 300_000


class TimedLease:
    """A lease and its time, in milliseconds on the leader's clock.

    Invariant: `deadline_ms` and `checkpoint_ms` only ever move on.
    """

    __slots__ = (
        "checkpoint_in_log",
        "checkpoint_ms",
        "deadline_ms",
        "gone",
        "lease",
        "renewed_ms",
        "revoke_ms",
    )

    def __init__(self, lease: Lease, deadline_ms: int, now_ms: int) -> None:
        self.lease = lease
        self.deadline_ms = deadline_ms
        self.revoke_ms = 0  # not to be revoked before this, if it has ended
        self.renewed_ms = now_ms  # or granted, or taken over
        self.checkpoint_ms = now_ms + self.checkpoint_interval_ms  # when the next one is due
        self.checkpoint_in_log = 0  # the number of the newest proposal that has one; 0: none in force
        self.gone = False  # revoked

    @property
    def ttl_ms(self) -> int:
        """Its whole time."""
        return self.lease.ttl_seconds * _SECOND_MS

    @property
    def checkpoint_interval_ms(self) -> int:
        """How often what is left of it is noted while nobody renews it."""
        interval_ms = self.ttl_ms // _CHECKPOINTS_IN_A_LIFE
        return min(max(interval_ms, _SECOND_MS), _LONGEST_CHECKPOINT_INTERVAL_MS)

    def has_ended(self, now_ms: int) -> bool:
        """Whether its time is over: it will be revoked."""
        return self.deadline_ms <= now_ms

    def remaining_ms(self, now_ms: int) -> int:
        """What is left; 0 when it has ended."""
        return max(self.deadline_ms - now_ms, 0)

    def renew(self, now_ms: int) -> None:
        """Gives it its whole time again."""
        interval_ms = now_ms - self.renewed_ms
        overdue_ms = min(interval_ms + interval_ms // 2, self.ttl_ms // 2)
        self._put_checkpoint_off(now_ms + max(overdue_ms, self.checkpoint_interval_ms))
        self.renewed_ms = now_ms
        self.begin(now_ms)

    def begin(self, now_ms: int) -> None:
        """Its whole time lies ahead."""
        self.deadline_ms = max(self.deadline_ms, now_ms + self.ttl_ms)

    def assume_kept_alive(self, now_ms: int) -> None:
        """Taken over without a checkpoint: its client has renewed it lately, or it is quite new."""
        self._put_checkpoint_off(now_ms + self.ttl_ms // 2)

    def _put_checkpoint_off(self, until_ms: int) -> None:
        self.checkpoint_ms = max(self.checkpoint_ms, until_ms)


def _deadline(timed: TimedLease) -> int | None:
    return None if timed.gone else max(timed.deadline_ms, timed.revoke_ms)


def _checkpoint(timed: TimedLease) -> int | None:
    return None if timed.gone else timed.checkpoint_ms


class LeaseDeadlines:
    """The time of all leases, made when a member comes to lead and thrown away when it ceases to."""

    def __init__(
        self, leases: Iterable[Lease], now_ms: int, extension_ms: int, *, checkpoints: bool = True
    ) -> None:
        """`extension_ms` is added to what each has left; `checkpoints`: whether any are to be made."""
        ordered = sorted(leases, key=lambda lease: lease.seconds_left)
        deadlines = [now_ms + extension_ms + lease.seconds_left * _SECOND_MS for lease in ordered]
        _spread(deadlines)
        self._timed: dict[int, TimedLease] = {}
        for lease, deadline_ms in zip(ordered, deadlines, strict=True):
            timed = TimedLease(lease, deadline_ms, now_ms)
            if lease.remaining_ttl_seconds:
                timed.checkpoint_in_log = 1
            else:
                timed.assume_kept_alive(now_ms)
            self._timed[lease.id] = timed
        self._ends = DueQueue(self._timed.values(), _deadline)
        self._makes_checkpoints = checkpoints
        self._checkpoints = DueQueue(self._timed.values() if checkpoints else (), _checkpoint)

    def find(self, lease_id: int) -> TimedLease | None:
        """Returns a lease's time, or None when there is no such lease."""
        return self._timed.get(lease_id)

    def granted(self, lease: Lease, now_ms: int) -> TimedLease:
        """A lease was added; returns its time."""
        timed = TimedLease(lease, now_ms + lease.ttl_seconds * _SECOND_MS, now_ms)
        self._timed[lease.id] = timed
        self._ends.add(timed)
        if self._makes_checkpoints:
            self._checkpoints.add(timed)
        return timed

    def revoked(self, lease: Lease) -> None:
        """A lease was taken out."""
        timed = self._timed.pop(lease.id, None)
        if timed is not None:
            timed.gone = True
            self._ends.clear_away(len(self._timed))
            self._checkpoints.clear_away(len(self._timed))

    def take_ended(self, now_ms: int, limit: int) -> list[TimedLease]:
        """Takes up to `limit` leases whose time is over; each is handed out once (see `try_again`)."""
        return self._ends.take(now_ms, limit)

    def try_again(self, timed: TimedLease, at_ms: int) -> None:
        """A lease that was handed out could not be revoked: it is handed out again at `at_ms`."""
        if not timed.gone:
            timed.revoke_ms = at_ms
            self._ends.add(timed)

    def take_checkpoints(self, now_ms: int, limit: int) -> list[tuple[TimedLease, int]]:
        """Takes up to `limit` leases of which a checkpoint is due, with the seconds to note.

        They are rounded up: what is noted must never be less than what is left.
        """
        due = self._checkpoints.take(now_ms, limit)
        checkpoints = []
        for timed in due:
            timed.checkpoint_ms = now_ms + timed.checkpoint_interval_ms
            self._checkpoints.add(timed)
            seconds = -(-timed.remaining_ms(now_ms) // _SECOND_MS)
            if 0 < seconds < timed.lease.ttl_seconds:
                checkpoints.append((timed, seconds))
        return checkpoints

    def in_order(self) -> list[Lease]:
        """Returns the leases, the one that ends first in front."""
        ordered = sorted(self._timed.values(), key=lambda timed: (timed.deadline_ms, timed.lease.id))
        return [timed.lease for timed in ordered]


def _spread(deadlines: list[int]) -> None:
    """Puts ascending deadlines off so that no second sees too many ends; they go on ascending."""
    for place in range(MOST_ENDS_PER_SECOND, len(deadlines)):
        earliest = deadlines[place - MOST_ENDS_PER_SECOND] + _SECOND_MS
        if deadlines[place] < earliest:
            deadlines[place] = earliest
