"""Commits of the keyspace: when they begin, and the thread they are written in.

A commit begins `interval_ms` after the first change it takes in, or when enough has gathered.
Copies for followers and other work on the file run in the same thread, between two commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from miniraft.server.storage_figures import StorageFigures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from miniraft.mvcc.store import Commit, Store
    from miniraft.raft.state import SnapshotMetadata

Result = TypeVar("Result")
# Runs a function in the store's thread.
InThread = Callable[[Callable[[], Result]], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """When a commit begins. Defaults as etcd's, and a bound on what waits in memory."""

    interval_ms: int = 100
    operation_limit: int = 10_000
    bytes_limit: int = 16 * 1024 * 1024


class StoreCommitter:
    """Commits a store. All methods are called on the event loop.

    Invariants: one commit or copy at a time; `committed` is what the file holds, as far as
    this process knows; nothing is begun while paused.
    """

    def __init__(
        self,
        store: Store,
        applied: Callable[[], SnapshotMetadata],
        on_committed: Callable[[SnapshotMetadata], None],
        on_failure: Callable[[OSError], None],
        policy: CommitPolicy,
        figures: StorageFigures | None = None,
    ) -> None:
        """`applied` tells what the store's contents, uncommitted ones included, stand for.

        `figures` are fed in the store's thread.
        """
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._applied = applied
        self._on_committed = on_committed
        self._on_failure = on_failure
        self._policy = policy
        self._figures = figures or StorageFigures()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()  # no commit and no copy is running
        self._idle.set()
        self._paused = False
        self._claims = 0  # works that want the file to themselves: commits let them go first
        self.committed = applied()  # nothing is uncommitted in a store just opened

    def consider(self) -> None:
        """Something may have been written: begins a commit now or later, if one is due."""
        operations = self._store.pending_operations()
        if not operations:
            return
        policy = self._policy
        if operations >= policy.operation_limit or self._store.pending_bytes() >= policy.bytes_limit:
            self._begin()
        elif self._timer is None:
            self._timer = self._loop.call_later(policy.interval_ms / 1000, self._interval_over)

    async def pause(self) -> None:
        """Returns when nothing is running; nothing begins until `resume`."""
        self._paused = True
        await self._idle.wait()

    def resume(self, store: Store, committed: SnapshotMetadata) -> None:
        """Goes on, with a store that holds `committed` on disk."""
        self._store = store
        self.committed = committed
        self._paused = False

    def freeze(self) -> None:
        """Begins nothing any more: what is in memory may be half a change."""
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def copy_to(self, path: Path) -> SnapshotMetadata:
        """Copies the last committed state to a new file; returns what it stands for.

        Raises OSError.
        """
        async with self.alone() as in_thread:
            committed = self.committed
            await in_thread(lambda: self._copy(path))
            return committed

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[InThread[None]]:
        """No commit runs inside; writes gather in memory. Yields what runs a function in the thread.

        Raises OSError while the store is being replaced or closed.
        """
        self._claims += 1
        try:
            while not self._idle.is_set():
                await self._idle.wait()
            if self._paused:
                raise OSError("the keyspace is being replaced or closed")
            self._idle.clear()
        finally:
            self._claims -= 1
        try:
            yield lambda work: self._loop.run_in_executor(self._thread, work)
        finally:
            self._idle.set()
            if not self._paused:
                self.consider()

    async def flush(self) -> None:
        """Returns when what has been written until now is on disk. Raises OSError when it fails."""
        while not self._idle.is_set():
            await self._idle.wait()
        if self._store.pending_operations():
            self._begin()
            while not self._idle.is_set():
                await self._idle.wait()
        if self._paused:
            raise OSError("the keyspace is being replaced or closed")

    async def close(self) -> None:
        """Commits what there is, unless frozen, and ends the thread. The store stays open."""
        await self._idle.wait()
        if not self._paused:
            self._begin()
            await self._idle.wait()
        self.freeze()
        self._thread.shutdown()

    # Internal ------------------------------------------------------------------------------
    def _interval_over(self) -> None:
        self._timer = None
        self._begin()

    def _begin(self) -> None:
        if self._paused or self._claims or not self._idle.is_set():
            return  # what waits goes with the next one: `consider` is called again
        applied = self._applied()
        try:
            commit = self._store.begin_commit()
        except OSError as error:
            self._on_failure(error)
            return
        if commit is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()
        written = self._loop.run_in_executor(self._thread, lambda: self._write(commit))
        written.add_done_callback(lambda done: self._written(commit, applied, done))

    def _write(self, commit: Commit) -> None:
        started = perf_counter()
        commit.write()
        self._figures.commit_seconds.observe(perf_counter() - started)

    def _copy(self, path: Path) -> None:
        started = perf_counter()
        self._store.copy_to(path)
        self._figures.copy_seconds.observe(perf_counter() - started)

    def _written(self, commit: Commit, applied: SnapshotMetadata, done: asyncio.Future[None]) -> None:
        self._idle.set()
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            commit.finish()
            self.committed = applied
            self._on_committed(applied)
            self.consider()
        elif isinstance(error, OSError):
            self._on_failure(error)
        else:
            self._on_failure(OSError(f"{type(error).__name__}: {error}"))
