"""What of the client API is switched on."""

from __future__ import annotations

from dataclasses import dataclass

from miniraft.api.access import ANY


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Defaults as etcd's. `serve_grpc` and `serve_http` split the API over two listeners."""

    serve_grpc: bool = True
    serve_http: bool = True
    enable_gateway: bool = True  # --enable-grpc-gateway
    cors: frozenset[str] = frozenset((ANY,))
    host_whitelist: frozenset[str] = frozenset((ANY,))

    def __post_init__(self) -> None:
        if not (self.serve_grpc or self.serve_http):
            raise ValueError("a client listener must serve gRPC, HTTP or both")
