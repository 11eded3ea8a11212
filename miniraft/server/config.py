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
    life: int = 0  # drawn at random by a member that begins without data, which publishes it
    tick_ms: int = 100
    commit_time_ms: int = _COMMIT_TIME_MS
    read_retry_ms: int = 500  # a read index request, or a membership change, without answer is sent again
    snapshot_count: int = 10000  # applied entries between two cuts of the log
    catchup_entries: int = 5000  # entries kept behind a cut for followers that are slow
    max_learners: int = 1
    lease_checkpoints: bool = True  # note what is left of leases, for the next leader
    prefers_revocations: bool = False  # take them though other requests are too many
    auto_compaction_period_ms: int = 0  # history kept by the periodic compaction; 0: off
    auto_compaction_revisions: int = 0  # revisions kept by the other mode; 0: off
    compaction_batch_revisions: int = 1000  # dropped at a time; some milliseconds
    token_ttl_ms: int = 300_000  # how long a simple token lives without being used
    max_buffered_bytes: int = 256 * 1024 * 1024  # of proposals that wait for a leader
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.cluster_id <= 0:
            raise ValueError(f"cluster_id {self.cluster_id} must be positive")
        if min(self.tick_ms, self.snapshot_count, self.max_buffered_bytes, self.token_ttl_ms) < 1:
            raise ValueError("tick_ms, snapshot_count, max_buffered_bytes, token_ttl_ms must be positive")
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
    def min_lease_ttl_seconds(self) -> int:
        """The shortest lease: half as long again as an election takes at least, in whole seconds."""
        return -(-3 * self.election_timeout_ms // 2000)

    @property
    def request_timeout_ms(self) -> int:
        """How long a request may take: a commit, and two elections in between."""
        return self.commit_time_ms + 2 * self.election_timeout_ms
