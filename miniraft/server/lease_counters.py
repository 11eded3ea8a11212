"""What became of leases on this member, for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from miniraft.histogram import Histogram, exponential

_TTL_SECONDS = exponential(1.0, 2, 24)


@dataclass(slots=True)
class LeaseCounters:
    """Since the member started. Renewals and expiries are counted by the leader alone, as in etcd."""

    granted: int = 0
    revoked: int = 0
    renewed: int = 0
    expired: int = 0
    granted_ttl_seconds: Histogram = field(default_factory=lambda: Histogram(_TTL_SECONDS))

    def count_grant(self, ttl_seconds: int) -> None:
        """A lease was granted."""
        self.granted += 1
        self.granted_ttl_seconds.observe(ttl_seconds)
