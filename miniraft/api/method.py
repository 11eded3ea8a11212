"""The dispatch table: every RPC of every service, whether built or not.

The table is read from the descriptors, so no method is forgotten: one without a handler
answers UNIMPLEMENTED by gRPC and 501 by JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import Code, EtcdError
from miniraft.pb import (
    election_pb2,
    health_pb2,
    lock_pb2,
    reflection_pb2,
    reflection_v1alpha_pb2,
    rpc_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.descriptor import MethodDescriptor

    from miniraft.api.call import StreamHandler, UnaryHandler
    from miniraft.histogram import Histogram

# The files that define the services of the client API.
SERVICE_FILES = (
    rpc_pb2.DESCRIPTOR,
    lock_pb2.DESCRIPTOR,
    election_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
    reflection_v1alpha_pb2.DESCRIPTOR,
)


class Method:
    """One RPC with its handler, if it is built, and its counters.

    Counters are plain integers: looking up a labelled metric for every request would cost as
    much as answering it. `metrics.py` reads them when it is scraped.
    Invariant: sum(handled) <= started.
    """

    __slots__ = (
        "descriptor",
        "grpc_type",
        "handled",
        "handler",
        "handling_seconds",
        "is_unary",
        "messages_received",
        "messages_sent",
        "path",
        "serves_on_learner",
        "started",
        "stream_handler",
    )

    def __init__(self, descriptor: MethodDescriptor) -> None:
        self.descriptor = descriptor
        self.path = f"/{descriptor.containing_service.full_name}/{descriptor.name}"
        self.grpc_type = _grpc_type(descriptor)
        self.is_unary = self.grpc_type == "unary"  # one request, one response
        self.handler: UnaryHandler | None = None
        self.stream_handler: StreamHandler | None = None
        self.serves_on_learner = False
        self.started = 0
        self.handled = [0] * len(Code)
        self.messages_received = 0
        self.messages_sent = 0
        self.handling_seconds: Histogram | None = None  # only with extensive metrics

    def unimplemented(self) -> EtcdError:
        """Returns the answer of a method that is not built."""
        return EtcdError(
            Code.UNIMPLEMENTED,
            f"method {self.descriptor.name} of service {self.descriptor.containing_service.full_name} "
            "is not implemented by this server",
        )


def _grpc_type(descriptor: MethodDescriptor) -> str:
    if descriptor.client_streaming:
        return "bidi_stream" if descriptor.server_streaming else "client_stream"
    return "server_stream" if descriptor.server_streaming else "unary"


class MethodTable:
    """All methods by path, `/package.Service/Method`."""

    def __init__(
        self,
        unary: Mapping[str, UnaryHandler],
        streams: Mapping[str, StreamHandler],
        learner_paths: Iterable[str],
    ) -> None:
        """Joins the RPCs with what is built. Raises ValueError when a handler fits no RPC."""
        self.by_path: dict[str, Method] = {}
        for file in SERVICE_FILES:
            for service in file.services_by_name.values():
                for descriptor in service.methods:
                    method = Method(descriptor)
                    self.by_path[method.path] = method
        for path, handler in unary.items():
            self._method(path, is_unary=True).handler = handler
        for path, stream_handler in streams.items():
            self._method(path, is_unary=False).stream_handler = stream_handler
        for path in learner_paths:
            self.by_path[path].serves_on_learner = True

    def _method(self, path: str, *, is_unary: bool) -> Method:
        method = self.by_path.get(path)
        if method is None or method.is_unary != is_unary:
            kind = "unary" if is_unary else "streaming"
            raise ValueError(f"no {kind} RPC {path} in the service definitions")
        return method
