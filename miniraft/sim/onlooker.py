"""Whoever looks on while servers run: the checkers, and the clients for their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.server.effects import Effects, Reply
    from miniraft.sim.server import SimServer
    from miniraft.wal.interface import RecoveredLog


class Onlooker:
    """Is told what happens at every server. Who wants to know of something overrides it."""

    def started(self, server: SimServer, recovered: RecoveredLog) -> None:
        """The server is up; this is what its log held."""

    def drained(self, server: SimServer, effects: Effects) -> None:
        """A batch was handled; nothing of `effects` has been done yet."""

    def persisted(self, server: SimServer, sequence: int) -> None:
        """The server believes that Persists up to `sequence` are durable."""

    def installed(self, server: SimServer, snapshot: SnapshotMetadata) -> None:
        """A leader's snapshot has replaced log and store; the member is about to hear of it."""

    def replied(self, server: SimServer, reply: Reply) -> None:
        """A client's request was answered."""

    def crashed(self, server: SimServer) -> None:
        """The server is gone, and every request with it that it had not answered."""
