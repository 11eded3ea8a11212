"""The leader's side of log replication (sections 5.3 and 5.4.2, figure 2 "Leaders").

Nothing is sent where something happens: proposals, answers and commits only move the log and
the followers' progress. `send_due` then makes what each follower is to get from where things
stand, so that a thousand proposals or a dozen answers between two Readys make one APPEND.
"""

from __future__ import annotations

from itertools import count, repeat
from typing import TYPE_CHECKING

from miniraft.raft import read_index, roles, transfer
from miniraft.raft.entry import ENTRY_OVERHEAD_BYTES, Entry, EntryKind
from miniraft.raft.interface import ProposalDropped
from miniraft.raft.log import ENTRY_DATA, ENTRY_KIND
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.observation import SnapshotNeeded
from miniraft.raft.progress import Progress
from miniraft.raft.quorum import agreed, majority
from miniraft.raft.state import NO_MEMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from miniraft.raft.node import Node

NO_ANSWER_NEEDED = 1  # an APPEND's context: it only tells the commit index


def start_leading(node: Node) -> None:
    """Opens this leader's term: forgets what an earlier leadership knew, appends a no-op.

    The no-op is what commits the entries of earlier terms (5.4.2, section 8). One of those
    may be a membership change, so further ones wait until all of them are applied.
    """
    node.progress = {member: new_progress(node) for member in node.members() if member != node.member_id}
    node.transfer = None
    node.config_change_barrier = node.log.last_index
    node.term_start_index = node.log.last_index + 1
    node.heartbeat_elapsed = 0
    append(node, EntryKind.NORMAL, (b"",))


def new_progress(node: Node) -> Progress:
    """Returns the progress of a follower of which nothing is known yet."""
    settings = node.settings
    return Progress(node.log.last_index + 1, settings.max_inflight_appends, settings.max_append_bytes)


# Proposals ---------------------------------------------------------------------------------
def propose(node: Node, kind: EntryKind, payloads: Sequence[bytes]) -> None:
    """Appends entries, or passes them on to the leader.

    Raises ProposalDropped; then none of them was taken.
    """
    if not payloads:
        return
    if node.leads:
        _check_room(node, payloads)
        append(node, kind, payloads)
    elif node.leader == NO_MEMBER:
        raise ProposalDropped("there is no leader at the moment: try again after the election")
    else:
        entries = [Entry(0, 0, int(kind), payload) for payload in payloads]
        node.send(Message(MessageKind.PROPOSE, node.member_id, node.leader, term=node.term, entries=entries))


def propose_config_change(node: Node, payload: bytes) -> None:
    """Appends a membership change if none is under way (thesis 4.1), or passes it on.

    Raises ProposalDropped.
    """
    if node.leads:
        if not node.has_committed_in_term():
            raise ProposalDropped("this leader has committed nothing in its term yet: try again shortly")
        if node.config_change_barrier > node.log.applied:
            raise ProposalDropped("another membership change is under way: try again once it is applied")
    propose(node, EntryKind.CONFIG_CHANGE, (payload,))
    if node.leads:
        node.config_change_barrier = node.log.last_index


def handle_propose(node: Node, message: Message) -> None:
    """A follower passed proposals on. Those that cannot be taken are lost, as if on the way."""
    payloads = list(map(ENTRY_DATA, message.entries))
    if not payloads:
        return
    try:
        if not any(map(ENTRY_KIND, message.entries)):
            propose(node, EntryKind.NORMAL, payloads)
        elif len(payloads) == 1:
            propose_config_change(node, payloads[0])
    except ProposalDropped:
        return


def append(node: Node, kind: EntryKind, payloads: Sequence[bytes]) -> None:
    """Appends entries of this leader's term to its log; `send_due` passes them on."""
    fields = zip(repeat(node.term), count(node.log.last_index + 1), repeat(int(kind)), payloads, strict=False)
    node.log.append([*map(tuple.__new__, repeat(Entry), fields)])  # Entry(...), without a call for each
    node.append_due = True


def _check_room(node: Node, payloads: Sequence[bytes]) -> None:
    if node.transfer is not None:
        raise ProposalDropped("leadership is being handed over: try again with the next leader")
    uncommitted = node.log.size_bytes(node.log.committed, node.log.last_index)
    size = sum(map(len, payloads)) + ENTRY_OVERHEAD_BYTES * len(payloads)
    limit = node.settings.max_uncommitted_bytes
    if uncommitted and uncommitted + size > limit:
        raise ProposalDropped(
            f"{uncommitted} bytes wait for a majority, {size} more exceed {limit}: try again later"
        )


# Time --------------------------------------------------------------------------------------
def tick(node: Node) -> None:
    """One tick of a leader: heartbeats, and every election timeout a look at its quorum."""
    settings = node.settings
    node.heartbeat_elapsed += 1
    if node.heartbeat_elapsed >= settings.heartbeat_ticks:
        node.heartbeat_elapsed = 0
        node.heartbeat_due = node.append_due = True
        for progress in node.progress.values():
            progress.heartbeat_interval_passed()
    transfer.tick(node)
    node.election_elapsed += 1
    if node.election_elapsed >= settings.election_ticks:
        node.election_elapsed = 0
        if settings.check_quorum and not _hears_quorum(node):
            roles.become_follower(node, node.term, NO_MEMBER, "quorum lost")


