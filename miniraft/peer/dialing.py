"""Connections to other members: a fresh one for each attempt.

Every attempt reads the certificate files again. Messages and snapshots never share a
connection: a snapshot would sit in front of heartbeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from miniraft.peer.http2.client import connect
from miniraft.peer.http2.connection import ConnectionSettings
from miniraft.peer.security import client_context

if TYPE_CHECKING:
    from miniraft.peer.http2.client import ClientConnection
    from miniraft.peer.security import PeerTls
    from miniraft.peer.settings import PeerSettings


class Dialer:
    """Connects to peer URLs."""

    def __init__(self, tls: PeerTls, settings: PeerSettings) -> None:
        self.tls = tls
        self._settings = connection_settings(settings)

    async def connect(self, url: str) -> ClientConnection:
        """Returns a connection to `url`.

        Raises OSError when that fails or certificate files cannot be read, ValueError for a
        URL that is none.
        """
        host, port, secure = parse_peer_url(url)
        return await connect(host, port, self._settings, client_context(self.tls) if secure else None)


def connection_settings(settings: PeerSettings) -> ConnectionSettings:
    """Returns what a connection needs to know of the settings."""
    return ConnectionSettings(
        settings.keepalive_interval_ms, settings.keepalive_timeout_ms, settings.receive_limit_bytes
    )


def parse_peer_url(url: str) -> tuple[str, int, bool]:
    """Returns (host, port, whether TLS is meant).

    Raises ValueError with what is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"peer URL {url!r} must start with http:// or https://")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"peer URL {url!r} must end after the port")
    if not parts.hostname or parts.port is None:
        raise ValueError(f"peer URL {url!r} must name a host and a port, as in http://10.0.0.1:2380")
    return parts.hostname, parts.port, parts.scheme == "https"
