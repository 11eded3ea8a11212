"""Snapshots on their way out to followers and in from a leader.

Installing one, so that a crash at any point leaves a state from which a start goes on:
1. the data gets the name `received-<index>-<term>.db`, durably;
2. the log gets a snapshot record, durably; from here on a start uses the received data;
3. the received file takes the store's place, durably; the member goes on with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from miniraft.mvcc.keyspace import Keyspace
from miniraft.runtime import log
from miniraft.runtime.lmdb_store import LmdbStore, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

    from miniraft.raft.message import Message
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.runtime.data_dir import DataFolder
    from miniraft.runtime.node import Node
    from miniraft.runtime.store_committer import StoreCommitter


class SnapshotExchange:
    """Sends and installs snapshots for one node."""

    def __init__(
        self, node: Node, folder: DataFolder, committer: StoreCommitter, unsafe_no_fsync: bool
    ) -> None:
        self._node = node
        self._folder = folder
        self._committer = committer
        self._unsafe_no_fsync = unsafe_no_fsync
        self._tasks: set[asyncio.Task[None]] = set()
        self._offered: Path | None = None
        self._installing = False
        self._waiting: tuple[Message, Path] | None = None  # came in while another was installed

    # Out -----------------------------------------------------------------------------------
    def send(self, messages: list[Message]) -> None:
        """Copies the store and sends it beside each message, in the background."""
        for message in messages:
            self._start(self._send(message))

    async def _send(self, message: Message) -> None:
        path = self._folder.next_outgoing_file()
        try:
            copied = await self._committer.copy_to(path)
        except (OSError, ValueError) as error:
            log.event("error", "cannot copy the keyspace for a follower", error=str(error))
            self._node.on_snapshot_sent(message.receiver, False)
            return
        if message.snapshot is None or copied.index < message.snapshot.index:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            self._node.on_snapshot_sent(message.receiver, False)
            return
        # The copy is of the last commit, which may be newer than what Raft promised.
        self._node.transport().send_snapshot(replace(message, snapshot=copied), path)

    # In ------------------------------------------------------------------------------------
    def received(self, message: Message, path: Path) -> None:
        """The data of a snapshot is here: the member says whether it has any use for it."""
        if self._installing:
            if self._waiting is not None:
                self._remove(self._waiting[1])
            self._waiting = (message, path)
            return
        self._offered = path
        wanted = self._node.offer_snapshot(message)
        self._offered = None
        if wanted is None:
            self._remove(path)

    def install(self, metadata: SnapshotMetadata) -> None:
        """Begins to put the snapshot just offered in the place of log and store."""
        path = self._offered
        if path is None:
            self._node.fail(f"the data of the snapshot at entry {metadata.index} is not here")
            return
        self._installing = self._node.storage_figures.is_installing_snapshot = True
        log.event("info", "installing a snapshot from the leader", index=metadata.index, term=metadata.term)
        self._start(self._install(path, metadata))

    async def _install(self, path: Path, metadata: SnapshotMetadata) -> None:
        loop = asyncio.get_running_loop()
        member, folder = self._node.member, self._folder
        try:
            received = await asyncio.to_thread(folder.keep_received, path, metadata)
            recorded = loop.create_future()
            self._node.write_snapshot_record(metadata, lambda: recorded.set_result(None))
            await recorded
            # The old store goes on serving reads while the new one is read, which takes its time.
            store, keyspace = await asyncio.to_thread(self._open, received)
            await self._committer.pause()
            await asyncio.to_thread(folder.put_in_place, received)
        except (OSError, StoreRefused, ValueError) as error:
            self._node.fail(f"cannot install the snapshot of the leader: {error}")
            return
        old_store = member.store
        try:
            member.snapshot_installed(metadata, keyspace, store)
        except ValueError as error:
            store.close()
            self._node.fail(f"cannot install the snapshot of the leader: {error}")
            return
        old_store.close()
        self._committer.resume(store, metadata)
        self._installing = self._node.storage_figures.is_installing_snapshot = False
        log.event(
            "info", "installed the snapshot from the leader", index=metadata.index, revision=keyspace.revision
        )
        self._node.install_ended()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.received(*waiting)

    def _open(self, path: Path) -> tuple[LmdbStore, Keyspace]:
        store = LmdbStore(path, unsafe_no_fsync=self._unsafe_no_fsync)
        try:
            return store, Keyspace(store)
        except BaseException:
            store.close()
            raise

    # Tasks ---------------------------------------------------------------------------------
    async def close(self) -> None:
        """Gives up what is under way. A start finishes an installation that was begun."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._node.fail(f"handling a snapshot failed: {type(error).__name__}: {error}")

    def _remove(self, path: Path) -> None:
        self._start(asyncio.to_thread(path.unlink, missing_ok=True))