def _hears_quorum(node: Node) -> bool:
    """Returns whether a majority answered since the last look (check-quorum, thesis 6.2)."""
    voters = node.membership.voters
    active = sum(voter == node.member_id or node.progress[voter].recently_active for voter in voters)
    for progress in node.progress.values():
        progress.recently_active = False
    return active >= majority(len(voters))


# Answers -----------------------------------------------------------------------------------
def handle_append_response(node: Node, message: Message) -> None:
    """A follower accepted or rejected an APPEND, or has installed a snapshot."""
    progress = node.progress.get(message.sender)
    if progress is None or message.index > node.log.last_index:
        return
    progress.recently_active = True
    node.append_due = True
    if message.reject:
        log = node.log
        retry_after = log.last_with_term_at_most(message.reject_hint, message.reject_hint_term)
        progress.rejected(message.index, retry_after)
    elif progress.accepted(message.index, node.log.first_index):
        advance_commit(node)
        transfer.follower_advanced(node, message.sender)


def handle_heartbeat_response(node: Node, message: Message) -> None:
    """A follower is alive; and it still followed this leader when round `context` was out."""
    progress = node.progress.get(message.sender)
    if progress is None:
        return
    progress.heartbeat_answered()
    node.append_due = True
    if message.context:
        read_index.round_answered(node, message.sender, message.context)


def advance_commit(node: Node) -> None:
    """Commits what a majority of the voters has on disk, this member included.

    Only an entry of the leader's own term is committed by counting; those before it are
    committed with it (5.4.2, figure 8).
    """
    own, progress = node.durability.index, node.progress
    index = agreed(
        own if voter == node.member_id else progress[voter].match for voter in node.membership.voters
    )
    if index > node.log.committed and node.log.term(index) == node.term:
        node.log.commit_to(index)
        node.append_due = True


# Sending -----------------------------------------------------------------------------------
def is_due(node: Node) -> bool:
    """Returns whether `send_due` would send anything."""
    if (node.heartbeat_due or node.reads.heartbeats_due) and node.progress:
        return True
    if not node.append_due:
        return False
    last_index, committed = node.log.last_index, node.log.committed
    return any(progress.wants_append(last_index, committed) for progress in node.progress.values())


def send_due(node: Node) -> None:
    """Makes the messages that each follower is to get now."""
    if node.heartbeat_due:
        node.heartbeat_due = node.reads.heartbeats_due = False
        _send_heartbeats(node, node.progress)
    elif node.reads.heartbeats_due:
        node.reads.heartbeats_due = False
        _send_heartbeats(node, read_index.members_to_ask(node))
    if node.append_due:
        node.append_due = False
        last_index, committed = node.log.last_index, node.log.committed
        for member_id, progress in node.progress.items():
            while progress.wants_append(last_index, committed):
                _send_append(node, member_id, progress)


def _send_heartbeats(node: Node, receivers: Iterable[int]) -> None:
    context = read_index.heartbeat_context(node)
    for member_id in receivers:
        commit = min(node.progress[member_id].match, node.log.committed)  # beyond match its log may differ
        node.send(
            Message(
                MessageKind.HEARTBEAT,
                node.member_id,
                member_id,
                term=node.term,
                commit=commit,
                context=context,
            )
        )


def _send_append(node: Node, member_id: int, progress: Progress) -> None:
    log = node.log
    previous = progress.next - 1
    previous_term = log.term(previous)
    if previous_term is None:
        _send_snapshot(node, member_id, progress)
        return
    last, entries, size = previous, (), 0  # type: int, Sequence[Entry], int
    if previous < log.last_index and not progress.window_full:
        last = log.last_within(previous + 1, node.settings.max_append_bytes)
        entries = log.slice(previous + 1, last)
        size = log.size_bytes(previous, last)
    only_tells_commit = not entries and not progress.answer_wanted
    node.send(
        Message(
            MessageKind.APPEND,
            node.member_id,
            member_id,
            term=node.term,
            log_term=previous_term,
            index=previous,
            commit=log.committed,
            entries=entries,
            context=NO_ANSWER_NEEDED if only_tells_commit else 0,
        )
    )
    progress.sent_append(last, size, log.committed)


def _send_snapshot(node: Node, member_id: int, progress: Progress) -> None:
    """The log no longer holds what this follower needs next (section 7)."""
    snapshot = node.available_snapshot
    if not progress.recently_active or snapshot is None or snapshot.index < node.log.compacted_index:
        progress.become_probe()
        progress.paused = True  # until its next heartbeat answer
        return
    node.observe(SnapshotNeeded(member_id, progress.next, node.log.first_index))
    progress.become_snapshot(snapshot.index)
    node.send(Message(MessageKind.SNAPSHOT, node.member_id, member_id, term=node.term, snapshot=snapshot))
