"""gRPC responses as ASGI messages, built once and shared: servers do not write to them.

An error before anything was sent is answered "trailers-only": its status stands in the
headers and there is no body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.grpc_framing import CONTENT_TYPE, status_headers
from miniraft.api.http_response import PLAIN_TEXT, respond
from miniraft.errors import Code, EtcdError

if TYPE_CHECKING:
    from miniraft.api.asgi import Message, Receive, Scope, Send

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [CONTENT_TYPE],
    "trailers": True,
}
NO_BODY: Message = {"type": "http.response.body", "body": b""}
TRAILERS_OK: Message = {"type": "http.response.trailers", "headers": status_headers(0, "")}


async def send_error(send: Send, error: EtcdError) -> None:
    """Answers a call of which nothing has been sent yet with an error."""
    headers = [CONTENT_TYPE, *status_headers(error.code, error.message)]
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(NO_BODY)
    except OSError:
        pass  # the client is gone


async def serve_unknown(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers a gRPC call of a service or method that does not exist."""
    service, _, method = scope["path"].removeprefix("/").rpartition("/")
    text = (
        f"unknown method {method} for service {service}" if service else f"malformed method name: {method!r}"
    )
    await send_error(send, EtcdError(Code.UNIMPLEMENTED, text))


async def reject_content_type(send: Send) -> None:
    """Answers a request to a gRPC path that is not gRPC with protobuf messages."""
    text = b"invalid gRPC request content-type: send application/grpc over HTTP/2\n"
    await respond(send, 415, [PLAIN_TEXT], text)
