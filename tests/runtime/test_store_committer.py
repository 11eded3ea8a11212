"""When commits of the keyspace begin, and what happens when one fails."""

import asyncio
import errno

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.raft.state import ConfigState, SnapshotMetadata
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.runtime.store_committer import CommitPolicy, StoreCommitter
from tests.support.peer_ends import eventually


class Owner:
    """What a node is to a committer."""

    def __init__(self, path, **policy):
        self.store = LmdbStore(path)
        self.index = 0
        self.committed, self.failures = [], []
        self.committer = StoreCommitter(
            self.store, self.applied, self.committed.append, self.failures.append, CommitPolicy(**policy)
        )

    def applied(self):
        return SnapshotMetadata(self.index, 1, ConfigState((1,)))

    def write(self, key=b"k"):
        self.index += 1
        self.store.put(Bucket.META, key, b"%d" % self.index)
        self.committer.consider()


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_what_gathers_is_committed_together_after_the_interval(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=30)
        for _ in range(10):
            owner.write()
        assert owner.committed == []
        await eventually(lambda: owner.committed)
        assert [snapshot.index for snapshot in owner.committed] == [10]
        assert owner.committer.committed.index == 10
        await owner.committer.close()
        owner.store.close()
        assert LmdbStore(tmp_path / "db").get(Bucket.META, b"k") == b"10"

    run(scenario)


def test_much_is_committed_before_the_interval(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=600_000, operation_limit=5)
        for number in range(5):
            owner.write(b"%d" % number)
        await eventually(lambda: owner.committed)
        await owner.committer.close()
        owner.store.close()

    run(scenario)


def test_what_comes_while_one_is_written_goes_with_the_next(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=1)
        owner.write()
        await asyncio.sleep(0.002)
        owner.write(b"other")
        await eventually(lambda: owner.committed and owner.committed[-1].index == 2)
        await owner.committer.close()
        owner.store.close()

    run(scenario)


def test_closing_commits_the_rest(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=600_000)
        owner.write()
        await owner.committer.close()
        owner.store.close()
        assert LmdbStore(tmp_path / "db").get(Bucket.META, b"k") == b"1"

    run(scenario)


def test_once_frozen_nothing_is_committed(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=1)
        owner.write()
        owner.committer.freeze()
        owner.write()
        await asyncio.sleep(0.02)
        await owner.committer.close()
        owner.store.close()
        assert owner.committed == []
        assert LmdbStore(tmp_path / "db").get(Bucket.META, b"k") is None

    run(scenario)


def test_a_disk_that_fails_is_reported(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=1)
        begin = owner.store.begin_commit

        def failing():
            commit = begin()
            if commit is not None:

                def write():
                    raise OSError(errno.ENOSPC, "No space left on device")

                commit.write = write
            return commit

        owner.store.begin_commit = failing
        owner.write()
        await eventually(lambda: owner.failures)
        assert owner.failures[0].errno == errno.ENOSPC
        assert owner.committed == []
        owner.committer.freeze()
        await owner.committer.close()
        owner.store.close()

    run(scenario)


def test_a_copy_holds_the_last_commit_and_says_so(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db", interval_ms=1)
        owner.write()
        await eventually(lambda: owner.committed)
        owner.committer._policy = CommitPolicy(interval_ms=600_000)
        owner.write()  # not committed
        copied = await owner.committer.copy_to(tmp_path / "copy")
        assert copied.index == 1
        copy = LmdbStore(tmp_path / "copy")
        assert copy.get(Bucket.META, b"k") == b"1"
        copy.close()
        await owner.committer.close()
        owner.store.close()

    run(scenario)


def test_nothing_is_copied_while_the_store_is_replaced(tmp_path):
    async def scenario():
        owner = Owner(tmp_path / "db")
        await owner.committer.pause()
        with pytest.raises(OSError, match="being replaced"):
            await owner.committer.copy_to(tmp_path / "copy")
        await owner.committer.close()
        owner.store.close()

    run(scenario)
