"""The disk under the log, and the lock on a data folder."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from miniraft.runtime.disk import FolderLock, RealDisk
from miniraft.wal.recovery import Case
from miniraft.wal.wal import create_log, open_log, verify_log
from tests.support.requirements import require
from tests.wal.log_building import BOOTSTRAP, METADATA, entries

ROOT = Path(__file__).parents[2]


@pytest.fixture
def disk(tmp_path):
    return RealDisk(tmp_path / "member" / "wal")


def test_folders_and_files_are_for_their_owner_only(disk, tmp_path):
    disk.create("a").close()
    assert (tmp_path / "member").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "member" / "wal").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "member" / "wal" / "a").stat().st_mode & 0o777 == 0o600


def test_files_are_listed_read_renamed_and_removed(disk):
    file = disk.create("b")
    file.append(b"hello ")
    file.append(b"world")
    file.sync()
    file.close()
    disk.create("a").close()
    assert disk.list() == ["a", "b"]
    assert disk.read("b") == b"hello world"
    disk.rename("b", "a")
    disk.sync_folder()
    assert disk.list() == ["a"]
    assert disk.read("a") == b"hello world"
    with pytest.raises(FileExistsError):
        disk.create("a")
    disk.remove("a")
    assert disk.list() == []
    with pytest.raises(FileNotFoundError):
        disk.read("a")


def test_appending_goes_on_at_the_end_or_where_it_was_cut(disk):
    file = disk.create("a")
    file.append(b"0123456789")
    file.close()
    file = disk.open_append("a")
    file.append(b"ab")
    file.truncate(4)
    file.append(b"cd")
    file.sync()
    file.close()
    assert disk.read("a").rstrip(b"\0") == b"0123cd"


def test_reserved_space_is_there_and_reads_as_zeros(disk, tmp_path):
    file = disk.create("a", 1 << 20)
    path = tmp_path / "member" / "wal" / "a"
    assert path.stat().st_blocks * 512 >= 1 << 20
    file.append(b"begin")
    assert disk.read("a") == b"begin".ljust(1 << 20, b"\0")
    file.truncate(2)
    file.append(b"x")
    assert disk.read("a").rstrip(b"\0") == b"bex"
    assert path.stat().st_blocks * 512 >= 1 << 20
    file.close()


def test_a_write_that_is_cut_short_is_an_error_in_the_end(disk):
    file = disk.create("a")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.append(bytes(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.close()
    assert len(disk.read("a")) == 10_000


def test_short_writes_are_completed(disk, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: whole(descriptor, data[:7], offset))
    file = disk.create("a")
    file.append(bytes(range(100)))
    file.append(b"end")
    file.close()
    assert disk.read("a") == bytes(range(100)) + b"end"


SYNCING = """
import sys
from pathlib import Path
from miniraft.runtime.disk import RealDisk
from miniraft.wal.wal import create_log, open_log
from tests.wal.log_building import BOOTSTRAP, METADATA, entries

disk = RealDisk(Path(sys.argv[1]), unsafe_no_fsync=sys.argv[2] == "unsafe")
log = create_log(disk, METADATA, BOOTSTRAP)
for index in (1, 2):
    log.append(None, entries(index, 1))
    log.sync()
log.close()
log, _ = open_log(disk)
log.append(None, entries(3, 1))
log.sync()
"""


def syncs(folder, mode):
    require(shutil.which("strace") is not None, "strace", "install the package strace")
    calls = "trace=fsync,fdatasync,pwrite64,rename,ftruncate"
    finished = subprocess.run(
        ["strace", "-y", "-s", "0", "-e", calls, sys.executable, "-c", SYNCING, str(folder), mode],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    require("ptrace" not in finished.stderr, "tracing", "allow ptrace here")
    assert finished.returncode == 0, finished.stderr[-2000:]
    found = []
    for line in finished.stderr.splitlines():
        call = line.split("(")[0]
        if f"<{folder}>" in line:
            found.append("folder sync")
        elif call == "rename" or f"<{folder}/" in line:
            found.append(call)
    return found


def test_every_sync_of_the_log_is_one_of_the_disk(tmp_path):
    created = ["pwrite64", "fsync", "rename", "folder sync"]
    appended = ["pwrite64", "fdatasync"]
    opened = ["ftruncate", "fsync", "folder sync"]
    assert syncs(tmp_path / "wal", "safe") == [*created, *appended, *appended, *opened, *appended]
    assert set(syncs(tmp_path / "unsafe", "unsafe")) == {"pwrite64", "rename", "ftruncate"}


def test_a_log_on_the_real_disk_comes_back_and_goes_on(disk):
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=20_000)
    for index in range(1, 200):
        log.append(None, entries(index, 1, data=b"x" * 300))
        if index % 10 == 0:
            log.sync()
    log.close()
    for round_ in range(3):
        report = verify_log(disk)
        assert report.error is None
        assert report.segments[-1].end_case is Case.ZERO_TAIL  # reserved space
        log, recovered = open_log(disk, METADATA, segment_bytes=20_000)
        assert len(recovered.entries) == 199 + round_
        log.append(None, entries(200 + round_, 1))
        log.sync()
        log.close()


# The lock ---------------------------------------------------------------------------------
def test_a_folder_has_one_owner_at_a_time(tmp_path):
    lock = FolderLock(tmp_path / "data")
    with pytest.raises(BlockingIOError, match=rf"\(pid {os.getpid()}\).*stop it, or .* --data-dir") as raised:
        FolderLock(tmp_path / "data")
    assert raised.value.filename == str(tmp_path / "data")
    lock.release()
    FolderLock(tmp_path / "data").release()


def test_the_lock_goes_with_its_process(tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        "from miniraft.runtime.disk import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(BlockingIOError, match=f"pid {holder.pid}"):
            FolderLock(tmp_path)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    FolderLock(tmp_path).release()
