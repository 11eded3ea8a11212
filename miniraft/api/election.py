"""The Election service. Who leads is the candidate whose key is the oldest; its value is the leader's.

As with a lock, a leader may have lost its lease without knowing it yet: see `lock.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.api.key_queue import KeyQueue
from miniraft.api.nested_errors import texts_alone
from miniraft.errors import ELECTION_NO_LEADER, ELECTION_NOT_LEADER, LEADER_KEY_MISSING
from miniraft.pb.election_pb2 import (
    CampaignRequest,
    CampaignResponse,
    LeaderKey,
    LeaderRequest,
    LeaderResponse,
    ProclaimRequest,
    ProclaimResponse,
    ResignRequest,
    ResignResponse,
)
from miniraft.pb.kv_pb2 import KeyValue

if TYPE_CHECKING:
    from miniraft.api.call import Call, StreamCall, StreamHandler, UnaryHandler
    from miniraft.api.guard import AnyCall
    from miniraft.api.long_waits import LongWaits
    from miniraft.api.response_header import HeaderWriter
    from miniraft.pb.rpc_pb2 import ResponseHeader
    from miniraft.server.service import Service

_PREFIX = "/v3electionpb.Election/"


class ElectionApi:
    """Handlers of `v3electionpb.Election`."""

    def __init__(self, service: Service, headers: HeaderWriter, waits: LongWaits) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)
        self._waits = waits

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the unary handlers by path."""
        return {
            _PREFIX + "Campaign": self.campaign,
            _PREFIX + "Proclaim": self.proclaim,
            _PREFIX + "Leader": self.leader,
            _PREFIX + "Resign": self.resign,
        }

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {_PREFIX + "Observe": self.observe}

    # Candidates -------------------------------------------------------------------------------
    async def campaign(self, call: Call, raw: bytes) -> bytes:
        """Stands for election and waits until it is won."""
        request = CampaignRequest.FromString(raw)
        return await self._waits.run(call, texts_alone(self._campaign(call, request)))

    async def _campaign(self, call: Call, request: CampaignRequest) -> bytes:
        queue = self._queue(call, request.name)
        lease_id = await queue.lease_or_new(request.lease)
        place = await queue.enter(lease_id, request.value)
        try:
            if place.existing_value is not None and place.existing_value != request.value:
                await self._proclaim(queue, place.key, place.create_revision, lease_id, request.value)
            revision: int | None = place.revision
            if not place.has_turn:
                revision = await queue.wait_for_turn(place.key, place.create_revision)
        except BaseException:
            queue.abandon(place.key, place.create_revision)
            raise
        if revision is None:
            raise ELECTION_NOT_LEADER.fresh()
        leader = LeaderKey(name=request.name, key=place.key, rev=place.create_revision, lease=lease_id)
        return CampaignResponse(header=self._header(place.revision), leader=leader).SerializeToString()

    async def proclaim(self, call: Call, raw: bytes) -> bytes:
        """Lets the leader set another value."""
        request = ProclaimRequest.FromString(raw)
        if not request.HasField("leader"):
            raise LEADER_KEY_MISSING.fresh()
        leader = request.leader
        queue = self._queue(call, leader.name)
        revision = await call.wait_for(texts_alone(self._proclaim_as(queue, leader, request.value)))
        return ProclaimResponse(header=self._header(revision)).SerializeToString()

    async def _proclaim_as(self, queue: KeyQueue, leader: LeaderKey, value: bytes) -> int:
        lease_id = await queue.lease_or_new(leader.lease)
        return await self._proclaim(queue, leader.key, leader.rev, lease_id, value)

    async def _proclaim(
        self, queue: KeyQueue, key: bytes, create_revision: int, lease_id: int, value: bytes
    ) -> int:
        result = await queue.set_value(key, create_revision, lease_id, value)
        if not result.succeeded:
            raise ELECTION_NOT_LEADER.fresh()
        return result.revision

    async def resign(self, call: Call, raw: bytes) -> bytes:
        """Gives leadership up; whoever has lost it already has nothing to give up, and that is fine."""
        request = ResignRequest.FromString(raw)
        if not request.HasField("leader"):
            raise LEADER_KEY_MISSING.fresh()
        leader = request.leader
        giving_up = self._queue(call, leader.name).give_up(leader.key, leader.rev)
        result = await call.wait_for(texts_alone(giving_up))
        return ResignResponse(header=self._header(result.revision)).SerializeToString()

    # Everybody --------------------------------------------------------------------------------
    async def leader(self, call: Call, raw: bytes) -> bytes:
        """Tells who leads."""
        request = LeaderRequest.FromString(raw)
        revision, pair = await call.wait_for(texts_alone(self._queue(call, request.name).first()))
        if pair is None:
            raise ELECTION_NO_LEADER.fresh()
        return LeaderResponse(header=self._header(revision), kv=pair).SerializeToString()

    async def observe(self, call: StreamCall) -> None:
        """Tells who leads, each new value of the leader, and each successor, until the client goes."""
        request = LeaderRequest.FromString(await call.receive() or b"")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(texts_alone(self._observe(call, request)))
                await call.gone()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _observe(self, call: StreamCall, request: LeaderRequest) -> None:
        queue = self._queue(call, request.name)
        while True:
            revision, leader = await queue.first()
            if leader is None:
                leader = await queue.wait_for_anybody(revision + 1)
                if leader is None:
                    continue
                revision = leader.mod_revision
            await self._tell(call, revision, leader)
            async with aclosing(queue.events(revision + 1, (leader.key, b""))) as events:
                async for event in events:
                    if event.is_delete:
                        break
                    await self._tell(call, event.revision, KeyValue.FromString(event.pair))

    async def _tell(self, call: StreamCall, revision: int, leader: KeyValue) -> None:
        await call.send(LeaderResponse(header=self._header(revision), kv=leader).SerializeToString())

    def _queue(self, call: AnyCall, name: bytes) -> KeyQueue:
        return KeyQueue(self._service, self._guard, call, name)

    def _header(self, revision: int) -> ResponseHeader:
        header = self._headers.message()
        header.revision = revision
        return header
