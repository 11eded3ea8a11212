"""Everything on the client port that is neither gRPC nor the gateway."""

from __future__ import annotations

import gzip
import resource
import sys
from typing import TYPE_CHECKING

import orjson

from miniraft.api.health_endpoint import HealthEndpoint
from miniraft.api.http_response import JSON, header_value, method_not_allowed, not_found, respond
from miniraft.api.metrics_collector import MemberCollector
from miniraft.api.metrics_text import CONTENT_TYPE, render
from miniraft.api.probes import Probes
from miniraft.version import SERVER_VERSION, STORAGE_VERSION

if TYPE_CHECKING:
    from miniraft.api.asgi import Scope, Send
    from miniraft.api.http_response import Headers
    from miniraft.api.metrics import Metrics
    from miniraft.server.service import Service


class MonitoringEndpoints:
    """/metrics, /health, /livez and /readyz: all there is on a --listen-metrics-urls address."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._metrics = metrics
        self._collector = MemberCollector(service, metrics)
        self._health = HealthEndpoint(service, metrics)
        self._probes = Probes(service, metrics)

    async def serve(self, scope: Scope, send: Send, headers: Headers) -> bool:
        """Answers one request; returns False, having sent nothing, when the path is not among these."""
        path = scope["path"]
        if path == "/metrics":
            await self._serve_metrics(scope, send, headers)
            return True
        is_probe = self._probes.serves(path)
        if path != "/health" and not is_probe:
            return False
        if scope["method"] != "GET":
            await method_not_allowed(send, headers)
        elif is_probe:
            await self._probes.serve(scope, send, headers)
        else:
            await self._health.serve(scope, send, headers)
        return True

    async def _serve_metrics(self, scope: Scope, send: Send, headers: Headers) -> None:
        text = render([*self._collector.collect(), *self._metrics.registry.collect()])
        response_headers = [*headers, (b"content-type", CONTENT_TYPE)]
        if b"gzip" in (header_value(scope, b"accept-encoding") or b""):
            text = gzip.compress(text, compresslevel=1)
            response_headers.append((b"content-encoding", b"gzip"))
        await respond(send, 200, response_headers, text)


class InformationEndpoints:
    """/version and /debug/vars."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def serve(self, scope: Scope, send: Send, headers: Headers) -> None:
        """Answers one request."""
        serve = {"/version": self._version, "/debug/vars": self._variables}.get(scope["path"])
        if serve is None:
            await not_found(send, headers)
        elif scope["method"] != "GET":
            await method_not_allowed(send, headers)
        else:
            await serve(send, headers)

    async def _version(self, send: Send, headers: Headers) -> None:
        body = orjson.dumps(
            {
                "etcdserver": SERVER_VERSION,
                "etcdcluster": self._service.cluster_version or "not_decided",
                "storage": STORAGE_VERSION,
            }
        )
        await respond(send, 200, [*headers, JSON], body)

    async def _variables(self, send: Send, headers: Headers) -> None:
        """Lays the variables out as Go's expvar does, one to a line."""
        status = self._service.status()
        variables = {
            "cmdline": sys.argv,
            "file_descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "memstats": {"MaxResidentBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024},
            "raft.status": {
                "id": f"{self._service.member_id:x}",
                "term": status.term,
                "lead": f"{status.leader:x}",
                "commit": status.commit_index,
                "applied": status.applied_index,
                "isLearner": status.is_learner,
            },
        }
        lines = b",\n".join(
            b'"%s": %s' % (name.encode(), orjson.dumps(value)) for name, value in variables.items()
        )
        response_headers = [*headers, (b"content-type", b"application/json; charset=utf-8")]
        await respond(send, 200, response_headers, b"{\n" + lines + b"\n}\n")
