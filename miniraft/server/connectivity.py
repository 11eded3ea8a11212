"""Why a request got no answer: what is known of the leader and of the links to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import TIMED_OUT, TIMED_OUT_CONNECTION_LOST, TIMED_OUT_LEADER_FAILURE

if TYPE_CHECKING:
    from miniraft.errors import EtcdError
    from miniraft.raft.interface import RaftCore


class Connectivity:
    """When a leader was found last, and when messages to a member were lost last."""

    __slots__ = ("_election_window_ms", "_leader_found_ms", "_lost_ms")

    def __init__(self, election_timeout_ms: int) -> None:
        self._election_window_ms = 2 * election_timeout_ms
        self._leader_found_ms: int | None = None
        self._lost_ms: dict[int, int] = {}  # by member id; a handful

    def leader_found(self, now_ms: int) -> None:
        """Another leader than before is known."""
        self._leader_found_ms = now_ms

    def messages_lost(self, member_id: int, now_ms: int) -> None:
        """Messages to this member did not arrive."""
        self._lost_ms[member_id] = now_ms

    def timeout_error(self, started_ms: int, raft: RaftCore) -> EtcdError:
        """Returns why a proposal that Raft took was never applied, as etcd tells the cases apart."""
        found_ms = self._leader_found_ms
        if found_ms is not None and found_ms - self._election_window_ms < started_ms < found_ms:
            return TIMED_OUT_LEADER_FAILURE
        if raft.leader == raft.member_id:
            return TIMED_OUT if self._reaches_quorum(raft, started_ms) else TIMED_OUT_CONNECTION_LOST
        if raft.leader and self._lost_since(raft.leader, started_ms):
            return TIMED_OUT_CONNECTION_LOST
        return TIMED_OUT

    def _lost_since(self, member_id: int, started_ms: int) -> bool:
        lost_ms = self._lost_ms.get(member_id)
        return lost_ms is not None and lost_ms >= started_ms

    def _reaches_quorum(self, raft: RaftCore, started_ms: int) -> bool:
        voters = raft.config.voters
        reached = sum(
            member_id == raft.member_id or not self._lost_since(member_id, started_ms) for member_id in voters
        )
        return reached > len(voters) // 2
