"""Early word of a keyspace that grows towards its quota (--quota-backend-bytes)."""

from __future__ import annotations

from typing import Any, NamedTuple

_STEPS = (90, 80)  # per cent
_AGAIN_BELOW = 5  # per cent below a step: then reaching it is news again


class QuotaWarning(NamedTuple):
    """A line for the log."""

    message: str
    fields: dict[str, Any]


class QuotaWatch:
    """Warns once for each step that is reached."""

    def __init__(self, quota_bytes: int) -> None:
        """Negative: there is no quota."""
        self._quota_bytes = quota_bytes
        self._reached = 0

    def look(self, size_bytes: int, in_use_bytes: int, revision: int) -> QuotaWarning | None:
        """Returns the warning that the size calls for, if any."""
        if self._quota_bytes <= 0:
            return None
        share = 100 * size_bytes // self._quota_bytes
        step = next((step for step in _STEPS if share >= step), 0)
        if step <= self._reached:
            if share < self._reached - _AGAIN_BELOW:
                self._reached = step
            return None
        self._reached = step
        return QuotaWarning(
            f"the keyspace takes {share} % of its quota; at 100 % writes are refused. To make room: "
            f"etcdctl compact {revision}, then etcdctl defrag --cluster; or raise --quota-backend-bytes",
            {
                "size_bytes": size_bytes,
                "in_use_bytes": in_use_bytes,
                "quota_bytes": self._quota_bytes,
                "percent": share,
            },
        )
