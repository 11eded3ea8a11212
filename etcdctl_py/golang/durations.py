"""Durations as Go writes and reads them: `1m30s`, `2.5ms`, `861.749µs`."""

from __future__ import annotations

import re
from decimal import Decimal

from etcdctl_py.golang.quoting import quote_text

_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(?P<number>[0-9]*(?:\.[0-9]*)?)(?P<unit>[^0-9.]*)")


def parse_duration(text: str) -> float:
    """Reads a duration such as `1.5s` and returns seconds. Raises ValueError with Go's message."""
    rest = text[1:] if text[:1] in {"-", "+"} else text
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {quote_text(text)}")
    total_ns = Decimal(0)
    while rest:
        part = _PART.match(rest)
        if part is None or part["number"] in {"", "."}:
            raise ValueError(f"time: invalid duration {quote_text(text)}")
        unit = part["unit"]
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote_text(text)}")
        if unit not in _UNIT_NS:
            raise ValueError(f"time: unknown unit {quote_text(unit)} in duration {quote_text(text)}")
        total_ns += Decimal(part["number"]) * _UNIT_NS[unit]
        rest = rest[part.end() :]
    if total_ns >= 2**63:
        raise ValueError(f"time: invalid duration {quote_text(text)}")
    seconds = float(total_ns / 1_000_000_000)
    return -seconds if text.startswith("-") else seconds


def format_duration(duration_ns: int) -> str:
    """Writes a duration in nanoseconds in the shortest form Go gives it."""
    sign = "-" if duration_ns < 0 else ""
    magnitude_ns = abs(duration_ns)
    if magnitude_ns == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if magnitude_ns < _UNIT_NS[unit] * 1_000:
            return f"{sign}{_decimal(magnitude_ns, _UNIT_NS[unit])}{unit}"
    minutes, rest_ns = divmod(magnitude_ns, _UNIT_NS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest_ns, _UNIT_NS["s"])
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}s"
    return f"{sign}{minutes}m{seconds}s" if minutes else f"{sign}{seconds}s"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{fraction:0{digits}d}".rstrip("0")
