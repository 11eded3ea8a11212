"""Restoring: all or nothing, never over data, and what the members of the new cluster then hold."""

import asyncio
import io
import signal
import subprocess
import sys
import time

import pytest

from miniraft.bolt.problem import BoltError
from miniraft.bolt.writer import write_database
from miniraft.mvcc.revision import revision_key
from miniraft.mvcc.store import Bucket
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import AlarmRequest, AlarmType
from miniraft.runtime.disk import FolderLock, RealDisk
from miniraft.runtime.lmdb_store import LmdbStore
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.metastate import load_position
from miniraft.server.proposal import RequestKind
from miniraft.snapshot.problem import SnapshotError
from miniraft.snapshot.restore import RestoreRequest, restore_snapshot
from miniraft.snapshot.status import snapshot_status
from miniraft.snapshot.store_contents import StoreContents
from miniraft.wal.wal import open_log
from tests.snapshot.own_store import APPLIED_INDEX, filled_store, snapshot_of_own
from tests.support.peer_ends import eventually
from tests.support.servers import PATIENCE_SECONDS, TestCluster, get, put


def restore(snapshot, data_dir, **changes):
    return restore_snapshot(RestoreRequest(snapshot=snapshot, data_dir=data_dir, **changes))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def bolt_file(path, buckets):
    sink = io.BytesIO()
    write_database(sink, sorted(buckets.items()))
    path.write_bytes(sink.getvalue())
    return path


def test_log_and_store_begin_where_the_data_stand(tmp_path):
    restored = restore(snapshot_of_own(tmp_path), tmp_path / "data")
    wal, recovered = open_log(RealDisk(tmp_path / "data" / "member" / "wal"))
    wal.close()
    store = LmdbStore(tmp_path / "data" / "member" / "snap" / "db")
    assert load_position(store) == recovered.snapshot
    assert recovered.snapshot.index == APPLIED_INDEX
    assert recovered.snapshot.term == 1
    assert recovered.snapshot.config.voters == (restored.first.member_id,)
    assert recovered.metadata == (restored.first.cluster_id, restored.first.member_id)
    assert store.get(Bucket.AUTH_USERS, b"ada") == b"\n\x03ada"
    assert not list(store.scan(Bucket.MEMBERS_REMOVED))
    assert not list(store.scan(Bucket.CLUSTER))
    store.close()
    assert restored.imported.alarm_count == 1
    assert names(tmp_path / "data") == ["lock", "member"]


def test_never_over_data(tmp_path):
    snapshot = snapshot_of_own(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    with pytest.raises(SnapshotError, match=r'data-dir ".*data" not empty'):
        restore(snapshot, tmp_path / "data")
    assert names(tmp_path / "data") == ["precious"]
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "precious").write_text("x")
    with pytest.raises(SnapshotError, match=r'wal-dir ".*wal" not empty'):
        restore(snapshot, tmp_path / "other", wal_dir=tmp_path / "wal")
    assert not (tmp_path / "other").exists()


