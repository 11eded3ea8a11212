"""Metrics of what goes between members, each other member by its id in hex."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.metrics_family import family, labelled_histograms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric

    from miniraft.api.metrics import PeerFigures

_TO, _FROM = "To", "From"
# Name behind `etcd_network_`, kind, help, label, attribute of PeerFigures.
_FIGURES = (
    ("peer_sent_bytes_total", "counter", "Bytes sent to peers.", _TO, "sent_bytes"),
    ("peer_sent_failures_total", "counter", "Sends to peers that failed.", _TO, "sent_failures"),
    ("peer_received_bytes_total", "counter", "Bytes received from peers.", _FROM, "received_bytes"),
    (
        "peer_received_failures_total",
        "counter",
        "Receives from peers that failed.",
        _FROM,
        "received_failures",
    ),
    ("snapshot_send_success", "counter", "Snapshots sent to peers.", _TO, "snapshots_sent"),
    (
        "snapshot_send_failures",
        "counter",
        "Snapshots that could not be sent.",
        _TO,
        "snapshots_send_failed",
    ),
    (
        "snapshot_send_inflights_total",
        "gauge",
        "Snapshots being sent.",
        _TO,
        "snapshots_sending",
    ),
    ("snapshot_receive_success", "counter", "Snapshots received.", _FROM, "snapshots_received"),
    (
        "snapshot_receive_failures",
        "counter",
        "Snapshots that could not be received.",
        _FROM,
        "snapshots_receive_failed",
    ),
    (
        "snapshot_receive_inflights_total",
        "gauge",
        "Snapshots being received.",
        _FROM,
        "snapshots_receiving",
    ),
)
_TIMES = (
    ("peer_round_trip_time_seconds", "Round-trip time to peers.", _TO, "round_trip_seconds"),
    (
        "snapshot_send_total_duration_seconds",
        "Time to send a snapshot.",
        _TO,
        "snapshot_send_seconds",
    ),
    (
        "snapshot_receive_total_duration_seconds",
        "Time to receive a snapshot.",
        _FROM,
        "snapshot_receive_seconds",
    ),
)


def peer_families(own_id: str, peers: Mapping[int, PeerFigures]) -> Iterable[Metric]:
    """Yields what is known of every peer seen so far."""
    named = [(f"{member_id:x}", figures) for member_id, figures in peers.items()]
    for name, kind, help_text, label, attribute in _FIGURES:
        samples = [({label: peer}, getattr(figures, attribute)) for peer, figures in named]
        yield family(kind, f"etcd_network_{name}", help_text, samples)
    for name, help_text, label, attribute in _TIMES:
        histograms = [({label: peer}, getattr(figures, attribute)) for peer, figures in named]
        observed = [(labels, histogram) for labels, histogram in histograms if histogram.count]
        yield labelled_histograms(f"etcd_network_{name}", help_text, observed)
    yield family(
        "gauge",
        "etcd_network_active_peers",
        "Peers that this member is connected to.",
        [({"Local": own_id, "Remote": peer}, figures.is_connected) for peer, figures in named],
    )
    yield family(
        "counter",
        "etcd_network_disconnected_peers_total",
        "Connections to peers that were lost.",
        [({"Local": own_id, "Remote": peer}, figures.disconnections) for peer, figures in named],
    )
