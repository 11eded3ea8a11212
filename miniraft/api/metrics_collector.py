"""Reads the member's figures and counters as Prometheus families, when it is scraped."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from miniraft.api.metrics_family import Labels, Plain, family, labelled_histograms, plain_families
from miniraft.api.metrics_of_clients import client_families
from miniraft.api.metrics_of_peers import peer_families
from miniraft.api.metrics_of_process import process_families
from miniraft.api.metrics_of_storage import storage_families
from miniraft.pb.rpc_pb2 import AlarmType
from miniraft.server.member_figures import OPERATION_NAMES
from miniraft.server.proposal import RequestKind
from miniraft.version import SERVER_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from miniraft.api.metrics import Metrics
    from miniraft.histogram import Histogram
    from miniraft.server.service import Service


class MemberCollector(Collector):
    """All there is of one member."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yields the families as of now."""
        service, metrics = self._service, self._metrics
        yield from self._server()
        yield from self._applies()
        yield from self._identity()
        yield from storage_families(service, metrics)
        yield from peer_families(f"{service.member_id:x}", metrics.peers())
        yield from self._health()
        yield from client_families(metrics.apis)
        yield from process_families()

    def _server(self) -> Iterable[Metric]:
        service, member = self._service, self._metrics.member
        status = service.status()
        leads = status.leader == service.member_id
        yield from plain_families(
            Plain("gauge", "etcd_server_has_leader", "Whether a leader is known.", bool(status.leader)),
            Plain("gauge", "etcd_server_is_leader", "Whether this member leads.", leads),
            Plain("gauge", "etcd_server_is_learner", "Whether this member is a learner.", status.is_learner),
            Plain(
                "counter",
                "etcd_server_leader_changes_seen_total",
                "Leader changes noticed.",
                member.leader_changes,
            ),
            # Two gauges that only ever grow: dashboards know them as gauges.
            Plain("gauge", "etcd_server_proposals_committed_total", "Commit index.", status.commit_index),
            Plain("gauge", "etcd_server_proposals_applied_total", "Applied index.", status.applied_index),
            Plain("gauge", "etcd_server_proposals_pending", "Proposals in flight.", status.pending_proposals),
            Plain(
                "counter",
                "etcd_server_proposals_failed_total",
                "Proposals that failed.",
                member.proposals_failed,
            ),
            Plain(
                "counter",
                "etcd_server_heartbeat_send_failures_total",
                "Heartbeats that came out late, as the leader was overloaded.",
                member.heartbeats_late,
            ),
            Plain(
                "counter",
                "etcd_server_slow_read_indexes_total",
                "Read index rounds that took too long.",
                member.read_rounds_slow,
            ),
            Plain(
                "counter",
                "etcd_server_read_indexes_failed_total",
                "Read index rounds that failed.",
                member.read_rounds_failed,
            ),
            Plain(
                "counter",
                "etcd_server_learner_promote_successes",
                "Learners promoted while this member led.",
                member.learner_promotions,
            ),
        )
        yield family(
            "counter",
            "etcd_server_learner_promote_failures",
            "Learners that could not be promoted, while this member led.",
            [({"Reason": reason}, count) for reason, count in member.learner_promotion_failures.items()],
        )

    def _applies(self) -> Iterable[Metric]:
        applies = self._metrics.member.applies
        yield family(
            "counter",
            "etcd_server_slow_apply_total",
            "Requests applied, and reads answered, too slowly.",
            value=applies.slow_count,
        )
        yield labelled_histograms(
            "etcd_server_apply_duration_seconds",
            "Time to apply requests.",
            [*_by_operation(applies.succeeded, "true"), *_by_operation(applies.failed, "false")],
        )

    def _identity(self) -> Iterable[Metric]:
        service = self._service
        version = ".".join(service.cluster_version.split(".")[:2])
        for name, help_text, label, value in (
            ("etcd_server_version", "The version served, as a label.", "server_version", SERVER_VERSION),
            (
                "etcd_server_python_version",
                "The Python this runs on, as a label.",
                "server_python_version",
                platform.python_version(),
            ),
            (
                "etcd_server_id",
                "The member's id in hex, as a label.",
                "server_id",
                f"{service.member_id:x}",
            ),
            (
                "etcd_cluster_version",
                "The version agreed on in the cluster, as a label.",
                "cluster_version",
                version,
            ),
        ):
            yield family("gauge", name, help_text, [({label: value}, 1)] if value else [])
        yield family(
            "gauge",
            "etcd_debugging_server_alarms",
            "Alarms raised.",
            [
                ({"server_id": f"{member:x}", "alarm_type": AlarmType.Name(alarm)}, 1)
                for member, alarm in service.alarms()
            ],
        )
        yield family(
            "gauge",
            "etcd_debugging_auth_revision",
            "Revision of users and roles.",
            value=service.authorization.users.revision,
        )

    def _health(self) -> Iterable[Metric]:
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


def _by_operation(histograms: dict[int, Histogram], success: str) -> Iterable[tuple[Labels, Histogram]]:
    for kind, histogram in histograms.items():
        yield {"version": "v3", "op": OPERATION_NAMES[RequestKind(kind)], "success": success}, histogram
