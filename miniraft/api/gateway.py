"""The JSON gateway: RPCs as POST requests with a JSON body."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from miniraft.api.answers import answer_to
from miniraft.api.asgi import ClientGone
from miniraft.api.call import Call
from miniraft.api.gateway_errors import respond_error, respond_stream_error
from miniraft.api.gateway_routes import ROUTES, all_paths
from miniraft.api.gateway_stream import RESPONSE_HEADERS, JsonStreamCall, StreamCodecs
from miniraft.api.grpc_framing import parse_timeout, too_large
from miniraft.api.http_response import NO_SNIFF, PLAIN_TEXT, BodyTooLarge, read_body, respond
from miniraft.api.json_codec import JsonError, MessageCodec
from miniraft.api.paced_send import UNPACED_BYTES, paced
from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from miniraft.api.admission import Admission
    from miniraft.api.asgi import Receive, Scope, Send
    from miniraft.api.call import StreamHandler, UnaryHandler
    from miniraft.api.guard import Guard
    from miniraft.api.http_response import Headers
    from miniraft.api.method import Method, MethodTable
    from miniraft.api.stream_server import StreamServer
    from miniraft.api.traffic import Traffic

    GatewayEndpoint = Callable[[Scope, Receive, Send, Headers], Awaitable[None]]

_METADATA_PREFIX = b"grpc-metadata-"
# HTTP headers that become metadata under their own name.
_OWN_NAMES = frozenset((b"authorization", b"grpc-timeout"))

# A user's rights must not depend on a header that a proxy may have let through (CVE-2018-16886).
_CERTIFICATE_IGNORED = (
    b"CommonName of client sending a request against gateway will be ignored and not used as expected\n"
)
_WRONG_METHOD = EtcdError(Code.UNIMPLEMENTED, "Method Not Allowed")
_UNKNOWN_PATH = EtcdError(Code.NOT_FOUND, "Not Found")


class Gateway:
    """Answers everything below /v3/ and its older names."""

    def __init__(
        self,
        table: MethodTable,
        guard: Guard,
        admission: Admission,
        streams: StreamServer,
        traffic: Traffic,
        max_request_bytes: int,
    ) -> None:
        """`max_request_bytes` bounds a request as a message; its JSON may be larger, for base64."""
        self._guard = guard
        self._admission = admission
        self._streams = streams
        self._traffic = traffic
        self._max_request_bytes = max_request_bytes
        self._max_body_bytes = 2 * max_request_bytes
        self._endpoints: dict[str, GatewayEndpoint] = {}
        self._many_requests: set[str] = set()
        for path, rpc in ROUTES.items():
            method = table.by_path[rpc]
            endpoint = self._endpoint(method)
            for served in all_paths(path):
                self._endpoints[served] = endpoint
                if method.descriptor.client_streaming:
                    self._many_requests.add(served)

    def takes_many_requests(self, path: str) -> bool:
        """Whether the body of a request to `path` may hold more than one JSON object."""
        return path in self._many_requests

    async def serve(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answers one request; `headers` (for CORS) go on every answer."""
        endpoint = self._endpoints.get(scope["path"])
        if self._guard.ignores_certificate(scope):
            await respond(send, 400, [*headers, PLAIN_TEXT, NO_SNIFF], _CERTIFICATE_IGNORED)
        elif endpoint is None:
            await respond_error(send, headers, _UNKNOWN_PATH)
        elif scope["method"] != "POST":
            await respond_error(send, headers, _WRONG_METHOD)
        else:
            await endpoint(scope, receive, send, headers)

    def _endpoint(self, method: Method) -> GatewayEndpoint:
        if method.handler is not None:
            return self._unary_endpoint(method, method.handler)
        if method.stream_handler is not None:
            return self._stream_endpoint(method, method.stream_handler)
        return _unimplemented(method)

    def _stream_endpoint(self, method: Method, handler: StreamHandler) -> GatewayEndpoint:
        codecs = StreamCodecs(method, self._max_request_bytes)
        run = self._streams.run
        traffic = self._traffic

        async def serve(scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
            send = paced(scope, send)
            call = JsonStreamCall(method, codecs, traffic, _metadata(scope), receive, send, headers)
            await run(method, handler, call)

        return serve

    def _unary_endpoint(self, method: Method, handler: UnaryHandler) -> GatewayEndpoint:
        input_codec = MessageCodec(method.descriptor.input_type)
        output_codec = MessageCodec(method.descriptor.output_type)
        admit = self._admission.admit
        traffic = self._traffic

        async def serve(scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
            method.started += 1
            code = Code.CANCELLED  # unless the call comes to an end
            call = None
            began = time.perf_counter() if method.handling_seconds is not None else 0.0
            try:
                call = _call(scope)
                call.receive = receive
                admit(method, call.metadata)
                text = await read_body(receive, self._max_body_bytes)
                request = input_codec.decode(text).SerializeToString()
                if len(request) > self._max_request_bytes:
                    raise too_large(len(request), self._max_request_bytes)  # noqa: TRY301
                traffic.received_bytes += len(request)
                method.messages_received += 1
                response = await handler(call, request)
                traffic.sent_bytes += len(response)
                method.messages_sent += 1
                body = output_codec.encode_serialized(response)
                code = Code.OK
                if len(body) > UNPACED_BYTES:
                    send = paced(scope, send)
                await respond(send, 200, headers + RESPONSE_HEADERS, body)
            except ClientGone:
                pass
            except Exception as exception:  # noqa: BLE001 (answered and, if unexpected, logged)
                error = self._answer_to(method, exception)
                code = error.code
                await respond_error(send, headers, error)
            finally:
                method.handled[code] += 1
                if call is not None:
                    call.finish()
                if method.handling_seconds is not None:
                    method.handling_seconds.observe(time.perf_counter() - began)

        return serve

    def _answer_to(self, method: Method, exception: Exception) -> EtcdError:
        if isinstance(exception, JsonError):
            return EtcdError(Code.INVALID_ARGUMENT, str(exception))
        if isinstance(exception, BodyTooLarge):
            return too_large(exception.size, self._max_body_bytes)
        return answer_to(method, exception)


def _unimplemented(method: Method) -> GatewayEndpoint:
    respond_in_kind = respond_error if method.is_unary else respond_stream_error

    async def serve(_scope: Scope, _receive: Receive, send: Send, headers: Headers) -> None:
        method.started += 1
        method.handled[Code.UNIMPLEMENTED] += 1
        await respond_in_kind(send, headers, method.unimplemented())

    return serve


def _metadata(scope: Scope) -> dict[bytes, bytes]:
    """Returns the metadata that HTTP headers stand for."""
    metadata = {}
    for name, value in scope["headers"]:
        if name in _OWN_NAMES:
            metadata[name] = value
        elif name.startswith(_METADATA_PREFIX):
            metadata[name[len(_METADATA_PREFIX) :]] = value
    return metadata


def _call(scope: Scope) -> Call:
    metadata = _metadata(scope)
    timeout = metadata.get(b"grpc-timeout")
    return Call(metadata, parse_timeout(timeout) if timeout is not None else None)
