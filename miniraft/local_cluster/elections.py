"""What a member's log tells of Raft, as values: each line one step, the steps one state.

The lines are those of `runtime/narration.py`. The same steps always come to the same state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER = "follower", "pre-candidate", "candidate", "leader"


class Step(NamedTuple):
    """One line of the log of Raft.

    `what` is stands (for election), cast (a vote for another), received (a vote for itself),
    elected, follows, leaderless or steps-down. `other` is the member that it is about.
    """

    what: str
    term: int
    pre_vote: bool = False
    other: str = ""
    granted: bool = False
    reason: str = ""  # why a vote was refused
    needed: int = 0  # votes


class Vote(NamedTuple):
    """A vote given or refused. `member` is the other one: the voter, or the candidate."""

    member: str
    granted: bool
    reason: str = ""


class Round(NamedTuple):
    """The votes of one round of an election, as one member knows them."""

    term: int = 0
    pre_vote: bool = False
    votes: tuple[Vote, ...] = ()
    needed: int = 0

    def with_vote(self, step: Step) -> Round:
        """Adds a vote; one of another round begins a new one."""
        same = (self.term, self.pre_vote) == (step.term, step.pre_vote)
        others = tuple(vote for vote in self.votes if vote.member != step.other) if same else ()
        vote = Vote(step.other, step.granted, step.reason)
        return Round(step.term, step.pre_vote, (*others, vote), step.needed)


class RaftState(NamedTuple):
    """A member's part in elections. Empty and 0 mean that its log has not told yet."""

    role: str = ""
    term: int = 0
    leader: str = ""
    cast: Round = Round()  # its answers to others, in the newest round it was asked in
    received: Round = Round()  # the answers to its own newest candidacy

    def after(self, step: Step, name: str) -> RaftState:
        """The state of the member `name` once it has taken a step."""
        if step.what == "stands":
            role = PRE_CANDIDATE if step.pre_vote else CANDIDATE
            # A pre-vote asks about a term without entering it.
            term = self.term if step.pre_vote else step.term
            return RaftState(role, term, "", self.cast, Round(step.term, step.pre_vote))
        if step.what == "received":
            return self._replace(received=self.received.with_vote(step))
        if step.what == "cast":
            cast = self.cast.with_vote(step)
            if step.granted and not step.pre_vote:
                leader = self.leader if self.term == step.term else ""
                return self._replace(role=FOLLOWER, term=step.term, leader=leader, cast=cast)
            return self._replace(cast=cast)
        if step.what == "elected":
            return self._replace(role=LEADER, term=step.term, leader=name)
        if step.what == "follows":
            return self._replace(role=FOLLOWER, term=step.term, leader=step.other)
        if step.what == "steps-down":
            return self._replace(role=FOLLOWER, term=step.term, leader="")
        standing = self.role in (PRE_CANDIDATE, CANDIDATE)
        return self._replace(role=self.role if standing else FOLLOWER, term=step.term, leader="")


def step_of(message: str, fields: Mapping[str, Any]) -> Step | None:
    """Reads a line of the log of Raft, or returns None for one that moves no election.

    `fields` are the log's, with dashes in their names. Raises KeyError, TypeError or ValueError
    when a field is not as it should be.
    """
    if "term" not in fields:
        return None
    term, pre_vote = int(fields["term"]), "pre-vote" in message
    granted, reason = bool(fields.get("granted")), str(fields.get("reason", ""))
    if "candidate" in fields:
        return Step("cast", term, pre_vote, str(fields["candidate"]), granted, reason)
    if "voter" in fields:
        needed = int(fields["quorum"])
        return Step("received", term, pre_vote, str(fields["voter"]), granted, reason, needed)
    if "role" in fields:
        return Step("steps-down", term, reason=reason)
    if "took-ms" in fields:
        return Step("elected", term)
    if "leader" in fields:
        return Step("follows", term, other=str(fields["leader"]))
    if "previous-leader" in fields:
        return Step("leaderless", term, other=str(fields["previous-leader"]))
    if "silence-ms" in fields:
        return Step("stands", term, not message.startswith("standing for election"))
    if message.startswith("the leader asked it to take over"):
        return Step("stands", term)
    return None
