"""What an operator asks of a member, beside its work for clients. The runtime implements it.

Everything here takes its time, so everything is a future or a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Sequence

    from miniraft.server.service import MemberInfo


class Administration(Protocol):
    """Changes of membership, and care for the member's own data."""

    # Membership: each resolves to the members as they are then, once the change is applied here.
    # All fail with EtcdError: what the change is refused for, timeouts, no leader.
    def add_member(
        self, peer_urls: Sequence[str], is_learner: bool
    ) -> asyncio.Future[tuple[MemberInfo, Sequence[MemberInfo]]]:
        """Adds a member at these URLs (see `parse_peer_urls`); resolves to it and to all members."""

    def remove_member(self, member_id: int) -> asyncio.Future[Sequence[MemberInfo]]:
        """Removes a member for good."""

    def update_member(self, member_id: int, peer_urls: Sequence[str]) -> asyncio.Future[Sequence[MemberInfo]]:
        """Changes where a member is to be found."""

    def promote_member(self, member_id: int) -> asyncio.Future[Sequence[MemberInfo]]:
        """Makes a learner a voter, when the leader finds it in sync."""

    # The member's own data
    def defragment(self) -> asyncio.Future[None]:
        """Gives the space that nothing uses back to the file system, while the member works on."""

    def hash_store(self) -> asyncio.Future[int]:
        """Resolves to a checksum of everything stored."""

    def hash_kv(self, revision: int) -> asyncio.Future[tuple[int, int, int]]:
        """Resolves to (hash, compact revision or -1, revision hashed). Fails with EtcdError."""

    def snapshot(self) -> AsyncGenerator[tuple[bytes, int]]:
        """Yields a snapshot of all data in pieces, each with the bytes that remain."""