def test_twice_is_refused_the_second_time(tmp_path):
    snapshot = snapshot_of_own(tmp_path)
    restore(snapshot, tmp_path / "data")
    with pytest.raises(SnapshotError, match="not empty"):
        restore(snapshot, tmp_path / "data")


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("wal_outside", [False, True])
def test_a_failure_leaves_nothing(tmp_path, existed, wal_outside, monkeypatch):
    snapshot = snapshot_of_own(tmp_path)
    data = tmp_path / "data"
    if existed:
        data.mkdir()
    wal = tmp_path / "wal" if wal_outside else None

    def fail(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("miniraft.snapshot.restore._Target.put_in_place", fail)
    with pytest.raises(OSError, match="no space"):
        restore(snapshot, data, wal_dir=wal)
    assert list(data.iterdir()) == [] if existed else not data.exists()
    assert wal is None or not any(wal.iterdir())
    monkeypatch.undo()
    restore(snapshot, data, wal_dir=wal)
    if wal is not None:
        open_log(RealDisk(wal))[0].close()


def test_a_restore_that_was_killed_can_be_repeated(tmp_path):
    snapshot = snapshot_of_own(tmp_path)
    data = tmp_path / "data"
    code = (
        "import os, sys; from pathlib import Path; import miniraft.snapshot.restore as r\n"
        "r._Target.put_in_place = lambda self: os.kill(os.getpid(), 9)\n"
        "r.restore_snapshot(r.RestoreRequest(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    killed = subprocess.run([sys.executable, "-c", code, snapshot, data], timeout=20)
    assert killed.returncode == -signal.SIGKILL
    assert names(data) == ["lock", "restoring.tmp"]
    restore(snapshot, data)
    assert names(data) == ["lock", "member"]


def test_damage_is_refused_with_and_without_the_hash(tmp_path):
    snapshot = snapshot_of_own(tmp_path, keys=2000)
    data = bytearray(snapshot.read_bytes())
    data[3 * 4096 + 8] = 0x77  # what kind of page that is
    snapshot.write_bytes(data)
    with pytest.raises(SnapshotError, match="expected sha256"):
        restore(snapshot, tmp_path / "data")
    with pytest.raises(BoltError, match=r"snapshot\.db: page 3: it is of unknown kind"):
        restore(snapshot, tmp_path / "data", skip_hash_check=True)
    assert not (tmp_path / "data").exists()


def test_cut_off(tmp_path):
    snapshot = snapshot_of_own(tmp_path)
    snapshot.write_bytes(snapshot.read_bytes()[: 4096 * 3])
    with pytest.raises(BoltError, match="cut off"):
        restore(snapshot, tmp_path / "data")
    snapshot.write_bytes(b"")
    with pytest.raises(BoltError, match="no valid meta page"):
        restore(snapshot, tmp_path / "data")


@pytest.mark.parametrize(
    ("buckets", "complaint"),
    [
        ({b"key": [(b"short", b"")]}, "is no revision"),
        ({b"key": [(revision_key(1 << 63), b"")]}, "is over"),
        ({b"authUsers": [(b"u" * 600, b"")]}, "authUsers has a key of 600 bytes"),
        ({b"meta": [(b"consistent_index", b"x")]}, "meta/consistent_index is no index"),
        ({b"meta": [(b"consistent_index", b"\xff" * 8)]}, "meta/consistent_index is no index"),
        ({b"meta": [(b"finishedCompactRev", b"x")]}, "meta/finishedCompactRev is no revision"),
    ],
)
def test_what_no_store_can_hold_is_refused(tmp_path, buckets, complaint):
    snapshot = bolt_file(tmp_path / "snapshot.db", buckets)
    with pytest.raises(SnapshotError, match=complaint):
        restore(snapshot, tmp_path / "data", skip_hash_check=True)
    assert not (tmp_path / "data").exists()


def test_bump_goes_no_further_than_revisions_go(tmp_path):
    snapshot = snapshot_of_own(tmp_path)
    with pytest.raises(SnapshotError, match="cannot be bumped"):
        restore(snapshot, tmp_path / "data", bump_revision=(1 << 63) - 1, mark_compacted=True)


def test_own_name_has_to_be_in_the_cluster(tmp_path):
    with pytest.raises(BootstrapError, match="couldn't find local name"):
        restore(snapshot_of_own(tmp_path), tmp_path / "data", name="somebody")


def test_other_buckets_are_left_out_and_named(tmp_path):
    snapshot = bolt_file(tmp_path / "snapshot.db", {b"key": [], b"stranger": [(b"a", b"b")]})
    restored = restore(snapshot, tmp_path / "data", skip_hash_check=True)
    assert restored.imported.ignored_buckets == ("stranger",)


def test_a_copied_store_of_ours_restores_too(tmp_path):
    filled_store(tmp_path / "copied.db").close()
    with pytest.raises(SnapshotError, match="missing hash"):
        restore(tmp_path / "copied.db", tmp_path / "data")
    restored = restore(tmp_path / "copied.db", tmp_path / "data", skip_hash_check=True)
    assert restored.imported.applied_index == APPLIED_INDEX


def test_two_restores_at_once(tmp_path):
    (tmp_path / "data").mkdir()
    lock = FolderLock(tmp_path / "data")
    (tmp_path / "data" / "restoring.tmp").mkdir()
    with pytest.raises(BlockingIOError):
        restore(snapshot_of_own(tmp_path), tmp_path / "data")
    lock.release()


def test_large_snapshots_go_over_in_commits_of_some_size(tmp_path):
    snapshot = snapshot_of_own(tmp_path, keys=600, value=bytes(100_000))
    steps = []
    request = RestoreRequest(snapshot=snapshot, data_dir=tmp_path / "data")
    restore_snapshot(request, importing=lambda done, total: steps.append((done, total)))
    assert len(steps) > 100
    assert steps == sorted(steps)
    contents = StoreContents(tmp_path / "data" / "member" / "snap" / "db")
    source = StoreContents(tmp_path / "source.db")
    assert snapshot_status(contents).revision == snapshot_status(source).revision
    assert list(contents.runs(b"key")) == list(source.runs(b"key"))
    contents.close()
    source.close()


# Clusters --------------------------------------------------------------------------------------
def restore_members(cluster, snapshot, names):
    initial_cluster = ",".join(f"{name}={url}" for name, url in cluster.peer_urls.items())
    for name in names:
        restore(
            snapshot,
            cluster.folder / name,
            name=name,
            initial_cluster=initial_cluster,
            initial_advertise_peer_urls=cluster.peer_urls[name],
        )


def check_cluster_of(tmp_path, restored_names):
    snapshot = snapshot_of_own(tmp_path)

    async def scenario():
        cluster = TestCluster(tmp_path / "cluster")
        restore_members(cluster, snapshot, restored_names)
        async with cluster:
            await cluster.wait_for_leader()
            # The alarm came along, as with etcd, and refuses writes until it is disarmed.
            disarm = AlarmRequest(action=AlarmRequest.DEACTIVATE, memberID=5, alarm=AlarmType.NOSPACE)
            await cluster.servers["m1"].node.propose(RequestKind.ALARM, disarm.SerializeToString())
            await put(cluster.servers["m1"], "new", "1")

            def all_there():
                return all(
                    get(server, "new") == "1" and get(server, "key00001") == "value"
                    for server in cluster.servers.values()
                )

            await eventually(all_there, PATIENCE_SECONDS)

    asyncio.run(scenario())


def test_three_restored_members_form_a_cluster(tmp_path):
    check_cluster_of(tmp_path, ("m1", "m2", "m3"))


def test_a_member_started_empty_by_mistake_gets_the_data(tmp_path):
    check_cluster_of(tmp_path, ("m1", "m2"))


def test_restored_from_unlike_snapshots_all_end_with_the_newest(tmp_path):
    newer = snapshot_of_own(tmp_path / "newer", value=b"newer", applied_index=9000)
    older = snapshot_of_own(tmp_path / "older", value=b"older", applied_index=8000)

    async def scenario():
        cluster = TestCluster(tmp_path / "cluster")
        restore_members(cluster, newer, ("m1", "m2"))
        restore_members(cluster, older, ("m3",))
        async with cluster:
            await cluster.wait_for_leader()
            await eventually(lambda: get(cluster.servers["m3"], "key00001") == "newer", PATIENCE_SECONDS)
            assert get(cluster.servers["m1"], "key00001") == "newer"

    asyncio.run(scenario())


def test_status_of_a_large_keyspace_takes_little_time(tmp_path):
    pairs = [
        (revision_key(number), KeyValue(key=b"k%d" % number, value=bytes(100)).SerializeToString())
        for number in range(1, 50_001)
    ]
    path = bolt_file(tmp_path / "db", {b"key": pairs})
    begun = time.process_time()
    restore(path, tmp_path / "data", skip_hash_check=True)
    assert time.process_time() - begun < 10  # about 0.3 s: a slip into quadratic work would show
