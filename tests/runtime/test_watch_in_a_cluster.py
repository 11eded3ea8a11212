"""Watches on real members: over followers, a snapshot, a lost leader and a restart."""

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest

from miniraft.pb import rpc_pb2 as rpc
from miniraft.runtime.server import start_server
from tests.support.peer_ends import eventually
from tests.support.servers import PATIENCE_SECONDS, TestCluster, linearizable_get, put, single_config


def run(scenario):
    asyncio.run(scenario())


class Watch:
    """A watch stream to one member, in this event loop."""

    def __init__(self, server, metadata=()):
        self.channel = grpc.aio.insecure_channel(server.client_urls[0].partition("://")[2])
        method = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch", rpc.WatchRequest.SerializeToString, rpc.WatchResponse.FromString
        )
        self.call = method(metadata=metadata)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.call.cancel()
        await self.channel.close()

    async def create(self, key, range_end=b"", **options):
        create = rpc.WatchCreateRequest(key=key, range_end=range_end, **options)
        await self.call.write(rpc.WatchRequest(create_request=create))
        response = await self.next()
        assert response.created
        assert not response.canceled
        return response

    async def next(self):
        return await asyncio.wait_for(self.call.read(), PATIENCE_SECONDS)

    async def keys(self, count):
        """The keys of the next events, in order."""
        found = []
        while len(found) < count:
            found += [event.kv.key for event in (await self.next()).events]
        return found


def test_every_member_tells_the_same_events_in_the_same_order(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster, contextlib.AsyncExitStack() as stack:
            watches = [await stack.enter_async_context(Watch(s)) for s in cluster.servers.values()]
            for watch in watches:
                await watch.create(b"k", b"l")
            servers = list(cluster.servers.values())
            await asyncio.gather(*(put(servers[n % 3], f"k{n:03}", "v") for n in range(300)))
            told = [await watch.keys(300) for watch in watches]
            assert told[0] == told[1] == told[2]
            assert len(set(told[0])) == 300

    run(scenario)


def test_no_event_comes_before_a_read_on_that_member_sees_it(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            await cluster.wait_for_leader()
            follower = cluster.servers[cluster.followers()[0]]
            async with Watch(follower) as watch:
                await watch.create(b"a")
                writer = asyncio.gather(*(put(cluster.servers["m1"], "a", str(n)) for n in range(200)))
                last = -1
                seen = 0
                while seen < 200:
                    for event in (await watch.next()).events:
                        seen += 1
                        last = event.kv.mod_revision
                    assert follower.node.revision >= last
                await writer

    run(scenario)


def test_a_watch_goes_on_over_an_installed_snapshot_and_skips_nothing(tmp_path):
    async def scenario():
        small = {"snapshot_count": 50, "snapshot_catchup_entries": 5, "backend_batch_interval_seconds": 0.01}
        async with TestCluster(tmp_path, **small) as cluster:
            await cluster.wait_for_leader()
            name = cluster.followers()[0]
            behind = cluster.servers[name]
            async with Watch(behind) as watch:
                await watch.create(b"k", b"l", prev_kv=True)
                # Deaf, but running: what it misses reaches it as a snapshot.
                member = behind.node.member
                receive, member.receive = member.receive, lambda messages: None
                others = [s for n, s in cluster.servers.items() if n != name]
                for number in range(300):
                    await put(others[0], f"k{number:03}", "v")
                leader = cluster.servers[await cluster.wait_for_leader()]
                await eventually(lambda: leader.node.member.raft.first_index > 200, PATIENCE_SECONDS)
                installed = behind.node.member.keyspace
                member.receive = receive
                assert await watch.keys(300) == [b"k%03d" % number for number in range(300)]
                assert behind.node.member.keyspace is not installed  # it did come as a snapshot
                await put(others[0], "k300", "v")
                assert await watch.keys(1) == [b"k300"]

    run(scenario)


def test_streams_that_ask_for_a_leader_end_without_one(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = await cluster.wait_for_leader()
            left = cluster.followers()[0]
            server = cluster.servers[left]
            async with Watch(server, (("hasleader", "true"),)) as watch, Watch(server) as patient:
                await watch.create(b"a")
                await patient.create(b"a")
                for name in list(cluster.servers):
                    if name not in (left, leader):
                        await cluster.stop(name)
                await cluster.stop(leader)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await watch.next()
                assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
                assert raised.value.details() == "etcdserver: no leader"
                await cluster.start(leader)
                await put(cluster.servers[leader], "a", "1")
                assert await patient.keys(1) == [b"a"]

    run(scenario)


def test_history_is_watched_over_a_restart(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        for number in range(50):
            await put(server, f"k{number:02}", "v")
        await server.stop()
        server = await start_server(single_config(tmp_path))
        async with Watch(server) as watch:
            await watch.create(b"k", b"l", start_revision=2)
            await put(server, "k50", "v")
            assert await watch.keys(51) == [b"k%02d" % number for number in range(51)]
            assert await linearizable_get(server, "k50") == "v"
        await server.stop()

    run(scenario)


def test_a_million_revisions_are_replayed_beside_puts(tmp_path):
    """Fewer than a million here; what counts is that each put is answered meanwhile."""

    async def scenario():
        server = await start_server(single_config(tmp_path, unsafe_no_fsync=True))
        for start in range(0, 30_000, 2000):
            await asyncio.gather(*(put(server, f"k{n % 100}", "v") for n in range(start, start + 2000)))
        loop = asyncio.get_running_loop()
        async with Watch(server) as watch:
            await watch.create(b"\0", b"\0", start_revision=2)
            reader = loop.create_task(watch.keys(30_000))
            slowest = 0.0
            while not reader.done():
                began = loop.time()
                await put(server, "during", "v")
                slowest = max(slowest, loop.time() - began)
            keys = await reader
            assert len(keys) >= 30_000
            print(f"the slowest put took {slowest * 1000:.1f} ms while 30,000 events were replayed")
            assert slowest < 2
        await server.stop()

    run(scenario)
