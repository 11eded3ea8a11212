"""Errors as the JSON gateway answers them.

They carry the fields of both generations of etcd's gateway: `error` (up to etcd 3.5) and
`code`, `message` (since 3.6); clients exist that understand only one of them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from miniraft.api.http_response import JSON, respond
from miniraft.errors import Code

if TYPE_CHECKING:
    from miniraft.api.asgi import Send
    from miniraft.api.http_response import Headers
    from miniraft.errors import EtcdError

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


async def respond_error(send: Send, headers: Headers, error: EtcdError) -> None:
    """Answers a unary call with an error."""
    body = orjson.dumps({"error": error.message, "code": int(error.code), "message": error.message})
    await respond(send, HTTP_STATUS[error.code], headers + _error_headers(error), body)


async def respond_stream_error(send: Send, headers: Headers, error: EtcdError) -> None:
    """Answers a streaming call, of which nothing has been sent yet, with an error."""
    body = orjson.dumps({"error": stream_error(error)})
    await respond(send, HTTP_STATUS[error.code], [*headers, JSON], body + b"\n")


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
