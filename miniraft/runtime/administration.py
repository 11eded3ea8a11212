"""Implements Administration over a node: what operators ask of a member."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, TypeVar

from miniraft.errors import Code, EtcdError
from miniraft.runtime import log
from miniraft.runtime.background import Background
from miniraft.runtime.defragmentation import defragment
from miniraft.runtime.hashing import answer_hashes, hash_keyspace
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.snapshot.problem import SnapshotError
from miniraft.snapshot.stream import snapshot_blobs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Coroutine, Sequence
    from typing import Any

    from miniraft.peer.transport import GrpcPeerTransport
    from miniraft.runtime.data_dir import DataFolder
    from miniraft.runtime.membership_changes import MembershipChanges
    from miniraft.runtime.node import Node
    from miniraft.runtime.store_committer import StoreCommitter
    from miniraft.server.service import MemberInfo

Result = TypeVar("Result")


class NodeAdministration:
    """See Administration. The work goes on when nobody waits for it any more."""

    def __init__(
        self, node: Node, committer: StoreCommitter, folder: DataFolder, changes: MembershipChanges
    ) -> None:
        self._node = node
        self._committer = committer
        self._folder = folder
        self._changes = changes
        self._background = Background()

    def start(self, transport: GrpcPeerTransport) -> None:
        """From now on other members' questions are answered."""
        self._changes.start(transport)
        answer_hashes(self._node, transport)

    async def close(self) -> None:
        """Ends what is under way; a defragmentation is waited for."""
        await self._background.close()

    # Membership ----------------------------------------------------------------------------
    def add_member(
        self, peer_urls: Sequence[str], is_learner: bool
    ) -> asyncio.Future[tuple[MemberInfo, Sequence[MemberInfo]]]:
        """See Administration.add_member."""
        return self._background.run(self._changes.add(peer_urls, is_learner))

    def remove_member(self, member_id: int) -> asyncio.Future[Sequence[MemberInfo]]:
        """See Administration.remove_member."""
        return self._background.run(self._changes.remove(member_id))

    def update_member(self, member_id: int, peer_urls: Sequence[str]) -> asyncio.Future[Sequence[MemberInfo]]:
        """See Administration.update_member."""
        return self._background.run(self._changes.update(member_id, peer_urls))

    def promote_member(self, member_id: int) -> asyncio.Future[Sequence[MemberInfo]]:
        """See Administration.promote_member."""
        return self._background.run(self._changes.promote(member_id))

    # The member's own data -----------------------------------------------------------------
    def defragment(self) -> asyncio.Future[None]:
        """See Administration.defragment. Who asks while one is under way waits for the next."""
        return self._background.run(_told_to_client(defragment(self._node, self._committer)), to_its_end=True)

    def hash_store(self) -> asyncio.Future[int]:
        """See Administration.hash_store."""
        return self._background.run(_told_to_client(self._hash_store()), to_its_end=True)

    def hash_kv(self, revision: int) -> asyncio.Future[tuple[int, int, int]]:
        """See Administration.hash_kv."""
        return self._background.run(self._hash_kv(revision))

    async def snapshot(self) -> AsyncGenerator[tuple[bytes, int]]:
        """See Administration.snapshot. Raises EtcdError."""
        copy, export = self._folder.next_outgoing_file(), self._folder.next_outgoing_file()
        log.event("info", "sending a database snapshot to a client")
        try:
            await self._committer.flush()  # what has been acknowledged is to be in it
            async for piece in snapshot_blobs(self._committer.copy_to, copy, export):
                yield piece
        except (OSError, SnapshotError) as error:
            raise _told(error) from error
        log.event("info", "sent a database snapshot to a client")

    async def _hash_store(self) -> int:
        began = time.monotonic()
        await self._committer.flush()
        hashes: list[int] = []
        async with self._committer.alone() as in_thread:
            store = self._node.member.store
            if not isinstance(store, LmdbStore):
                raise OSError("this member's store has no file to hash")
            await in_thread(lambda: hashes.append(store.hash_committed()))
        self._node.storage_figures.hash_seconds.observe(time.monotonic() - began)
        return hashes[0]

    async def _hash_kv(self, revision: int) -> tuple[int, int, int]:
        hashed = await hash_keyspace(self._node, revision)
        return hashed.hash, hashed.compact_revision, hashed.hash_revision


async def _told_to_client(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await work
    except OSError as error:
        log.event("error", "maintenance failed", error=str(error))
        raise _told(error) from error


def _told(error: Exception) -> EtcdError:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "; free some disk space and try again" if full else ""
    return EtcdError(Code.UNKNOWN, f"{error}{advice}")
