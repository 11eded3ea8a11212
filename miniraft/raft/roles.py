"""Becoming a follower, and knowing who leads.

    follower --timeout--> pre-candidate --majority--> candidate --majority--> leader
        ^                       |                         |                     |
        +-----------------------+-------------------------+---------------------+
              a higher term, a leader of this term, a lost election, a lost quorum

The way up is in `election.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft import read_index
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.observation import LeaderChanged, SteppedDown
from miniraft.raft.state import NO_MEMBER, Role

if TYPE_CHECKING:
    from miniraft.raft.node import Node


def adopt_term(node: Node, term: int) -> None:
    """Enters a higher term, in which this member has not voted yet (figure 2, "All servers")."""
    if term < node.term:
        raise InvariantViolation(f"term would fall from {node.term} to {term}")
    if term > node.term:
        node.term = term
        node.vote = NO_MEMBER


def become_follower(node: Node, term: int, leader: int, reason: str) -> None:
    """Gives up whatever this member was; `leader` is NO_MEMBER while unknown."""
    previous = node.role
    if previous == Role.LEADER:
        _end_leadership(node)
    if term != node.term:
        read_index.fail_forwarded(node)  # also where the same member leads again
    adopt_term(node, term)
    node.role = Role.FOLLOWER
    node.acknowledged = None
    if previous != Role.FOLLOWER:
        node.votes.clear()
        node.restart_election_timer()
        node.observe(SteppedDown(node.term, previous, reason))
    set_leader(node, leader)


def follow(node: Node, leader: int) -> None:
    """Notes a sign of life from the leader of this term."""
    if node.role != Role.FOLLOWER:
        become_follower(node, node.term, leader, "leader found")
    elif node.leader != leader:
        if node.leader != NO_MEMBER:
            raise InvariantViolation(f"two leaders in term {node.term}: {node.leader} and {leader}")
        set_leader(node, leader)
    if node.leader_gone:
        node.restart_election_timer()
    node.leader_gone = False
    node.election_elapsed = 0
    node.leader_heard_at = node.ticks


def set_leader(node: Node, leader: int) -> None:
    """Notes who leads; what was asked of the one before will not be answered."""
    if leader == node.leader:
        return
    read_index.fail_forwarded(node)
    node.acknowledged = None
    previous, node.leader = node.leader, leader
    if leader != node.member_id:
        node.observe(LeaderChanged(node.term, leader, previous))


def _end_leadership(node: Node) -> None:
    read_index.fail_received(node)
    node.transfer = None
    node.progress.clear()
    node.heartbeat_due = node.append_due = node.reads.heartbeats_due = False
    node.leader_heard_at = node.ticks
