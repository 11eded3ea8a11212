"""What became of leases on this member, for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

TTL_BUCKETS = 24  # granted times up to 1, 2, 4 ... 2**23 seconds


@dataclass(slots=True)
class LeaseCounters:
    """Since the member started. Renewals and expiries are counted by the leader alone, as in etcd."""

    granted: int = 0
    revoked: int = 0
    renewed: int = 0
    expired: int = 0
    ttl_sum_seconds: int = 0
    ttl_counts: list[int] = field(default_factory=lambda: [0] * (TTL_BUCKETS + 1))  # the last one: longer

    def count_grant(self, ttl_seconds: int) -> None:
        """A lease was granted."""
        self.granted += 1
        self.ttl_sum_seconds += ttl_seconds
        self.ttl_counts[min(max(ttl_seconds - 1, 0).bit_length(), TTL_BUCKETS)] += 1
