"""Takes questions about leases to the member that can answer them: the leader.

A question changes nothing but the lease's time, so it may be asked again: a leader that has
just been replaced, or a connection that broke, is no reason to let the client down.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from miniraft.errors import (
    LEADER_CHANGED,
    NO_LEADER,
    NOT_PRIMARY_LESSOR,
    SERVER_STOPPED,
    TIMED_OUT,
    Code,
    EtcdError,
)
from miniraft.mvcc.results import LeaseTimes
from miniraft.pb import peer_pb2
from miniraft.peer.describe import PeerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    AskHere = Callable[[peer_pb2.LeaseQuestion], Awaitable[LeaseTimes | None]]
    AskPeer = Callable[[int, peer_pb2.LeaseQuestion], Awaitable[peer_pb2.LeaseAnswer]]

_PAUSE_SECONDS = 0.05  # between two attempts, as in etcd
_ASK_AGAIN = frozenset((NOT_PRIMARY_LESSOR.message, LEADER_CHANGED.message))


class LeaseRouter:
    """Asks this member or another one, until there is an answer or the time is up."""

    def __init__(
        self,
        member_id: int,
        leader: Callable[[], int],
        ask_here: AskHere,
        ask_peer: AskPeer,
        timeout_ms: int,
    ) -> None:
        """`leader` returns the leader's id, 0 while there is none."""
        self._member_id = member_id
        self._leader = leader
        self._ask_here = ask_here
        self._ask_peer = ask_peer
        self._timeout_seconds = timeout_ms / 1000

    async def renew(self, lease_id: int) -> LeaseTimes | None:
        """See Service.renew_lease."""
        return await self._ask(peer_pb2.LeaseQuestion(lease_id=lease_id, renew=True))

    async def time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseTimes | None:
        """See Service.lease_time_to_live."""
        return await self._ask(peer_pb2.LeaseQuestion(lease_id=lease_id, keys=with_keys))

    async def answer_peer(self, encoded: bytes) -> bytes:
        """Answers a peer's LeaseQuestions; a member that does not lead says so, and asks nobody else."""
        questions = peer_pb2.LeaseQuestions.FromString(encoded).questions
        answers = await asyncio.gather(*map(self._answer_peer, questions))
        return peer_pb2.LeaseAnswers(answers=answers).SerializeToString()

    async def _ask(self, question: peer_pb2.LeaseQuestion) -> LeaseTimes | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        while True:
            leader = self._leader()
            try:
                if leader == self._member_id:
                    return await self._ask_here(question)
                if leader:
                    return _times(await self._ask_peer(leader, question))
            except PeerUnreachableError:
                pass
            except EtcdError as error:
                if error.message not in _ASK_AGAIN:
                    raise
            if loop.time() >= deadline:
                raise (TIMED_OUT if leader else NO_LEADER).fresh()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _answer_peer(self, question: peer_pb2.LeaseQuestion) -> peer_pb2.LeaseAnswer:
        try:
            times = await self._ask_here(question)
        except EtcdError as error:
            if error.message == SERVER_STOPPED.message:
                error = NOT_PRIMARY_LESSOR  # it is this member that stops, not the one that asks
            return peer_pb2.LeaseAnswer(error_code=int(error.code), error=error.message)
        if times is None:
            return peer_pb2.LeaseAnswer()
        granted, remaining, keys = times
        return peer_pb2.LeaseAnswer(granted_ttl=granted, remaining_ttl=remaining, keys=keys)


def _times(answer: peer_pb2.LeaseAnswer) -> LeaseTimes | None:
    if answer.error_code:
        raise EtcdError(Code(answer.error_code), answer.error)
    if not answer.granted_ttl:
        return None
    return LeaseTimes(answer.granted_ttl, answer.remaining_ttl, list(answer.keys))
