"""The one thread that writes the log: everything that waits is written and synced at once.

While one sync runs, what comes in waits; the next write takes all of it (group commit). A
group costs one write and one sync however many Persists are in it, and one call back on the
event loop. The thread lets go of the interpreter's lock only in those two system calls: each
time it does, getting it back from a busy event loop can take as long as `sys.getswitchinterval`.
"""

from __future__ import annotations

import contextlib
import threading
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from miniraft.server.storage_figures import StorageFigures

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import HardState, SnapshotMetadata
    from miniraft.server.effects import Persist
    from miniraft.wal.interface import WriteAheadLog


class Group(NamedTuple):
    """Persists that are written as one."""

    sequence: int  # the last one's
    hard_state: HardState | None
    entries: Sequence[Entry]
    must_sync: bool


class _SnapshotJob(NamedTuple):
    metadata: SnapshotMetadata
    purge_index: int
    done: Callable[[list[str]], None]


class LogWriter:
    """Writes a log in a thread of its own; every call here returns at once but `stop`.

    The callbacks run on the event loop: `on_durable` with the last sequence that is durable,
    `on_failure` once, with what made the log unusable (OSError or WalError); nothing is
    written after that. `figures` and `observe_sync_s` are fed in the thread.

    Invariant: Persists and snapshots are written in the order they were submitted in.
    """

    def __init__(
        self,
        wal: WriteAheadLog,
        loop: asyncio.AbstractEventLoop,
        on_durable: Callable[[int], None],
        on_failure: Callable[[Exception], None],
        *,
        keep_segments: int = 5,
        figures: StorageFigures | None = None,
        observe_sync_s: Callable[[float], None] | None = None,
    ) -> None:
        self._wal = wal
        self._loop = loop
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._keep_segments = keep_segments
        self._figures = figures or StorageFigures()
        self._observe_sync_s = observe_sync_s
        self._queue: SimpleQueue[Persist | _SnapshotJob | None] = SimpleQueue()  # None: stop
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(self, persist: Persist) -> None:
        """Has `persist` written; `on_durable` tells when it is done."""
        self._queue.put(persist)

    def submit_snapshot(
        self,
        metadata: SnapshotMetadata,
        done: Callable[[list[str]], None],
        purge_index: int | None = None,
    ) -> None:
        """Has a snapshot record written and synced, then the log purged.

        What it stands for must be durable in the keyspace already. Segments go that hold nothing
        after `purge_index` (None: the snapshot's own index) and are not among the ones to keep.
        `done` is called on the event loop with the names of the files removed.
        """
        self._queue.put(_SnapshotJob(metadata, metadata.index if purge_index is None else purge_index, done))

    def stop(self) -> None:
        """Writes what was submitted, closes the log and ends the thread. Blocks that long."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._write_waiting():
                pass
        except Exception as error:  # noqa: BLE001 (whatever it is, the member cannot go on without a log)
            self._call(self._on_failure, error)
        with contextlib.suppress(OSError):
            self._wal.close()

    def _write_waiting(self) -> bool:
        """Waits for work and does all there is. Returns whether to go on."""
        queue = self._queue
        waiting = [queue.get()]
        waiting += [queue.get() for _ in range(queue.qsize())]
        persists: list[Persist] = []
        for work in waiting:
            if work is None or isinstance(work, _SnapshotJob):
                self._write_group(persists)
                persists = []
                if work is None:
                    return False
                self._write_snapshot(work)
            else:
                persists.append(work)
        self._write_group(persists)
        return True

    def _write_group(self, persists: Sequence[Persist]) -> None:
        if not persists:
            return
        group = merge(persists)
        started = perf_counter()
        self._wal.append(group.hard_state, group.entries)
        written = perf_counter()
        if group.must_sync:
            self._wal.sync()
        ended = perf_counter()
        self._call(self._on_durable, group.sequence)
        # Figures last: nobody waits for them.
        self._count(written - started, ended - written if group.must_sync else None)

    def _write_snapshot(self, job: _SnapshotJob) -> None:
        started = perf_counter()
        self._wal.append(None, (), job.metadata)
        written = perf_counter()
        self._wal.sync()
        ended = perf_counter()
        removed = self._wal.purge(job.purge_index, self._keep_segments)
        self._call(job.done, removed)
        self._count(written - started, ended - written)
        self._figures.snapshot_sync_seconds.observe(ended - written)
        self._figures.snapshot_save_seconds.observe(ended - started)

    def _count(self, write_seconds: float, sync_seconds: float | None) -> None:
        figures = self._figures
        figures.log_write_seconds.observe(write_seconds)
        figures.log_written_bytes = self._wal.bytes_written()
        if sync_seconds is not None:
            figures.log_sync_seconds.observe(sync_seconds)
            if self._observe_sync_s is not None:
                self._observe_sync_s(sync_seconds)

    def _call(self, callback: Callable[..., None], argument: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(callback, argument)


def merge(persists: Sequence[Persist]) -> Group:
    """Returns what writing the Persists one after another would leave in the log.

    Entries of a later one take the place of earlier ones from their first index on.
    """
    last = persists[-1]
    if len(persists) == 1:
        return Group(*last)
    hard_state: HardState | None = None
    entries: list[Entry] = []
    must_sync = False
    for persist in persists:
        if persist.hard_state is not None:
            hard_state = persist.hard_state
        if persist.entries:
            if entries:
                del entries[max(0, persist.entries[0].index - entries[0].index) :]
            entries += persist.entries
        must_sync = must_sync or persist.must_sync
    return Group(last.sequence, hard_state, entries, must_sync)
