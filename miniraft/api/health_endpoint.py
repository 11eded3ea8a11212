"""GET /health: alarms, then the leader, then a read. The first that fails is the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson

from miniraft.api.http_response import NO_SNIFF, PLAIN_TEXT, respond
from miniraft.errors import EtcdError
from miniraft.pb.rpc_pb2 import AlarmType, RangeRequest

if TYPE_CHECKING:
    from miniraft.api.asgi import Scope, Send
    from miniraft.api.http_response import Headers
    from miniraft.api.metrics import Metrics
    from miniraft.server.service import Service

# What is read does not matter, only that reading works.
_PROBE = RangeRequest(key=b"a", serializable=True, limit=1)


async def check_read(service: Service, *, linearizable: bool) -> None:
    """Reads as a client would. Raises EtcdError."""
    if linearizable:
        await service.read_index()
    service.range(_PROBE)


class HealthEndpoint:
    """Answers /health."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    async def serve(self, scope: Scope, send: Send, headers: Headers) -> None:
        """Answers one request."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        reason = await self._reason(
            excluded=frozenset(query.get("exclude", ())), serializable=query.get("serializable") == ["true"]
        )
        body = orjson.dumps({"health": "false" if reason else "true", "reason": reason})
        if reason:
            self._metrics.health_failures += 1
            await respond(send, 503, [*headers, PLAIN_TEXT, NO_SNIFF], body + b"\n")
        else:
            self._metrics.health_success += 1
            await respond(send, 200, [*headers, PLAIN_TEXT], body)

    async def _reason(self, *, excluded: frozenset[str], serializable: bool) -> str:
        """Returns why the member is not healthy, or an empty string."""
        for _, alarm in self._service.alarms():
            name = alarm_name(alarm)
            if name not in excluded:
                return f"ALARM {name}"
        if not serializable and not self._service.leader:
            return "RAFT NO LEADER"
        try:
            await check_read(self._service, linearizable=not serializable)
        except EtcdError as error:
            return f"RANGE ERROR:{error.message}"
        return ""


def alarm_name(alarm: int) -> str:
    """Returns an alarm's name, `UNKNOWN` for one that has none here."""
    value = AlarmType.DESCRIPTOR.values_by_number.get(alarm)
    return "UNKNOWN" if value is None else value.name
