"""Whether a change of membership is wise now (--strict-reconfig-check), with etcd's rules.

Raft takes any single change. But a cluster that grows by a member which does not run needs a
larger quorum from the same members that run, and one that shrinks may lose its working
majority. So before a change is proposed the member that was asked checks that enough voters
have been started and that it has been connected to enough of them for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from miniraft.errors import (
    LEARNER_NOT_READY,
    MEMBER_NOT_FOUND,
    NOT_ENOUGH_STARTED,
    NOT_LEADER,
    UNHEALTHY_CLUSTER,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from miniraft.raft.interface import RaftCore
    from miniraft.server.service import MemberInfo

HEALTHY_AFTER_MS = 5000  # a link counts when it has been up for so long
READY_SHARE = 0.9  # a learner is in sync when its log reaches so far into the leader's


class Links(NamedTuple):
    """How one member is connected to the others."""

    own_id: int
    connected_since_ms: Callable[[int], int | None]  # member id -> for how long; None: not at all

    def connected_count(self, member_ids: Iterable[int]) -> int:
        """Returns with how many of the members this one is connected, itself included."""
        return sum(
            member_id == self.own_id or self.connected_since_ms(member_id) is not None
            for member_id in member_ids
        )

    def healthy_count(self, members: Iterable[MemberInfo]) -> int:
        """Returns with how many of the members this one is connected for long enough, itself included."""
        return sum(
            member.id == self.own_id or (self.connected_since_ms(member.id) or 0) >= HEALTHY_AFTER_MS
            for member in members
        )


def quorum_of(voter_count: int) -> int:
    """Returns how many voters make a majority."""
    return voter_count // 2 + 1


def check_addition(members: Iterable[MemberInfo], is_learner: bool, links: Links) -> None:
    """Raises NOT_ENOUGH_STARTED (voters only), UNHEALTHY_CLUSTER."""
    voters = _voters(members)
    needed = quorum_of(len(voters) + 1)
    alone = len(voters) == 1 and _started(voters) == 1  # the way from one member to two must be open
    if not is_learner and not alone and _started(voters) < needed:
        raise NOT_ENOUGH_STARTED.fresh()
    if len(voters) > 1 and links.healthy_count(voters) < needed:
        raise UNHEALTHY_CLUSTER.fresh()


def check_removal(members: Iterable[MemberInfo], member_id: int, links: Links) -> None:
    """Raises NOT_ENOUGH_STARTED, UNHEALTHY_CLUSTER. Learners may always go, unknown ids are not judged.

    A member that is not connected at all may go too: the quorum at work does not rest on it.
    """
    listed = list(members)
    if any(member.id == member_id and member.is_learner for member in listed):
        return
    voters = _voters(listed)
    others = [voter for voter in voters if voter.id != member_id]
    if _started(others) < quorum_of(len(others)):
        raise NOT_ENOUGH_STARTED.fresh()
    if member_id != links.own_id and links.connected_since_ms(member_id) is None:
        return
    if links.healthy_count(voters) - 1 < quorum_of(len(voters) - 1):
        raise UNHEALTHY_CLUSTER.fresh()


def check_promotion(members: Iterable[MemberInfo], member_id: int, links: Links) -> None:
    """Raises NOT_ENOUGH_STARTED, UNHEALTHY_CLUSTER. The learner counts as started: it follows the log.

    Stricter than etcd in one point: a learner that has died since it was in sync could, as a
    voter, take the quorum away. So a quorum of those who would vote has to be connected, for
    however short a time: a learner is promoted soon after it was started. Who is a voter already
    is not judged: that is refused when it is applied.
    """
    voters = _voters(members)
    needed = quorum_of(len(voters) + 1)
    if _started(voters) + 1 < needed:
        raise NOT_ENOUGH_STARTED.fresh()
    if any(voter.id == member_id for voter in voters):
        return
    if links.connected_count({member_id, *(voter.id for voter in voters)}) < needed:
        raise UNHEALTHY_CLUSTER.fresh()


def check_learner_ready(raft: RaftCore, member_id: int) -> None:
    """Whether a member's log is nearly as long as the leader's, which only the leader knows.

    Raises NOT_LEADER, MEMBER_NOT_FOUND, LEARNER_NOT_READY.
    """
    match = {view.member_id: view.match for view in raft.progress()}
    if raft.member_id not in match:
        raise NOT_LEADER.fresh()
    if member_id not in match:
        raise MEMBER_NOT_FOUND.fresh()
    if match[member_id] < READY_SHARE * match[raft.member_id]:
        raise LEARNER_NOT_READY.fresh()


def _voters(members: Iterable[MemberInfo]) -> Sequence[MemberInfo]:
    return [member for member in members if not member.is_learner]


def _started(members: Iterable[MemberInfo]) -> int:
    """Returns how many have told their name, which a member does when it has been started."""
    return sum(bool(member.name) for member in members)
