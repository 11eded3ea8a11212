"""The thread that writes the log: order, grouping, snapshots, failure and the end."""

import asyncio
import errno
import threading

import pytest

from miniraft.raft.entry import Entry
from miniraft.raft.state import HardState, SnapshotMetadata
from miniraft.runtime.log_writer import LogWriter, merge
from miniraft.server.effects import Persist
from miniraft.server.storage_figures import StorageFigures
from miniraft.wal.wal import create_log, open_log
from tests.support.lossy_disk import LossyDisk
from tests.wal.log_building import BOOTSTRAP, CONFIG, METADATA, entries


class GatedLog:
    """A real log whose syncs wait until they are let through."""

    def __init__(self, log):
        self.log = log
        self.gate = threading.Semaphore(0)
        self.syncing = threading.Event()
        self.calls = []

    def append(self, hard_state, new, snapshot=None):
        self.calls.append(("append", hard_state, list(new), snapshot))
        self.log.append(hard_state, new, snapshot)

    def sync(self):
        self.syncing.set()
        assert self.gate.acquire(timeout=10)
        self.calls.append(("sync",))
        self.log.sync()

    def purge(self, snapshot_index, keep_segments):
        self.calls.append(("purge", snapshot_index, keep_segments))
        return self.log.purge(snapshot_index, keep_segments)

    def bytes_written(self):
        return self.log.bytes_written()

    def close(self):
        self.calls.append(("close",))
        self.log.close()


class Run:
    """A LogWriter on a LossyDisk with what it reported."""

    def __init__(self, **options):
        self.loop = asyncio.get_running_loop()
        self.disk = LossyDisk()
        self.log = GatedLog(create_log(self.disk, METADATA, BOOTSTRAP, segment_bytes=4000))
        self.durable, self.failures, self.done = [], [], []
        self.changed = asyncio.Event()
        self.writer = LogWriter(
            self.log, self.loop, self.report(self.durable), self.report(self.failures), **options
        )

    def report(self, where):
        def add(value):
            assert threading.current_thread() is threading.main_thread()
            where.append(value)
            self.changed.set()

        return add

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def stop(self):
        self.log.gate.release(1000)
        self.writer.stop()
        await asyncio.sleep(0)


def persist(sequence, new=(), hard_state=None, must_sync=True):
    return Persist(sequence, hard_state, new, must_sync)


def test_persists_are_durable_when_reported():
    async def scenario():
        run = Run()
        run.log.gate.release()
        run.writer.submit(persist(1, entries(1, 2), HardState(1, 1, 0)))
        await run.until(lambda: run.durable == [1])
        recovered = open_log(run.disk.after_power_loss(lambda: False))[1]
        assert recovered.entries == entries(1, 2)
        assert recovered.hard_state == HardState(1, 1, 0)
        await run.stop()

    asyncio.run(scenario())


def test_what_waits_is_written_and_synced_as_one():
    async def scenario():
        run = Run()
        run.writer.submit(persist(1, entries(1, 1)))
        assert await run.loop.run_in_executor(None, run.log.syncing.wait, 10)
        for sequence in range(2, 11):
            run.writer.submit(persist(sequence, entries(sequence, 1), HardState(1, 1, sequence - 1)))
        run.log.gate.release(2)
        await run.until(lambda: run.durable[-1:] == [10])
        assert run.durable == [1, 10]
        assert run.log.calls == [
            ("append", None, entries(1, 1), None),
            ("sync",),
            ("append", HardState(1, 1, 9), entries(2, 9), None),
            ("sync",),
        ]
        await run.stop()

    asyncio.run(scenario())


def test_nothing_is_synced_when_only_the_commit_index_moved():
    async def scenario():
        run = Run()
        run.writer.submit(persist(1, hard_state=HardState(1, 1, 5), must_sync=False))
        await run.until(lambda: run.durable == [1])
        assert run.log.calls == [("append", HardState(1, 1, 5), [], None)]
        await run.stop()

    asyncio.run(scenario())


