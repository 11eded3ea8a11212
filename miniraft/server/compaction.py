"""Dropping what a recorded compaction no longer keeps, a slice at a time beside other work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from miniraft.server.effects import Effects, Reply
from miniraft.server.notes import CompactionFinished

if TYPE_CHECKING:
    from miniraft.mvcc.interface import KeyspaceCore
    from miniraft.mvcc.results import CompactionResult
    from miniraft.server.member_figures import CompactionFigures


class CompactionWork:
    """Whether revisions are left to drop, and who waits for the end of it (`physical`)."""

    __slots__ = ("_figures", "_waiting", "unfinished")

    def __init__(self, figures: CompactionFigures) -> None:
        self._figures = figures
        self.unfinished = True  # one may have been interrupted by a restart: the first slice tells
        self._waiting: list[tuple[Any, CompactionResult]] = []

    def recorded(self) -> None:
        """A compaction has been recorded, or a store has come whose state is not known."""
        self.unfinished = True

    def wait(self, handle: Any, result: CompactionResult) -> None:
        """`handle` is answered when nothing is left to drop."""
        self._waiting.append((handle, result))

    def step(self, keyspace: KeyspaceCore, limit: int, effects: Effects) -> None:
        """Drops up to `limit` revisions."""
        self.unfinished = keyspace.is_compacting
        if self.unfinished:
            self.unfinished = self._figures.time(keyspace.compact_step, limit)
            if self.unfinished:
                return
            revision = keyspace.compact_revision
            effects.notes.append(CompactionFinished(revision, keyspace.compaction_hashes.at(revision)))
        effects.replies.extend(Reply(handle, result, None) for handle, result in self._waiting)
        self._waiting = []

    def take_all(self) -> list[Any]:
        """Returns everybody who waits; nobody does then."""
        handles = [handle for handle, _ in self._waiting]
        self._waiting = []
        return handles
