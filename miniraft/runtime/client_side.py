"""The client listeners of one member: bound early, answering once the member is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.application import create_application, create_metrics_application
from miniraft.runtime import assembly, log
from miniraft.runtime.listener import ClientListener

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from miniraft.api.asgi import Receive, Scope, Send
    from miniraft.api.metrics import Metrics
    from miniraft.runtime.config import ServerConfig
    from miniraft.runtime.listener import StoppableApplication
    from miniraft.server.service import Service


class _LaterApplication:
    """Stands in for the application until there is a member to serve."""

    def __init__(self) -> None:
        self.application: StoppableApplication | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        # No coroutine of its own: one less for every request.
        if self.application is None:
            raise RuntimeError("the listener was started before the member was ready")
        return self.application(scope, receive, send)

    def stop(self) -> None:
        if self.application is not None:
            self.application.stop()


class ClientSide:
    """All listeners that clients and monitoring reach."""

    def __init__(self, config: ServerConfig) -> None:
        """Raises ListenError for URLs and certificates that cannot be served."""
        self._config = config
        self._split = bool(config.listen_client_http_urls)
        self._clients = _LaterApplication()
        self._http = _LaterApplication()
        self._monitoring = _LaterApplication()
        self._client_listener = self._listener(
            self._clients, config.listen_client_urls, "--listen-client-urls"
        )
        self._http_listener = self._listener(
            self._http, config.listen_client_http_urls, "--listen-client-http-urls", serve_grpc=False
        )
        self._metrics_listener = self._listener(
            self._monitoring, config.listen_metrics_urls, "--listen-metrics-urls", serve_grpc=False
        )

    def bind(self) -> None:
        """Takes all addresses. Raises ListenError."""
        for listener in self._listeners():
            listener.bind()

    @property
    def urls(self) -> list[str]:
        """The URLs clients reach, with the ports really taken."""
        return [] if self._client_listener is None else self._client_listener.urls

    async def start_monitoring(self, service: Service, metrics: Metrics) -> None:
        """Answers for metrics and health, which is asked while the member is not ready yet."""
        if self._metrics_listener is None:
            return
        self._monitoring.application = create_metrics_application(service, metrics)
        await self._metrics_listener.start()
        for url in self._metrics_listener.urls:
            log.event("info", "serving metrics", address=url)

    async def start(self, service: Service, metrics: Metrics) -> None:
        """Begins to serve clients."""
        config = self._config
        options = assembly.api_options(config, serve_http=not self._split)
        self._clients.application = create_application(service, metrics, options)
        if self._split:
            http_options = assembly.api_options(config, serve_grpc=False)
            self._http.application = create_application(service, metrics, http_options)
        for listener in (self._client_listener, self._http_listener):
            if listener is None:
                continue
            await listener.start()
            for url in listener.urls:
                secure = url.startswith("https:")
                kind = "securely" if secure else "insecurely"
                log.event("info", f"serving client traffic {kind}", address=url)
                log.event("info", "listening for client requests on", url=url)

    async def stop(self) -> None:
        """Ends all client connections."""
        for listener in self._listeners():
            await listener.stop()

    def _listeners(self) -> list[ClientListener]:
        every = (self._client_listener, self._http_listener, self._metrics_listener)
        return [listener for listener in every if listener is not None]

    def _listener(
        self, application: _LaterApplication, urls: Sequence[str], flag: str, *, serve_grpc: bool = True
    ) -> ClientListener | None:
        if not urls:
            return None
        config = self._config
        options = assembly.listener_options(config, flag, serve_grpc=serve_grpc)
        return ClientListener(application, urls, assembly.client_tls(config), options)
