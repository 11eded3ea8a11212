"""Changes of membership as a client asks for them: judged, proposed, answered once applied here.

The judgement is the asked member's own (`server/reconfiguration.py`): it knows to whom it is
connected. Only whether a learner is in sync is the leader's to say, and is asked there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from miniraft.errors import LEARNER_NOT_READY, MEMBER_NOT_FOUND, NOT_LEADER, TIMED_OUT, Code, EtcdError
from miniraft.pb import peer_pb2
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.peer.describe import PeerUnreachableError
from miniraft.peer.settings import CHECK_LEARNER_METHOD
from miniraft.runtime import log
from miniraft.server.identity import added_member_id, format_id
from miniraft.server.peer_urls import parse_peer_urls
from miniraft.server.reconfiguration import (
    Links,
    check_addition,
    check_learner_ready,
    check_promotion,
    check_removal,
    quorum_of,
)
from miniraft.server.service import MemberInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.runtime.node import Node

_ASK_AGAIN_SECONDS = 0.05
_ANSWER_TIMEOUT_MS = 1000


class MembershipChanges:
    """Carries out changes for one node."""

    def __init__(
        self, node: Node, is_strict: bool, request_timeout_ms: int, election_timeout_ms: int
    ) -> None:
        """`is_strict`: --strict-reconfig-check."""
        self._node = node
        self._is_strict = is_strict
        self._request_timeout_seconds = request_timeout_ms / 1000
        self._election_timeout_seconds = election_timeout_ms / 1000

    def start(self, transport: GrpcPeerTransport) -> None:
        """From now on other members may ask this one, if it leads, about learners."""
        transport.answer(CHECK_LEARNER_METHOD, self._answer_check_learner)

    # The changes ---------------------------------------------------------------------------
    async def add(
        self, peer_urls: Sequence[str], is_learner: bool
    ) -> tuple[MemberInfo, Sequence[MemberInfo]]:
        """See Administration.add_member."""
        urls = parse_peer_urls(peer_urls)
        member_id = added_member_id(urls, int(time.time()))
        self._judge("add", lambda: check_addition(self._node.members(), is_learner, self._links()))
        kind = ConfigChange.ADD_LEARNER if is_learner else ConfigChange.ADD_VOTER
        members = await self._propose(ConfigChange(kind=kind, member_id=member_id, peer_urls=urls))
        return MemberInfo(member_id, "", urls, (), is_learner), members

    async def remove(self, member_id: int) -> Sequence[MemberInfo]:
        """See Administration.remove_member. A leader that is to go hands over first."""
        self._judge("remove", lambda: check_removal(self._node.members(), member_id, self._links()))
        if member_id == self._node.member_id:
            await self._hand_over()
        return await self._propose(ConfigChange(kind=ConfigChange.REMOVE, member_id=member_id))

    async def update(self, member_id: int, peer_urls: Sequence[str]) -> Sequence[MemberInfo]:
        """See Administration.update_member. As in etcd the URLs are not judged."""
        change = ConfigChange(kind=ConfigChange.UPDATE, member_id=member_id, peer_urls=peer_urls)
        return await self._propose(change)

    async def promote(self, member_id: int) -> Sequence[MemberInfo]:
        """See Administration.promote_member."""
        try:
            await self._wait_for_verdict(member_id)
            self._judge("promote", lambda: check_promotion(self._node.members(), member_id, self._links()))
            return await self._propose(ConfigChange(kind=ConfigChange.PROMOTE, member_id=member_id))
        except EtcdError as error:
            if self._node.leader == self._node.member_id:
                self._node.member.figures.count_failed_promotion(error.message)
            raise

    async def _propose(self, change: ConfigChange) -> Sequence[MemberInfo]:
        members: Sequence[MemberInfo] = await self._node.propose_config_change(change.SerializeToString())
        return members

    # Judging -------------------------------------------------------------------------------
    def _links(self) -> Links:
        return Links(self._node.member_id, self._node.transport().connected_since_ms)

    def _judge(self, action: str, check: Callable[[], None]) -> None:
        if not self._is_strict:
            return
        try:
            check()
        except EtcdError as error:
            links = self._links()
            voters = [member for member in self._node.members() if not member.is_learner]
            log.event(
                "warn",
                f"refused to {action} a member, for the sake of the quorum (--strict-reconfig-check)",
                error=error.message,
                voters=len(voters),
                quorum=quorum_of(len(voters)),
                started=[member.name for member in voters if member.name],
                not_started=[",".join(member.peer_urls) for member in voters if not member.name],
                connected_for_5_seconds=links.healthy_count(voters),
            )
            raise

    # Learners in sync ----------------------------------------------------------------------
    async def _wait_for_verdict(self, member_id: int) -> None:
        """Has the leader, whoever that is, find the learner in sync. Raises EtcdError."""
        until = time.monotonic() + self._request_timeout_seconds
        while True:
            try:
                await self._ask_leader(member_id)
            except EtcdError as error:
                if error.message != NOT_LEADER.message:
                    raise
            except PeerUnreachableError as error:
                log.event("warn", "the leader cannot be asked about a learner", error=str(error))
            else:
                return
            if time.monotonic() >= until:
                raise TIMED_OUT.fresh()
            await asyncio.sleep(_ASK_AGAIN_SECONDS)

    async def _ask_leader(self, member_id: int) -> None:
        node = self._node
        leader = node.leader
        if leader == node.member_id:
            self._check_learner(member_id)
            return
        if not leader:
            raise NOT_LEADER.fresh()
        transport = node.transport()
        question = peer_pb2.LearnerQuestion(hello=transport.hello(leader), member_id=member_id)
        encoded = await transport.ask(
            leader, CHECK_LEARNER_METHOD, question.SerializeToString(), _ANSWER_TIMEOUT_MS
        )
        answer = peer_pb2.LearnerAnswer.FromString(encoded)
        if answer.error_code:
            raise EtcdError(Code(answer.error_code), answer.error)

    def _check_learner(self, member_id: int) -> None:
        try:
            check_learner_ready(self._node.member.raft, member_id)
        except EtcdError as error:
            if error.message in (LEARNER_NOT_READY.message, MEMBER_NOT_FOUND.message):
                log.event(
                    "warn", "refused to promote a member", member_id=format_id(member_id), error=error.message
                )
            raise

    async def _answer_check_learner(self, encoded: bytes) -> bytes:
        question = peer_pb2.LearnerQuestion.FromString(encoded)
        try:
            self._check_learner(question.member_id)
        except EtcdError as error:
            if error.message != NOT_LEADER.message:
                self._node.member.figures.count_failed_promotion(error.message)
            return peer_pb2.LearnerAnswer(error_code=error.code, error=error.message).SerializeToString()
        return b""

    # Leaving -------------------------------------------------------------------------------
    async def _hand_over(self) -> None:
        """Lets another lead before the leader leaves: the cluster then need not wait for an election.

        Done as well as can be: the removal does not depend on it.
        """
        node = self._node
        if node.leader != node.member_id:
            return
        connected_since_ms = node.transport().connected_since_ms
        successors = [
            view
            for view in node.member.raft.progress()
            if view.member_id != node.member_id
            and not view.is_learner
            and connected_since_ms(view.member_id) is not None
        ]
        if successors:
            target = max(successors, key=lambda view: view.match).member_id
            with contextlib.suppress(EtcdError, TimeoutError):
                async with asyncio.timeout(self._election_timeout_seconds):
                    await node.transfer_leadership(target)
