"""The Watch service: one stream of requests and responses for any number of watches."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NoReturn

from miniraft.api.guard import Guard
from miniraft.api.watch_responses import WatchResponseWriter
from miniraft.errors import EtcdError
from miniraft.pb.rpc_pb2 import WatchRequest

if TYPE_CHECKING:
    from miniraft.api.call import StreamCall, StreamHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.mvcc.watch.stream import WatchStream
    from miniraft.server.service import Service

FIRST_KEY = b"\0"
_GRPC_OVERHEAD_BYTES = 512 * 1024
_MOST_BYTES_AT_ONCE = 64 * 1024

# Progress notices of many streams are spread over a tenth of the interval, as etcd's are.
_MOST_JITTER = 0.1


class WatchApi:
    """The handler of `etcdserverpb.Watch/Watch`."""

    def __init__(self, service: Service, headers: HeaderWriter, progress_interval_seconds: float) -> None:
        self._service = service
        self._guard = Guard(service)
        self._writer = WatchResponseWriter(headers, service.limits.max_request_bytes + _GRPC_OVERHEAD_BYTES)
        self._progress_interval_seconds = progress_interval_seconds

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {"/etcdserverpb.Watch/Watch": self.watch}

    async def watch(self, call: StreamCall) -> None:
        """Serves one stream until the client is gone: the end of its requests is not the end."""
        ready = asyncio.Event()
        stream = self._service.watches.open_stream(ready.set)
        connection = _Connection(
            call, stream, ready, self._writer, self._guard, self._progress_interval_seconds
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.send_responses())
                await connection.take_requests()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            connection.close()


class _Connection:
    """One client's stream, between the hub and the wire."""

    def __init__(
        self,
        call: StreamCall,
        stream: WatchStream,
        ready: asyncio.Event,
        writer: WatchResponseWriter,
        guard: Guard,
        progress_interval_seconds: float,
    ) -> None:
        """`ready` is set by the stream when there is something to send."""
        self._call = call
        self._stream = stream
        self._ready = ready
        self._room = asyncio.Event()  # set when fewer answers wait
        self._writer = writer
        self._guard = guard
        self._progress_seconds = progress_interval_seconds * random.uniform(1, 1 + _MOST_JITTER)
        self._progress_timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Frees everything at once."""
        self._stream.close()
        if self._progress_timer is not None:
            self._progress_timer.cancel()

    # Requests ---------------------------------------------------------------------------------
    async def take_requests(self) -> NoReturn:
        """Takes requests while there are any, then waits for the client to go. Raises ClientGone."""
        while (raw := await self._call.receive()) is not None:
            request = WatchRequest.FromString(raw)
            if not self._guard.authorization.enabled or await self._may(request):
                self._take(request)
            if self._stream.has_many_notices:
                self._room.clear()
                await self._room.wait()
        await self._call.gone()

    async def _may(self, request: WatchRequest) -> bool:
        """Whether the client may do that; otherwise it has been told that it may not."""
        if not request.HasField("create_request"):
            return True
        wanted = request.create_request
        try:
            # A watch without a key is one of all keys from the first.
            await self._guard.require_read(self._call, wanted.key or FIRST_KEY, wanted.range_end)
        except EtcdError as error:
            name = "".join(word.capitalize() for word in error.code.name.split("_"))
            self._stream.refuse(f"rpc error: code = {name} desc = {error.message}")
            return False
        return True

    def _take(self, request: WatchRequest) -> None:
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            watcher = self._stream.create(request.create_request)
            if watcher is not None and watcher.wants_progress and self._progress_timer is None:
                self._plan_progress()
        elif kind == "cancel_request":
            self._stream.cancel(request.cancel_request.watch_id)
        elif kind == "progress_request":
            self._stream.request_progress()

    def _plan_progress(self) -> None:
        loop = asyncio.get_running_loop()
        self._progress_timer = loop.call_later(self._progress_seconds, self._tell_progress)

    def _tell_progress(self) -> None:
        self._stream.notify_progress()
        self._plan_progress()

    # Responses --------------------------------------------------------------------------------
    async def send_responses(self) -> NoReturn:
        """Sends what waits; while the client reads too slowly, more waits, and then the hub stops."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while responses := self._next_responses():
                await self._call.send(*responses)

    def _next_responses(self) -> list[bytes]:
        """Returns as many responses as are well sent at once."""
        stream, writer = self._stream, self._writer
        responses: list[bytes] = []
        size = 0
        while size < _MOST_BYTES_AT_ONCE and (message := stream.take()) is not None:
            encoded = writer.responses(message)
            responses += encoded
            size += sum(map(len, encoded))
        if not stream.has_many_notices:
            self._room.set()
        return responses
