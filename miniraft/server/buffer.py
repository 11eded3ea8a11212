"""Proposals that Raft has not taken yet.

Once Raft has taken a proposal it must never be offered again: it may be in some log already
and would be applied twice. One that Raft has dropped is in no log, so it is kept here and
offered again until a leader takes it or the client's patience ends.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniraft.raft.interface import RaftCore

_MOST_BYTES_AT_ONCE = 1024 * 1024


class ProposalBuffer:
    """Entry data by request id, in the order in which the requests came.

    Invariant: `size_bytes` is the sum of what is buffered.
    """

    __slots__ = ("_changes", "_proposals", "size_bytes")

    def __init__(self) -> None:
        self._proposals: dict[int, bytes] = {}
        self._changes: dict[int, bytes] = {}  # membership changes, of which Raft takes one at a time
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._proposals or self._changes)

    def add(self, request_id: int, data: bytes) -> None:
        """Keeps a proposal until Raft takes it."""
        self._proposals[request_id] = data
        self.size_bytes += len(data)

    def add_change(self, request_id: int, data: bytes) -> None:
        """Keeps a membership change until Raft takes it."""
        self._changes[request_id] = data
        self.size_bytes += len(data)

    def discard(self, request_id: int) -> bool:
        """Gives a proposal up; returns whether it was still here, which is: in no log."""
        data = self._proposals.pop(request_id, None)
        if data is None:
            data = self._changes.pop(request_id, None)
        if data is None:
            return False
        self.size_bytes -= len(data)
        return True

    def offer(self, raft: RaftCore) -> None:
        """Hands Raft everything that waits, the membership changes last.

        Raises ProposalDropped when Raft does not take all of it; the rest stays.
        """
        while self._proposals:
            batch = self._next_batch()
            raft.propose(batch)
            self._forget(self._proposals, len(batch))
        while self._changes:
            raft.propose_config_change(next(iter(self._changes.values())))
            self._forget(self._changes, 1)

    def clear(self) -> None:
        """Gives everything up."""
        self._proposals.clear()
        self._changes.clear()
        self.size_bytes = 0

    def _next_batch(self) -> list[bytes]:
        if self.size_bytes <= _MOST_BYTES_AT_ONCE:
            return list(self._proposals.values())
        batch: list[bytes] = []
        size = 0
        for data in self._proposals.values():
            size += len(data)
            if batch and size > _MOST_BYTES_AT_ONCE:
                break
            batch.append(data)
        return batch

    def _forget(self, proposals: dict[int, bytes], count: int) -> None:
        taken = list(islice(proposals, count))
        for request_id in taken:
            self.size_bytes -= len(proposals.pop(request_id))
