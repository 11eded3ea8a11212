"""A member's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from miniraft.server.limits import Limits

if TYPE_CHECKING:
    from miniraft.raft.config import RaftConfig

_COMMIT_TIME_MS = 5000  # etcd: what a commit may take, beside two elections


@dataclass(frozen=True, slots=True)
class MemberConfig:
    """Who this member is and how patient it is. Defaults as etcd's.

    Raises ValueError when a bound does not hold.
    """

    cluster_id: int
    raft: RaftConfig
    name: str = ""
    client_urls: tuple[str, ...] = ()  # what it publishes: --advertise-client-urls
    tick_ms: int = 100
    commit_time_ms: int = _COMMIT_TIME_MS
    read_retry_ms: int = 500  # a read index request that got no answer is asked again
    snapshot_count: int = 10000  # applied entries between two cuts of the log
    catchup_entries: int = 5000  # entries kept behind a cut for followers that are slow
    max_learners: int = 1
    max_buffered_bytes: int = 256 * 1024 * 1024  # of proposals that wait for a leader
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.cluster_id <= 0:
            raise ValueError(f"cluster_id {self.cluster_id} must be positive")
        if min(self.tick_ms, self.snapshot_count, self.max_buffered_bytes) < 1:
            raise ValueError("tick_ms, snapshot_count, max_buffered_bytes must be positive")
        if self.catchup_entries < 0:
            raise ValueError(f"catchup_entries {self.catchup_entries} must not be negative")

    @property
    def member_id(self) -> int:
        """This member's id."""
        return self.raft.member_id

    @property
    def election_timeout_ms(self) -> int:
        """How long a follower waits at least before it stands for election."""
        return self.raft.election_ticks * self.tick_ms

    @property
    def request_timeout_ms(self) -> int:
        """How long a request may take: a commit, and two elections in between."""
        return self.commit_time_ms + 2 * self.election_timeout_ms
