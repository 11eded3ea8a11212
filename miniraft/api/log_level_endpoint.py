"""PUT /config/local/log: changes how much a running member logs, as etcd 3.4 lets one do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from miniraft.api.call import Call
from miniraft.api.gateway_errors import respond_error
from miniraft.api.grpc_framing import METADATA
from miniraft.api.http_response import JSON, BodyTooLarge, method_not_allowed, read_body, respond
from miniraft.errors import EtcdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.api.asgi import Receive, Scope, Send
    from miniraft.api.guard import Guard
    from miniraft.api.http_response import Headers

LOG_LEVEL_PATH = "/config/local/log"

_MAX_BODY_BYTES = 4096
# The names etcd's log has now, and those (also by their first letter) that it had in 3.4.
_LEVELS = {
    "TRACE": "debug",
    "DEBUG": "debug",
    "INFO": "info",
    "NOTICE": "info",
    "WARN": "warn",
    "WARNING": "warn",
    "ERROR": "error",
    "CRITICAL": "fatal",
    "DPANIC": "dpanic",
    "PANIC": "panic",
    "FATAL": "fatal",
    "T": "debug",
    "D": "debug",
    "I": "info",
    "N": "info",
    "W": "warn",
    "E": "error",
    "C": "fatal",
}


class LogLevelEndpoint:
    """Sets the level of the log. With authentication switched on only root may."""

    def __init__(self, guard: Guard, set_level: Callable[[str], None]) -> None:
        """`set_level` is given one of debug, info, warn, error, dpanic, panic, fatal."""
        self._guard = guard
        self._set_level = set_level

    async def serve(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answers one request. Raises ClientGone."""
        if scope["method"] != "PUT":
            await method_not_allowed(send, headers, allowed=b"PUT")
            return
        metadata = {name: value for name, value in scope["headers"] if name in METADATA}
        try:
            await self._guard.require_root(Call(metadata, None))
        except EtcdError as error:
            await respond_error(send, headers, error)
            return
        try:
            name = _level_name(await read_body(receive, _MAX_BODY_BYTES))
        except (BodyTooLarge, ValueError):
            await _refuse(send, headers, "Invalid json body")
            return
        level = _LEVELS.get(name.upper())
        if level is None:
            await _refuse(send, headers, f"Invalid log level {name}")
            return
        self._set_level(level)
        await respond(send, 204, headers, b"")


def _level_name(body: bytes) -> str:
    """Returns the text in `Level` of a JSON object, or empty. Raises ValueError when it is none."""
    request = orjson.loads(body)
    if isinstance(request, dict):
        # As Go reads JSON: in any case, and nothing at all is an empty text.
        level = next((value for name, value in request.items() if name.lower() == "level"), "")
        if isinstance(level, str):
            return level
    raise ValueError("not a JSON object with a text in Level")


async def _refuse(send: Send, headers: Headers, message: str) -> None:
    await respond(send, 400, [*headers, JSON], orjson.dumps({"message": message}))
