"""Elections: section 5.2, the restriction of 5.4.1, pre-vote (thesis 9.6), and who may stand.

A member asks first whether it could win (pre-vote), for a term that it does not enter yet: one
that cannot reach a majority, or whose leader is well, leaves everybody's term alone. Voters
that hear from a leader refuse (section 6, check-quorum), unless the leader itself asked the
candidate to stand.

The answers carry the voter's own term, and in `context` the term that was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft import read_index, replication
from miniraft.raft.message import Message, MessageKind, RejectReason
from miniraft.raft.observation import ElectionStarted, LeaderElected, VoteCast, VoteReceived
from miniraft.raft.quorum import tally
from miniraft.raft.roles import become_follower, set_leader
from miniraft.raft.state import NO_MEMBER, Role

if TYPE_CHECKING:
    from miniraft.raft.node import Node

SOON_TICKS = 3  # an election without waiting for the timeout comes within so many ticks
TRANSFER_CAMPAIGN = 1  # a vote request's context: the leader asked for this election


# Standing ----------------------------------------------------------------------------------
def tick(node: Node) -> None:
    """One tick of a member that does not lead."""
    read_index.expire_forwarded(node)
    node.election_elapsed += 1
    if node.role != Role.FOLLOWER:
        node.candidacy_ticks += 1
    if node.election_elapsed >= node.election_timeout:
        campaign(node)


def may_stand(node: Node) -> bool:
    """Returns whether this member may become leader.

    Not while a committed membership change is unapplied: it would count a quorum of members
    that is two changes behind the leader's, and two such quorums need not overlap.
    """
    return (
        node.member_id in node.membership.voters
        and node.installing is None
        and not node.log.first_config_change(node.log.applied, node.log.committed)
    )


def campaign(node: Node, transfer: bool = False) -> None:
    """Stands for election, or gives up the leader it has not heard from if it must not stand."""
    if not may_stand(node):
        set_leader(node, NO_MEMBER)
        node.election_elapsed = max(node.election_elapsed, node.election_timeout)  # tried again every tick
        return
    if node.role == Role.FOLLOWER:
        node.candidacy_ticks = 0
    node.campaign_is_transfer = transfer
    if node.settings.pre_vote and not transfer:
        _start(node, Role.PRE_CANDIDATE, node.term + 1)
    else:
        _become_candidate(node)


def handle_timeout_now(node: Node, message: Message) -> None:
    """The leader hands over to this member, whose log is complete (thesis 3.10)."""
    if node.leader in (NO_MEMBER, message.sender) and may_stand(node):
        campaign(node, transfer=True)


def leader_disconnected(node: Node) -> None:
    """The leader's process has ended, most likely: waiting out the timeout would find nothing more.

    Everybody who noticed takes the leader for silent, which lets them grant each other's
    pre-votes; still at times drawn apart. A sign of life of the leader puts all back.
    """
    if node.role != Role.FOLLOWER or node.leader == NO_MEMBER:
        return
    ticks = node.settings.election_ticks
    node.leader_gone = True
    node.election_elapsed = max(node.election_elapsed, ticks)
    node.election_timeout = node.election_elapsed + 1 + node.random.randrange(SOON_TICKS)


def _become_candidate(node: Node) -> None:
    node.term += 1
    node.vote = node.member_id
    _start(node, Role.CANDIDATE, node.term)


def _start(node: Node, role: str, term: int) -> None:
    pre_vote = role == Role.PRE_CANDIDATE
    reason = "transfer" if node.campaign_is_transfer else "disconnected" if node.leader_gone else "timeout"
    node.observe(ElectionStarted(term, pre_vote, node.ticks - node.leader_heard_at, reason))
    node.role = role
    node.campaign_term = term
    node.votes.clear()
    node.restart_election_timer()
    set_leader(node, NO_MEMBER)
    _count_vote(node, node.member_id, True, RejectReason.NONE)
    if node.role == role:  # undecided: a single voter has won by now
        _request_votes(node, MessageKind.PRE_VOTE if pre_vote else MessageKind.VOTE)


def _request_votes(node: Node, kind: MessageKind) -> None:
    for voter in node.membership.voters:
        if voter != node.member_id:
            node.send_after_persist(
                Message(
                    kind,
                    node.member_id,
                    voter,
                    term=node.campaign_term,
                    index=node.log.last_index,
                    log_term=node.log.last_term,
                    context=TRANSFER_CAMPAIGN if node.campaign_is_transfer else 0,
                )
            )


# Counting ----------------------------------------------------------------------------------
def handle_vote_response(node: Node, message: Message) -> None:
    """An answer to this candidate's (or pre-candidate's) request."""
    pre_vote = node.role == Role.PRE_CANDIDATE
    expected = MessageKind.PRE_VOTE_RESPONSE if pre_vote else MessageKind.VOTE_RESPONSE
    _learn_commit(node, message)
    if not may_stand(node):
        become_follower(node, node.term, NO_MEMBER, "membership changed")
    elif message.kind == expected and message.context == node.campaign_term:
        _count_vote(node, message.sender, not message.reject, message.reject_reason)


def _learn_commit(node: Node, message: Message) -> None:
    """Whoever refuses tells what it knows to be committed: of that, what is in this log is committed too
    (log matching). Else a leader that removed itself could keep the only one left from ever leading,
    if its log was longer and the news of the commit was lost.
    """
    log = node.log
    if message.commit > log.committed and log.term(message.commit) == message.log_term:
        log.commit_to(message.commit)


def _count_vote(node: Node, voter: int, granted: bool, reason: int) -> None:
    pre_vote = node.role == Role.PRE_CANDIDATE
    if voter in node.membership.voters:
        node.votes.setdefault(voter, granted)
    else:
        granted, reason = False, RejectReason.NOT_A_VOTER
    result = tally(node.votes, node.membership.voters)
    node.observe(
        VoteReceived(
            node.campaign_term,
            voter,
            granted,
            pre_vote,
            reason,
            result.granted,
            result.rejected,
            result.quorum,
        )
    )
    if result.won and pre_vote:
        _become_candidate(node)
    elif result.won:
        _become_leader(node)
    elif result.lost:
        become_follower(node, node.term, NO_MEMBER, "election lost")


def _become_leader(node: Node) -> None:
    node.role = Role.LEADER
    node.votes.clear()
    node.election_elapsed = 0
    set_leader(node, node.member_id)
    node.observe(LeaderElected(node.term, node.candidacy_ticks))
    replication.start_leading(node)


# Voting ------------------------------------------------------------------------------------
def handle_vote_request(node: Node, message: Message) -> None:
    """Grants or refuses a vote (figure 2, "RequestVote RPC") or pre-vote.

    Whoever asks, and be it unknown here: membership is the candidate's to know, and a member
    newer than what this one has applied may be needed for a majority.
    """
    pre_vote = message.kind == MessageKind.PRE_VOTE
    reason = _stale_or_unneeded(node, message, pre_vote)
    if reason == RejectReason.NONE and not pre_vote and message.term > node.term:
        become_follower(node, message.term, NO_MEMBER, "higher term")
    if reason == RejectReason.NONE:
        reason = _refusal(node, message)
    granted = reason == RejectReason.NONE
    if granted and not pre_vote:
        node.vote = message.sender
        node.election_elapsed = 0
    node.observe(VoteCast(message.term, message.sender, granted, pre_vote, reason))
    node.send_after_persist(
        Message(
            MessageKind.PRE_VOTE_RESPONSE if pre_vote else MessageKind.VOTE_RESPONSE,
            node.member_id,
            message.sender,
            term=node.term,
            commit=0 if granted else node.log.committed,
            log_term=0 if granted else node.log.term(node.log.committed) or 0,
            reject=not granted,
            reject_reason=reason,
            context=message.term,
        )
    )


def _stale_or_unneeded(node: Node, message: Message, pre_vote: bool) -> RejectReason:
    if message.term < node.term:
        return RejectReason.TERM_BEHIND
    if (
        (node.settings.check_quorum or pre_vote)
        and message.context != TRANSFER_CAMPAIGN
        and node.leader not in (NO_MEMBER, message.sender)  # who asks does not lead any more
        and node.election_elapsed < node.settings.election_ticks
    ):
        return RejectReason.LEADER_ALIVE
    return RejectReason.NONE


def _refusal(node: Node, message: Message) -> RejectReason:
    if message.term == node.term and node.vote not in (NO_MEMBER, message.sender):
        return RejectReason.ALREADY_VOTED
    if not node.log.is_up_to_date(message.index, message.log_term):
        return RejectReason.LOG_BEHIND
    return RejectReason.NONE
