"""GET /livez and /readyz: named checks, each also at a path of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from miniraft.api.health_endpoint import check_read
from miniraft.api.http_response import NO_SNIFF, PLAIN_TEXT, not_found, respond
from miniraft.errors import EtcdError
from miniraft.pb.rpc_pb2 import AlarmType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from miniraft.api.asgi import Scope, Send
    from miniraft.api.http_response import Headers
    from miniraft.api.metrics import Metrics
    from miniraft.server.service import Service

    # Returns why it failed, or an empty string.
    Check = Callable[[], Awaitable[str]]

_log = logging.getLogger("miniraft.api")


class Probes:
    """Answers both probes. A full quota (NOSPACE) fails neither: the member still serves."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._checks: dict[str, dict[str, Check]] = {
            "livez": {"serializable_read": self._serializable_read},
            "readyz": {
                "data_corruption": self._data_corruption,
                "serializable_read": self._serializable_read,
                "linearizable_read": self._linearizable_read,
                "non_learner": self._non_learner,
            },
        }

    def serves(self, path: str) -> bool:
        """Whether a path is one of the probes' or below it."""
        return path.split("/", 2)[1] in self._checks

    async def serve(self, scope: Scope, send: Send, headers: Headers) -> None:
        """Answers one request."""
        _, kind, *rest = scope["path"].split("/", 2)
        checks = self._checks[kind]
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        name = rest[0] if rest else ""
        if name:
            if name not in checks:
                await not_found(send, headers)
                return
            checks = {name: checks[name]}
        else:
            excluded = set(query.get("exclude", ()))
            for unknown in excluded - checks.keys():
                _log.warning("/%s?exclude=%s: there is no such check", kind, unknown[:100])
            checks = {key: check for key, check in checks.items() if key not in excluded}
        await self._run(kind, checks, send, headers, verbose="verbose" in query)

    async def _run(
        self, kind: str, checks: dict[str, Check], send: Send, headers: Headers, *, verbose: bool
    ) -> None:
        lines = []
        failed = False
        for name, check in checks.items():
            try:
                reason = await check()
            except EtcdError as error:
                reason = error.message
            self._metrics.count_health_check(kind, name, succeeded=not reason)
            failed = failed or bool(reason)
            lines.append(f"[-]{name} failed: {reason}\n" if reason else f"[+]{name} ok\n")
        if failed:
            status, text = 503, "".join(lines) + "\n"
        else:
            status, text = 200, ("".join(lines) if verbose else "") + "ok\n"
        await respond(send, status, [*headers, PLAIN_TEXT, NO_SNIFF], text.encode())

    async def _serializable_read(self) -> str:
        await check_read(self._service, linearizable=False)
        return ""

    async def _linearizable_read(self) -> str:
        await check_read(self._service, linearizable=True)
        return ""

    async def _data_corruption(self) -> str:
        corrupt = any(alarm == AlarmType.CORRUPT for _, alarm in self._service.alarms())
        return "alarm activated: CORRUPT" if corrupt else ""

    async def _non_learner(self) -> str:
        return "not supported for learner" if self._service.is_learner else ""
