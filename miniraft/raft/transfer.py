"""Handing leadership over (thesis 3.10).

The leader stops taking proposals, waits until the target's log is as long as its own, and
tells it to stand for election at once. After an election timeout it goes on leading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.message import Message, MessageKind
from miniraft.raft.node import Transfer
from miniraft.raft.observation import TransferAborted, TransferStarted
from miniraft.raft.state import NO_MEMBER

if TYPE_CHECKING:
    from miniraft.raft.node import Node


def start(node: Node, target: int) -> None:
    """Starts a hand-over (leader) or passes the wish on (follower)."""
    if not node.leads:
        if node.leader != NO_MEMBER:
            node.send(
                Message(
                    MessageKind.TRANSFER_LEADERSHIP,
                    node.member_id,
                    node.leader,
                    term=node.term,
                    context=target,
                )
            )
        return
    if target == node.member_id or target not in node.membership.voters:
        return
    if node.transfer is not None:
        if node.transfer.target == target:
            return
        abort(node)
    node.transfer = Transfer(target)
    node.observe(TransferStarted(node.term, target))
    follower_advanced(node, target)


def handle_request(node: Node, message: Message) -> None:
    """A follower passed the wish on."""
    start(node, message.context)


def follower_advanced(node: Node, member_id: int) -> None:
    """Tells the target to stand as soon as it has everything: then nobody's log is ahead."""
    hand_over = node.transfer
    if hand_over is None or hand_over.target != member_id or hand_over.told:
        return
    if node.progress[member_id].match == node.log.last_index:
        hand_over.told = True
        node.send(Message(MessageKind.TIMEOUT_NOW, node.member_id, member_id, term=node.term))


def tick(node: Node) -> None:
    """Gives up a hand-over that takes longer than an election timeout."""
    if node.transfer is not None:
        node.transfer.elapsed += 1
        if node.transfer.elapsed >= node.settings.election_ticks:
            abort(node)


def abort(node: Node) -> None:
    """Goes on leading. Should the target still stand, it is an election like any other."""
    if node.transfer is not None:
        node.observe(TransferAborted(node.term, node.transfer.target))
        node.transfer = None
