"""Linearizable reads without a log entry (thesis 6.4, section 8).

The leader notes its commit index, makes sure with one round of heartbeats that it still leads,
and tells that index; the reader waits until it has applied it. All requests that came in since
the last Ready share a round. Rounds are numbered: a member that answers round n after round
n-1 has confirmed both, so the newest round that a majority has answered is a quorum count like
the commit index.

A round that is alone asks only as many followers as a majority needs, those that answered in
time last: each one more is work for nobody. Every follower gets the heartbeats that come with
time, those for a round that starts while another is open, and those sent when a connection
breaks, and they confirm whatever is open: a follower that died delays one read, once, by at
most a heartbeat interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.message import Message, MessageKind
from miniraft.raft.node import ReadRequest, ReadRound
from miniraft.raft.quorum import agreed, majority
from miniraft.raft.ready import ReadState
from miniraft.raft.state import NO_MEMBER

if TYPE_CHECKING:
    from miniraft.raft.node import Node

FAILED = -1


def ask(node: Node, context: int) -> None:
    """Takes a request of this member's own."""
    if node.leads:
        node.reads.waiting.append(ReadRequest(node.member_id, context))
    elif node.leader == NO_MEMBER:
        node.read_states.append(ReadState(context, FAILED))
    else:
        node.reads.forwarded[context] = node.ticks
        node.send(Message(MessageKind.READ_INDEX, node.member_id, node.leader, node.term, context=context))


# Leader ------------------------------------------------------------------------------------
def can_start_round(node: Node) -> bool:
    """Returns whether requests wait and this leader may serve them.

    Before its own no-op is committed, a new leader may not know the newest committed entry.
    """
    return bool(node.reads.waiting) and node.has_committed_in_term()


def start_round(node: Node) -> None:
    """Starts one round for all that wait. Its heartbeats go out with the next Ready."""
    reads = node.reads
    is_alone = not reads.rounds
    reads.newest_round += 1
    reads.rounds.append(ReadRound(reads.newest_round, node.log.committed, reads.waiting))
    reads.waiting = []
    confirm(node)  # alone, this member is a majority
    if reads.rounds and is_alone:
        reads.heartbeats_due = True
    elif reads.rounds:
        node.heartbeat_due = True  # the followers asked before take their time: ask all


def heartbeat_context(node: Node) -> int:
    """Returns the round that a heartbeat sent now may confirm, 0 if none is under way."""
    return node.reads.newest_round if node.reads.rounds else 0


def members_to_ask(node: Node) -> list[int]:
    """Returns as many voters as make a majority with this member, those that helped last first."""
    voters, progress = node.membership.voters, node.progress
    others = [voter for voter in voters if voter != node.member_id]
    others.sort(key=lambda voter: (progress[voter].read_round_helped, progress[voter].match), reverse=True)
    return others[: majority(len(voters)) - (node.member_id in voters)]


def round_answered(node: Node, member_id: int, number: int) -> None:
    """Notes that a member followed this leader after round `number` began."""
    progress, rounds = node.progress[member_id], node.reads.rounds
    if number > progress.read_round:
        progress.read_round = number
        if rounds and rounds[0].number <= number:
            progress.read_round_helped = number
        confirm(node)


def messages_lost(node: Node, member_id: int) -> None:
    """What was sent to a follower is lost: the others are asked instead, and at once."""
    node.progress[member_id].read_round_helped = 0
    if node.reads.rounds:
        node.heartbeat_due = True


def confirm(node: Node) -> None:
    """Answers the requests of all rounds that a majority of the voters has confirmed."""
    reads = node.reads
    if not reads.rounds:
        return
    progress = node.progress
    confirmed = agreed(
        reads.newest_round if voter == node.member_id else progress[voter].read_round
        for voter in node.membership.voters
    )
    while reads.rounds and reads.rounds[0].number <= confirmed:
        _, read_index, requests = reads.rounds.pop(0)
        for request in requests:
            _answer(node, request, read_index)


def take_forwarded(node: Node, message: Message) -> None:
    """A follower asks this leader."""
    node.reads.waiting.append(ReadRequest(message.sender, message.context))


def refuse_forwarded(node: Node, message: Message) -> None:
    """Somebody takes this member for the leader, which it is not."""
    _answer(node, ReadRequest(message.sender, message.context), FAILED)


def fail_received(node: Node) -> None:
    """Leadership ends: nothing that waits can be confirmed any more."""
    reads = node.reads
    for round_ in reads.rounds:
        reads.waiting.extend(round_.requests)
    reads.rounds.clear()
    for request in reads.waiting:
        _answer(node, request, FAILED)
    reads.waiting.clear()


def _answer(node: Node, request: ReadRequest, read_index: int) -> None:
    if request.member_id == node.member_id:
        node.read_states.append(ReadState(request.context, read_index))
        return
    failed = read_index == FAILED
    node.send(
        Message(
            MessageKind.READ_INDEX_RESPONSE,
            node.member_id,
            request.member_id,
            node.term,
            index=0 if failed else read_index,
            reject=failed,
            context=request.context,
        )
    )


# Follower ----------------------------------------------------------------------------------
def take_answer(node: Node, message: Message) -> None:
    """The leader answered a request that was passed on to it.

    An answer of an earlier term counts too: that member led after the request was made.
    """
    if node.reads.forwarded.pop(message.context, None) is not None:
        node.read_states.append(ReadState(message.context, FAILED if message.reject else message.index))


def fail_forwarded(node: Node) -> None:
    """The leader that was asked is gone."""
    node.read_states.extend(ReadState(context, FAILED) for context in node.reads.forwarded)
    node.reads.forwarded.clear()


def expire_forwarded(node: Node) -> None:
    """Fails requests whose answer must have been lost, so that none waits for ever."""
    forwarded = node.reads.forwarded
    oldest = node.ticks - 2 * node.settings.election_ticks
    for context in [context for context, sent_at in forwarded.items() if sent_at <= oldest]:
        del forwarded[context]
        node.read_states.append(ReadState(context, FAILED))
