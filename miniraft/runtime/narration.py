"""Elections told so that a person can follow them: observations of Raft become log events.

Every event names members, not only ids, and says why: who heard nothing for how long, who
voted for whom and who did not and for what reason, who leads now and how long that took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from miniraft.raft.message import RejectReason
from miniraft.raft.observation import (
    ElectionStarted,
    LeaderChanged,
    LeaderElected,
    LogTruncated,
    SnapshotNeeded,
    SteppedDown,
    TransferAborted,
    TransferStarted,
    VoteCast,
    VoteReceived,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.raft.observation import Observation

_REASONS = {
    RejectReason.NONE: "no reason given",
    RejectReason.ALREADY_VOTED: "it voted for another member in this term",
    RejectReason.LOG_BEHIND: "the candidate's log lacks entries that the voter has",
    RejectReason.LEADER_ALIVE: "it has heard from a leader lately",
    RejectReason.TERM_BEHIND: "its term is higher",
    RejectReason.LOG_MISMATCH: "its log differs",
    RejectReason.NOT_A_VOTER: "it has no vote",
}


class Event(NamedTuple):
    """One line for the log."""

    level: str
    message: str
    fields: dict[str, Any]


class Narrator:
    """Turns one member's observations into log events.

    `own_id` is that member, `name_of` returns a member's name or, while it has none, its id in
    hexadecimal.
    """

    def __init__(self, own_id: int, tick_ms: int, name_of: Callable[[int], str]) -> None:
        self._own_id = own_id
        self._tick_ms = tick_ms
        self._name_of = name_of
        self._leaderless_since_ms: int | None = None  # heard from no leader since then
        self._election_since_ms: int | None = None
        self._tellers: dict[type, Callable[[Any, int], Event]] = {
            ElectionStarted: self._election_started,
            VoteCast: self._vote_cast,
            VoteReceived: self._vote_received,
            LeaderElected: self._leader_elected,
            LeaderChanged: self._leader_changed,
            SteppedDown: self._stepped_down,
            LogTruncated: self._log_truncated,
            SnapshotNeeded: self._snapshot_needed,
            TransferStarted: self._transfer_started,
            TransferAborted: self._transfer_aborted,
        }

    def tell(self, observation: Observation, now_ms: int) -> Event:
        """Returns what to log about an observation made at `now_ms` (monotonic)."""
        return self._tellers[type(observation)](observation, now_ms)

    def _election_started(self, seen: ElectionStarted, now_ms: int) -> Event:
        silence_ms = seen.ticks_without_leader * self._tick_ms
        if self._election_since_ms is None:
            self._election_since_ms = now_ms
        if self._leaderless_since_ms is None:
            self._leaderless_since_ms = now_ms - silence_ms
        if seen.reason == "transfer":
            return Event(
                "info", "the leader asked it to take over: starting an election", {"term": seen.term}
            )
        fields = {"term": seen.term, "silence_ms": silence_ms}
        if not seen.pre_vote:
            message = f"standing for election in term {seen.term}"
        elif seen.reason == "disconnected":
            message = "the leader's connection closed: asking the others for pre-votes"
        elif silence_ms == 0:
            message = f"starting an election for term {seen.term}"
        else:
            message = f"heard from no leader for {silence_ms} ms: asking the others for pre-votes"
        return Event("info", message, fields)

    def _vote_cast(self, seen: VoteCast, _now_ms: int) -> Event:
        candidate = self._name_of(seen.candidate)
        kind = "pre-vote" if seen.pre_vote else "vote"
        fields: dict[str, Any] = {"term": seen.term, "candidate": candidate, "granted": seen.granted}
        if seen.granted:
            return Event("info", f"gave its {kind} to {candidate} for term {seen.term}", fields)
        reason = _refused_because(seen.reject_reason)
        fields["reason"] = reason
        return Event("info", f"refused its {kind} to {candidate} for term {seen.term}: {reason}", fields)

    def _vote_received(self, seen: VoteReceived, _now_ms: int) -> Event:
        voter = self._name_of(seen.voter)
        kind = "pre-vote" if seen.pre_vote else "vote"
        fields: dict[str, Any] = {
            "term": seen.term,
            "voter": voter,
            "granted": seen.granted,
            "granted_count": seen.granted_count,
            "rejected_count": seen.rejected_count,
            "quorum": seen.quorum,
        }
        count = f"{seen.granted_count} of {seen.quorum} needed"
        if seen.voter == self._own_id:
            return Event("info", f"gave itself its {kind} ({count})", fields)
        if seen.granted:
            return Event("info", f"received the {kind} of {voter} ({count})", fields)
        fields["reason"] = _refused_because(seen.reject_reason)
        return Event("info", f"{voter} refused its {kind} ({count}): {fields['reason']}", fields)

    def _leader_elected(self, seen: LeaderElected, now_ms: int) -> Event:
        began_ms = now_ms if self._election_since_ms is None else self._election_since_ms
        took_ms, leaderless_ms = now_ms - began_ms, self._leaderless_ms(now_ms)
        fields: dict[str, Any] = {"term": seen.term, "took_ms": took_ms, "leaderless_ms": leaderless_ms}
        message = f"elected: leads in term {seen.term}, {took_ms} ms after the election began"
        if leaderless_ms > took_ms:
            message += f" and {leaderless_ms} ms after the last leader fell silent"
        return Event("info", message, fields)

    def _leader_changed(self, seen: LeaderChanged, now_ms: int) -> Event:
        fields: dict[str, Any] = {"term": seen.term}
        if seen.previous_leader:
            fields["previous_leader"] = self._name_of(seen.previous_leader)
        if not seen.leader:
            if self._leaderless_since_ms is None:
                self._leaderless_since_ms = now_ms
            previous = fields.get("previous_leader", "a leader")
            return Event("warn", f"lost its leader {previous}: none in term {seen.term} yet", fields)
        leader = self._name_of(seen.leader)
        fields["leader"] = leader
        leaderless_ms = self._leaderless_ms(now_ms)
        message = f"follows {leader}, leader of term {seen.term}"
        if leaderless_ms:
            fields["leaderless_ms"] = leaderless_ms
            message += f", after {leaderless_ms} ms without one"
        return Event("info", message, fields)

    def _stepped_down(self, seen: SteppedDown, _now_ms: int) -> Event:
        level = "warn" if seen.role == "leader" else "info"
        message = f"steps down as {seen.role} in term {seen.term}: {seen.reason}"
        return Event(level, message, {"term": seen.term, "role": seen.role, "reason": seen.reason})

    def _log_truncated(self, seen: LogTruncated, _now_ms: int) -> Event:
        return Event(
            "info",
            f"dropped entries {seen.first_index} to {seen.last_index}, never committed, for the leader's",
            {"term": seen.term, "first_index": seen.first_index, "last_index": seen.last_index},
        )

    def _snapshot_needed(self, seen: SnapshotNeeded, _now_ms: int) -> Event:
        follower = self._name_of(seen.follower)
        return Event(
            "info",
            f"{follower} needs entry {seen.follower_next_index}, the log begins at {seen.first_index}: "
            f"sending it a snapshot",
            {
                "follower": follower,
                "follower_next_index": seen.follower_next_index,
                "first_index": seen.first_index,
            },
        )

    def _transfer_started(self, seen: TransferStarted, _now_ms: int) -> Event:
        target = self._name_of(seen.target)
        return Event("info", f"hands leadership over to {target}", {"term": seen.term, "target": target})

    def _transfer_aborted(self, seen: TransferAborted, _now_ms: int) -> Event:
        target = self._name_of(seen.target)
        return Event(
            "warn",
            f"{target} did not take leadership over in time: leading on",
            {"term": seen.term, "target": target},
        )

    def _leaderless_ms(self, now_ms: int) -> int:
        """Returns how long this member knew no leader; it knows one now."""
        since_ms, self._leaderless_since_ms = self._leaderless_since_ms, None
        self._election_since_ms = None
        return 0 if since_ms is None else now_ms - since_ms


def _refused_because(reason: int) -> str:
    try:
        return _REASONS[RejectReason(reason)]
    except ValueError:
        return f"reason {reason}"  # a newer version's
