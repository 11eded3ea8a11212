"""The data folder is checked before anything in it is changed."""

import struct

import pytest

from miniraft.raft.state import ConfigState, SnapshotMetadata
from miniraft.runtime.data_dir import DataFolder, DataFolderError


def test_a_fresh_folder_gets_etcds_layout_for_this_user_only(tmp_path):
    folder = DataFolder(tmp_path / "data")
    assert folder.wal == tmp_path / "data" / "member" / "wal"
    assert folder.store_file == tmp_path / "data" / "member" / "snap" / "db"
    for path in (folder.root, folder.wal, folder.snapshots):
        assert path.stat().st_mode & 0o777 == 0o700
    folder.release()
    DataFolder(tmp_path / "data").release()


def test_the_log_may_live_elsewhere(tmp_path):
    folder = DataFolder(tmp_path / "data", tmp_path / "log")
    assert folder.wal == tmp_path / "log"
    assert folder.wal.is_dir()
    folder.release()


def test_a_folder_in_use_is_refused_with_the_holder(tmp_path):
    folder = DataFolder(tmp_path)
    with pytest.raises(DataFolderError, match=r"another process \(pid \d+\).*--data-dir"):
        DataFolder(tmp_path)
    folder.release()


def test_the_data_of_a_real_etcd_is_refused_and_left_alone(tmp_path):
    snap = tmp_path / "member" / "snap"
    snap.mkdir(parents=True)
    page = b"\0" * 16 + struct.pack("<I", 0xED0CDAED) + b"\0" * 4076
    (snap / "db").write_bytes(page)
    (snap / "incoming-1.snapshot.tmp").write_bytes(b"not ours to remove")
    with pytest.raises(DataFolderError, match=r"data of an etcd member.*etcdutl-py snapshot restore"):
        DataFolder(tmp_path)
    assert (snap / "db").read_bytes() == page
    assert (snap / "incoming-1.snapshot.tmp").exists()
    assert not (tmp_path / "member" / "wal").exists()


def test_files_of_unknown_origin_are_refused(tmp_path):
    wal = tmp_path / "member" / "wal"
    wal.mkdir(parents=True)
    (wal / f"{0:016x}-{0:016x}.wal").write_bytes(b"?")
    with pytest.raises(DataFolderError, match="this program did not write"):
        DataFolder(tmp_path)


def test_a_newer_layout_is_refused(tmp_path):
    (tmp_path / "member").mkdir()
    (tmp_path / "member" / "format").write_text("miniraft 2\n")
    with pytest.raises(DataFolderError, match="layout 'miniraft 2'"):
        DataFolder(tmp_path)


def test_what_a_crash_left_half_done_is_removed(tmp_path):
    DataFolder(tmp_path).release()
    snap = tmp_path / "member" / "snap"
    for name in ("incoming-01-1.snapshot.tmp", "outgoing-1.snapshot.tmp"):
        (snap / name).write_bytes(b"half")
    received = snap / "received-0000000000000005-0000000000000001.db"
    received.write_bytes(b"whole")
    folder = DataFolder(tmp_path)
    assert [path.name for path in snap.iterdir()] == [received.name]
    folder.remove_received()
    assert list(snap.iterdir()) == []
    folder.release()


def test_a_received_snapshot_takes_the_stores_place(tmp_path):
    folder = DataFolder(tmp_path)
    metadata = SnapshotMetadata(5, 1, ConfigState((1,)))
    incoming = folder.snapshots / "incoming-01-1.snapshot.tmp"
    incoming.write_bytes(b"new")
    folder.store_file.write_bytes(b"old")
    kept = folder.keep_received(incoming, metadata)
    assert kept == folder.received_file(metadata)
    assert not incoming.exists()
    folder.put_in_place(kept)
    assert folder.store_file.read_bytes() == b"new"
    assert not kept.exists()
    folder.release()


def test_a_folder_that_cannot_be_made_names_the_flag(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFolderError, match="--data-dir"):
        DataFolder(tmp_path / "file" / "data")
