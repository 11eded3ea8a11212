"""Power loss and the LMDB store: after any commit the file holds that commit or the one before.

LMDB writes the pages of a commit, syncs them, and then writes the head that names them, synced
too. The first test watches it do so. Hence what a power failure can leave: with the old head,
any mix of old and new pages; with the new head, all new pages. Every such file is opened here.
The last test shows why syncing is not turned off: new head and some old pages is a broken file.
"""

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.runtime.lmdb_store import LmdbStore, verify_store
from tests.support.requirements import require

PAGE = 4096
HEADS = (0, 1)


def flat(store):
    return {(bucket, key): value for bucket in Bucket for key, value in store.scan(bucket)}


def pages_of(content):
    return [content[start : start + PAGE] for start in range(0, len(content), PAGE)]


class CommitImages:
    """The file before and after one commit, and which pages it changed."""

    def __init__(self, before, after, state_before, state_after):
        self.before, self.after = pages_of(before), pages_of(after)
        self.state_before, self.state_after = state_before, state_after
        length = max(len(self.before), len(self.after))
        self.before += [None] * (length - len(self.before))
        self.after += [None] * (length - len(self.after))
        changed = [number for number in range(length) if self.before[number] != self.after[number]]
        self.heads = [number for number in changed if number in HEADS]
        self.data = [number for number in changed if number not in HEADS]

    def image(self, new_pages, new_head, short=False):
        """Returns a file with these pages new. Pages that are not there read as zeros, or the
        file ends before them (`short`)."""
        pages = [
            self.after[number]
            if number in new_pages
            or (new_head and number in HEADS)
            or self.before[number] == self.after[number]
            else self.before[number]
            for number in range(len(self.after))
        ]
        while short and pages and pages[-1] is None:
            pages.pop()
        return b"".join(page or bytes(PAGE) for page in pages)


def history(path, seed, commits=12):
    """Yields CommitImages of a store that grows, changes and is compacted."""
    random_ = random.Random(seed)
    store = LmdbStore(path)
    revision = 0
    state = flat(store)
    for _ in range(commits):
        before, state_before = path.read_bytes(), state
        for _ in range(random_.choice([1, 3, 30, 120])):
            revision += 1
            store.put(
                Bucket.KEY, revision.to_bytes(8, "big"), random_.randbytes(random_.choice([10, 300, 3000]))
            )
        for number in range(1, revision):
            if random_.random() < 0.3:
                store.delete(Bucket.KEY, number.to_bytes(8, "big"))
        store.put(Bucket.META, b"applied", revision.to_bytes(8, "big"))
        commit = store.begin_commit()
        assert path.read_bytes() == before  # all of a commit's writing is in its `write`
        commit.write()
        after = path.read_bytes()
        commit.finish()
        state = flat(store)
        yield CommitImages(before, after, state_before, state)
    store.close()


def assert_holds(path, image, expected):
    path.write_bytes(image)
    assert verify_store(path) == []
    store = LmdbStore(path)
    assert flat(store) == expected
    store.close()
    path.unlink()


@pytest.mark.parametrize("seed", range(4))
def test_every_mix_of_pages_holds_the_last_commit_or_the_one_before(tmp_path, seed):
    random_ = random.Random(seed)
    reused = 0
    for images in history(tmp_path / "db", seed):
        assert len(images.heads) == 1
        reused += sum(images.before[number] is not None for number in images.data)
        subsets = [set(), set(images.data), set(images.data[:1]), set(images.data[1:])]
        subsets += [{number for number in images.data if random_.random() < odds} for odds in (0.1, 0.5, 0.9)]
        for subset in subsets:
            for short in (False, True):
                image = images.image(subset, new_head=False, short=short)
                assert_holds(tmp_path / "mixed", image, images.state_before)
        assert_holds(tmp_path / "mixed", images.image(set(images.data), new_head=True), images.state_after)
    assert reused > 20  # or nothing was shown about pages that are used again


