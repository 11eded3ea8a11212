"""Reads the member's figures and counters as Prometheus families, when it is scraped."""

from __future__ import annotations

import os
import platform
import resource
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.registry import Collector

from miniraft.errors import Code
from miniraft.pb.rpc_pb2 import AlarmType
from miniraft.server.lease_counters import TTL_BUCKETS
from miniraft.version import SERVER_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from miniraft.api.method import Method
    from miniraft.api.metrics import Metrics
    from miniraft.server.service import Service

Labels = dict[str, str]

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


def family(
    kind: str,
    name: str,
    help_text: str,
    samples: Iterable[tuple[Labels, float]] = (),
    value: float | None = None,
) -> Metric:
    """Returns a metric of one value, or with one sample for each set of labels."""
    metric = Metric(name, help_text, kind)
    if value is not None:
        metric.add_sample(name, {}, value)
    for labels, sample in samples:
        metric.add_sample(name, labels, sample)
    return metric


class MemberCollector(Collector):
    """Everything but the histograms."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yields the families as of now."""
        yield from self._server()
        yield from self._storage()
        yield from self._leases()
        yield from self._network()
        yield from self._health()
        yield from self._grpc()
        yield from _process()

    def _server(self) -> Iterator[Metric]:
        service, metrics = self._service, self._metrics
        status = service.status()
        yield family(
            "gauge", "etcd_server_has_leader", "Whether a leader is known.", value=bool(status.leader)
        )
        yield family(
            "gauge",
            "etcd_server_is_leader",
            "Whether this member leads.",
            value=status.leader == service.member_id,
        )
        yield family(
            "gauge", "etcd_server_is_learner", "Whether this member is a learner.", value=status.is_learner
        )
        yield family(
            "counter",
            "etcd_server_leader_changes_seen_total",
            "Leader changes noticed.",
            value=metrics.leader_changes_seen,
        )
        # Two gauges that only ever grow: dashboards know them as gauges.
        yield family(
            "gauge", "etcd_server_proposals_committed_total", "Commit index.", value=status.commit_index
        )
        yield family(
            "gauge", "etcd_server_proposals_applied_total", "Applied index.", value=status.applied_index
        )
        yield family(
            "gauge", "etcd_server_proposals_pending", "Proposals in flight.", value=status.pending_proposals
        )
        yield family(
            "counter",
            "etcd_server_proposals_failed_total",
            "Proposals that failed.",
            value=metrics.proposals_failed,
        )
        yield family(
            "counter",
            "etcd_server_heartbeat_send_failures_total",
            "Heartbeats that came out late, as the leader was overloaded.",
            value=metrics.heartbeat_send_failures,
        )
        yield family("counter", "etcd_server_slow_apply_total", "Slow applies.", value=metrics.slow_applies)
        yield family(
            "counter",
            "etcd_server_slow_read_indexes_total",
            "Read index rounds that took too long.",
            value=metrics.slow_read_indexes,
        )
        yield family(
            "counter",
            "etcd_server_read_indexes_failed_total",
            "Read index rounds that failed.",
            value=metrics.read_indexes_failed,
        )
        yield from self._identity()

    def _identity(self) -> Iterator[Metric]:
        service = self._service
        yield family(
            "gauge",
            "etcd_server_version",
            "The version served, as a label.",
            [({"server_version": SERVER_VERSION}, 1)],
        )
        yield family(
            "gauge",
            "etcd_server_python_version",
            "The Python this runs on, as a label.",
            [({"server_python_version": platform.python_version()}, 1)],
        )
        yield family(
            "gauge",
            "etcd_server_id",
            "The member's id in hex, as a label.",
            [({"server_id": f"{service.member_id:x}"}, 1)],
        )
        version = ".".join(service.cluster_version.split(".")[:2])
        yield family(
            "gauge",
            "etcd_cluster_version",
            "The version agreed on in the cluster, as a label.",
            [({"cluster_version": version}, 1)] if version else [],
        )
        yield family(
            "gauge",
            "etcd_debugging_server_alarms",
            "Alarms raised.",
            [
                ({"server_id": f"{member:x}", "alarm_type": AlarmType.Name(alarm)}, 1)
                for member, alarm in service.alarms()
            ],
        )

    def _storage(self) -> Iterator[Metric]:
        metrics = self._metrics
        status = self._service.status()
        yield family(
            "gauge",
            "etcd_server_quota_backend_bytes",
            "Quota of the keyspace.",
            value=self._service.limits.effective_quota_bytes,
        )
        yield family(
            "gauge",
            "etcd_mvcc_db_total_size_in_bytes",
            "Size allocated to the keyspace.",
            value=status.db_size_bytes,
        )
        yield family(
            "gauge",
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Size the keyspace uses.",
            value=status.db_size_in_use_bytes,
        )
        yield family(
            "gauge",
            "etcd_disk_wal_write_bytes_total",
            "Bytes written to the log.",
            value=metrics.wal_write_bytes,
        )
        yield family("counter", "etcd_mvcc_put_total", "Puts applied.", value=metrics.puts)
        yield family("counter", "etcd_mvcc_delete_total", "Deletes applied.", value=metrics.deletes)
        yield family("counter", "etcd_mvcc_range_total", "Ranges answered.", value=metrics.ranges)
        yield family("counter", "etcd_mvcc_txn_total", "Transactions applied.", value=metrics.transactions)
        yield from self._watches()
        if metrics.keyspace is None:
            return
        figures = metrics.keyspace()
        yield family("gauge", "etcd_debugging_mvcc_keys_total", "Keys alive.", value=figures.key_count)
        yield family(
            "gauge", "etcd_debugging_mvcc_current_revision", "Current revision.", value=figures.revision
        )
        yield family(
            "gauge",
            "etcd_debugging_mvcc_compact_revision",
            "Last compaction.",
            value=figures.compact_revision,
        )

    def _watches(self) -> Iterator[Metric]:
        watches = self._service.watches
        for kind, name, help_text, value in (
            ("gauge", "watch_stream_total", "Watch streams open.", watches.stream_count),
            ("gauge", "watcher_total", "Watches.", watches.watcher_count),
            ("gauge", "slow_watcher_total", "Watches that are behind.", watches.slow_watcher_count),
            ("gauge", "pending_events_total", "Events waiting to be sent.", watches.pending_event_count),
            ("counter", "events_total", "Events sent.", watches.event_count),
        ):
            yield family(kind, f"etcd_debugging_mvcc_{name}", help_text, value=value)

    def _leases(self) -> Iterator[Metric]:
        counters = self._metrics.leases
        if counters is None:
            return
        for name, text, count in (
            ("lease_granted", "Leases granted.", counters.granted),
            ("lease_revoked", "Leases revoked.", counters.revoked),
            ("lease_renewed", "Renewals, seen by the leader.", counters.renewed),
            ("server_lease_expired", "Leases that have run out, seen by the leader.", counters.expired),
        ):
            yield family("counter", f"etcd_debugging_{name}_total", text, value=count)
        name = "etcd_debugging_lease_ttl_total"
        granted = Metric(name, "Times leases were granted for, in seconds.", "histogram")
        total = 0
        for exponent, count in enumerate(counters.ttl_counts):
            total += count
            bound = "+Inf" if exponent == TTL_BUCKETS else f"{2.0**exponent}"
            granted.add_sample(f"{name}_bucket", {"le": bound}, total)
        granted.add_sample(f"{name}_sum", {}, counters.ttl_sum_seconds)
        granted.add_sample(f"{name}_count", {}, total)
        yield granted

    def _network(self) -> Iterator[Metric]:
        metrics = self._metrics
        received = sum(api.traffic.received_bytes for api in metrics.apis)
        sent = sum(api.traffic.sent_bytes for api in metrics.apis)
        yield family(
            "counter",
            "etcd_network_client_grpc_received_bytes_total",
            "Bytes received from gRPC clients.",
            value=received,
        )
        yield family(
            "counter", "etcd_network_client_grpc_sent_bytes_total", "Bytes sent to gRPC clients.", value=sent
        )
        peers = metrics.peers.items()
        yield family(
            "counter",
            "etcd_network_peer_sent_bytes_total",
            "Bytes sent to peers.",
            [({"To": peer}, counters.sent_bytes) for peer, counters in peers],
        )
        yield family(
            "counter",
            "etcd_network_peer_sent_failures_total",
            "Sends to peers that failed.",
            [({"To": peer}, counters.sent_failures) for peer, counters in peers],
        )
        yield family(
            "counter",
            "etcd_network_peer_received_bytes_total",
            "Bytes received from peers.",
            [({"From": peer}, counters.received_bytes) for peer, counters in peers],
        )
        yield family(
            "counter",
            "etcd_network_peer_received_failures_total",
            "Receives from peers that failed.",
            [({"From": peer}, counters.received_failures) for peer, counters in peers],
        )

    def _health(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield family(
            "counter",
            "etcd_server_health_success",
            "Successful /health answers.",
            value=metrics.health_success,
        )
        yield family(
            "counter", "etcd_server_health_failures", "Failed /health answers.", value=metrics.health_failures
        )
        yield family(
            "gauge",
            "etcd_server_healthcheck",
            "Last result of each check.",
            [
                ({"type": kind, "name": name}, succeeded)
                for (kind, name), succeeded in metrics.health_check_results.items()
            ],
        )
        yield family(
            "counter",
            "etcd_server_healthchecks_total",
            "Results of checks.",
            [
                ({"type": kind, "name": name, "status": status}, count)
                for (kind, name, status), count in metrics.health_checks.items()
            ],
        )

    def _grpc(self) -> Iterator[Metric]:
        methods = self._methods()
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
        yield family(
            "counter",
            "etcd_server_client_requests_total",
            "Calls by the client's API version.",
            self._client_requests(),
        )

    def _methods(self) -> list[tuple[Labels, list[Method]]]:
        """Returns each RPC's labels, and the RPC as every client API of this member has it."""
        tables = [api.methods.by_path for api in self._metrics.apis]
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

    def _client_requests(self) -> list[tuple[Labels, float]]:
        totals: dict[tuple[str, str], int] = {}
        for api in self._metrics.apis:
            for version, (unary, stream) in api.admission.calls_by_version().items():
                totals["unary", version] = totals.get(("unary", version), 0) + unary
                totals["stream", version] = totals.get(("stream", version), 0) + stream
        return [
            ({"type": kind, "client_api_version": version}, count)
            for (kind, version), count in totals.items()
            if count
        ]


def _process() -> Iterator[Metric]:
    """File descriptors under etcd's own names, beside `process_open_fds`."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield family("gauge", "os_fd_limit", "File descriptors allowed.", value=limit)
    try:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
    except OSError:
        return
    yield family("gauge", "os_fd_used", "File descriptors in use.", value=used)
