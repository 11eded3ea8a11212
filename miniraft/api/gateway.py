"""The JSON gateway: unary RPCs as POST requests with a JSON body.

Errors carry the fields of both generations of etcd's gateway: `error` (up to etcd 3.5) and
`code`, `message` (since 3.6); clients exist that understand only one of them.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from miniraft.api.answers import answer_to
from miniraft.api.asgi import ClientGone
from miniraft.api.call import Call
from miniraft.api.gateway_routes import ROUTES, all_paths
from miniraft.api.grpc_framing import parse_timeout, too_large
from miniraft.api.http_response import JSON, BodyTooLarge, read_body, respond
from miniraft.api.json_codec import JsonError, MessageCodec
from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from miniraft.api.admission import Admission
    from miniraft.api.asgi import Receive, Scope, Send
    from miniraft.api.http_response import Headers
    from miniraft.api.method import Method, MethodTable
    from miniraft.api.traffic import Traffic

    GatewayEndpoint = Callable[[Scope, Receive, Send, Headers], Awaitable[None]]

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

_RESPONSE_HEADERS = [JSON, (b"grpc-metadata-content-type", b"application/grpc")]

_METADATA_PREFIX = b"grpc-metadata-"
# HTTP headers that become metadata under their own name.
_OWN_NAMES = frozenset((b"authorization", b"grpc-timeout"))

_WRONG_METHOD = EtcdError(Code.UNIMPLEMENTED, "Method Not Allowed")
_UNKNOWN_PATH = EtcdError(Code.NOT_FOUND, "Not Found")


class Gateway:
    """Answers everything below /v3/ and its older names."""

    def __init__(
        self, table: MethodTable, admission: Admission, traffic: Traffic, max_request_bytes: int
    ) -> None:
        """`max_request_bytes` bounds a request as a message; its JSON may be larger, for base64."""
        self._admission = admission
        self._traffic = traffic
        self._max_request_bytes = max_request_bytes
        self._max_body_bytes = 2 * max_request_bytes
        self._endpoints: dict[str, GatewayEndpoint] = {}
        for path, rpc in ROUTES.items():
            endpoint = self._endpoint(table.by_path[rpc])
            for served in all_paths(path):
                self._endpoints[served] = endpoint

    async def serve(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answers one request; `headers` (for CORS) go on every answer."""
        endpoint = self._endpoints.get(scope["path"])
        if endpoint is None:
            await respond_error(send, headers, _UNKNOWN_PATH)
        elif scope["method"] != "POST":
            await respond_error(send, headers, _WRONG_METHOD)
        else:
            await endpoint(scope, receive, send, headers)

    def _endpoint(self, method: Method) -> GatewayEndpoint:
        if method.handler is None:
            return _unimplemented(method)
        handler = method.handler
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
                await respond(send, 200, headers + _RESPONSE_HEADERS, body)
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


def _call(scope: Scope) -> Call:
    """Returns the call with the metadata that HTTP headers stand for."""
    metadata = {}
    for name, value in scope["headers"]:
        if name in _OWN_NAMES:
            metadata[name] = value
        elif name.startswith(_METADATA_PREFIX):
            metadata[name[len(_METADATA_PREFIX) :]] = value
    timeout = metadata.get(b"grpc-timeout")
    return Call(metadata, parse_timeout(timeout) if timeout is not None else None)


async def respond_error(send: Send, headers: Headers, error: EtcdError) -> None:
    """Answers a unary call with an error."""
    body = orjson.dumps({"error": error.message, "code": int(error.code), "message": error.message})
    await respond(send, HTTP_STATUS[error.code], headers + _error_headers(error), body)


async def respond_stream_error(send: Send, headers: Headers, error: EtcdError) -> None:
    """Answers a streaming call, of which nothing has been sent yet, with an error."""
    status = HTTP_STATUS[error.code]
    body = orjson.dumps({"error": stream_error(error)})
    await respond(send, status, headers + _error_headers(error), body + b"\n")


def stream_error(error: EtcdError) -> dict[str, Any]:
    """Returns the `error` object of a stream, with the fields of both gateway generations."""
    status = HTTP_STATUS[error.code]
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return {
        "grpc_code": int(error.code),
        "http_code": status,
        "message": error.message,
        "http_status": phrase,
        "code": int(error.code),
        "details": [],
    }


def _error_headers(error: EtcdError) -> Headers:
    if error.code != Code.UNAUTHENTICATED:
        return [JSON]
    return [JSON, (b"www-authenticate", error.message.encode("ascii", "replace"))]
