"""Keys below one prefix as a queue: the key that was created first has its turn.

Locks and elections are made of it (the recipe is etcd's). Each waits for the key before its
own to be deleted, and not for the first one, so that an end wakes one waiter and not all.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from miniraft.errors import NO_SPACE
from miniraft.mvcc.results import RangeResult, TxnResult
from miniraft.mvcc.watch.message import Notice
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
    WatchCreateRequest,
)
from miniraft.server import validation
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from miniraft.api.guard import AnyCall, Guard
    from miniraft.mvcc.watch.message import WatchEvent
    from miniraft.server.service import Service

_SEPARATOR = b"/"
_AFTER_SEPARATOR = b"0"  # the byte that follows the separator: the end of the prefix's range
_SESSION_TTL_SECONDS = 60  # of a lease that the client did not bring


class Place(NamedTuple):
    """A key's place in the queue."""

    key: bytes
    create_revision: int
    revision: int  # of the keyspace when the place was taken, or found to be taken
    existing_value: bytes | None  # None: the place has just been taken
    has_turn: bool  # whether it was the first one then


class KeyQueue:
    """The queue of one name, on behalf of one caller."""

    def __init__(self, service: Service, guard: Guard, call: AnyCall, name: bytes) -> None:
        self._service = service
        self._guard = guard
        self._call = call
        self._prefix = name + _SEPARATOR
        self._end = name + _AFTER_SEPARATOR
        self._proposal_header = b""  # who asks, as of the last proposal

    def key_of(self, lease_id: int) -> bytes:
        """Returns the key of a lease: below the prefix, its id in hexadecimal without zeros in front."""
        return self._prefix + b"%x" % lease_id

    async def lease_or_new(self, lease_id: int) -> int:
        """Returns the client's lease, or a new one that nobody will renew."""
        if lease_id:
            return lease_id
        await self._guard.require_user(self._call)
        header = await self._guard.header(self._call)
        granted = await self._service.grant_lease(0, _SESSION_TTL_SECONDS, header)
        return granted.lease_id

    # Writing ----------------------------------------------------------------------------------
    async def enter(self, lease_id: int, value: bytes) -> Place:
        """Takes a place, or finds the one that this lease has.

        Raises LEASE_NOT_FOUND, and what a transaction does.
        """
        key = self.key_of(lease_id)
        ask_first = RequestOp(request_range=self._first_request())
        txn = TxnRequest(
            compare=[Compare(key=key, target=Compare.CREATE, result=Compare.EQUAL, create_revision=0)],
            success=[RequestOp(request_put=PutRequest(key=key, value=value, lease=lease_id)), ask_first],
            failure=[RequestOp(request_range=RangeRequest(key=key)), ask_first],
        )
        result = await self._txn(txn)
        first = KeyValue.FromString(_only(result.responses[1]) or b"")
        if result.succeeded:
            return Place(key, result.revision, result.revision, None, first.key == key)
        own = KeyValue.FromString(_only(result.responses[0]) or b"")
        return Place(key, own.create_revision, result.revision, own.value, first.key == key)

    async def set_value(self, key: bytes, create_revision: int, lease_id: int, value: bytes) -> TxnResult:
        """Sets the value of a place, if it is still the same one: see `succeeded`."""
        put = RequestOp(request_put=PutRequest(key=key, value=value, lease=lease_id))
        return await self._txn(TxnRequest(compare=[_is_same(key, create_revision)], success=[put]))

    async def give_up(self, key: bytes, create_revision: int) -> TxnResult:
        """Deletes a place, if it is still the same one."""
        return await self._txn(_deletion(key, create_revision))

    def abandon(self, key: bytes, create_revision: int) -> None:
        """Deletes a place without waiting for it: the call has ended, one way or another."""
        raw = _deletion(key, create_revision).SerializeToString()
        self._service.propose(RequestKind.TXN, raw, self._proposal_header).add_done_callback(_look_at)

    async def _txn(self, request: TxnRequest) -> TxnResult:
        cost = validation.txn_cost(request)
        if cost and not self._service.has_space_for(cost):
            raise NO_SPACE.fresh()
        validation.check_txn(request, self._service.limits.max_txn_operations)
        header = self._proposal_header = await self._guard.header(self._call)
        result: TxnResult = await self._service.propose(RequestKind.TXN, request.SerializeToString(), header)
        return result

    # Reading ----------------------------------------------------------------------------------
    async def first(self) -> tuple[int, KeyValue | None]:
        """Returns the current revision and who has the turn."""
        return await self._read(self._first_request())

    async def wait_for_turn(self, key: bytes, create_revision: int) -> int | None:
        """Waits until every key that was created before this one is gone.

        Returns the revision at which that was so, or None as soon as this place is lost itself:
        its lease may end before its turn comes, and even as it comes.
        """
        before = RangeRequest(
            key=self._prefix,
            range_end=self._end,
            limit=1,
            sort_target=RangeRequest.CREATE,
            sort_order=RangeRequest.DESCEND,
            max_create_revision=create_revision - 1,
        )
        while True:
            revision, predecessor = await self._read(before)
            own = self._pair(RangeRequest(key=key))  # of the same revision: nothing happens in between
            if own is None or own.create_revision != create_revision:
                return None
            if predecessor is None:
                return revision
            events = self.events(revision + 1, (predecessor.key, b""), (key, b""))
            async with aclosing(events):
                async for event in events:
                    if event.is_delete:
                        break

    async def wait_for_anybody(self, revision: int) -> KeyValue | None:
        """Returns the first key put below the prefix from `revision` on; None: look again."""
        async with aclosing(self.events(revision, (self._prefix, self._end))) as events:
            async for event in events:
                if not event.is_delete:
                    return KeyValue.FromString(event.pair)
        return None

    async def events(
        self, start_revision: int, *ranges: tuple[bytes, bytes]
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yields what happens to keys from a revision on; ends when that cannot be told completely.

        Whoever does not read it to its end has to close it (`aclosing`).
        Raises what a read of the keys does.
        """
        for key, range_end in ranges:
            await self._guard.require_read(self._call, key, range_end)
        ready = asyncio.Event()
        stream = self._service.watches.open_stream(ready.set)
        try:
            for key, range_end in ranges:
                stream.create(WatchCreateRequest(key=key, range_end=range_end, start_revision=start_revision))
            while True:
                await ready.wait()
                ready.clear()
                while (message := stream.take()) is not None:
                    if not isinstance(message, Notice):
                        for event in message.events:
                            yield event
                    elif message.canceled:
                        return
        finally:
            stream.close()

    async def _read(self, request: RangeRequest) -> tuple[int, KeyValue | None]:
        await self._service.read_index()
        await self._guard.require_read(self._call, request.key, request.range_end)
        return self._service.revision, self._pair(request)

    def _pair(self, request: RangeRequest) -> KeyValue | None:
        pair = _only(self._service.range(request))
        return None if pair is None else KeyValue.FromString(pair)

    def _first_request(self) -> RangeRequest:
        return RangeRequest(
            key=self._prefix,
            range_end=self._end,
            limit=1,
            sort_target=RangeRequest.CREATE,
            sort_order=RangeRequest.ASCEND,
        )


def _is_same(key: bytes, create_revision: int) -> Compare:
    return Compare(key=key, target=Compare.CREATE, result=Compare.EQUAL, create_revision=create_revision)


def _deletion(key: bytes, create_revision: int) -> TxnRequest:
    delete = RequestOp(request_delete_range=DeleteRangeRequest(key=key))
    return TxnRequest(compare=[_is_same(key, create_revision)], success=[delete])


def _only(result: object) -> bytes | None:
    if not isinstance(result, RangeResult):
        raise TypeError(f"a range was answered with {result!r}")
    return result.kvs[0] if result.kvs else None


def _look_at(future: asyncio.Future[object]) -> None:
    """Nobody waits for the answer, and a failure changes nothing: the key then goes with its lease."""
    if not future.cancelled():
        future.exception()
