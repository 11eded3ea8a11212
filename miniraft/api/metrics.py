"""What the member tells of itself to Prometheus, under etcd's names.

Everything is counted in plain numbers where it happens; `metrics_collector.py` puts them
together when they are asked for. So a request costs no more than a few additions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector

from miniraft.histogram import Histogram
from miniraft.server.lease_counters import LeaseCounters
from miniraft.server.member_figures import MemberFigures
from miniraft.server.storage_figures import StorageFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from miniraft.api.admission import Admission
    from miniraft.api.method import MethodTable
    from miniraft.api.traffic import Traffic

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


class PeerFigures(Protocol):
    """What went to and came from one peer (`PeerStatistics` of the peer room)."""

    sent_bytes: int
    received_bytes: int
    sent_failures: int
    received_failures: int
    is_connected: bool
    disconnections: int
    round_trip_seconds: Histogram
    snapshots_sending: int
    snapshots_sent: int
    snapshots_send_failed: int
    snapshot_send_seconds: Histogram
    snapshots_receiving: int
    snapshots_received: int
    snapshots_receive_failed: int
    snapshot_receive_seconds: Histogram
    snapshot_sync_seconds: Histogram


class Metrics:
    """The figures of one member. What others count is put here once, by whoever starts the member."""

    def __init__(self, *, extensive: bool = False) -> None:
        """`extensive` (`--metrics=extensive`) adds a latency histogram for each RPC."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.is_extensive = extensive

        self.member = MemberFigures()
        self.storage = StorageFigures()
        self.leases = LeaseCounters()
        self.keyspace: Callable[[], KeyspaceFigures] | None = None
        self.peers: Callable[[], Mapping[int, PeerFigures]] = dict  # by member id

        # Health endpoints: (type, name) -> last result; (type, name, status) -> count
        self.health_success = 0
        self.health_failures = 0
        self.health_check_results: dict[tuple[str, str], bool] = {}
        self.health_checks: defaultdict[tuple[str, str, str], int] = defaultdict(int)

        self.apis: list[ApiCounters] = []

    def add_api(self, counters: ApiCounters) -> None:
        """Adds a client API's counters to what is scraped."""
        self.apis.append(counters)
        if self.is_extensive:
            for method in counters.methods.by_path.values():
                method.handling_seconds = Histogram(_GRPC_SECONDS)

    def count_health_check(self, kind: str, name: str, *, succeeded: bool) -> None:
        """Counts one result of a check below /livez or /readyz."""
        self.health_check_results[kind, name] = succeeded
        self.health_checks[kind, name, "success" if succeeded else "error"] += 1
