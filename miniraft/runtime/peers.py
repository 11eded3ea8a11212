"""A member's links to the others: who is to be connected, and who may be spoken to yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.peer.handshake import RefusalKind
from miniraft.peer.interface import PeerAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.peer.handshake import Refusal
    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.raft.message import Message
    from miniraft.server.membership import Cluster


class PeerLinks:
    """The transport behind a gate.

    A member that began without data says nothing to a peer before that peer has told that it
    does not know an earlier life of this member: a voter whose disk was emptied must not vote,
    for the majority that holds an acknowledged entry may have counted on it.
    """

    def __init__(self, own_id: int) -> None:
        self._own_id = own_id
        self._transport: GrpcPeerTransport | None = None
        self._unverified: set[int] = set()

    @property
    def transport(self) -> GrpcPeerTransport:
        """The connections. Raises RuntimeError before `connect`."""
        if self._transport is None:
            raise RuntimeError("the node has not been started")
        return self._transport

    def connect(self, transport: GrpcPeerTransport, unverified: frozenset[int]) -> None:
        """Takes the transport; messages to `unverified` peers are dropped until they are verified."""
        self._transport = transport
        self._unverified = set(unverified)

    def verified(self, member_id: int) -> None:
        """Messages to this peer may go out."""
        self._unverified.discard(member_id)

    def send(self, messages: Sequence[Message]) -> None:
        """Sends what may be sent."""
        if self._unverified:
            messages = [message for message in messages if message.receiver not in self._unverified]
        if messages and self._transport is not None:
            self._transport.send(messages)

    def set_members(self, cluster: Cluster) -> None:
        """Brings the connections in line with the membership."""
        if self._transport is None:
            return
        self._transport.set_peers(
            [
                PeerAddress(member.id, member.name, member.peer_urls)
                for member in cluster.members()
                if member.id != self._own_id
            ]
        )

    def says_removed(self, refusal: Refusal) -> bool:
        """Whether a peer refuses this member because it was removed from the cluster."""
        return refusal.kind is RefusalKind.REMOVED_MEMBER

    async def close(self) -> None:
        """Ends all connections."""
        if self._transport is not None:
            await self._transport.close()
