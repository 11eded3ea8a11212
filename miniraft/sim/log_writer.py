"""The thread that writes the log, in virtual time: one batch at a time, then one sync.

Between handing records to the system and the end of the sync lies the time in which a crash
may lose them, in part too.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from miniraft.server.effects import Persist

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.raft.state import SnapshotMetadata
    from miniraft.wal.interface import WriteAheadLog


class Install(NamedTuple):
    """A received snapshot takes the place of log and store: here its record is written."""

    snapshot: SnapshotMetadata


class Cut(NamedTuple):
    """The log goes on behind this snapshot; what is before it may be purged."""

    snapshot: SnapshotMetadata


Job = Persist | Install | Cut


class LogOwner(Protocol):
    """Whoever is told what has become of the jobs."""

    def log_durable(self, sequence: int) -> None:
        """All Persists up to `sequence` are durable."""

    def snapshot_recorded(self, snapshot: SnapshotMetadata) -> None:
        """The record is durable. Nothing else is written until `LogWriter.resume`."""

    def log_failed(self, error: OSError) -> None:
        """The disk refused. The log must not be used any more."""


class LogWriter:
    """Writes jobs in order. `sync_later` plans an action after the time that a sync takes."""

    def __init__(
        self, log: WriteAheadLog, owner: LogOwner, sync_later: Callable[[Callable[[], None]], None]
    ) -> None:
        self._log = log
        self._owner = owner
        self._sync_later = sync_later
        self._jobs: deque[Job] = deque()
        self._busy = False

    def add(self, job: Job) -> None:
        """Takes on a job."""
        self._jobs.append(job)
        self._start()

    def resume(self) -> None:
        """The snapshot that was recorded last is in place."""
        self._busy = False
        self._start()

    def _start(self) -> None:
        if self._busy or not self._jobs:
            return
        self._busy = True
        batch = self._next_batch()
        try:
            for job in batch:
                if isinstance(job, Persist):
                    self._log.append(job.hard_state, job.entries)
                else:
                    self._log.append(None, (), job.snapshot)
        except OSError as error:
            self._owner.log_failed(error)
            return
        self._sync_later(partial(self._sync, batch))

    def _next_batch(self) -> list[Job]:
        """Returns all jobs up to the next Install, or that one alone."""
        batch = [self._jobs.popleft()]
        while self._jobs and not isinstance(batch[0], Install) and not isinstance(self._jobs[0], Install):
            batch.append(self._jobs.popleft())
        return batch

    def _sync(self, batch: list[Job]) -> None:
        try:
            self._log.sync()
            for job in batch:
                if isinstance(job, Cut):
                    self._log.purge(job.snapshot.index, keep_segments=1)
        except OSError as error:
            self._owner.log_failed(error)
            return
        sequence = max((job.sequence for job in batch if isinstance(job, Persist)), default=0)
        if sequence:
            self._owner.log_durable(sequence)
        if isinstance(batch[0], Install):
            self._owner.snapshot_recorded(batch[0].snapshot)
        else:
            self.resume()
