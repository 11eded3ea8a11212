"""The follower's side of log replication (section 5.3, figure 2 "AppendEntries RPC")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.log import ENTRY_INDEX, ENTRY_TERM
from miniraft.raft.message import Message, MessageKind, RejectReason
from miniraft.raft.observation import LogTruncated
from miniraft.raft.replication import NO_ANSWER_NEEDED
from miniraft.raft.roles import follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.node import Node


def handle_append(node: Node, message: Message) -> None:
    """Takes the leader's entries, if the log agrees with its log up to where they begin."""
    if not _is_well_formed(message):
        return
    follow(node, message.sender)
    if node.installing is not None:
        return  # the log is about to be replaced; the snapshot's end will be acknowledged
    log = node.log
    previous, entries = message.index, message.entries
    if previous < log.committed:  # everything committed agrees (leader completeness)
        entries = _behind_committed(node, previous, entries)
        previous = log.committed
    elif log.term(previous) != message.log_term:
        _reject_mismatch(node, message)
        return
    if entries:
        _store(node, previous, entries)
    last_new = previous + len(entries)
    log.commit_to(min(message.commit, last_new))  # beyond last_new the logs may differ
    if message.context != NO_ANSWER_NEEDED or entries:
        node.acknowledge(last_new)


def handle_heartbeat(node: Node, message: Message) -> None:
    """Answers at once: a slow disk must not make this member look dead.

    Raises InvariantViolation when the leader counts on entries that this log does not hold.
    """
    follow(node, message.sender)
    if message.commit > node.log.last_index and node.installing is None:
        raise InvariantViolation(
            f"leader {message.sender} knows entries up to {message.commit} to be on this member's disk, "
            f"its log ends at {node.log.last_index}: acknowledged entries were lost (a damaged or replaced "
            "data directory); remove this member and add it again with an empty one"
        )
    node.log.commit_to(min(message.commit, node.log.last_index))
    node.send(
        Message(
            MessageKind.HEARTBEAT_RESPONSE,
            node.member_id,
            message.sender,
            term=node.term,
            context=message.context,
        )
    )


def answer_stale_leader(node: Node, message: Message) -> None:
    """Tells a leader of an earlier term that its time is over (figure 2, rule 1).

    Also what brings back a member whose term ran ahead while it was cut off: the leader, well
    as it is, moves to that term, and the member follows whoever wins there.
    """
    if message.kind == MessageKind.HEARTBEAT:
        node.send(Message(MessageKind.HEARTBEAT_RESPONSE, node.member_id, message.sender, term=node.term))
    else:
        node.reject(message.sender, message.index, RejectReason.TERM_BEHIND)


def _is_well_formed(message: Message) -> bool:
    """Returns whether the entries follow `index`, one by one, with terms that never decrease."""
    entries = message.entries
    if not entries:
        return True
    first = message.index + 1
    if [*map(ENTRY_INDEX, entries)] != [*range(first, first + len(entries))]:
        return False
    terms = [message.log_term, *map(ENTRY_TERM, entries), message.term]
    return terms == sorted(terms)


def _behind_committed(node: Node, previous: int, entries: Sequence[Entry]) -> Sequence[Entry]:
    log = node.log
    known = log.committed - previous
    if len(entries) >= known and entries[known - 1].term != log.term(log.committed):
        raise InvariantViolation(
            f"entry {log.committed} is committed with term {log.term(log.committed)}, "
            f"a leader has it with term {entries[known - 1].term}"
        )
    return entries[known:]


def _reject_mismatch(node: Node, message: Message) -> None:
    """Refuses, with the last place where this log may agree with the leader's."""
    log = node.log
    hint = max(log.last_with_term_at_most(message.index, message.log_term), log.committed)
    hint_term = log.term(hint) or 0
    node.reject(message.sender, message.index, RejectReason.LOG_MISMATCH, hint, hint_term)


def _store(node: Node, previous: int, entries: Sequence[Entry]) -> None:
    """Adds what is new. Only entries that conflict with the leader's give way (figure 2, rule 3):
    an APPEND that was overtaken by a longer one removes nothing."""
    log = node.log
    known = log.first_difference(previous, entries)
    if known == len(entries):
        return
    if previous + known < log.last_index:
        node.observe(LogTruncated(node.term, previous + known + 1, log.last_index))
        log.truncate(previous + known)
        node.durability.truncate(previous + known)
    log.append(entries[known:] if known else entries)
