"""The client-facing API as one ASGI application: gRPC, the JSON gateway and plain HTTP.

Plain ASGI 3 with the `http.response.trailers` extension, so that any server with HTTP/2 and
trailers can carry it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from miniraft.api.access import AccessControl
from miniraft.api.admission import Admission
from miniraft.api.asgi import ClientGone
from miniraft.api.cluster import ClusterApi
from miniraft.api.gateway import Gateway
from miniraft.api.gateway_routes import is_gateway_path
from miniraft.api.grpc_framing import is_grpc
from miniraft.api.grpc_responses import send_error, serve_unknown
from miniraft.api.grpc_stream import StreamServer
from miniraft.api.grpc_unary import unary_endpoint
from miniraft.api.health import HealthApi
from miniraft.api.http_endpoints import InformationEndpoints, MonitoringEndpoints
from miniraft.api.http_response import PLAIN_TEXT, header_value, not_found, respond
from miniraft.api.kv import RANGE_PATH, KeyValueApi
from miniraft.api.maintenance import MaintenanceApi
from miniraft.api.method import MethodTable
from miniraft.api.metrics import ApiCounters, Metrics
from miniraft.api.range_stream import RangeStreamApi
from miniraft.api.response_header import HeaderWriter
from miniraft.api.traffic import Traffic
from miniraft.errors import Code

if TYPE_CHECKING:
    from miniraft.api import asgi
    from miniraft.api.asgi import Receive, Scope, Send
    from miniraft.api.http_response import Headers
    from miniraft.api.method import Method
    from miniraft.api.options import ApiOptions
    from miniraft.server.service import Service

_log = logging.getLogger("miniraft.api")

# A message may be this much larger than the largest request in it, as in etcd.
_GRPC_OVERHEAD_BYTES = 512 * 1024

_LEARNER_PATHS = (
    RANGE_PATH,  # serializable only; the handler sees to it
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Snapshot",
)


class ClientApplication:
    """The ASGI application. `stop` ends streams; requests end by themselves."""

    def __init__(self, service: Service, metrics: Metrics, options: ApiOptions) -> None:
        admission = Admission(service)
        traffic = Traffic()
        table = method_table(service)
        metrics.add_api(ApiCounters(table, admission, traffic))
        max_request_bytes = service.limits.max_request_bytes + _GRPC_OVERHEAD_BYTES
        self._streams = StreamServer(admission, traffic, max_request_bytes)
        self._endpoints: dict[str, asgi.Application] = {}
        if options.serve_grpc:
            for path, method in table.by_path.items():
                if method.handler is not None:
                    endpoint = unary_endpoint(method, method.handler, admission, traffic, max_request_bytes)
                elif method.stream_handler is not None:
                    endpoint = self._streams.endpoint(method, method.stream_handler)
                else:
                    endpoint = _unimplemented(method)
                self._endpoints[path] = endpoint
        self._http = None
        if options.serve_http:
            gateway = (
                Gateway(table, admission, traffic, max_request_bytes) if options.enable_gateway else None
            )
            self._http = _HttpApplication(service, metrics, options, gateway)
        self._serves_grpc = options.serve_grpc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        endpoint = self._endpoints.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None:
            await endpoint(scope, receive, send)
        else:
            await self._serve_other(scope, receive, send)

    def stop(self) -> None:
        """Ends every stream with `etcdserver: server stopped`; further ones are refused so."""
        self._streams.stop()

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await _lifespan(receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif self._serves_grpc and is_grpc(header_value(scope, b"content-type")):
            await serve_unknown(scope, receive, send)
        elif self._http is not None:
            await self._http.serve(scope, receive, send)
        else:
            await not_found(send, [])


class _HttpApplication:
    """HTTP/1.1 and HTTP/2 requests that are not gRPC."""

    def __init__(
        self, service: Service, metrics: Metrics, options: ApiOptions, gateway: Gateway | None
    ) -> None:
        self._access = AccessControl(options.cors, options.host_whitelist)
        self._gateway = gateway
        self._monitoring = MonitoringEndpoints(service, metrics)
        self._information = InformationEndpoints(service)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. An unexpected error is logged and answered 500."""
        headers: Headers = []
        try:
            if not self._access.allows_host(scope):
                await respond(send, 421, [PLAIN_TEXT], self._access.refusal(scope))
                return
            headers = self._access.headers(scope)
            if scope["method"] == "OPTIONS":
                await respond(send, 200, headers, b"")
            elif self._gateway is not None and is_gateway_path(scope["path"]):
                await self._gateway.serve(scope, receive, send, headers)
            elif not await self._monitoring.serve(scope, send, headers):
                await self._information.serve(scope, send, headers)
        except (ClientGone, OSError):
            pass
        except Exception:  # noqa: BLE001 (logged there, and answered)
            await _unexpected(scope, send, headers)


class MetricsApplication:
    """What a --listen-metrics-urls address serves: monitoring, and nothing else."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._monitoring = MonitoringEndpoints(service, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            try:
                if not await self._monitoring.serve(scope, send, []):
                    await not_found(send, [])
            except OSError:
                pass
            except Exception:  # noqa: BLE001 (logged there, and answered)
                await _unexpected(scope, send, [])

    def stop(self) -> None:
        """There are no streams here to end."""


def create_application(service: Service, metrics: Metrics, options: ApiOptions) -> ClientApplication:
    """Returns the client API over `service`, whose counters are added to `metrics`."""
    return ClientApplication(service, metrics, options)


def create_metrics_application(service: Service, metrics: Metrics) -> MetricsApplication:
    """Returns the application for addresses that only monitoring may reach."""
    return MetricsApplication(service, metrics)


def method_table(service: Service) -> MethodTable:
    """Returns every RPC, with handlers over `service` where they are built."""
    headers = HeaderWriter(service)
    key_value = KeyValueApi(service, headers)
    cluster = ClusterApi(service, headers)
    maintenance = MaintenanceApi(service, headers)
    health = HealthApi()
    return MethodTable(
        unary={**key_value.unary(), **cluster.unary(), **maintenance.unary(), **health.unary()},
        streams={**RangeStreamApi(service, headers).streams(), **health.streams()},
        learner_paths=_LEARNER_PATHS,
    )


def _unimplemented(method: Method) -> asgi.Application:
    async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
        method.started += 1
        method.handled[Code.UNIMPLEMENTED] += 1
        await send_error(send, method.unimplemented())

    return serve


async def _lifespan(receive: Receive, send: Send) -> None:
    """Agrees to start and stop: the member is up before its listener is."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _unexpected(scope: Scope, send: Send, headers: Headers) -> None:
    _log.exception("unexpected error in %s", scope["path"])
    text = b"unexpected error in the server: its log has the details\n"
    await respond(send, 500, [*headers, PLAIN_TEXT], text)
