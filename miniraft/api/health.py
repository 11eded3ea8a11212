"""The standard gRPC health service. The server as a whole is the one service registered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from miniraft.errors import Code, EtcdError
from miniraft.pb.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

if TYPE_CHECKING:
    from miniraft.api.call import Call, StreamCall, StreamHandler, UnaryHandler

_SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)
_SERVICE_UNKNOWN = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)


class HealthApi:
    """Handlers of `grpc.health.v1.Health`. A member that listens to clients is serving."""

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        return {
            "/grpc.health.v1.Health/Check": self.check,
            "/grpc.health.v1.Health/List": self.list,
        }

    def streams(self) -> dict[str, StreamHandler]:
        """Returns the stream handlers by path."""
        return {"/grpc.health.v1.Health/Watch": self.watch}

    async def check(self, _call: Call, raw: bytes) -> bytes:
        """Answers SERVING for the server, NOT_FOUND for any name."""
        if HealthCheckRequest.FromString(raw).service:
            raise EtcdError(Code.NOT_FOUND, "unknown service")
        return _SERVING.SerializeToString()

    async def list(self, _call: Call, raw: bytes) -> bytes:
        """Answers the status of everything there is."""
        HealthListRequest.FromString(raw)
        return HealthListResponse(statuses={"": _SERVING}).SerializeToString()

    async def watch(self, call: StreamCall) -> None:
        """Sends the status now and whenever it changes; it never does while we listen."""
        raw = await call.receive()
        request = HealthCheckRequest.FromString(raw or b"")
        response = _SERVICE_UNKNOWN if request.service else _SERVING
        await call.send(response.SerializeToString())
        await asyncio.Event().wait()  # until the client or the server ends the stream
