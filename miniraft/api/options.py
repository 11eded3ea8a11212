"""What of the client API is switched on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miniraft.api.access import ANY

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Defaults as etcd's. `serve_grpc` and `serve_http` split the API over two listeners."""

    serve_grpc: bool = True
    serve_http: bool = True
    enable_gateway: bool = True  # --enable-grpc-gateway
    watch_progress_interval_seconds: float = 600.0  # --watch-progress-notify-interval
    cors: frozenset[str] = frozenset((ANY,))
    host_whitelist: frozenset[str] = frozenset((ANY,))
    set_log_level: Callable[[str], None] | None = None  # what PUT /config/local/log calls; None: 404

    def __post_init__(self) -> None:
        if not (self.serve_grpc or self.serve_http):
            raise ValueError("a client listener must serve gRPC, HTTP or both")
