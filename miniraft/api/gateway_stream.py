"""Streaming RPCs by JSON: `StreamCall` over HTTP.

Requests are JSON objects one after another in the body; its end ends the requests, not the
stream. Each response is one line, `{"result":...}`, an error in the midst of them a line
`{"error":...}`. The status line waits for the first of them, so that an error that comes first
still has its status.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

import orjson

from miniraft.api.asgi import ClientGone
from miniraft.api.call import Call
from miniraft.api.gateway_errors import respond_stream_error, stream_error
from miniraft.api.grpc_framing import too_large
from miniraft.api.http_response import JSON
from miniraft.api.json_codec import JsonError, MessageCodec
from miniraft.api.json_splitter import JsonSplitter
from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from miniraft.api.asgi import Receive, Scope, Send
    from miniraft.api.http_response import Headers
    from miniraft.api.method import Method
    from miniraft.api.traffic import Traffic

RESPONSE_HEADERS: Headers = [JSON, (b"grpc-metadata-content-type", b"application/grpc")]


class StreamCodecs:
    """How one method's requests and responses are read and written, and how large they may be."""

    def __init__(self, method: Method, max_request_bytes: int) -> None:
        self.request = MessageCodec(method.descriptor.input_type)
        self.response = MessageCodec(method.descriptor.output_type)
        self.max_request_bytes = max_request_bytes
        self.max_text_bytes = 2 * max_request_bytes  # JSON is larger, for base64
        self.has_one_request = not method.descriptor.client_streaming


class JsonStreamCall:
    """One call: `StreamCall` over JSON."""

    def __init__(
        self,
        method: Method,
        codecs: StreamCodecs,
        traffic: Traffic,
        metadata: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
        headers: Headers,
    ) -> None:
        """`headers` (for CORS) go on the answer."""
        self.scope: Scope | None = None  # by JSON no certificate says who calls
        self.metadata = metadata
        self.token = Call(metadata, None).token
        self._method = method
        self._codecs = codecs
        self._traffic = traffic
        self._receive = receive
        self._send = send
        self._headers = headers
        self._splitter = JsonSplitter()
        self._body_has_ended = False
        self._has_request = False
        self._has_started = False

    # Requests ---------------------------------------------------------------------------------
    async def receive(self) -> bytes | None:
        """See StreamCall. Raises EtcdError for what is no request; ClientGone."""
        try:
            request = await self._next_request()
        except JsonError as error:
            raise EtcdError(Code.INVALID_ARGUMENT, str(error)) from None
        if request is None:
            return None
        self._has_request = True
        if len(request) > self._codecs.max_request_bytes:
            raise too_large(len(request), self._codecs.max_request_bytes)
        self._traffic.received_bytes += len(request)
        self._method.messages_received += 1
        return request

    async def _next_request(self) -> bytes | None:
        splitter = self._splitter
        while (text := splitter.next()) is None:
            if splitter.buffered_bytes > self._codecs.max_text_bytes:
                raise too_large(splitter.buffered_bytes, self._codecs.max_text_bytes)
            if self._body_has_ended:
                splitter.end()
                # One request is owed, and an empty body stands for one without fields.
                return b"" if self._codecs.has_one_request and not self._has_request else None
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            splitter.feed(message.get("body", b""))
            self._body_has_ended = not message.get("more_body", False)
        return self._codecs.request.decode(text).SerializeToString()

    async def gone(self) -> NoReturn:
        """See StreamCall."""
        while (await self._receive())["type"] == "http.request":
            pass
        raise ClientGone

    # Responses --------------------------------------------------------------------------------
    async def send(self, *responses: bytes) -> None:
        """See StreamCall. Each line is a chunk of its own: there are clients that rely on it."""
        await self._start()
        self._method.messages_sent += len(responses)
        for response in responses:
            self._traffic.sent_bytes += len(response)
            line = b'{"result":%b}\n' % self._codecs.response.encode_serialized(response)
            await self._send({"type": "http.response.body", "body": line, "more_body": True})

    async def end(self) -> None:
        """Ends the stream without an error."""
        await self._start()
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, error: EtcdError) -> None:
        """Ends the stream with an error. A client that is gone is no error."""
        if not self._has_started:
            await respond_stream_error(self._send, self._headers, error)
            return
        line = orjson.dumps({"error": stream_error(error)}) + b"\n"
        with contextlib.suppress(OSError):
            await self._send({"type": "http.response.body", "body": line})

    async def _start(self) -> None:
        if not self._has_started:
            self._has_started = True
            headers = self._headers + RESPONSE_HEADERS
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
