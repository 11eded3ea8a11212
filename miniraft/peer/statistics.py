"""Counters for each peer: plain numbers, read when somebody asks for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from miniraft.histogram import Histogram, exponential

_ROUND_TRIP_SECONDS = exponential(0.0001, 2, 16)
_SYNC_SECONDS = exponential(0.001, 2, 14)
_TRANSFER_SECONDS = exponential(0.1, 2, 10)


@dataclass(slots=True)
class PeerStatistics:
    """What went to and came from one peer since this member started."""

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_failures: int = 0  # batches and streams that broke, messages dropped because a queue was full
    received_failures: int = 0  # streams from the peer that broke or were refused
    is_connected: bool = False  # our stream to the peer is up
    disconnections: int = 0
    round_trip_seconds: Histogram = field(default_factory=lambda: Histogram(_ROUND_TRIP_SECONDS))
    snapshots_sending: int = 0
    snapshots_sent: int = 0
    snapshots_send_failed: int = 0
    snapshot_send_seconds: Histogram = field(default_factory=lambda: Histogram(_TRANSFER_SECONDS))
    snapshots_receiving: int = 0
    snapshots_received: int = 0
    snapshots_receive_failed: int = 0
    snapshot_receive_seconds: Histogram = field(default_factory=lambda: Histogram(_TRANSFER_SECONDS))
    snapshot_sync_seconds: Histogram = field(default_factory=lambda: Histogram(_SYNC_SECONDS))
    server_version: str = ""  # what it said when it was connected last
