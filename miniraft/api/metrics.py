"""What the member tells of itself to Prometheus, under etcd's names.

The runtime feeds a `Metrics`: histograms are observed, counters are plain integers to add to.
Everything with a label for each RPC or peer, and every figure the member knows anyway, is only
put together when it is scraped.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.api.admission import Admission
    from miniraft.api.method import MethodTable
    from miniraft.api.traffic import Traffic
    from miniraft.server.lease_counters import LeaseCounters


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Returns `count` bucket bounds, each `factor` times the one before."""
    return tuple(start * factor**exponent for exponent in range(count))


_DISK_SECONDS = exponential(0.001, 2, 14)
_PEER_SECONDS = exponential(0.0001, 2, 16)
_APPLY_SECONDS = exponential(0.0001, 2, 20)
_GRPC_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class KeyspaceFigures(NamedTuple):
    """What the keyspace holds."""

    key_count: int
    revision: int
    compact_revision: int


class ApiCounters(NamedTuple):
    """What one client API has counted."""

    methods: MethodTable
    admission: Admission
    traffic: Traffic


class PeerCounters:
    """What went to and came from one peer."""

    __slots__ = ("received_bytes", "received_failures", "sent_bytes", "sent_failures")

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.sent_failures = 0
        self.received_bytes = 0
        self.received_failures = 0


class Metrics:
    """The figures of one member. Used from the event loop only."""

    def __init__(self, *, extensive: bool = False) -> None:
        """`extensive` (`--metrics=extensive`) adds a latency histogram for each RPC."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        # Disk, in seconds
        self.wal_fsync_seconds = self._histogram(
            "etcd_disk_wal_fsync_duration_seconds", "Time to sync the log.", _DISK_SECONDS
        )
        self.wal_write_seconds = self._histogram(
            "etcd_disk_wal_write_duration_seconds", "Time to write to the log.", _DISK_SECONDS
        )
        self.backend_commit_seconds = self._histogram(
            "etcd_disk_backend_commit_duration_seconds", "Time to commit the keyspace to disk.", _DISK_SECONDS
        )
        self.snapshot_fsync_seconds = self._histogram(
            "etcd_snap_fsync_duration_seconds", "Time to sync a snapshot.", _DISK_SECONDS
        )
        self.wal_write_bytes = 0

        # Consensus
        self.apply_seconds = self._histogram(
            "etcd_server_apply_duration_seconds",
            "Time to apply requests.",
            _APPLY_SECONDS,
            ("version", "op", "success"),
        )
        self.leader_changes_seen = 0
        self.proposals_failed = 0
        self.heartbeat_send_failures = 0
        self.slow_applies = 0
        self.slow_read_indexes = 0
        self.read_indexes_failed = 0

        # Keyspace operations applied
        self.puts = 0
        self.deletes = 0
        self.ranges = 0
        self.transactions = 0
        self.keyspace: Callable[[], KeyspaceFigures] | None = None
        self.leases: LeaseCounters | None = None

        # Peers, by member id in hex
        self.peer_round_trip_seconds = self._histogram(
            "etcd_network_peer_round_trip_time_seconds", "Round-trip time to peers.", _PEER_SECONDS, ("To",)
        )
        self.peers: defaultdict[str, PeerCounters] = defaultdict(PeerCounters)

        # Health endpoints: (type, name) -> last result; (type, name, status) -> count
        self.health_success = 0
        self.health_failures = 0
        self.health_check_results: dict[tuple[str, str], bool] = {}
        self.health_checks: defaultdict[tuple[str, str, str], int] = defaultdict(int)

        self.apis: list[ApiCounters] = []
        self._grpc_seconds: Histogram | None = None
        if extensive:
            self._grpc_seconds = self._histogram(
                "grpc_server_handling_seconds",
                "Time from the start of a call to its end.",
                _GRPC_SECONDS,
                ("grpc_service", "grpc_method", "grpc_type"),
            )

    def add_api(self, counters: ApiCounters) -> None:
        """Adds a client API's counters to what is scraped."""
        self.apis.append(counters)
        if self._grpc_seconds is None:
            return
        for method in counters.methods.by_path.values():
            service = method.descriptor.containing_service.full_name
            method.handling_seconds = self._grpc_seconds.labels(
                service, method.descriptor.name, method.grpc_type
            )

    def count_health_check(self, kind: str, name: str, *, succeeded: bool) -> None:
        """Counts one result of a check below /livez or /readyz."""
        self.health_check_results[kind, name] = succeeded
        self.health_checks[kind, name, "success" if succeeded else "error"] += 1

    def _histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(name, help_text, labels, buckets=buckets, registry=self.registry)
