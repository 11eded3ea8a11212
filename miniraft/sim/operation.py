"""What one client asked for once, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miniraft.errors import EtcdError


class OperationKind(StrEnum):
    """The requests that the clients make."""

    PUT = "put"
    DELETE = "delete"
    SWAP = "swap"  # a transaction: put if the key's mod_revision is as expected, else get
    GET = "get"  # linearizable
    STALE_GET = "stale get"  # serializable
    COMPACT = "compact"


class Outcome(StrEnum):
    """How an operation ended, as far as its client can know."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"  # certainly without effect
    UNKNOWN = "unknown"  # it may have had its effect, may still have it, or never


@dataclass(slots=True, eq=False)
class Operation:
    """Invariant: it is answered at most once; what it put is its own and nobody else's value."""

    number: int
    kind: OperationKind
    key: bytes
    server: str
    started_us: int
    floor: int  # the newest revision that anybody had been told when it began
    value: bytes = b""
    expected_revision: int = 0
    outcome: Outcome = Outcome.PENDING
    result: Any = None
    error: EtcdError | None = None
    answers: int = 0

    def __str__(self) -> str:
        return f"operation {self.number} ({self.kind} {self.key.decode()} at {self.server})"
