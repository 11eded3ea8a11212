"""What all connections of one transport share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from miniraft.peer.codec import EntriesEncoder
from miniraft.peer.statistics import PeerStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.peer.dialing import Dialer
    from miniraft.peer.handshake import LocalMember, Refusal
    from miniraft.peer.interface import PeerEvents
    from miniraft.peer.settings import LogEvent, PeerSettings


def _ignore_refusal(_member_id: int, _refusal: Refusal) -> None:
    """Nobody asked to be told."""


@dataclass(slots=True)
class LinkContext:
    """Shared by the connections to all peers."""

    local: LocalMember
    events: PeerEvents
    dialer: Dialer
    settings: PeerSettings
    log: LogEvent
    on_refused: Callable[[int, Refusal], None] = _ignore_refusal
    encoder: EntriesEncoder = field(default_factory=EntriesEncoder)
    generator: random.Random = field(default_factory=random.Random)
    statistics: dict[int, PeerStatistics] = field(default_factory=dict)

    def statistics_of(self, member_id: int) -> PeerStatistics:
        """Returns the counters of a peer; they outlive its connections."""
        return self.statistics.setdefault(member_id, PeerStatistics())
