"""The few calls that members make to the etcd that helps them find each other."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from miniraft.discovery.problem import DiscoveryError
from miniraft.errors import AUTH_NOT_ENABLED
from miniraft.pb.rpc_pb2 import (
    AuthenticateRequest,
    AuthenticateResponse,
    PutRequest,
    RangeRequest,
    RangeResponse,
    WatchCreateRequest,
    WatchRequest,
    WatchResponse,
)
from miniraft.peer.http2.client import ClientConnection, connect
from miniraft.peer.http2.connection import ConnectionSettings
from miniraft.peer.http2.status import RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from miniraft.peer.http2.status import Headers

_RECEIVE_LIMIT_BYTES = 16 * 1024 * 1024
_SHORTEST_KEEPALIVE_SECONDS = 10.0  # as etcd's client: servers close connections of who asks more often
_DEFAULT_PORT = 2379


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How the discovery service is reached: the flags --discovery-..."""

    endpoints: tuple[str, ...]
    dial_timeout_seconds: float = 2.0
    request_timeout_seconds: float = 5.0
    keepalive_time_seconds: float = 2.0
    keepalive_timeout_seconds: float = 6.0
    insecure_transport: bool = True
    insecure_skip_tls_verify: bool = False
    cert: str = ""
    key: str = ""
    cacert: str = ""
    user: str = ""  # name, or name:password
    password: str = ""

    @property
    def request_timeout_ms(self) -> int:
        """How long an answer may take."""
        return int(self.request_timeout_seconds * 1000)


class ServiceClient:
    """A connection to one endpoint. Its calls raise RpcError, OSError (TimeoutError included)."""

    def __init__(self, settings: ServiceSettings, connection: ClientConnection) -> None:
        self._settings = settings
        self._connection = connection
        self._metadata: Headers = []

    async def log_in(self) -> None:
        """Shows name and password, if there are any."""
        name, _, password = self._settings.user.partition(":")
        if not name:
            return
        request = AuthenticateRequest(name=name, password=self._settings.password or password)
        try:
            answer = await self._call("Auth/Authenticate", request.SerializeToString())
        except RpcError as error:
            if error.details == AUTH_NOT_ENABLED.message:
                return
            raise
        self._metadata = [(b"token", AuthenticateResponse.FromString(answer).token.encode())]

    async def get(self, key: str, *, is_prefix: bool = False) -> RangeResponse:
        """Returns a key, or all that begin with it."""
        request = RangeRequest(key=key.encode(), range_end=_end_of(key) if is_prefix else b"")
        return RangeResponse.FromString(await self._call("KV/Range", request.SerializeToString()))

    async def put(self, key: str, value: str) -> None:
        """Sets a key."""
        request = PutRequest(key=key.encode(), value=value.encode())
        await self._call("KV/Put", request.SerializeToString())

    async def watch(self, prefix: str, start_revision: int) -> AsyncIterator[WatchResponse]:
        """Yields what happens to the keys that begin with a prefix, until the service ends it."""
        call = self._connection.call("/etcdserverpb.Watch/Watch", metadata=self._metadata)
        try:
            create = WatchCreateRequest(
                key=prefix.encode(), range_end=_end_of(prefix), start_revision=start_revision
            )
            call.write(WatchRequest(create_request=create).SerializeToString())
            while (message := await call.read()) is not None:
                response = WatchResponse.FromString(message)
                if response.canceled:
                    return
                yield response
        finally:
            call.cancel()

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()

    async def _call(self, method: str, request: bytes) -> bytes:
        return await self._connection.call_unary(
            f"/etcdserverpb.{method}", request, self._settings.request_timeout_ms, self._metadata
        )


async def connect_to_service(settings: ServiceSettings, endpoint: str) -> ServiceClient:
    """Connects to an endpoint. Raises OSError, and DiscoveryError for what will never work."""
    host, port, context = _target(settings, endpoint)
    connection_settings = ConnectionSettings(
        int(max(settings.keepalive_time_seconds, _SHORTEST_KEEPALIVE_SECONDS) * 1000),
        int(settings.keepalive_timeout_seconds * 1000),
        _RECEIVE_LIMIT_BYTES,
    )
    async with asyncio.timeout(settings.dial_timeout_seconds):
        connection = await connect(host, port, connection_settings, context)
    return ServiceClient(settings, connection)


def _target(settings: ServiceSettings, endpoint: str) -> tuple[str, int, ssl.SSLContext | None]:
    """Returns host, port and TLS of an endpoint: a URL, or host:port and the flags decide on TLS."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise DiscoveryError(f"--discovery-endpoints: {endpoint}: {error}") from error
    if parts.scheme not in ("", "http", "https") or not parts.hostname:
        raise DiscoveryError(
            f"--discovery-endpoints: {endpoint} is no endpoint: write host:port, http://host:port or "
            "https://host:port"
        )
    named = bool(settings.cert or settings.key or settings.cacert)
    is_secure = parts.scheme == "https" or (not parts.scheme and (named or not settings.insecure_transport))
    return parts.hostname, port, _context(settings) if is_secure else None


def _context(settings: ServiceSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if settings.cacert:
            context.load_verify_locations(cadata=Path(settings.cacert).read_text())
        else:
            context.load_default_certs()
        if settings.cert or settings.key:
            context.load_cert_chain(settings.cert, settings.key or None)
    except OSError as error:
        raise DiscoveryError(
            f"--discovery-cacert, --discovery-cert or --discovery-key cannot be used: {error}"
        ) from error
    if settings.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _end_of(prefix: str) -> bytes:
    """Returns the first key behind all that begin with a prefix, which ends in no byte 255."""
    encoded = prefix.encode()
    return encoded[:-1] + bytes([encoded[-1] + 1])
