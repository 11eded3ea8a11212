"""Snapshots: for followers too far behind the log (section 7, figure 13).

Raft sees only the metadata; the data travels beside and is installed by the owner. Between
`Ready.snapshot` and `restore` the log stands still: what comes behind the snapshot follows
once it is in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.log import RaftLog
from miniraft.raft.roles import follow
from miniraft.raft.state import NO_MEMBER

if TYPE_CHECKING:
    from miniraft.raft.message import Message
    from miniraft.raft.node import Node
    from miniraft.raft.state import SnapshotMetadata


# Follower ----------------------------------------------------------------------------------
def handle_snapshot(node: Node, message: Message) -> None:
    """The leader's log no longer reaches back to where this one ends."""
    snapshot = message.snapshot
    if snapshot is None or snapshot.term > message.term:
        return
    follow(node, message.sender)
    if node.installing is not None:
        return
    log = node.log
    if snapshot.index <= log.committed:
        node.acknowledge(log.committed)
    elif log.term(snapshot.index) == snapshot.term:  # this log holds it all (log matching)
        log.commit_to(snapshot.index)
        node.acknowledge(snapshot.index)
    else:
        node.installing = snapshot
        node.installing_handed_out = False
        node.acknowledged = None  # entries not handed out for writing will never be


def restore(node: Node, metadata: SnapshotMetadata) -> None:
    """The state machine is that of the snapshot now, durably: the log goes on behind it."""
    if metadata.index < node.log.committed:
        raise InvariantViolation(f"snapshot at {metadata.index} installed, committed is {node.log.committed}")
    node.log = RaftLog(metadata.index, metadata.term)
    node.durability.reset(metadata.index)
    node.membership = metadata.config
    node.installing = None
    if node.leader not in (NO_MEMBER, node.member_id):
        node.acknowledge(metadata.index)


# Leader ------------------------------------------------------------------------------------
def transfer_ended(node: Node, member_id: int, succeeded: bool) -> None:
    """A snapshot is there, or was lost. Either way the follower's next answer says what it has."""
    progress = node.progress.get(member_id)
    if progress is None or not progress.pending_snapshot:
        return
    if not succeeded:
        progress.pending_snapshot = 0
    progress.become_probe()
    progress.paused = True  # until it has installed it, or the next heartbeat finds it alive
