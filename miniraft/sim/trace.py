"""The story of a run: one line for everything that matters, with its virtual time and its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.message import RejectReason
from miniraft.raft.observation import (
    ElectionStarted,
    LeaderChanged,
    LeaderElected,
    LogTruncated,
    Observation,
    SnapshotNeeded,
    SteppedDown,
    TransferAborted,
    TransferStarted,
    VoteCast,
    VoteReceived,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from miniraft.sim.scheduler import Scheduler


class Trace:
    """Collects the lines; `echo` gets each as it comes."""

    def __init__(self, scheduler: Scheduler, echo: Callable[[str], None] | None = None) -> None:
        self.lines: list[str] = []
        self._scheduler = scheduler
        self._echo = echo

    def tell(self, who: str, what: str) -> None:
        """Adds one line."""
        line = f"[{self._scheduler.now_us / 1e6:10.6f}] {who:<8} {what}"
        self.lines.append(line)
        if self._echo is not None:
            self._echo(line)


def narrate(observation: Observation, names: Mapping[int, str]) -> str:
    """Returns in words what happened inside a member's Raft."""
    match observation:
        case ElectionStarted(term, pre_vote, ticks, reason):
            cause = "is asked to take over" if reason == "transfer" else f"heard no leader for {ticks} ticks"
            return f"{cause}, {'would stand' if pre_vote else 'stands'} for election in term {term}"
        case VoteCast(term, candidate, granted, pre_vote, reason):
            vote = "pre-vote" if pre_vote else "vote"
            verb = "grants" if granted else "refuses"
            return f"{verb} {names[candidate]} its {vote} in term {term}{_because(granted, reason)}"
        case VoteReceived(term, voter, granted, pre_vote, reason, granted_count, rejected_count, quorum):
            vote = "pre-vote" if pre_vote else "vote"
            answer = f"a {vote}" if granted else f"no {vote}"
            return (
                f"gets {answer} from {names[voter]} for term {term}{_because(granted, reason)}:"
                f" {granted_count} for, {rejected_count} against, {quorum} needed"
            )
        case LeaderElected(term, ticks):
            return f"is elected leader of term {term} after {ticks} ticks"
        case LeaderChanged(term, leader, previous):
            before = names.get(previous, "nobody")
            return f"follows {names.get(leader, 'nobody')} in term {term} (before: {before})"
        case SteppedDown(term, role, reason):
            return f"is {role} no more ({reason}), term {term}"
        case LogTruncated(term, first, last):
            return f"drops uncommitted entries {first} to {last} for the leader's of term {term}"
        case SnapshotNeeded(follower, follower_next, first):
            needed = f"it needs entry {follower_next}, the log begins at {first}"
            return f"will send {names[follower]} a snapshot: {needed}"
        case TransferStarted(term, target):
            return f"hands leadership of term {term} to {names[target]}"
        case TransferAborted(term, target):
            return f"keeps leadership of term {term}: {names[target]} did not take it in time"


def _because(granted: bool, reason: int) -> str:
    return "" if granted else f" ({RejectReason(reason).name.lower().replace('_', ' ')})"