def test_the_store_goes_on_from_any_such_file(tmp_path):
    """What a lost commit left behind does not get in the way of the next ones."""
    random_ = random.Random(5)
    for number, images in enumerate(history(tmp_path / "db", seed=9, commits=6)):
        subset = {page for page in images.data if random_.random() < 0.5}
        path = tmp_path / f"mixed{number}"
        path.write_bytes(images.image(subset, new_head=False))
        store = LmdbStore(path)
        for key in range(50):
            store.put(Bucket.KEY, b"again%d" % key, bytes(500))
        commit = store.begin_commit()
        commit.write()
        commit.finish()
        expected = images.state_before | {(Bucket.KEY, b"again%d" % key): bytes(500) for key in range(50)}
        store.close()
        assert_holds(path, path.read_bytes(), expected)


def test_with_syncing_off_a_power_failure_can_break_the_file(tmp_path):
    """Without the sync between pages and head the new head may come first: not what we do."""
    broken = total = 0
    for images in history(tmp_path / "db", seed=3, commits=6):
        for missing in images.data[:20]:
            path = tmp_path / "mixed"
            path.write_bytes(images.image(set(images.data) - {missing}, new_head=True))
            total += 1
            broken += bool(verify_store(path))
    assert broken > total // 2


TRACED = """
import sys, threading
from pathlib import Path
from miniraft.mvcc.store import Bucket
from miniraft.runtime.lmdb_store import LmdbStore

store = LmdbStore(Path(sys.argv[1]), unsafe_no_fsync=sys.argv[2] == "unsafe")
for number in range(4):
    for key in range(20):
        store.put(Bucket.KEY, b"%d-%d" % (number, key), bytes(3000))
    commit = store.begin_commit()
    thread = threading.Thread(target=commit.write)
    thread.start()
    thread.join()
    commit.finish()
store.close()
"""


def trace(path, mode):
    """Returns what was done to the file, in order: "open", "pages", "sync", "head" (a synced
    write to the head), "unsynced head", "rename" and "folder sync"."""
    require(shutil.which("strace") is not None, "strace", "install the package strace")
    calls = "trace=pwrite64,pwritev,writev,write,fdatasync,fsync,msync,openat,rename"
    finished = subprocess.run(
        ["strace", "-f", "-y", "-s", "0", "-e", calls, sys.executable, "-c", TRACED, str(path), mode],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    require("ptrace" not in finished.stderr, "tracing", "allow ptrace here")
    assert finished.returncode == 0, finished.stderr[-2000:]
    events, synced_descriptors = [], set()
    for line in finished.stderr.splitlines():
        if f"{path}.tmp>" in line or f"<{path.parent}>" in line or f"{path}>" in line or "rename(" in line:
            if match := re.search(r"openat\(.*= (\d+)<", line):
                synced_descriptors.discard(match[1])
                if "O_DSYNC" in line:
                    synced_descriptors.add(match[1])
            elif "rename(" in line:
                events.append("rename")
            elif match := re.search(r"f(?:data)?sync\((\d+)<([^>]*)>", line):
                events.append("sync" if match[2] != str(path.parent) else "folder sync")
            elif match := re.search(r"pwrite64\((\d+)<.*, 120, \d+\)", line):
                events.append("head" if match[1] in synced_descriptors else "unsynced head")
            elif "write" in line and events[-1:] != ["pages"]:
                events.append("pages")
    return events


def test_lmdb_syncs_pages_before_the_head_that_names_them(tmp_path):
    commit = ["pages", "sync", "head"]
    events = trace(tmp_path / "db", "safe")
    assert events == [*commit, "rename", "folder sync", *commit * 4]


def test_the_trace_shows_when_nothing_is_synced(tmp_path):
    events = trace(tmp_path / "db", "unsafe")
    assert events[-1:] == ["unsynced head"]
    assert "sync" not in events[events.index("folder sync") :]
