"""Leases over three whole members: asked of any of them, and kept over a change of leader."""

import asyncio
import time

import pytest

from miniraft.errors import EtcdError
from miniraft.pb.rpc_pb2 import PutRequest
from miniraft.server.proposal import RequestKind
from tests.support.peer_ends import eventually
from tests.support.servers import TestCluster, get


def run(test):
    async def body():
        async with asyncio.timeout(60):
            await test

    asyncio.run(body())


async def put_on_lease(server, key, lease):
    request = PutRequest(key=key.encode(), value=b"v", lease=lease).SerializeToString()
    await server.node.propose(RequestKind.PUT, request)


def test_any_member_answers_for_the_leader(tmp_path):
    async def test():
        async with TestCluster(tmp_path) as cluster:
            leader = await cluster.wait_for_leader()
            one, two = (cluster.servers[name].node for name in cluster.followers())
            granted = await one.grant_lease(7, 30)
            assert (granted.lease_id, granted.ttl_seconds) == (7, 30)
            await put_on_lease(cluster.servers[leader], "k", 7)
            for node in (one, two, cluster.servers[leader].node):
                times = await node.lease_time_to_live(7, with_keys=True)
                assert times.granted_ttl_seconds == 30
                assert 25 <= times.remaining_ttl_seconds <= 30
                assert list(times.keys) == [b"k"]
                assert (await node.renew_lease(7)).granted_ttl_seconds == 30
                assert await node.renew_lease(8) is None
                assert await node.lease_time_to_live(8, with_keys=False) is None
            # Many at once share a few calls.
            renewals = await asyncio.gather(*(two.renew_lease(7) for _ in range(500)))
            assert all(renewal.granted_ttl_seconds == 30 for renewal in renewals)
            assert cluster.servers[leader].node.member.lease_counters.renewed == 503

    run(test())


def test_the_next_leader_keeps_what_was_left(tmp_path):
    async def test():
        async with TestCluster(tmp_path) as cluster:
            first = await cluster.wait_for_leader()
            await cluster.servers[first].node.grant_lease(7, 20)
            await put_on_lease(cluster.servers[first], "k", 7)
            granted = time.monotonic()
            await asyncio.sleep(3)
            await cluster.stop(first)
            second = await cluster.wait_for_leader()
            assert second != first
            follower = next(node for name, node in cluster.servers.items() if name != second)
            left = (await follower.node.lease_time_to_live(7, with_keys=False)).remaining_ttl_seconds
            exactly = 20 - (time.monotonic() - granted)
            # At most: a twentieth of its time, an election, and a second for rounding, twice.
            assert exactly - 1 <= left <= exactly + 1 + 0.4 + 2
            assert get(follower, "k") == "v"

    run(test())


def test_a_lease_ends_on_all_members_and_a_late_renewal_learns_of_it(tmp_path):
    async def test():
        async with TestCluster(tmp_path) as cluster:
            await cluster.wait_for_leader()
            follower = cluster.servers[cluster.followers()[0]]
            granted = await follower.node.grant_lease(0, 0)
            assert granted.ttl_seconds == 1
            await put_on_lease(follower, "k", granted.lease_id)
            began = time.monotonic()
            await asyncio.sleep(1.05)
            assert await follower.node.renew_lease(granted.lease_id) is None
            assert time.monotonic() - began < 3
            for server in cluster.servers.values():
                await eventually(lambda server=server: get(server, "k") is None)
                assert list(server.node.leases()) == []

    run(test())


def test_a_renewal_outlasts_an_election(tmp_path):
    async def test():
        async with TestCluster(tmp_path) as cluster:
            first = await cluster.wait_for_leader()
            follower = cluster.servers[cluster.followers()[0]]
            await follower.node.grant_lease(7, 20)
            stopping = asyncio.create_task(cluster.stop(first))
            renewals = [asyncio.create_task(follower.node.renew_lease(7)) for _ in range(20)]
            await stopping
            for renewal in await asyncio.gather(*renewals):
                assert renewal.granted_ttl_seconds == 20

    run(test())


def test_without_a_leader_the_client_is_told_so(tmp_path):
    async def test():
        async with TestCluster(tmp_path) as cluster:
            await cluster.wait_for_leader()
            follower = cluster.servers[cluster.followers()[0]]
            await follower.node.grant_lease(7, 20)
            for name in [name for name, server in cluster.servers.items() if server is not follower]:
                await cluster.stop(name)
            await eventually(lambda: not follower.node.leader)
            follower.node._leases._timeout_seconds = 0.5
            with pytest.raises(EtcdError) as caught:
                await follower.node.renew_lease(7)
            assert caught.value.message == "etcdserver: no leader"

    run(test())


def test_a_snapshot_brings_the_leases_along(tmp_path):
    """A member that was away comes back behind the log, and gets leases and keys with the snapshot."""

    async def test():
        async with TestCluster(tmp_path, snapshot_count=50, snapshot_catchup_entries=5) as cluster:
            leader = await cluster.wait_for_leader()
            away = cluster.followers()[0]
            await cluster.stop(away)
            node = cluster.servers[leader]
            await node.node.grant_lease(7, 60)
            await put_on_lease(node, "k", 7)
            for number in range(200):
                await put_on_lease(node, f"other{number % 7}", 7)
            await eventually(lambda: node.node.member.raft.first_index > 100)
            back = await cluster.start(away)
            await eventually(lambda: back.node.revision == node.node.revision)
            lease = back.node.member.keyspace.leases.find(7)
            assert b"k" in lease.keys
            assert len(lease.keys) == 8
            await node.node.renew_lease(7)

    run(test())
