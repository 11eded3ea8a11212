"""Messages between the Raft instances of two members."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import SnapshotMetadata


class MessageKind(IntEnum):
    """The numbers are part of the peer API: never reuse one."""

    APPEND = 1  # figure 2, AppendEntries; no entries: tells the commit index
    APPEND_RESPONSE = 2
    HEARTBEAT = 3  # context carries the newest read-index round, 0 if none
    HEARTBEAT_RESPONSE = 4
    PRE_VOTE = 5  # thesis 9.6; term is the one the candidate would start
    PRE_VOTE_RESPONSE = 6
    VOTE = 7
    VOTE_RESPONSE = 8
    SNAPSHOT = 9  # figure 13; the data travels beside, by the transport
    TIMEOUT_NOW = 10  # thesis 3.10: start an election at once
    PROPOSE = 11  # a follower passes proposals to the leader: entries with data only
    READ_INDEX = 12  # a follower asks for a read index; context names the request
    READ_INDEX_RESPONSE = 13  # index is the read index, context as asked; reject: no leader here
    TRANSFER_LEADERSHIP = 14  # a follower passes the wish on; context is the transferee


class RejectReason(IntEnum):
    """Why a vote was refused or an append rejected, so that a person can be told."""

    NONE = 0
    ALREADY_VOTED = 1  # for somebody else in this term
    LOG_BEHIND = 2  # the candidate's log is not up to date (section 5.4.1)
    LEADER_ALIVE = 3  # heard from a leader within the election timeout (section 6)
    TERM_BEHIND = 4
    LOG_MISMATCH = 5  # no entry with that index and term (section 5.3)
    NOT_A_VOTER = 6


@dataclass(slots=True)
class Message:
    """One message. A field that the kind does not use stays at its default.

    `index`/`log_term` are prevLogIndex/prevLogTerm in an APPEND, the last entry in a vote
    request, and the last matching index in an APPEND_RESPONSE. In a vote's refusal
    `commit`/`log_term` is the last entry that the voter knows to be committed.
    `reject_hint`/`reject_hint_term` is where the follower thinks its log may match, for
    backing off by whole terms (section 5.3).
    """

    kind: MessageKind
    sender: int
    receiver: int
    term: int = 0
    log_term: int = 0
    index: int = 0
    commit: int = 0
    entries: Sequence[Entry] = field(default=())
    reject: bool = False
    reject_hint: int = 0
    reject_hint_term: int = 0
    reject_reason: int = 0
    context: int = 0
    snapshot: SnapshotMetadata | None = None
