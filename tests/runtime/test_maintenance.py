"""Defragmentation, hashes, snapshots and the corruption check of running members."""

import asyncio
import hashlib

import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.store import Bucket
from miniraft.pb.rpc_pb2 import CompactionRequest, PutRequest
from miniraft.runtime import hashing as hashing_module
from miniraft.runtime.corruption_check import CorruptDataError, check_before_serving, check_once, find_corrupt
from miniraft.runtime.hashing import KeyspaceHash, ask_hash, hash_keyspace
from miniraft.server.alarms import CORRUPT, Alarm
from miniraft.server.proposal import RequestKind
from tests.support.peer_ends import eventually
from tests.support.servers import TestCluster, put, single_config, start_server

BIG = "x" * 20_000


async def compact(server):
    """Drops all history, after what there is has got into the file."""
    await server.node.administration.hash_store()
    request = CompactionRequest(revision=server.node.revision, physical=True)
    return await server.node.propose(RequestKind.COMPACT, request.SerializeToString())


def run(work):
    return asyncio.run(asyncio.wait_for(work, 40))


def test_defragmentation_gives_space_back_while_writes_go_on(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        node = server.node
        for _ in range(100):
            await put(server, "k", BIG)
        await compact(server)
        before = node.status().db_size_bytes
        acknowledged = []

        async def write():
            while True:
                await put(server, f"w{len(acknowledged)}", "v")
                acknowledged.append(f"w{len(acknowledged)}")

        writing = asyncio.create_task(write())
        await asyncio.gather(node.administration.defragment(), node.administration.defragment())
        assert node.status().db_size_bytes < before / 4
        more = len(acknowledged) + 50
        await eventually(lambda: len(acknowledged) > more)
        writing.cancel()
        await server.stop()
        again = await start_server(single_config(tmp_path))
        from tests.support.servers import get

        assert [key for key in acknowledged if get(again, key) != "v"] == []
        assert get(again, "k") == BIG
        await again.stop()

    run(scenario())


def test_a_client_that_gives_up_does_not_leave_a_defragmentation_half_way(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        for _ in range(50):
            await put(server, "k", BIG)
        await compact(server)
        before = server.node.status().db_size_bytes
        server.node.administration.defragment().cancel()
        await eventually(lambda: server.node.status().db_size_bytes < before / 4)
        server.node.administration.defragment()
        await server.stop()  # waits for it
        again = await start_server(single_config(tmp_path))
        await put(again, "after", "v")
        await again.stop()

    run(scenario())


def test_defragmentation_at_the_start_when_it_is_worth_it(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        for _ in range(150):
            await put(server, "k", BIG)
        await compact(server)
        await put(server, "k", "small")
        before = server.node.status().db_size_bytes
        await server.stop()
        server = await start_server(single_config(tmp_path, bootstrap_defrag_threshold_megabytes=1000))
        assert server.node.status().db_size_bytes >= before
        await server.stop()
        server = await start_server(single_config(tmp_path, bootstrap_defrag_threshold_megabytes=1))
        assert server.node.status().db_size_bytes < before / 4
        await server.stop()

    run(scenario())


def test_a_large_keyspace_is_hashed_in_slices_with_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_module, "_SLICE_REVISIONS", 5)

    async def scenario():
        server = await start_server(single_config(tmp_path))
        node = server.node
        writes = [
            node.propose(RequestKind.PUT, PutRequest(key=b"k%d" % number).SerializeToString())
            for number in range(3000)
        ]
        await asyncio.gather(*writes)
        revision = node.revision
        expected = node.hash_kv(revision)
        hashing = node.administration.hash_kv(revision)
        await put(server, "in between", "v")
        assert await hashing == expected
        # A compaction in the midst of it: begun again, with what holds then.
        compacted = asyncio.Event()
        monkeypatch.setattr(hashing_module.asyncio, "sleep", lambda _seconds: compacted.wait())
        hashing = asyncio.ensure_future(hash_keyspace(node, revision))
        await compact(server)
        monkeypatch.undo()
        compacted.set()
        with pytest.raises(EtcdError, match="compacted"):
            await hashing
        assert (await node.administration.hash_kv(0)) == node.hash_kv(0)
        assert await node.administration.hash_store() == await node.administration.hash_store()
        await server.stop()

    run(scenario())


def test_a_snapshot_holds_what_was_acknowledged_just_before(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        await put(server, "just", "before-the-snapshot")
        pieces = [piece async for piece in server.node.administration.snapshot()]
        data = b"".join(blob for blob, _ in pieces[:-1])
        assert pieces[-1] == (hashlib.sha256(data).digest(), 0)
        assert b"before-the-snapshot" in data
        assert [remaining for _, remaining in pieces] == sorted((r for _, r in pieces), reverse=True)
        leftovers = [path.name for path in tmp_path.rglob("outgoing-*")]
        assert leftovers == []
        await server.stop()

    run(scenario())


def test_one_that_differs_is_found_and_named(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            leader_name = await cluster.wait_for_leader()
            leader = cluster.servers[leader_name]
            wrong = cluster.servers[cluster.followers()[0]]
            for number in range(5):
                await put(leader, f"k{number}", "v")
            await eventually(lambda: wrong.node.revision == leader.node.revision)
            assert await check_once(leader.node, leader.transport) == frozenset()
            theirs = await ask_hash(leader.transport, wrong.node.member_id, 0, 5000)
            assert theirs == await hash_keyspace(leader.node, 0)
            with pytest.raises(EtcdError, match="future revision"):
                await ask_hash(leader.transport, wrong.node.member_id, 999, 5000)
            # Somebody's disk forgot a bit.
            store = wrong.node.member.store
            place, pair = next(store.scan(Bucket.KEY))
            store.put(Bucket.KEY, place, pair.replace(b"v", b"w"))
            assert await check_once(leader.node, leader.transport) == {wrong.node.member_id}
            assert leader.node.alarms() == (Alarm(wrong.node.member_id, CORRUPT),)
            with pytest.raises(EtcdError, match="corrupt cluster"):
                await put(leader, "k", "v")
            with pytest.raises(CorruptDataError, match="member remove"):
                await check_before_serving(wrong.node, wrong.transport)

    run(scenario())


def test_the_check_runs_by_itself_when_asked_for(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3, corrupt_check_time_seconds=0.1) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            wrong = cluster.servers[cluster.followers()[0]]
            await put(leader, "k", "v")
            await eventually(lambda: wrong.node.revision == 2)
            store = wrong.node.member.store
            place, pair = next(store.scan(Bucket.KEY))
            store.put(Bucket.KEY, place, pair.replace(b"v", b"w"))
            await eventually(lambda: leader.node.alarms() == (Alarm(wrong.node.member_id, CORRUPT),), 10)

    run(scenario())


def test_a_member_that_differs_does_not_start_to_serve(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            await cluster.wait_for_leader()
            follower = cluster.followers()[0]
            await put(cluster.servers[follower], "k", "v")
            store = cluster.servers[follower].node.member.store
            place, pair = next(store.scan(Bucket.KEY))
            store.put(Bucket.KEY, place, pair.replace(b"v", b"w"))
            await cluster.stop(follower)
            gates = cluster.config(follower).feature_gates | {"InitialCorruptCheck"}
            with pytest.raises(Exception, match="the data of this member differs from that of"):
                await cluster.start(follower, feature_gates=gates)
            cluster.servers.pop(follower, None)

    run(scenario())


def hashed(value, compact_revision=-1):
    return KeyspaceHash(value, compact_revision, 5, 5)


def test_the_majority_says_who_is_wrong():
    assert find_corrupt(1, {1: hashed(7), 2: hashed(7), 3: hashed(8)}) == {3}
    assert find_corrupt(1, {1: hashed(8), 2: hashed(7), 3: hashed(7)}) == {1}
    assert find_corrupt(1, {1: hashed(7), 2: hashed(8)}) == {2}, "the leader's word counts among two"
    assert find_corrupt(1, {1: hashed(7), 2: hashed(8, 3), 3: hashed(7)}) == frozenset()
    assert find_corrupt(1, {1: hashed(7)}) == frozenset()
