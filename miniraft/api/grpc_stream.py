"""gRPC calls with streams: `StreamCall` over gRPC, and how they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from miniraft.api.answers import answer_to
from miniraft.api.asgi import ClientGone
from miniraft.api.call import Call
from miniraft.api.grpc_framing import (
    METADATA,
    FrameReader,
    encode_frame,
    is_grpc,
    parse_timeout,
    status_headers,
)
from miniraft.api.grpc_responses import NO_BODY, START, TRAILERS_OK, reject_content_type, send_error
from miniraft.errors import DEADLINE_EXCEEDED, SERVER_STOPPED, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.api.admission import Admission
    from miniraft.api.asgi import Application, Receive, Scope, Send
    from miniraft.api.call import StreamHandler
    from miniraft.api.method import Method
    from miniraft.api.traffic import Traffic
    from miniraft.errors import EtcdError


class StreamServer:
    """Serves streaming methods, and ends their streams when the server stops."""

    def __init__(self, admission: Admission, traffic: Traffic, max_request_bytes: int) -> None:
        self._admission = admission
        self._traffic = traffic
        self._max_request_bytes = max_request_bytes
        self._open: set[asyncio.Task[object]] = set()
        self._is_stopping = False

    def endpoint(self, method: Method, handler: StreamHandler) -> Application:
        """Returns the ASGI application that serves one streaming method."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            metadata = {name: value for name, value in scope["headers"] if name in METADATA}
            if not is_grpc(metadata.get(b"content-type")):
                await reject_content_type(send)
                return
            method.started += 1
            code = Code.CANCELLED  # unless the stream comes to an end
            reader = FrameReader(receive, self._max_request_bytes)
            call = GrpcStreamCall(method, self._traffic, metadata, reader, send)
            try:
                code = await self._run(method, handler, call)
            finally:
                method.handled[code] += 1

        return serve

    def stop(self) -> None:
        """Ends every stream with `server stopped`; further ones are refused so."""
        self._is_stopping = True
        for task in self._open:
            task.cancel()

    async def _run(self, method: Method, handler: StreamHandler, call: GrpcStreamCall) -> Code:
        """Runs the handler to its end and returns with which code."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an ASGI application must be called from a task")
        deadline = None
        try:
            deadline = _StreamDeadline.of(call.metadata, task)
            self._admit(method, call.metadata)
            self._open.add(task)
            await handler(call)
            await call.end()
        except asyncio.CancelledError:
            error = self._reason_of_cancellation(deadline)
            if error is None:
                raise  # the client is gone
        except (ClientGone, OSError):
            return Code.CANCELLED
        except Exception as exception:  # noqa: BLE001 (answered and, if unexpected, logged)
            error = answer_to(method, exception)
        else:
            return Code.OK
        finally:
            self._open.discard(task)
            if deadline is not None:
                deadline.cancel()
        await call.fail(error)
        return error.code

    def _admit(self, method: Method, metadata: Mapping[bytes, bytes]) -> None:
        self._admission.admit(method, metadata)
        if self._is_stopping:
            raise SERVER_STOPPED.fresh()

    def _reason_of_cancellation(self, deadline: _StreamDeadline | None) -> EtcdError | None:
        if self._is_stopping:
            return SERVER_STOPPED
        return DEADLINE_EXCEEDED if deadline is not None and deadline.has_passed else None


class GrpcStreamCall:
    """One call: `StreamCall` over gRPC."""

    def __init__(
        self,
        method: Method,
        traffic: Traffic,
        metadata: Mapping[bytes, bytes],
        reader: FrameReader,
        send: Send,
    ) -> None:
        self.metadata = metadata
        self.token = Call(metadata, None).token
        self._method = method
        self._traffic = traffic
        self._reader = reader
        self._send = send
        self._has_started = False

    async def receive(self) -> bytes | None:
        """Returns the next serialized request, or None once the client has sent its last."""
        request = await self._reader.next()
        if request is not None:
            self._traffic.received_bytes += len(request)
            self._method.messages_received += 1
        return request

    async def send(self, response: bytes) -> None:
        """Sends a serialized response; waits while the client reads too slowly."""
        await self._start()
        self._traffic.sent_bytes += len(response)
        self._method.messages_sent += 1
        await self._send({"type": "http.response.body", "body": encode_frame(response), "more_body": True})

    async def end(self) -> None:
        """Ends the stream without an error."""
        await self._start()
        await self._send(NO_BODY)
        await self._send(TRAILERS_OK)

    async def fail(self, error: EtcdError) -> None:
        """Ends the stream with an error. A client that is gone is no error."""
        if not self._has_started:
            await send_error(self._send, error)
            return
        trailers = status_headers(error.code, error.message)
        try:
            await self._send(NO_BODY)
            await self._send({"type": "http.response.trailers", "headers": trailers})
        except OSError:
            pass

    async def _start(self) -> None:
        if not self._has_started:
            self._has_started = True
            await self._send(START)


class _StreamDeadline:
    """Cancels a stream's task at its deadline."""

    def __init__(self, task: asyncio.Task[object], seconds: float) -> None:
        self.has_passed = False
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(seconds, self._pass)

    @classmethod
    def of(cls, metadata: Mapping[bytes, bytes], task: asyncio.Task[object]) -> _StreamDeadline | None:
        """Returns the deadline the client has set, if it has. Raises EtcdError when malformed."""
        value = metadata.get(b"grpc-timeout")
        return None if value is None else cls(task, parse_timeout(value))

    def cancel(self) -> None:
        """Called when the stream has ended."""
        self._timer.cancel()

    def _pass(self) -> None:
        self.has_passed = True
        self._task.cancel()
