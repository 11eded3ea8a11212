"""Snapshots between two real ends: whole and checked, or gone."""

import asyncio
import hashlib
import os
import resource

import pytest

from miniraft.histogram import Histogram
from miniraft.pb import peer_pb2
from miniraft.peer.codec import message_to_pb
from miniraft.peer.settings import PeerSettings
from miniraft.peer.snapshot_receiver import SnapshotRefusedError, receive_snapshot_file
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.state import ConfigState, SnapshotMetadata
from tests.support.peer_ends import End, eventually, pair

METADATA = SnapshotMetadata(100, 3, ConfigState((1, 2), (3,)))


def snapshot_message(sender=1, receiver=2):
    return Message(MessageKind.SNAPSHOT, sender, receiver, 3, snapshot=METADATA)


def data_file(folder, size_bytes):
    path = folder / "copy"
    path.write_bytes(os.urandom(size_bytes))
    return path


@pytest.mark.parametrize("size_bytes", [0, 1, 128 * 1024, 5_000_000])
def test_a_snapshot_arrives_whole(tmp_path, size_bytes):
    async def scenario():
        async with pair(tmp_path) as (one, two):
            path = data_file(tmp_path, size_bytes)
            expected = path.read_bytes()
            one.transport.send_snapshot(snapshot_message(), path)
            await eventually(lambda: one.sent and two.snapshots)
            message, received = two.snapshots[0]
            assert message == snapshot_message()
            assert received.read_bytes() == expected
            assert received.parent == two.folder
            assert one.sent == [(2, True)]
            await eventually(lambda: not path.exists())

    asyncio.run(scenario())


def test_a_large_snapshot_does_not_fill_the_memory(tmp_path):
    async def scenario():
        async with pair(tmp_path) as (one, _):
            path = tmp_path / "copy"
            with path.open("wb") as file:
                file.truncate(400_000_000)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            one.transport.send_snapshot(snapshot_message(), path)
            await eventually(lambda: one.sent, 60)
            assert one.sent == [(2, True)]
            grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            assert grown_bytes < 100_000_000

    asyncio.run(scenario())


def test_a_transfer_to_an_end_that_closes_fails_and_leaves_nothing(tmp_path):
    async def scenario():
        small = PeerSettings(snapshot_chunk_bytes=1024)
        async with End(tmp_path / "1", 1, settings=small) as one, End(tmp_path / "2", 2) as two:
            one.transport.set_peers([two.address])
            two.transport.set_peers([one.address])
            one.transport.send_snapshot(snapshot_message(), data_file(tmp_path, 50_000_000))
            await eventually(lambda: list(two.folder.iterdir()))
            await two.server.close()
            await eventually(lambda: one.sent)
            assert one.sent == [(2, False)]
            assert two.snapshots == []
            await eventually(lambda: not list(two.folder.iterdir()))

    asyncio.run(scenario())


def test_a_newer_transfer_takes_the_place_of_the_earlier(tmp_path):
    async def scenario():
        small = PeerSettings(snapshot_chunk_bytes=1024)
        async with End(tmp_path / "1", 1, settings=small) as one, End(tmp_path / "2", 2) as two:
            one.transport.set_peers([two.address])
            two.transport.set_peers([one.address])
            first = tmp_path / "first"
            first.write_bytes(b"1" * 50_000_000)
            one.transport.send_snapshot(snapshot_message(), first)
            await eventually(lambda: list(two.folder.iterdir()))
            second = tmp_path / "second"
            second.write_bytes(b"2" * 1000)
            one.transport.send_snapshot(snapshot_message(), second)
            await eventually(lambda: len(one.sent) == 2)
            assert one.sent == [(2, False), (2, True)]
            assert two.snapshots[0][1].read_bytes() == b"2" * 1000

    asyncio.run(scenario())


def test_a_snapshot_for_an_unknown_peer_fails(tmp_path):
    async def scenario():
        async with End(tmp_path / "1", 1) as one:
            path = data_file(tmp_path, 10)
            one.transport.send_snapshot(snapshot_message(), path)
            await eventually(lambda: one.sent)
            assert one.sent == [(2, False)]
            await eventually(lambda: not path.exists())

    asyncio.run(scenario())


def receive(folder, chunks, total_bytes):
    waiting = [chunk.SerializeToString() for chunk in chunks]

    async def read():
        return waiting.pop(0) if waiting else None

    async def scenario():
        path = await receive_snapshot_file(read, folder, 1, total_bytes, Histogram((1.0,)))
        return path.read_bytes()

    return asyncio.run(scenario())


def chunk(**fields):
    return peer_pb2.SnapshotChunk(**fields)


def test_the_hash_is_checked(tmp_path):
    good = hashlib.sha256(b"abc").digest()
    assert receive(tmp_path, [chunk(data=b"a"), chunk(data=b"bc"), chunk(sha256=good)], 3) == b"abc"


@pytest.mark.parametrize(
    ("chunks", "total_bytes", "complaint"),
    [
        ([chunk(data=b"abc"), chunk(sha256=b"\0" * 32)], 3, "SHA-256 mismatch"),
        ([chunk(data=b"ab")], 3, "ended after 2 of 3 bytes"),
        ([chunk(data=b"abc")], 3, "ended after 3 of 3 bytes"),
        ([chunk(data=b"abcd")], 3, "more data than the 3 bytes"),
        ([chunk(sha256=b"\0" * 32), chunk(data=b"a")], 3, "data after the hash"),
    ],
)
def test_damaged_data_is_refused_and_removed(tmp_path, chunks, total_bytes, complaint):
    with pytest.raises(SnapshotRefusedError, match=complaint):
        receive(tmp_path, chunks, total_bytes)
    asyncio.run(eventually(lambda: not list(tmp_path.iterdir())))


def test_a_snapshot_that_does_not_fit_on_the_disk_is_refused_at_once(tmp_path):
    with pytest.raises(OSError, match="does not fit on the disk"):
        receive(tmp_path, [], 2**60)


def test_message_metadata_survives():
    assert message_to_pb(snapshot_message()).snapshot.config.learners == [3]