def test_a_snapshot_is_durable_before_the_log_is_purged_and_keeps_its_place():
    async def scenario():
        run = Run(keep_segments=1)
        run.log.gate.release(1000)
        for index in range(1, 30):
            run.writer.submit(persist(index, entries(index, 1, data=b"x" * 1000)))
            await run.until(lambda: run.durable and run.durable[-1] == index)  # noqa: B023
        before = run.disk.list()
        run.log.calls.clear()
        snapshot = SnapshotMetadata(25, 1, CONFIG)
        run.writer.submit(persist(30, entries(30, 1)))
        run.writer.submit_snapshot(snapshot, run.report(run.done), purge_index=20)
        run.writer.submit(persist(31, entries(31, 1)))
        await run.until(lambda: run.durable[-1] == 31)
        removed = run.done[0]
        assert removed == before[: len(removed)]
        assert len(removed) > 1
        calls = [call for call in run.log.calls if call[0] != "append" or call[3] or call[2]]
        snapshot_at = calls.index(("append", None, [], snapshot))
        assert calls[snapshot_at + 1 : snapshot_at + 3] == [("sync",), ("purge", 20, 1)]
        assert calls[snapshot_at - 1] == ("sync",)
        recovered = open_log(run.disk.after_power_loss(lambda: False))[1]
        assert recovered.snapshot == snapshot
        assert recovered.entries[-1].index == 31
        await run.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("job", ["persist", "snapshot"])
def test_a_failure_is_reported_once_and_nothing_after_it_is_durable(job):
    async def scenario():
        run = Run()
        run.log.gate.release(1000)
        run.writer.submit(persist(1, entries(1, 1)))
        await run.until(lambda: run.durable == [1])
        run.disk.fails_in = 0
        if job == "persist":
            run.writer.submit(persist(2, entries(2, 1)))
        else:
            run.writer.submit_snapshot(SnapshotMetadata(1, 1, CONFIG), run.report(run.done))
        run.writer.submit(persist(3, entries(3, 1)))
        await run.until(lambda: run.failures)
        run.disk.fails_in = None
        run.writer.submit(persist(4, entries(4, 1)))
        await run.stop()
        assert [failure.errno for failure in run.failures] == [errno.ENOSPC]
        assert run.durable == [1]
        assert run.done == []
        assert open_log(run.disk.after_power_loss(lambda: True))[1].entries == entries(1, 1)

    asyncio.run(scenario())


def test_stop_writes_what_was_submitted_and_closes_the_log():
    async def scenario():
        run = Run()
        for sequence in range(1, 6):
            run.writer.submit(persist(sequence, entries(sequence, 1)))
        await run.stop()
        assert run.durable[-1] == 5
        assert run.log.calls[-1] == ("close",)
        assert len(open_log(run.disk.after_power_loss(lambda: False))[1].entries) == 5

    asyncio.run(scenario())


def test_a_loop_that_is_gone_does_not_hold_up_the_log():
    async def scenario():
        return Run()

    run = asyncio.run(scenario())
    run.log.gate.release(1000)
    run.writer.submit(persist(1, entries(1, 1)))
    run.writer.stop()
    assert len(open_log(run.disk.after_power_loss(lambda: False))[1].entries) == 1


def test_figures_for_metrics():
    async def scenario():
        seconds, figures = [], StorageFigures()
        run = Run(observe_sync_s=seconds.append, figures=figures)
        run.log.gate.release(1000)
        run.writer.submit(persist(1, entries(1, 1, data=b"x" * 1000)))
        await run.until(lambda: run.durable == [1])
        run.writer.submit(persist(2, hard_state=HardState(1, 0, 1), must_sync=False))
        await run.until(lambda: run.durable == [1, 2])
        run.writer.submit_snapshot(SnapshotMetadata(1, 1, CONFIG), run.report(run.done))
        await run.until(lambda: run.done)
        await run.stop()
        assert len(seconds) == figures.log_sync_seconds.count == 2
        assert 0 <= seconds[0] < 10
        assert sum(seconds) == figures.log_sync_seconds.sum
        assert figures.log_write_seconds.count == 3
        assert figures.log_written_bytes == run.log.bytes_written() > 1000
        assert figures.snapshot_sync_seconds.count == figures.snapshot_save_seconds.count == 1
        assert figures.snapshot_sync_seconds.sum <= figures.snapshot_save_seconds.sum

    asyncio.run(scenario())


def test_merging_is_what_writing_one_after_another_would_leave():
    persists = [
        persist(1, entries(1, 5, term=1), HardState(1, 1, 0)),
        persist(2, entries(6, 2, term=1), must_sync=False),
        persist(3, hard_state=HardState(2, 0, 3), must_sync=False),
        persist(4, entries(4, 2, term=2), must_sync=False),
    ]
    group = merge(persists)
    assert group == (4, HardState(2, 0, 3), [*entries(1, 3, term=1), *entries(4, 2, term=2)], True)
    assert merge(persists[:1]) == (1, HardState(1, 1, 0), entries(1, 5, term=1), True)
    assert merge([*persists, persist(5, entries(1, 1, term=3))]).entries == entries(1, 1, term=3)
    assert isinstance(persists[0].entries[0], Entry)
    assert len(persists[0].entries) == 5  # the submitted ones are left alone
