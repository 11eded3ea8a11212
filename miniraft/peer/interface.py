"""What the runtime needs of the peer transport, and what the transport tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from miniraft.raft.message import Message


class PeerAddress(NamedTuple):
    """Where a peer is to be found; the URLs are tried in turn."""

    member_id: int
    name: str
    urls: tuple[str, ...]


class PeerEvents(Protocol):
    """The transport's callbacks, all called on the event loop."""

    def on_messages(self, messages: Sequence[Message]) -> None:
        """Messages came in, in the sender's order, from a checked member of this cluster."""

    def on_unreachable(self, member_id: int) -> None:
        """Messages to this peer were lost: its queue was full, or the stream broke."""

    def on_disconnected(self, member_id: int) -> None:
        """The peer's end closed the connection: its process has ended, most likely. A peer that is
        paused, or cut off, does not: that is found out by silence."""

    def on_snapshot_received(self, message: Message, path: Path) -> None:
        """A snapshot's data is whole and synced in `path`; `message` is its SNAPSHOT message."""

    def on_snapshot_sent(self, member_id: int, succeeded: bool) -> None:
        """A snapshot transfer ended."""


class PeerTransport(Protocol):
    """Connections to all peers. `send` never blocks and never raises."""

    def send(self, messages: Sequence[Message]) -> None:
        """Queues messages for their receivers. A full queue drops and reports unreachable."""

    def send_snapshot(self, message: Message, path: Path) -> None:
        """Streams `path` beside a SNAPSHOT message, in the background; removes `path` after."""

    def set_peers(self, peers: Sequence[PeerAddress]) -> None:
        """Opens, keeps and closes connections so that exactly these peers have one."""

    def connected_since_ms(self, member_id: int) -> int | None:
        """Returns for how long the peer has been connected, or None if it is not."""

    async def close(self) -> None:
        """Ends all streams."""
