"""The program's own manners; what it shares with etcdutl is in test_snapshots_and_real_etcd.py."""

import io
import json
import subprocess

import pytest

from miniraft.bolt.writer import write_database
from miniraft.etcdutl.__main__ import main
from miniraft.mvcc.revision import revision_key, tombstone_key
from miniraft.mvcc.store import Bucket
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.raft.entry import Entry
from miniraft.runtime.disk import FolderLock, RealDisk
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.snapshot.importing import commit_now
from miniraft.snapshot.restore import RestoreRequest, restore_snapshot
from miniraft.wal.wal import open_log
from tests.snapshot.own_store import snapshot_of_own


@pytest.fixture
def data_dir(tmp_path):
    snapshot = snapshot_of_own(tmp_path)
    restore_snapshot(RestoreRequest(snapshot=snapshot, data_dir=tmp_path / "data"))
    return tmp_path / "data"


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_restore_says_how_to_start_the_member(tmp_path, capsys):
    snapshot = snapshot_of_own(tmp_path)
    cluster = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"
    flags = ("--name=a", f"--initial-cluster={cluster}", "--initial-advertise-peer-urls=http://10.0.0.1:2380")
    code, out, err = run(capsys, "snapshot", "restore", snapshot, *flags, "--data-dir", tmp_path / "my data")
    assert (code, out) == (0, "")
    assert "Restore the same snapshot for b too" in err
    assert "alarm disarm" in err
    last = err.splitlines()[-1]
    assert last.startswith("  miniraft --name=a ")
    assert f"'--data-dir={tmp_path}/my data'" in last
    assert f"--initial-cluster={cluster}" in last


def test_default_data_dir_is_named_after_the_member(tmp_path, capsys, monkeypatch):
    snapshot = snapshot_of_own(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "snapshot", "restore", snapshot)[0] == 0
    assert (tmp_path / "default.etcd" / "member" / "format").exists()


def test_status_shows_a_storage_version_and_then_counts_live_keys(tmp_path, capsys):
    """As etcdutl does from 3.6 on, whose files have one."""
    sink = io.BytesIO()
    pairs = [
        (revision_key(2), KeyValue(key=b"a").SerializeToString()),
        (revision_key(3), KeyValue(key=b"b").SerializeToString()),
        (revision_key(4), KeyValue(key=b"b").SerializeToString()),
        (tombstone_key(5, 0), KeyValue(key=b"a").SerializeToString()),
    ]
    write_database(sink, [(b"key", pairs), (b"meta", [(b"storageVersion", b"3.6.0")])])
    (tmp_path / "db").write_bytes(sink.getvalue())
    _, out, _ = run(capsys, "snapshot", "status", tmp_path / "db", "-w", "json")
    status = json.loads(out)
    assert (status["revision"], status["totalKey"], status["version"]) == (5, 1, "3.6.0")
    assert run(capsys, "snapshot", "status", tmp_path / "db")[1].endswith(", 5, 1, 16 kB, 3.6.0\n")


def test_a_running_members_store_is_not_touched(data_dir, capsys, tmp_path):
    lock = FolderLock(data_dir)
    for words in (
        ("snapshot", "status", data_dir),
        ("hashkv", data_dir / "member" / "snap" / "db"),
        ("snapshot", "export", data_dir, tmp_path / "out.db"),
        ("defrag", "--data-dir", data_dir),
    ):
        code, out, err = run(capsys, *words)
        assert (code, out) == (1, "")
        assert "another process" in err
    lock.release()
    assert run(capsys, "snapshot", "status", data_dir)[0] == 0


def test_export_does_not_write_over_a_file(data_dir, capsys, tmp_path):
    (tmp_path / "out.db").write_text("precious")
    code, _, err = run(capsys, "snapshot", "export", data_dir, tmp_path / "out.db")
    assert code == 1
    assert "exists" in err
    assert (tmp_path / "out.db").read_text() == "precious"


def test_export_tells_of_log_entries_that_the_store_has_not(data_dir, capsys, tmp_path):
    assert "entries more" not in run(capsys, "snapshot", "export", data_dir, tmp_path / "first.db")[2]
    wal, recovered = open_log(RealDisk(data_dir / "member" / "wal"))
    first = recovered.snapshot.index + 1
    wal.append(None, [Entry(2, first, 0, b""), Entry(2, first + 1, 0, b"")])
    wal.sync()
    wal.close()
    code, _, err = run(capsys, "snapshot", "export", data_dir, tmp_path / "second.db")
    assert code == 0
    assert "has 2 entries more than its store" in err


def test_status_checks_the_hash(tmp_path, capsys):
    snapshot = snapshot_of_own(tmp_path)
    data = bytearray(snapshot.read_bytes())
    place = data.index(b"value")
    data[place] ^= 1  # nothing about the structure is wrong
    snapshot.write_bytes(data)
    code, out, err = run(capsys, "snapshot", "status", snapshot)
    assert (code, out) == (1, "")
    assert "expected sha256" in err


def test_defrag_makes_the_store_smaller_and_keeps_what_is_in_it(data_dir, capsys):
    database = data_dir / "member" / "snap" / "db"
    store = LmdbStore(database)
    for number in range(200):
        store.put(Bucket.AUTH_ROLES, b"role%d" % number, bytes(20_000))
    commit_now(store)
    for number in range(200):
        store.delete(Bucket.AUTH_ROLES, b"role%d" % number)
    commit_now(store)
    kept = list(store.scan(Bucket.KEY))
    store.close()
    before = database.stat().st_size
    code, _, err = run(capsys, "defrag", "--data-dir", data_dir)
    assert code == 0, err
    assert database.stat().st_size < before / 5
    store = LmdbStore(database)
    assert list(store.scan(Bucket.KEY)) == kept
    store.close()


def test_defrag_of_nothing_and_of_etcds(tmp_path, capsys):
    code, _, err = run(capsys, "defrag", "--data-dir", tmp_path)
    assert code == 1
    assert f"Error: Failed to defragment etcd data[{tmp_path}] (stat " in err
    (tmp_path / "member" / "snap").mkdir(parents=True)
    (tmp_path / "member" / "snap" / "db").write_bytes(b"")
    assert "use etcdutl of etcd" in run(capsys, "defrag", "--data-dir", tmp_path)[2]


def test_migrate_says_what_to_do(data_dir, capsys):
    assert run(capsys, "migrate", "--data-dir", data_dir, "--target-version", "3.6")[0] == 0
    for version, complaint in (("3.6.1", 'expected "X.Y"'), ("3.4", 'Minimal "3.5"')):
        code, _, err = run(capsys, "migrate", "--data-dir", data_dir, "--target-version", version)
        assert code == 128
        assert complaint in err


def test_hashkv_at_a_revision(data_dir, capsys):
    code, out, _ = run(capsys, "hashkv", data_dir, "--rev", "50")
    assert code == 0
    assert out.endswith(", 50, 20\n")
    code, _, err = run(capsys, "hashkv", data_dir, "--rev", "10")
    assert code == 1
    assert "compacted" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion(capsys, shell):
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0
    assert "etcdutl-py __complete" in out
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=out, text=True).returncode == 0


def test_completes_commands_and_flags(capsys):
    assert run(capsys, "__complete", "snapshot", "re")[1].startswith("restore")
    assert "--bump-revision\t" in run(capsys, "__complete", "snapshot", "restore", "--b")[1]
    assert run(capsys, "__complete", "ha")[1].startswith("hashkv")
