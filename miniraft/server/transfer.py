"""Requests to hand leadership over, which wait until the other one leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from miniraft.errors import BAD_LEADER_TRANSFEREE, NOT_LEADER, TRANSFER_TIMED_OUT
from miniraft.server.effects import Reply

if TYPE_CHECKING:
    from miniraft.raft.interface import RaftCore


class _Transfer(NamedTuple):
    handle: Any
    target: int
    deadline_ms: int


class LeadershipTransfers:
    """Transfers under way at this member."""

    __slots__ = ("_timeout_ms", "_transfers")

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._transfers: list[_Transfer] = []

    def start(self, handle: Any, target: int, raft: RaftCore, now_ms: int) -> Reply | None:
        """Starts one; returns the answer if it is known at once, in etcd's order of checks."""
        if raft.leader != raft.member_id:
            return Reply(handle, None, NOT_LEADER)
        if target not in raft.config.voters:
            return Reply(handle, None, BAD_LEADER_TRANSFEREE)
        if target == raft.member_id:
            return Reply(handle, None, None)
        raft.transfer_leadership(target)
        self._transfers.append(_Transfer(handle, target, now_ms + self._timeout_ms))
        return None

    def leader_changed(self, leader: int, replies: list[Reply]) -> None:
        """Answers the transfers whose target leads now."""
        if self._transfers:
            replies.extend(Reply(t.handle, None, None) for t in self._transfers if t.target == leader)
            self._transfers = [t for t in self._transfers if t.target != leader]

    def expire(self, now_ms: int, replies: list[Reply]) -> None:
        """Ends the transfers whose time is up."""
        if self._transfers:
            late = [t for t in self._transfers if t.deadline_ms <= now_ms]
            replies.extend(Reply(t.handle, None, TRANSFER_TIMED_OUT) for t in late)
            self._transfers = [t for t in self._transfers if t.deadline_ms > now_ms]

    def take_all(self) -> list[Any]:
        """Returns everybody who waits; nobody does then."""
        handles = [transfer.handle for transfer in self._transfers]
        self._transfers = []
        return handles
