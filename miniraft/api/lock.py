"""The Lock service. A lock is a key that lives no longer than its owner's lease.

Mind that a lock can be lost while its owner still believes to hold it, for a lease ends when
it is not renewed. What the owner writes to other systems should carry the revision at which
the key was created, and they should refuse what is older than the newest they have seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.api.key_queue import KeyQueue
from miniraft.api.nested_errors import texts_alone
from miniraft.errors import LOCK_SESSION_EXPIRED
from miniraft.pb.lock_pb2 import LockRequest, LockResponse, UnlockRequest
from miniraft.pb.rpc_pb2 import DeleteRangeRequest
from miniraft.server import validation
from miniraft.server.proposal import RequestKind

if TYPE_CHECKING:
    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.long_waits import LongWaits
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service


class LockApi:
    """Handlers of `v3lockpb.Lock`."""

    def __init__(self, service: Service, headers: HeaderWriter, waits: LongWaits) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)
        self._waits = waits

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        return {"/v3lockpb.Lock/Lock": self.lock, "/v3lockpb.Lock/Unlock": self.unlock}

    async def lock(self, call: Call, raw: bytes) -> bytes:
        """Waits for the lock. A lease that holds it already gets it at once."""
        request = LockRequest.FromString(raw)
        return await self._waits.run(call, texts_alone(self._lock(call, request)))

    async def _lock(self, call: Call, request: LockRequest) -> bytes:
        queue = KeyQueue(self._service, self._guard, call, request.name)
        lease_id = await queue.lease_or_new(request.lease)
        place = await queue.enter(lease_id, b"")
        revision: int | None = place.revision
        if not place.has_turn:
            try:
                revision = await queue.wait_for_turn(place.key, place.create_revision)
            except BaseException:
                queue.abandon(place.key, place.create_revision)
                raise
        if revision is None:
            raise LOCK_SESSION_EXPIRED.fresh()
        header = self._headers.message()
        header.revision = revision
        return LockResponse(header=header, key=place.key).SerializeToString()

    async def unlock(self, call: Call, raw: bytes) -> bytes:
        """Deletes the lock's key; it does not matter whether it is still there."""
        request = DeleteRangeRequest(key=UnlockRequest.FromString(raw).key)
        return await call.wait_for(texts_alone(self._delete(call, request)))

    async def _delete(self, call: Call, request: DeleteRangeRequest) -> bytes:
        validation.check_delete_range(request)
        header = await self._guard.header(call)
        result = await self._service.propose(RequestKind.DELETE_RANGE, request.SerializeToString(), header)
        return self._headers.field(result.revision)
