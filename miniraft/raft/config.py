"""Raft's settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Times are in ticks; one tick is the heartbeat interval.

    Raises ValueError when a bound does not hold.
    """

    member_id: int
    election_ticks: int = 10  # the timeout is drawn from [election_ticks, 2 * election_ticks)
    heartbeat_ticks: int = 1
    pre_vote: bool = True
    check_quorum: bool = True
    max_append_bytes: int = 1024 * 1024  # of entries in one APPEND (at least one entry)
    max_inflight_appends: int = 256  # APPENDs sent and not yet answered, for each follower
    max_uncommitted_bytes: int = 256 * 1024 * 1024  # proposals beyond are refused

    def __post_init__(self) -> None:
        if self.member_id <= 0:
            raise ValueError(f"member_id {self.member_id} must be positive")
        if self.heartbeat_ticks < 1 or self.election_ticks <= self.heartbeat_ticks:
            raise ValueError(
                f"election_ticks {self.election_ticks} must exceed heartbeat_ticks {self.heartbeat_ticks}"
            )
        if min(self.max_append_bytes, self.max_inflight_appends, self.max_uncommitted_bytes) < 1:
            raise ValueError("max_append_bytes, max_inflight_appends, max_uncommitted_bytes must be positive")
