"""Membership changes, one member at a time (thesis 4.1, 4.2).

A change takes effect when it is applied, not when it is appended as in the thesis; so a
member may be one change behind its log. Quorums one change apart overlap. That it is never
two behind rests on two rules: a leader proposes no change before the last one is applied, and
a member with a committed change unapplied does not stand for election (`election.may_stand`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft import read_index, replication, transfer
from miniraft.raft.roles import become_follower
from miniraft.raft.state import NO_MEMBER, ConfigChangeKind, ConfigState

if TYPE_CHECKING:
    from miniraft.raft.node import Node


def changed(config: ConfigState, kind: int, member_id: int) -> ConfigState:
    """Returns the membership after a change, the same one if the change makes no sense.

    The last voter cannot be removed: nobody would be left to decide anything.
    """
    voters, learners = set(config.voters), set(config.learners)
    known = member_id in voters or member_id in learners
    if kind == ConfigChangeKind.ADD_VOTER and not known:
        voters.add(member_id)
    elif kind == ConfigChangeKind.ADD_LEARNER and not known:
        learners.add(member_id)
    elif kind == ConfigChangeKind.PROMOTE and member_id in learners:
        learners.remove(member_id)
        voters.add(member_id)
    elif kind == ConfigChangeKind.REMOVE and known and voters != {member_id}:
        voters.discard(member_id)
        learners.discard(member_id)
    else:
        return config
    return ConfigState(tuple(sorted(voters)), tuple(sorted(learners)))


def apply_change(node: Node, kind: int, member_id: int) -> ConfigState:
    """Puts a committed change in force."""
    node.membership = changed(node.membership, kind, member_id)
    if node.leads:
        _update_leadership(node)
    return node.membership


def _update_leadership(node: Node) -> None:
    if node.member_id not in node.members():
        become_follower(node, node.term, NO_MEMBER, "removed")
        return
    members = node.members()
    for member_id in [known for known in node.progress if known not in members]:
        del node.progress[member_id]
    for member_id in members:
        if member_id != node.member_id and member_id not in node.progress:
            node.progress[member_id] = replication.new_progress(node)
            node.progress[member_id].recently_active = True  # it has a whole election timeout to answer
    if node.transfer is not None and node.transfer.target not in node.membership.voters:
        transfer.abort(node)
    node.append_due = True
    replication.advance_commit(node)  # a smaller quorum may be there already
    read_index.confirm(node)
