"""Counters for each peer: plain numbers, read when somebody asks for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PeerStatistics:
    """What went to and came from one peer since this member started."""

    sent_bytes: int = 0
    received_bytes: int = 0
    sent_failures: int = 0  # batches and streams that broke, messages dropped because a queue was full
    received_failures: int = 0  # streams from the peer that broke or were refused
    disconnections: int = 0
    round_trip_ns: int = 0  # the last one measured, 0 before
    snapshots_sent: int = 0
    snapshots_send_failed: int = 0
    snapshots_received: int = 0
    snapshots_receive_failed: int = 0
    server_version: str = ""  # what it said when it was connected last
