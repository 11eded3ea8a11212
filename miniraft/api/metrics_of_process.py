"""Metrics of the process that `prometheus_client` has not, under the names of Go's programs."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from miniraft.api.metrics_family import family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

_UNLIMITED = 2.0**64
_NETWORK_COUNTERS = Path("/proc/self/net/netstat")


def process_families() -> Iterable[Metric]:
    """Yields file descriptors, address space and traffic, as far as the system tells."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield family("gauge", "os_fd_limit", "File descriptors allowed.", value=limit)
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    yield family(
        "gauge",
        "process_virtual_memory_max_bytes",
        "Address space allowed.",
        value=_UNLIMITED if space == resource.RLIM_INFINITY else space,
    )
    try:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names are enough)
        received, sent = _network_bytes(_NETWORK_COUNTERS.read_text())
    except (OSError, ValueError):
        return
    yield family("gauge", "os_fd_used", "File descriptors in use.", value=used)
    yield family(
        "counter", "process_network_receive_bytes_total", "Bytes received by the host.", value=received
    )
    yield family("counter", "process_network_transmit_bytes_total", "Bytes sent by the host.", value=sent)


def _network_bytes(text: str) -> tuple[int, int]:
    """Returns the bytes received and sent in this network namespace. Raises ValueError."""
    lines = [line.split() for line in text.splitlines() if line.startswith("IpExt:")]
    names, values = lines[0], lines[1]
    counters = dict(zip(names, values, strict=True))
    return int(counters["InOctets"]), int(counters["OutOctets"])
