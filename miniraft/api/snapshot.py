"""Maintenance.Snapshot: all data of a member as a stream, in etcd's own file format."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.pb.rpc_pb2 import SnapshotRequest, SnapshotResponse
from miniraft.version import STORAGE_VERSION

if TYPE_CHECKING:
    from miniraft.api.call import StreamCall, StreamHandler
    from miniraft.server.service import Service

SNAPSHOT_PATH = "/etcdserverpb.Maintenance/Snapshot"


class SnapshotApi:
    """The handler of `etcdserverpb.Maintenance/Snapshot`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._guard = Guard(service)

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {SNAPSHOT_PATH: self.snapshot}

    async def snapshot(self, call: StreamCall) -> None:
        """Sends the snapshot in pieces, without headers, as etcd does."""
        SnapshotRequest.FromString(await call.receive() or b"")
        await self._guard.require_root(call)
        sending = asyncio.ensure_future(self._send(call))
        gone = asyncio.ensure_future(call.gone())
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                gone.result()  # raises: the client has left
            sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, call: StreamCall) -> None:
        async with contextlib.aclosing(self._service.administration.snapshot()) as pieces:
            async for blob, remaining_bytes in pieces:
                response = SnapshotResponse(
                    blob=blob, remaining_bytes=remaining_bytes, version=STORAGE_VERSION
                )
                await call.send(response.SerializeToString())
