"""Making a Ready: what is to be written, sent and applied, in an order that keeps promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft import read_index, replication
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.ready import Ready
from miniraft.raft.state import NO_MEMBER, HardState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.node import Node
    from miniraft.raft.state import SnapshotMetadata

MAX_COMMITTED_BYTES = 16 * 1024 * 1024  # handed out for applying at once (at least one entry)


def has_ready(node: Node) -> bool:
    """Returns whether `take_ready` would return anything."""
    return bool(
        node.messages
        or node.messages_after_persist
        or node.read_states
        or node.observations
        or node.acknowledged is not None
        or _must_write(node)
        or _deliverable(node) > node.log.delivered
        or (node.leads and (read_index.can_start_round(node) or replication.is_due(node)))
    )


def take_ready(node: Node) -> Ready:
    """Takes everything that is to be done.

    A Ready that writes nothing carries the sequence of the last one that did: its
    `messages_after_persist` wait for that write.
    """
    if node.leads:
        if read_index.can_start_round(node):
            read_index.start_round(node)
        replication.send_due(node)
    _answer_appends(node)
    ready = Ready(node.durability.sequence)
    if _must_write(node):
        _write(node, ready)
    ready.committed = _take_committed(node)
    _take_messages(node, ready)
    ready.read_states, node.read_states = node.read_states, []
    ready.observations, node.observations = node.observations, []
    return ready


# Writing -----------------------------------------------------------------------------------
def _must_write(node: Node) -> bool:
    """Returns whether there is anything to write.

    That the commit index moved is no reason: it is written along with whatever comes next. But
    a membership change waits for it (`_deliverable`).
    """
    return (
        node.durability.written_hard_state() != (node.term, node.vote)
        or _has_entries_to_write(node)
        or _waiting_change(node) > node.durability.written_commit
        or (node.installing is not None and not node.installing_handed_out)
    )


def _has_entries_to_write(node: Node) -> bool:
    """Returns whether entries are new; none are written into a log that a snapshot replaces."""
    return node.durability.written < node.log.last_index and node.installing is None


def _write(node: Node, ready: Ready) -> None:
    log, durability = node.log, node.durability
    # Only durable entries count as committed on disk. So a log that ends before the commit
    # index it recorded has certainly lost acknowledged entries.
    commit = _committed_on_disk(node)
    if durability.written_hard_state() != (node.term, node.vote) or commit > durability.written_commit:
        ready.hard_state = HardState(node.term, node.vote, commit)
    last_written = durability.written
    if _has_entries_to_write(node):
        ready.entries = log.slice(last_written + 1, log.last_index)
        last_written = log.last_index
    ready.snapshot = _take_snapshot(node)
    ready.must_sync = True
    ready.sequence = durability.write(last_written, node.term, node.vote, commit)


def _take_snapshot(node: Node) -> SnapshotMetadata | None:
    if node.installing is None or node.installing_handed_out:
        return None
    node.installing_handed_out = True
    return node.installing


# Sending -----------------------------------------------------------------------------------
def _answer_appends(node: Node) -> None:
    """One answer acknowledges all APPENDs since the last Ready: what is in the log by now is
    durable when this Ready is."""
    if node.acknowledged is None:
        return
    if node.leader != NO_MEMBER:
        node.send_after_persist(
            Message(
                MessageKind.APPEND_RESPONSE,
                node.member_id,
                node.leader,
                term=node.term,
                index=node.acknowledged,
            )
        )
    node.acknowledged = None


def _take_messages(node: Node, ready: Ready) -> None:
    """Every message tells this member's term, so none leaves before term and vote are durable:
    a leader that is its own majority could otherwise lead the same term twice."""
    durability = node.durability
    immediate, node.messages = node.messages, []
    after_persist, node.messages_after_persist = node.messages_after_persist, []
    if (durability.term, durability.vote) == (node.term, node.vote):
        ready.messages = immediate
        ready.messages_after_persist = after_persist
    else:
        ready.messages_after_persist = immediate + after_persist


# Applying ----------------------------------------------------------------------------------
def _deliverable(node: Node) -> int:
    """Returns the last index that may be applied: committed, and on this member's disk."""
    if node.installing is not None:
        return node.log.delivered
    change = _waiting_change(node)
    return change - 1 if change else _committed_on_disk(node)


def _committed_on_disk(node: Node) -> int:
    return min(node.log.committed, node.durability.index)


def _waiting_change(node: Node) -> int:
    """Returns the membership change that may be applied as soon as its commitment is durable, or 0.

    Once it is applied, those who have left may be gone for good. A member that fell back behind
    it in a crash would count on them for ever: of two, the one that is left could never lead.
    """
    log, durability = node.log, node.durability
    if log.newest_config_change <= durability.commit:
        return 0
    return log.first_config_change(max(log.delivered, durability.commit), _committed_on_disk(node))


def _take_committed(node: Node) -> Sequence[Entry]:
    log = node.log
    last = _deliverable(node)
    if last <= log.delivered:
        return ()
    first = log.delivered + 1
    last = min(last, log.last_within(first, MAX_COMMITTED_BYTES))
    log.delivered = last
    return log.slice(first, last)
