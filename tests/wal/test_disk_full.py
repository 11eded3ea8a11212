"""A full disk, a real one: it is an OSError, and nothing acknowledged is lost."""

import errno
import os
import subprocess

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.runtime.disk import RealDisk
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.wal.interface import WalError
from miniraft.wal.wal import create_log, log_exists, open_log
from tests.support.requirements import require
from tests.wal.log_building import BOOTSTRAP, METADATA, entries

SIZE = 4 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    require(os.geteuid() == 0, "mounting", "run the tests as root in a machine that allows it")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    require(mounted.returncode == 0, f"mounting a tmpfs ({mounted.stderr.strip()})", "allow it here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, leave):
    """Fills the disk up but for `leave` bytes."""
    free = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - leave)))


def test_no_room_for_a_new_log(small_disk):
    disk = RealDisk(small_disk / "wal")
    with pytest.raises(OSError, match=r"cannot reserve 8388608 bytes.*Free some space") as raised:
        create_log(disk, METADATA, BOOTSTRAP, segment_bytes=8 << 20)
    assert raised.value.errno == errno.ENOSPC
    assert not log_exists(disk)
    create_log(disk, METADATA, BOOTSTRAP, segment_bytes=1 << 20)


def test_no_room_for_the_next_segment(small_disk):
    disk = RealDisk(small_disk / "wal")
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=1 << 20)
    fill(small_disk, 100_000)
    acknowledged = 0
    with pytest.raises(OSError, match="No space left") as raised:  # noqa: PT012
        for index in range(1, 1000):
            log.append(None, entries(index, 1, data=b"x" * 10_000))
            log.sync()
            acknowledged = index
    assert raised.value.errno == errno.ENOSPC
    assert acknowledged >= 100  # the segment had its space
    with pytest.raises(WalError, match="no more writes"):
        log.append(None, entries(acknowledged + 1, 1))
    log.close()
    assert len(open_log(disk)[1].entries) == acknowledged  # reading back needs no space
    (small_disk / "filler").unlink()
    log, recovered = open_log(disk, METADATA, segment_bytes=1 << 20)
    assert len(recovered.entries) == acknowledged
    log.append(None, entries(acknowledged + 1, 1))
    log.sync()


def test_no_room_in_the_middle_of_a_write(small_disk, monkeypatch):
    """Where the file system reserves nothing, a write itself can meet the full disk."""
    monkeypatch.delattr(os, "posix_fallocate")
    disk = RealDisk(small_disk / "wal")
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=64 << 20)
    log.append(None, entries(1, 10, data=b"x" * 10_000))
    log.sync()
    fill(small_disk, 50_000)
    with pytest.raises(OSError, match="No space left"):
        log.append(None, entries(11, 10, data=b"y" * 10_000))
    log.close()
    (small_disk / "filler").unlink()
    log, recovered = open_log(disk)
    assert recovered.entries == entries(1, 10, data=b"x" * 10_000)
    assert len(recovered.repairs) == 1
    log.append(None, entries(11, 1))
    log.sync()
    assert len(open_log(disk)[1].entries) == 11


def test_no_room_for_a_commit_or_a_copy(small_disk):
    path = small_disk / "db"
    store = LmdbStore(path)
    for number in range(100):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v" * 5000)
    commit = store.begin_commit()
    commit.write()
    commit.finish()
    before = list(store.scan(Bucket.KEY))
    fill(small_disk, 300_000)
    with pytest.raises(OSError, match="the store failed") as raised:
        store.copy_to(small_disk / "copy")
    assert raised.value.errno == errno.ENOSPC
    assert list(store.scan(Bucket.KEY)) == before  # a failed copy is no failed commit
    for number in range(100, 300):
        store.put(Bucket.KEY, number.to_bytes(8, "big"), b"v" * 5000)
    commit = store.begin_commit()
    with pytest.raises(OSError, match="the store failed") as raised:
        commit.write()
    assert raised.value.errno == errno.ENOSPC
    store.close()
    (small_disk / "filler").unlink()
    store = LmdbStore(path)
    assert list(store.scan(Bucket.KEY)) == before
    store.put(Bucket.KEY, b"again", b"1")
    commit = store.begin_commit()
    commit.write()
    commit.finish()
    store.close()
