"""What a member counts for metrics while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import COMPACTED
from miniraft.histogram import Histogram, exponential
from miniraft.mvcc.operation_counters import OperationCounters
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.errors import EtcdError

# etcd's names of what can be in an entry.
OPERATION_NAMES = {
    RequestKind.PUT: "Put",
    RequestKind.DELETE_RANGE: "DeleteRange",
    RequestKind.TXN: "Txn",
    RequestKind.COMPACT: "Compaction",
    RequestKind.LEASE_GRANT: "LeaseGrant",
    RequestKind.LEASE_REVOKE: "LeaseRevoke",
    RequestKind.LEASE_CHECKPOINT: "LeaseCheckpoint",
    RequestKind.ALARM: "Alarm",
    RequestKind.AUTHENTICATE: "Authenticate",
    RequestKind.AUTH_ENABLE: "AuthEnable",
    RequestKind.AUTH_DISABLE: "AuthDisable",
    RequestKind.USER_ADD: "AuthUserAdd",
    RequestKind.USER_DELETE: "AuthUserDelete",
    RequestKind.USER_CHANGE_PASSWORD: "AuthUserChangePassword",
    RequestKind.USER_GRANT_ROLE: "AuthUserGrantRole",
    RequestKind.USER_REVOKE_ROLE: "AuthUserRevokeRole",
    RequestKind.ROLE_ADD: "AuthRoleAdd",
    RequestKind.ROLE_DELETE: "AuthRoleDelete",
    RequestKind.ROLE_GRANT_PERMISSION: "AuthRoleGrantPermission",
    RequestKind.ROLE_REVOKE_PERMISSION: "AuthRoleRevokePermission",
    RequestKind.SET_CLUSTER_VERSION: "ClusterVersionSet",
    RequestKind.PUBLISH_MEMBER: "ClusterMemberAttrSet",
}
_SHORTEST_SECONDS = 0.0001
_APPLY_SECONDS = exponential(_SHORTEST_SECONDS, 2, 20)
_DB_PAUSE_MS = exponential(1.0, 2, 13)
_DB_TOTAL_MS = exponential(100.0, 2, 14)


def _no_clock() -> float:
    return 0.0


def _tell_nobody(_operation: str, _seconds: float) -> None:
    """Nobody asked to be told."""


class ApplyFigures:
    """How long each kind of request takes to apply, by outcome, and how often it took too long."""

    __slots__ = (
        "_begun",
        "_clock",
        "_quick_seconds",
        "failed",
        "on_slow",
        "slow_count",
        "slow_seconds",
        "succeeded",
    )

    def __init__(self, clock: Callable[[], float], slow_seconds: float) -> None:
        self.succeeded: dict[int, Histogram] = {}  # seconds by RequestKind
        self.failed: dict[int, Histogram] = {}
        self.slow_seconds = slow_seconds  # --warning-apply-duration
        self.slow_count = 0
        self.on_slow: Callable[[str, float], None] = _tell_nobody  # operation, seconds
        self._quick_seconds = min(_SHORTEST_SECONDS, slow_seconds)
        self._clock = clock
        self._begun = 0.0

    def begin(self) -> None:
        """The next request is about to be applied."""
        self._begun = self._clock()

    def applied(self, kind: int, error: EtcdError | None) -> None:
        """A request has been applied, and the one behind it begins."""
        now = self._clock()
        seconds = now - self._begun
        self._begun = now
        # etcd does not call it a failure that somebody else has compacted already.
        succeeded = error is None or error.message == COMPACTED.message
        histograms = self.succeeded if succeeded else self.failed
        histogram = histograms.get(kind)
        if histogram is None:
            histogram = histograms[kind] = Histogram(_APPLY_SECONDS)
        if seconds <= self._quick_seconds:  # most are, and this is done for every entry
            histogram.counts[0] += 1
            histogram.sum += seconds
            return
        histogram.observe(seconds)
        if seconds > self.slow_seconds:
            self.took_too_long(OPERATION_NAMES[RequestKind(kind)], seconds)

    def took_too_long(self, operation: str, seconds: float) -> None:
        """Something took longer than `slow_seconds`: an entry, or a read."""
        self.slow_count += 1
        self.on_slow(operation, seconds)


class CompactionFigures:
    """How long compactions hold other work up."""

    __slots__ = ("_began", "_clock", "pause_ms", "total_ms")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.pause_ms = Histogram(_DB_PAUSE_MS)  # of one slice
        self.total_ms = Histogram(_DB_TOTAL_MS)
        self._clock = clock
        self._began: float | None = None

    def time(self, step: Callable[[int], bool], limit: int) -> bool:
        """Takes one slice of a compaction; returns what `step` does, which is whether more is left."""
        before = self._clock()
        if self._began is None:
            self._began = before
        unfinished = step(limit)
        after = self._clock()
        self.pause_ms.observe((after - before) * 1000)
        if not unfinished:
            self.total_ms.observe((after - self._began) * 1000)
            self._began = None
        return unfinished


class MemberFigures:
    """Since the member started. The member counts, whoever is scraped reads."""

    __slots__ = (
        "applies",
        "compactions",
        "heartbeats_late",
        "leader_changes",
        "learner_promotion_failures",
        "learner_promotions",
        "operations",
        "proposals_failed",
        "read_rounds_failed",
        "read_rounds_slow",
    )

    def __init__(self, clock: Callable[[], float] = _no_clock, slow_seconds: float = 0.1) -> None:
        """`clock` returns seconds; without one everything takes no time."""
        self.applies = ApplyFigures(clock, slow_seconds)
        self.compactions = CompactionFigures(clock)
        self.operations = OperationCounters()
        self.leader_changes = 0
        self.heartbeats_late = 0  # one for each member that had to wait for the leader's
        self.learner_promotions = 0  # while this member led
        self.learner_promotion_failures: dict[str, int] = {}  # likewise, by reason
        self.proposals_failed = 0  # given up for want of time
        self.read_rounds_failed = 0  # read index rounds that ended with a change of leader
        self.read_rounds_slow = 0  # that got no answer in time

    def count_failed_promotion(self, reason: str) -> None:
        """A learner was not promoted. `reason` is an error's message: there are few of them."""
        failures = self.learner_promotion_failures
        failures[reason] = failures.get(reason, 0) + 1
