"""Connections to other members: one fresh gRPC channel for each attempt.

gRPC would reconnect a channel by itself, but by its own clock and with the certificates of
the first attempt; here every attempt reads the certificate files again and tries the next URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc.aio

from miniraft.peer.security import channel_credentials

if TYPE_CHECKING:
    from miniraft.peer.security import PeerTls
    from miniraft.peer.settings import PeerSettings


class Dialer:
    """Opens channels to peer URLs."""

    def __init__(self, tls: PeerTls, settings: PeerSettings) -> None:
        self.tls = tls
        self._options = (
            # Channels must not share a connection: a snapshot would sit in front of heartbeats.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),  # members speak to each other directly, whatever the environment
            ("grpc.enable_retries", 0),
            ("grpc.service_config_disable_resolution", 1),
            *keepalive_options(settings),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", settings.receive_limit_bytes),
        )

    def open(self, url: str) -> grpc.aio.Channel:
        """Returns a channel to `url`; nothing is sent yet.

        Raises OSError when certificate files cannot be read, ValueError for a URL that is none.
        """
        target, secure = parse_peer_url(url)
        if secure:
            return grpc.aio.secure_channel(target, channel_credentials(self.tls), self._options)
        return grpc.aio.insecure_channel(target, self._options)


def keepalive_options(settings: PeerSettings) -> tuple[tuple[str, int], ...]:
    """Returns the options by which either end notices that the other is gone or paused."""
    return (
        ("grpc.keepalive_time_ms", settings.keepalive_interval_ms),
        ("grpc.keepalive_timeout_ms", settings.keepalive_timeout_ms),
        # The one above only bounds how long the kernel tries; this one how long an answer may
        # take (a minute by default), which is what a paused process does not give.
        ("grpc.http2.ping_timeout_ms", settings.keepalive_timeout_ms),
        ("grpc.http2.max_pings_without_data", 0),
    )


def parse_peer_url(url: str) -> tuple[str, bool]:
    """Returns (`host:port`, whether TLS is meant).

    Raises ValueError with what is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"peer URL {url!r} must start with http:// or https://")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"peer URL {url!r} must end after the port")
    if not parts.hostname or parts.port is None:
        raise ValueError(f"peer URL {url!r} must name a host and a port, as in http://10.0.0.1:2380")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port}", parts.scheme == "https"
