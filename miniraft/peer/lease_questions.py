"""Questions about leases that clients ask a follower, on their way to the leader.

What is asked during one turn of the event loop travels in one call. Some answers take their
time (a lease that has just ended is revoked first), so a few calls may be under way at once;
what is asked beyond that waits, and then travels together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from miniraft.pb import peer_pb2
from miniraft.peer.describe import PeerUnreachableError
from miniraft.peer.handshake import describe_member
from miniraft.peer.http2.status import RpcError
from miniraft.peer.settings import ASK_LEASES_METHOD

if TYPE_CHECKING:
    from miniraft.peer.http2.client import ClientConnection
    from miniraft.peer.link import LinkContext

_MOST_CALLS = 8
_MOST_QUESTIONS_IN_A_CALL = 1000


class _Asked(NamedTuple):
    question: peer_pb2.LeaseQuestion
    answer: asyncio.Future[peer_pb2.LeaseAnswer]


class LeaseQuestions:
    """The questions for one peer. It is opened when it is first needed."""

    def __init__(self, member_id: int, context: LinkContext) -> None:
        self._member_id = member_id
        self._context = context
        self._waiting: list[_Asked] = []
        self._is_planned = False
        self._calls: set[asyncio.Task[None]] = set()
        self._connection: ClientConnection | None = None
        self._dialling = asyncio.Lock()
        self._next_url = 0

    def ask(self, question: peer_pb2.LeaseQuestion) -> asyncio.Future[peer_pb2.LeaseAnswer]:
        """Returns what will be the answer. It fails with PeerUnreachableError."""
        loop = asyncio.get_running_loop()
        asked = _Asked(question, loop.create_future())
        self._waiting.append(asked)
        if not self._is_planned and len(self._calls) < _MOST_CALLS:
            self._is_planned = True
            loop.call_soon(self._start_call)
        return asked.answer

    async def close(self) -> None:
        """Gives up what is under way."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        _fail(self._waiting, "this member stops")
        self._waiting = []
        await self._hang_up()

    def _start_call(self) -> None:
        self._is_planned = False
        batch = self._waiting[:_MOST_QUESTIONS_IN_A_CALL]
        self._waiting = self._waiting[_MOST_QUESTIONS_IN_A_CALL:]
        if batch:
            call = asyncio.get_running_loop().create_task(self._call(batch))
            self._calls.add(call)
            call.add_done_callback(self._call_ended)

    def _call_ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting and not self._is_planned:
            self._start_call()

    async def _call(self, batch: list[_Asked]) -> None:
        reason = "this member stops"
        try:
            answers = await self._exchange([asked.question for asked in batch])
        except RpcError as error:
            reason = error.details or error.code.name
            await self._hang_up()
        except (OSError, ValueError, DecodeError) as error:
            reason = str(error) or "no answer came in time"
            await self._hang_up()
        else:
            for asked, answer in zip(batch, answers, strict=True):
                if not asked.answer.done():  # who asked may have gone
                    asked.answer.set_result(answer)
        finally:
            _fail(batch, reason)

    async def _exchange(self, questions: list[peer_pb2.LeaseQuestion]) -> list[peer_pb2.LeaseAnswer]:
        context = self._context
        timeout_ms = context.settings.lease_answer_timeout_ms
        connection = await self._connect()
        request = peer_pb2.LeaseQuestions(hello=context.local.hello(self._member_id), questions=questions)
        encoded = await connection.call_unary(ASK_LEASES_METHOD, request.SerializeToString(), timeout_ms)
        answers = peer_pb2.LeaseAnswers.FromString(encoded).answers
        if len(answers) != len(questions):
            raise ValueError(f"{len(answers)} answers to {len(questions)} questions")
        return list(answers)

    async def _connect(self) -> ClientConnection:
        """Returns the connection; calls that start together wait for the same one."""
        async with self._dialling:
            connection = self._connection
            if connection is None or not connection.is_open:
                async with asyncio.timeout(self._context.settings.connect_timeout_ms / 1000):
                    connection = await self._context.dialer.connect(self._choose_url())
                self._connection = connection
            return connection

    def _choose_url(self) -> str:
        """Returns the peer's URLs in turn: one that failed is not the next one to be tried."""
        peer = self._context.local.peers.get(self._member_id)
        if peer is None or not peer.urls:
            raise ValueError(f"{describe_member(self._member_id, '')} has no peer URL")
        url = peer.urls[self._next_url % len(peer.urls)]
        self._next_url += 1
        return url

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _fail(batch: list[_Asked], reason: str) -> None:
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(PeerUnreachableError(reason))
