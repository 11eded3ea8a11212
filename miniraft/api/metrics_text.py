"""Prometheus' text format, version 0.0.4.

Written here because `prometheus_client` appends `_total` to every counter's name, and some
of etcd's counters have none (`etcd_server_health_success`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.metrics_family import go_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def render(families: Iterable[Metric]) -> bytes:
    """Returns the families in the text format."""
    lines: list[str] = []
    for metric in families:
        name = _name(metric)
        kind = "untyped" if metric.type == "unknown" else metric.type
        lines.append(f"# HELP {name} {_escape(metric.documentation)}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(
            f"{sample.name}{_labels(sample.labels)} {go_number(sample.value)}"
            for sample in metric.samples
            if not sample.name.endswith("_created")
        )
    lines.append("")
    return "\n".join(lines).encode()


def _name(metric: Metric) -> str:
    """Returns the name in the family's heading: for counters that of their samples."""
    if metric.type != "counter":
        return metric.name
    return next((sample.name for sample in metric.samples), metric.name)


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escape_value(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape(text).replace('"', '\\"')
