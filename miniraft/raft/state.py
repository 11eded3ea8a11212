"""The small values that Raft keeps on disk and passes around."""

from __future__ import annotations

from typing import NamedTuple

NO_MEMBER = 0


class HardState(NamedTuple):
    """What must be durable before anything that depends on it is sent (figure 2, "persistent state").

    `commit` may lag behind: it only spares re-learning it after a restart.
    """

    term: int
    vote: int  # the member voted for in `term`, or NO_MEMBER
    commit: int


class ConfigState(NamedTuple):
    """Who belongs to the cluster. Invariant: both sorted, no member in both."""

    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()


class SnapshotMetadata(NamedTuple):
    """The point in the log that a snapshot of the state machine stands for."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    term: int
    config: ConfigState


class ConfigChangeKind:
    """How one membership change alters ConfigState. Numbers as in proto ConfigChange.Kind."""

    ADD_VOTER = 0
    ADD_LEARNER = 1
    REMOVE = 2
    UPDATE = 3  # leaves ConfigState as it is
    PROMOTE = 4  # learner becomes voter


class Role:
    """What a member is at the moment. A learner is a FOLLOWER that does not vote."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"
