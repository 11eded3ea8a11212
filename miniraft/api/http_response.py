"""Whole HTTP responses and whole request bodies, for everything that is not gRPC."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from miniraft.api.asgi import ClientGone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.api.asgi import Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

PLAIN_TEXT: tuple[bytes, bytes] = (b"content-type", b"text/plain; charset=utf-8")
JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
NO_SNIFF: tuple[bytes, bytes] = (b"x-content-type-options", b"nosniff")


class BodyTooLarge(Exception):  # noqa: N818 (answered in the caller's own form)
    """The request's body is larger than allowed: at least `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


async def respond(send: Send, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    """Sends a whole response. A client that is gone is no error."""
    # RFC 9110, 8.6: none on 204.
    length = [] if status == HTTPStatus.NO_CONTENT else [(b"content-length", b"%d" % len(body))]
    try:
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        await send({"type": "http.response.body", "body": body})
    except OSError:
        pass


async def not_found(send: Send, headers: Headers) -> None:
    """Answers a path that leads nowhere."""
    await respond(send, 404, [*headers, PLAIN_TEXT, NO_SNIFF], b"404 page not found\n")


async def method_not_allowed(send: Send, headers: Headers, allowed: bytes = b"GET") -> None:
    """Answers anything but the one method that is allowed."""
    await respond(send, 405, [*headers, (b"allow", allowed), PLAIN_TEXT, NO_SNIFF], b"Method Not Allowed\n")


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """Returns the request's body. Raises BodyTooLarge as soon as it is; ClientGone."""
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= limit_bytes:
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        if size > limit_bytes:
            raise BodyTooLarge(size)
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        parts.append(part)
    if size > limit_bytes:
        raise BodyTooLarge(size)
    return b"".join(parts)


def header_value(scope: Scope, name: bytes) -> bytes | None:
    """Returns the first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return value  # type: ignore[no-any-return]  # headers are pairs of bytes
    return None
