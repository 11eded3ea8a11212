"""Metrics of the client API: calls and bytes, over all listeners of a member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.metrics_family import Labels, family, labelled_histograms
from miniraft.errors import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import Metric

    from miniraft.api.method import Method
    from miniraft.api.metrics import ApiCounters

# etcd's labels have the names of Go's constants.
CODE_NAMES = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
]


def client_families(apis: Sequence[ApiCounters]) -> Iterable[Metric]:
    """Yields what the client APIs have counted."""
    yield family(
        "counter",
        "etcd_network_client_grpc_received_bytes_total",
        "Bytes received from gRPC clients.",
        value=sum(api.traffic.received_bytes for api in apis),
    )
    yield family(
        "counter",
        "etcd_network_client_grpc_sent_bytes_total",
        "Bytes sent to gRPC clients.",
        value=sum(api.traffic.sent_bytes for api in apis),
    )
    yield family(
        "counter",
        "etcd_server_client_requests_total",
        "Calls by the client's API version.",
        _client_requests(apis),
    )
    yield from _calls(_methods(apis))


def _calls(methods: Sequence[tuple[Labels, list[Method]]]) -> Iterable[Metric]:
    yield family(
        "counter",
        "grpc_server_started_total",
        "Calls begun.",
        [(labels, sum(method.started for method in same)) for labels, same in methods],
    )
    yield family(
        "counter",
        "grpc_server_msg_received_total",
        "Messages received.",
        [(labels, sum(method.messages_received for method in same)) for labels, same in methods],
    )
    yield family(
        "counter",
        "grpc_server_msg_sent_total",
        "Messages sent.",
        [(labels, sum(method.messages_sent for method in same)) for labels, same in methods],
    )
    yield family(
        "counter",
        "grpc_server_handled_total",
        "Calls ended.",
        [
            ({**labels, "grpc_code": CODE_NAMES[code]}, sum(method.handled[code] for method in same))
            for labels, same in methods
            for code in Code
        ],
    )
    timed = [
        (labels, histogram)
        for labels, same in methods
        # One listener at most answers an RPC by gRPC; another may answer it by JSON.
        if (histogram := same[0].handling_seconds) is not None
    ]
    if timed:
        yield labelled_histograms(
            "grpc_server_handling_seconds", "Time from the start of a call to its end.", timed
        )


def _methods(apis: Sequence[ApiCounters]) -> list[tuple[Labels, list[Method]]]:
    """Returns each RPC's labels, and the RPC as every client API of this member has it."""
    tables = [api.methods.by_path for api in apis]
    if not tables:
        return []
    return [
        (
            {
                "grpc_service": method.descriptor.containing_service.full_name,
                "grpc_method": method.descriptor.name,
                "grpc_type": method.grpc_type,
            },
            [table[path] for table in tables],
        )
        for path, method in tables[0].items()
    ]


def _client_requests(apis: Sequence[ApiCounters]) -> list[tuple[Labels, float]]:
    totals: dict[tuple[str, str], int] = {}
    for api in apis:
        for version, (unary, stream) in api.admission.calls_by_version().items():
            totals["unary", version] = totals.get(("unary", version), 0) + unary
            totals["stream", version] = totals.get(("stream", version), 0) + stream
    return [
        ({"type": kind, "client_api_version": version}, count)
        for (kind, version), count in totals.items()
        if count
    ]
