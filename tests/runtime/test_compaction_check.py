"""Members whose data differ are found by the hashes that they took at a compaction."""

import asyncio

import pytest

from miniraft.errors import EtcdError
from miniraft.mvcc.store import Bucket
from miniraft.pb.rpc_pb2 import CompactionRequest
from miniraft.runtime.compaction_check import NOBODY_KNOWS_WHO, CompactionCheck, find_suspects
from miniraft.runtime.config import DEFAULT_FEATURES
from miniraft.runtime.hashing import ask_hash
from miniraft.server.alarms import CORRUPT, Alarm
from miniraft.server.proposal import RequestKind
from tests.support.peer_ends import eventually
from tests.support.servers import TestCluster, put


def run(work):
    return asyncio.run(asyncio.wait_for(work, 40))


def test_the_majority_of_all_members_says_who_is_wrong():
    assert find_suspects({1: 7, 2: 7, 3: 7}, 3) == frozenset()
    assert find_suspects({1: 7, 2: 7, 3: 8}, 3) == {3}
    assert find_suspects({1: 8, 2: 7, 3: 7}, 3) == {1}, "the leader may be wrong too"
    assert find_suspects({1: 7, 2: 8}, 2) == {NOBODY_KNOWS_WHO}
    assert find_suspects({1: 7, 2: 8, 3: 9}, 3) == {NOBODY_KNOWS_WHO}
    assert find_suspects({1: 7, 2: 7, 3: 8}, 5) == {NOBODY_KNOWS_WHO}, "two of five do not decide"
    assert find_suspects({1: 7, 2: 7, 3: 7, 4: 8}, 5) == {4}
    assert find_suspects({1: 7}, 3) == frozenset()


async def compact(cluster, revision):
    """Returns when all members have made the compaction and know its hash."""
    leader = cluster.servers[cluster.leader()]
    request = CompactionRequest(revision=revision, physical=True).SerializeToString()
    await leader.node.propose(RequestKind.COMPACT, request)
    nodes = [server.node for server in cluster.servers.values()]
    await eventually(lambda: all(node.member.keyspace.compaction_hashes.at(revision) for node in nodes))


async def write(cluster, count):
    leader = cluster.servers[cluster.leader()]
    for number in range(count):
        await put(leader, f"k{number % 3}", f"v{number}")
    return leader.node.revision


def forget_a_bit(server, revision):
    store = server.node.member.store
    place, pair = next(
        (place, pair)
        for place, pair in store.scan(Bucket.KEY)
        if int.from_bytes(place[:8], "big") == revision
    )
    store.put(Bucket.KEY, place, pair.replace(b"v", b"w"))


async def reach(cluster, revision):
    await eventually(lambda: all(server.node.revision >= revision for server in cluster.servers.values()))


def test_agreement_is_noted_and_not_looked_for_again(tmp_path, monkeypatch):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            check = CompactionCheck(leader.node, leader.transport)
            assert await check.check() == frozenset(), "nothing has been compacted"
            await compact(cluster, await write(cluster, 6))
            await compact(cluster, await write(cluster, 6))
            asked = []

            async def ask(transport, member_id, revision, timeout_ms):
                asked.append(revision)
                return await ask_hash(transport, member_id, revision, timeout_ms)

            monkeypatch.setattr("miniraft.runtime.compaction_check.ask_hash", ask)
            assert await check.check() == frozenset()
            assert asked == [13, 13], "the newest one will do"
            assert await check.check() == frozenset()
            assert len(asked) == 2
            assert leader.node.alarms() == ()

    run(scenario())


def test_one_that_differs_is_found_though_it_has_been_overwritten_since(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            wrong = cluster.servers[cluster.followers()[0]]
            revision = await write(cluster, 6)
            await reach(cluster, revision)
            forget_a_bit(wrong, revision - 4)  # of a revision that the compaction drops
            await compact(cluster, revision)
            check = CompactionCheck(leader.node, leader.transport)
            assert await check.check() == {wrong.node.member_id}
            assert leader.node.alarms() == (Alarm(wrong.node.member_id, CORRUPT),)
            with pytest.raises(EtcdError, match="corrupt cluster"):
                await put(leader, "k", "v")
            assert await check.check() == {wrong.node.member_id}, "told again, raised once"

    run(scenario())


def test_of_two_members_nobody_knows_which_is_wrong(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 2) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            revision = await write(cluster, 6)
            await reach(cluster, revision)
            forget_a_bit(leader, revision)
            await compact(cluster, revision)
            assert await CompactionCheck(leader.node, leader.transport).check() == {NOBODY_KNOWS_WHO}
            assert leader.node.alarms() == (Alarm(0, CORRUPT),)

    run(scenario())


def test_a_compaction_that_a_member_knows_nothing_of_is_left_for_an_older_one(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            first = await write(cluster, 6)
            await compact(cluster, first)
            second = await write(cluster, 6)
            follower = cluster.servers[cluster.followers()[0]]
            await compact(cluster, second)
            del follower.node.member.keyspace.compaction_hashes._hashes[second]
            check = CompactionCheck(leader.node, leader.transport)
            assert await check.check() == frozenset()
            assert check._checked_revision == first

    run(scenario())


def test_it_runs_by_itself_when_asked_for(tmp_path):
    async def scenario():
        settings = {
            "feature_gates": DEFAULT_FEATURES | {"CompactHashCheck"},
            "compact_hash_check_time_seconds": 0.1,
        }
        async with TestCluster(tmp_path, 3, **settings) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            wrong = cluster.servers[cluster.followers()[0]]
            revision = await write(cluster, 4)
            await reach(cluster, revision)
            forget_a_bit(wrong, revision)
            await compact(cluster, revision)
            await eventually(lambda: leader.node.alarms() == (Alarm(wrong.node.member_id, CORRUPT),), 10)

    run(scenario())
