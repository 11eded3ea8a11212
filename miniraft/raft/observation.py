"""What happened inside Raft, told so that a person can follow an election.

Raft appends these to `Ready.observations`; the runtime turns them into log lines, the
simulator into traces and `miniraft cluster` into its live view. They carry no decisions.
"""

from __future__ import annotations

from typing import NamedTuple


class ElectionStarted(NamedTuple):
    """A member heard from no leader for `ticks_without_leader` ticks and stands for election."""

    term: int  # the term it campaigns for
    pre_vote: bool
    ticks_without_leader: int
    reason: str  # "timeout", "transfer" or "disconnected" (the leader's connection closed)


class VoteCast(NamedTuple):
    """This member answered a vote request."""

    term: int
    candidate: int
    granted: bool
    pre_vote: bool
    reject_reason: int  # RejectReason


class VoteReceived(NamedTuple):
    """A vote came back to this candidate (its own included)."""

    term: int
    voter: int
    granted: bool
    pre_vote: bool
    reject_reason: int
    granted_count: int
    rejected_count: int
    quorum: int


class LeaderElected(NamedTuple):
    """This member won."""

    term: int
    ticks: int  # from the start of its candidacy


class LeaderChanged(NamedTuple):
    """This member learnt of another leader, or of none (0)."""

    term: int
    leader: int
    previous_leader: int


class SteppedDown(NamedTuple):
    """This leader or candidate became a follower."""

    term: int
    role: str
    reason: str  # "higher term", "quorum lost", "leader found", "election lost", "removed", ...


class LogTruncated(NamedTuple):
    """Entries that were never committed gave way to the leader's (section 5.3)."""

    term: int
    first_index: int
    last_index: int


class SnapshotNeeded(NamedTuple):
    """A follower is behind the leader's log and gets a snapshot."""

    follower: int
    follower_next_index: int
    first_index: int


class TransferStarted(NamedTuple):
    """Leadership is being handed over."""

    term: int
    target: int


class TransferAborted(NamedTuple):
    """The hand-over did not happen within an election timeout."""

    term: int
    target: int


Observation = (
    ElectionStarted
    | VoteCast
    | VoteReceived
    | LeaderElected
    | LeaderChanged
    | SteppedDown
    | LogTruncated
    | SnapshotNeeded
    | TransferStarted
    | TransferAborted
)
