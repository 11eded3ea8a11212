"""The bounds on what a client may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults as etcd's."""

    max_request_bytes: int = 1572864
    max_txn_operations: int = 128
    max_unapplied_entries: int = 5000  # commit index ahead of applied index: "too many requests"
    quota_backend_bytes: int = 0  # 0: 2 GiB; negative: no quota

    @property
    def effective_quota_bytes(self) -> int:
        """The quota in force, as Status.dbSizeQuota shows it."""
        return 2147483648 if self.quota_backend_bytes == 0 else self.quota_backend_bytes
