"""Prometheus families out of plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Metric
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable

    from miniraft.histogram import Histogram

Labels = dict[str, str]


class Plain(NamedTuple):
    """A metric of one value."""

    kind: str
    name: str
    help_text: str
    value: float


def plain_families(*metrics: Plain) -> Iterable[Metric]:
    """Returns each metric as a family of its own."""
    return (family(*metric[:3], value=metric.value) for metric in metrics)


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


def histogram_family(name: str, help_text: str, histogram: Histogram) -> Metric:
    """Returns a histogram without labels."""
    return labelled_histograms(name, help_text, [({}, histogram)])


def labelled_histograms(name: str, help_text: str, histograms: Iterable[tuple[Labels, Histogram]]) -> Metric:
    """Returns a family with one histogram for each set of labels."""
    metric = Metric(name, help_text, "histogram")
    for labels, histogram in histograms:
        _add_histogram(metric, name, labels, histogram)
    return metric


def _add_histogram(metric: Metric, name: str, labels: Labels, histogram: Histogram) -> None:
    total = 0
    bounds = [*map(go_number, histogram.bounds), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        total += count
        metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, total)
    metric.add_sample(f"{name}_sum", labels, histogram.sum)
    metric.add_sample(f"{name}_count", labels, total)


def go_number(value: float) -> str:
    """Writes a number as Go does, and so etcd: scrapers tell `le="1"` from `le="1.0"`."""
    if isinstance(value, int):
        return str(int(value))  # True and False too
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text.removesuffix(".0")
