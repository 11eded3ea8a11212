"""gRPC calls with streams: `StreamCall` over gRPC, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from miniraft.api.call import Call
from miniraft.api.grpc_framing import METADATA, FrameReader, encode_frame, is_grpc, status_headers
from miniraft.api.grpc_responses import NO_BODY, START, TRAILERS_OK, reject_content_type, send_error
from miniraft.api.paced_send import paced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.api.asgi import Application, Receive, Scope, Send
    from miniraft.api.call import StreamHandler
    from miniraft.api.method import Method
    from miniraft.api.stream_server import StreamServer
    from miniraft.api.traffic import Traffic
    from miniraft.errors import EtcdError


def grpc_stream_endpoint(
    method: Method, handler: StreamHandler, streams: StreamServer, traffic: Traffic, max_request_bytes: int
) -> Application:
    """Returns the ASGI application that serves one streaming method."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        metadata = {name: value for name, value in scope["headers"] if name in METADATA}
        if not is_grpc(metadata.get(b"content-type")):
            await reject_content_type(send)
            return
        reader = FrameReader(receive, max_request_bytes)
        call = GrpcStreamCall(method, traffic, metadata, scope, reader, paced(scope, send))
        await streams.run(method, handler, call)

    return serve


class GrpcStreamCall:
    """One call: `StreamCall` over gRPC."""

    def __init__(
        self,
        method: Method,
        traffic: Traffic,
        metadata: Mapping[bytes, bytes],
        scope: Scope,
        reader: FrameReader,
        send: Send,
    ) -> None:
        self.scope: Scope | None = scope
        self.metadata = metadata
        self.token = Call(metadata, None).token
        self._method = method
        self._traffic = traffic
        self._reader = reader
        self._send = send
        self._has_started = False

    async def receive(self) -> bytes | None:
        """See StreamCall. Raises EtcdError for what is no message; ClientGone."""
        request = await self._reader.next()
        if request is not None:
            self._traffic.received_bytes += len(request)
            self._method.messages_received += 1
        return request

    async def gone(self) -> NoReturn:
        """See StreamCall."""
        await self._reader.gone()

    async def send(self, *responses: bytes) -> None:
        """See StreamCall."""
        if not self._has_started:
            await self._start()
        body = b"".join([encode_frame(response) for response in responses])
        self._traffic.sent_bytes += sum(map(len, responses))
        self._method.messages_sent += len(responses)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

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
