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
from miniraft.api.auth import AuthApi
from miniraft.api.cluster import ClusterApi
from miniraft.api.election import ElectionApi
from miniraft.api.gateway import Gateway
from miniraft.api.gateway_routes import is_gateway_path
from miniraft.api.gateway_websocket import WebSocketExchange, refuse
from miniraft.api.grpc_framing import is_grpc
from miniraft.api.grpc_responses import send_error, serve_unknown
from miniraft.api.grpc_stream import grpc_stream_endpoint
from miniraft.api.grpc_unary import unary_endpoint
from miniraft.api.guard import Guard
from miniraft.api.health import HealthApi
from miniraft.api.http_endpoints import InformationEndpoints, MonitoringEndpoints
from miniraft.api.http_response import PLAIN_TEXT, header_value, not_found, respond
from miniraft.api.kv import RANGE_PATH, KeyValueApi
from miniraft.api.lease import LeaseApi
from miniraft.api.lock import LockApi
from miniraft.api.log_level_endpoint import LOG_LEVEL_PATH, LogLevelEndpoint
from miniraft.api.long_waits import LongWaits
from miniraft.api.maintenance import MaintenanceApi
from miniraft.api.method import SERVICE_FILES, MethodTable
from miniraft.api.metrics import ApiCounters, Metrics
from miniraft.api.range_stream import RangeStreamApi
from miniraft.api.reflection import ReflectionApi
from miniraft.api.response_header import HeaderWriter
from miniraft.api.snapshot import SNAPSHOT_PATH, SnapshotApi
from miniraft.api.stream_server import StreamServer
from miniraft.api.traffic import Traffic
from miniraft.api.watch import WatchApi
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
    SNAPSHOT_PATH,
)


class ClientApplication:
    """The ASGI application. `stop` ends streams and long waits; requests end by themselves."""

    def __init__(self, service: Service, metrics: Metrics, options: ApiOptions) -> None:
        admission = Admission(service)
        traffic = Traffic()
        waits = self._waits = LongWaits()
        table = method_table(service, options, waits)
        metrics.add_api(ApiCounters(table, admission, traffic))
        max_request_bytes = service.limits.max_request_bytes + _GRPC_OVERHEAD_BYTES
        streams = self._streams = StreamServer(admission)
        service.call_when_leaderless(streams.leader_lost)
        self._endpoints: dict[str, asgi.Application] = {}
        if options.serve_grpc:
            for path, method in table.by_path.items():
                if method.handler is not None:
                    endpoint = unary_endpoint(method, method.handler, admission, traffic, max_request_bytes)
                elif method.stream_handler is not None:
                    endpoint = grpc_stream_endpoint(
                        method, method.stream_handler, streams, traffic, max_request_bytes
                    )
                else:
                    endpoint = _unimplemented(method)
                self._endpoints[path] = endpoint
        self._http = None
        if options.serve_http:
            gateway = None
            if options.enable_gateway:
                gateway = Gateway(table, Guard(service), admission, streams, traffic, max_request_bytes)
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
        self._waits.stop()

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await _lifespan(receive, send)
        elif kind == "websocket":
            if self._http is None:
                await refuse(send)
            else:
                await self._http.serve_websocket(scope, receive, send)
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
        self._log_level: LogLevelEndpoint | None = None
        if options.set_log_level is not None:
            self._log_level = LogLevelEndpoint(Guard(service), options.set_log_level)

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
            elif self._log_level is not None and scope["path"] == LOG_LEVEL_PATH:
                await self._log_level.serve(scope, receive, send, headers)
            elif not await self._monitoring.serve(scope, send, headers):
                await self._information.serve(scope, send, headers)
        except (ClientGone, OSError):
            pass
        except Exception:  # noqa: BLE001 (logged there, and answered)
            await _unexpected(scope, send, headers)

    async def serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a WebSocket, which only the gateway has."""
        path = scope["path"]
        if self._gateway is None or not is_gateway_path(path) or not self._access.allows_origin(scope):
            await refuse(send)
            return
        one_request = not self._gateway.takes_many_requests(path)
        exchange = WebSocketExchange(scope, receive, send, one_request=one_request)
        await self.serve(exchange.scope, exchange.receive, exchange.send)


class MetricsApplication:
    """What a --listen-metrics-urls address serves: monitoring, and nothing else."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._monitoring = MonitoringEndpoints(service, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await refuse(send)
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


def method_table(service: Service, options: ApiOptions, waits: LongWaits) -> MethodTable:
    """Returns every RPC, with handlers over `service` where they are built."""
    headers = HeaderWriter(service)
    key_value = KeyValueApi(service, headers)
    cluster = ClusterApi(service, headers)
    maintenance = MaintenanceApi(service, headers)
    health = HealthApi()
    lease = LeaseApi(service, headers)
    lock = LockApi(service, headers, waits)
    election = ElectionApi(service, headers, waits)
    auth = AuthApi(service, headers)
    watch = WatchApi(service, headers, options.watch_progress_interval_seconds)
    return MethodTable(
        unary={
            **key_value.unary(),
            **cluster.unary(),
            **maintenance.unary(),
            **auth.unary(),
            **lease.unary(),
            **lock.unary(),
            **election.unary(),
            **health.unary(),
        },
        streams={
            **RangeStreamApi(service, headers).streams(),
            **watch.streams(),
            **SnapshotApi(service).streams(),
            **lease.streams(),
            **election.streams(),
            **health.streams(),
            **ReflectionApi(SERVICE_FILES).streams(),
        },
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
