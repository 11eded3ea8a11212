"""Snapshots go both ways: real etcd's into our store, ours into a real etcd."""

import hashlib
import json
import shutil

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.membership import decode_member
from miniraft.snapshot.bolt_contents import BoltContents
from tests.snapshot.conftest import (
    client_of,
    etcdutl,
    etcdutl_py,
    save,
    serving_miniraft,
)
from tests.support.real_etcd import running_etcd

FORMS = ("simple", "json", "fields", "table")


def check_same(client, recorded):
    assert client.revision() == recorded.revision
    assert client.everything() == recorded.pairs
    assert client.everything(recorded.earlier_revision) == recorded.earlier_pairs
    assert client.hash(recorded.revision) == recorded.hash


@pytest.fixture(scope="module")
def restored(recorded, tmp_path_factory):
    """Our data directory made of the real snapshot."""
    folder = tmp_path_factory.mktemp("restored") / "data"
    result = etcdutl_py("snapshot", "restore", recorded.path, "--data-dir", folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def exported(restored, tmp_path_factory):
    """A snapshot that we have written."""
    path = tmp_path_factory.mktemp("exported") / "snapshot.db"
    result = etcdutl_py("snapshot", "export", restored, path)
    assert result.returncode == 0, result.stderr
    return path


def test_reader_finds_in_etcds_file_what_etcd_answers(recorded):
    contents = BoltContents(recorded.path)
    contents.verify_hash(lambda *_: None)
    buckets = {
        name: [pair for run in runs for pair in zip(*run, strict=True)] for name, runs in contents.walk()
    }
    stored = {value for _, value in buckets[b"key"]}
    assert stored.issuperset(recorded.pairs)
    assert len(buckets[b"key"]) > len(recorded.pairs)
    assert [key for key, _ in buckets[b"authUsers"]] == [b"ada"]
    assert [key for key, _ in buckets[b"authRoles"]] == [b"reader"]
    assert [key for key, _ in buckets[b"lease"]] == [(77).to_bytes(8, "big")]
    assert decode_member(buckets[b"members"][0][1]).name == "real"


@pytest.mark.parametrize("form", FORMS)
def test_status_is_etcdutls_to_the_byte(recorded, exported, form):
    for path in (recorded.path, exported):
        theirs = etcdutl("snapshot", "status", path, "-w", form)
        ours = etcdutl_py("snapshot", "status", path, "-w", form)
        assert theirs.returncode == 0, theirs.stderr
        assert (ours.stdout, ours.returncode) == (_upstream_table(theirs.stdout), 0)


def _upstream_table(drawn):
    """Some builds draw tables with box characters; upstream's are `+---+`."""
    return drawn.translate(str.maketrans("┌┬┐├┼┤└┴┘─│", "+++++++++-|"))


def test_hashkv_of_every_file_is_what_the_server_said(recorded, restored, exported):
    for path in (recorded.path, restored, exported):
        found = json.loads(etcdutl_py("hashkv", path, "-w", "json").stdout)
        assert (found["hash"], found["compactRevision"]) == recorded.hash
        assert found["hashRevision"] == recorded.revision


def test_restore_keeps_everything_but_the_membership(recorded, restored):
    store = LmdbStore(restored / "member" / "snap" / "db")
    contents = BoltContents(recorded.path)
    try:
        for bucket, name in (
            (Bucket.KEY, b"key"),
            (Bucket.LEASE, b"lease"),
            (Bucket.AUTH_USERS, b"authUsers"),
        ):
            theirs = [pair for run in contents.runs(name) for pair in zip(*run, strict=True)]
            assert list(store.scan(bucket)) == theirs
        members = [decode_member(value) for _, value in store.scan(Bucket.MEMBERS)]
        assert [(member.name, member.peer_urls) for member in members] == [
            ("default", ("http://localhost:2380",))
        ]
    finally:
        contents.close()
        store.close()


def test_members_get_the_ids_that_etcdutl_gives_them(recorded, restored, tmp_path):
    assert etcdutl("snapshot", "restore", recorded.path, "--data-dir", tmp_path / "data").returncode == 0
    theirs = BoltContents(tmp_path / "data" / "member" / "snap" / "db")
    store = LmdbStore(restored / "member" / "snap" / "db")
    assert [key for key, _ in store.scan(Bucket.MEMBERS)] == next(theirs.runs(b"members"))[0]
    theirs.close()
    store.close()


def test_our_member_serves_what_a_real_snapshot_held(recorded, restored, tmp_path, monkeypatch):
    shutil.copytree(restored, tmp_path / "data")
    with serving_miniraft(tmp_path, monkeypatch) as client:
        check_same(client, recorded)
        assert client.put(b"new", b"1").header.revision == recorded.revision + 1


def test_real_etcd_serves_what_our_snapshot_held(recorded, exported, tmp_path):
    result = etcdutl("snapshot", "restore", exported, "--data-dir", tmp_path / "data")
    assert result.returncode == 0, result.stderr
    with running_etcd(tmp_path) as address, client_of(address) as client:
        check_same(client, recorded)
        assert client.put(b"new", b"1").header.revision == recorded.revision + 1
        client.delete(b"\0", b"\0")  # it works on our pages: splits, merges, frees them
        client.compact(recorded.revision + 2)
        save(address, tmp_path / "again.db")
    status = etcdutl("snapshot", "status", tmp_path / "again.db", "-w", "json")
    assert json.loads(status.stdout)["revision"] == recorded.revision + 2


def test_our_snapshot_ends_with_its_hash(exported):
    data = exported.read_bytes()
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()
    assert len(data) % 4096 == 32


def test_bumped_revision_as_etcdutl_does_it(recorded, tmp_path, monkeypatch):
    flags = ("--bump-revision", "1000000", "--mark-compacted")
    for run, folder in ((etcdutl, tmp_path / "theirs"), (etcdutl_py, tmp_path / "ours")):
        result = run("snapshot", "restore", recorded.path, "--data-dir", folder / "data", *flags)
        assert result.returncode == 0, result.stderr
    bumped = recorded.revision + 1_000_000
    answers = []
    with running_etcd(tmp_path / "theirs") as address, client_of(address) as client:
        answers.append((client.revision(), client.everything(), client.hash()))
    with serving_miniraft(tmp_path / "ours", monkeypatch) as client:
        answers.append((client.revision(), client.everything(), client.hash()))
    assert answers[0] == answers[1]
    assert answers[0][0] == bumped
    assert answers[0][1] == recorded.pairs


def test_refused_just_as_etcdutl_refuses(recorded, tmp_path):
    data = recorded.path.read_bytes()
    (tmp_path / "bare.db").write_bytes(data[:-32])
    (tmp_path / "wrong.db").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for name in ("bare.db", "wrong.db"):
        last_lines = []
        for run in (etcdutl, etcdutl_py):
            target = tmp_path / f"data-{run.__name__}"
            result = run("snapshot", "restore", tmp_path / name, "--data-dir", target)
            assert result.returncode == 1
            last_lines.append(result.stderr.splitlines()[-1])
            shutil.rmtree(target, ignore_errors=True)
        assert last_lines[0] == last_lines[1]


def test_database_of_a_real_data_directory(recorded, tmp_path):
    """Restored with etcdutl, then taken from the data directory as it is: no hash."""
    theirs = tmp_path / "theirs"
    assert etcdutl("snapshot", "restore", recorded.path, "--data-dir", theirs).returncode == 0
    source = theirs / "member" / "snap" / "db"
    result = etcdutl_py("snapshot", "restore", source, "--data-dir", tmp_path / "ours", "--skip-hash-check")
    assert result.returncode == 0, result.stderr
    ours, said = (etcdutl_py("hashkv", path, "-w", "json").stdout for path in (tmp_path / "ours", source))
    assert ours == said


def test_etcdutl_finds_the_usage_errors_the_same(tmp_path):
    for words in (
        ("snapshot", "status"),
        ("snapshot", "status", "/nowhere"),
        ("snapshot", "restore", "x", "--data-dir", tmp_path / "d", "--bump-revision", "5"),
        ("defrag",),
        ("nonsense",),
        ("version", "--nonsense"),
    ):
        results = [etcdutl(*words), etcdutl_py(*words)]
        assert results[0].returncode == results[1].returncode, words
        last = [result.stderr.splitlines()[-1].replace("etcdutl-py", "etcdutl") for result in results]
        assert last[1] in results[0].stderr, words
