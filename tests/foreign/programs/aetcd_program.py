"""aetcd: gRPC over asyncio (without TLS, which it does not offer)."""

import asyncio
import sys

import aetcd
from scenario import main


def _client(server):
    return aetcd.Client(host=server.host, port=server.port, timeout=10)


async def keys(server):
    async with _client(server) as client:
        await client.put(b"ae/a", b"1")
        put = await client.put(b"ae/a", b"2", prev_kv=True)
        assert put.prev_kv.value == b"1"
        got = await client.get(b"ae/a")
        assert (got.value, got.version, got.mod_revision) == (b"2", 2, put.header.revision)
        assert await client.get(b"ae/none") is None
        await client.put(b"ae/b", b"3")
        found = await client.get_prefix(b"ae/", sort_order="descend", sort_target="key")
        assert [item.key for item in found] == [b"ae/b", b"ae/a"]
        assert (found.count, found.more) == (2, False)
        assert await client.replace(b"ae/a", b"2", b"4") is True
        assert await client.replace(b"ae/a", b"2", b"5") is False
        deleted = await client.delete_prefix(b"ae/", prev_kv=True)
        assert deleted.deleted == 2
        assert [item.value for item in deleted] == [b"4", b"3"]


async def transactions(server):
    async with _client(server) as client:
        t = client.transactions
        await client.put(b"ae-txn", b"old")
        succeeded, responses = await client.transaction(
            compare=[t.value(b"ae-txn") == b"old", t.version(b"ae-txn") > 0],
            success=[t.put(b"ae-txn", b"new"), t.get(b"ae-txn")],
            failure=[],
        )
        assert succeeded
        assert responses[1][0][0] == b"new"


async def members(server):
    async with _client(server) as client:
        status = await client.status()
        assert status.version.startswith("3.")
        assert [member.name async for member in client.members()]
        assert [alarm async for alarm in client.list_alarms()] == []


async def leases(server):
    async with _client(server) as client:
        lease = await client.lease(60)
        await client.put(b"ae-lease", b"kept", lease=lease)
        assert await lease.granted_ttl() == 60
        assert 0 < await lease.remaining_ttl() <= 60
        assert list(await lease.keys()) == [b"ae-lease"]
        assert (await lease.refresh()).TTL == 60
        await lease.revoke()
        assert await client.get(b"ae-lease") is None


async def leases_expire(server):
    async with _client(server) as client:
        watch = await client.watch(b"ae-brief", kind=aetcd.rtypes.EventKind.DELETE)
        await client.put(b"ae-brief", b"gone", lease=await client.lease(1))
        event = await asyncio.wait_for(anext(watch.__aiter__()), 10)
        assert (event.kind, event.kv.key) == ("DELETE", b"ae-brief")


async def watches(server):
    async with _client(server) as client:
        first = await client.put(b"ae-watch/a", b"0")
        watch = await client.watch_prefix(b"ae-watch/", start_revision=first.header.revision, prev_kv=True)
        await client.put(b"ae-watch/a", b"1")
        await client.delete(b"ae-watch/a")
        events = watch.__aiter__()
        seen = [await asyncio.wait_for(anext(events), 10) for _ in range(3)]
        assert [(event.kind, event.kv.value) for event in seen] == [
            ("PUT", b"0"),
            ("PUT", b"1"),
            ("DELETE", b""),
        ]
        assert [event.prev_kv.value for event in seen[1:]] == [b"0", b"1"]
        await watch.cancel()
        once = await client.watch_once(b"ae-watch/a", timeout=10, start_revision=seen[1].kv.mod_revision)
        assert once.kv.value == b"1"


async def locks(server):
    async with _client(server) as client, _client(server) as second:
        mine, other = client.lock(b"ae-lock", ttl=30), second.lock(b"ae-lock", ttl=30)
        assert await mine.acquire(timeout=5)
        assert await mine.is_acquired()
        assert not await other.acquire(timeout=0)
        waiting = asyncio.create_task(other.acquire(timeout=10))
        await asyncio.sleep(0)
        assert (await mine.refresh()).TTL == 30
        assert await mine.release()
        assert await waiting
        assert await other.release()


if __name__ == "__main__":
    main(sys.modules["__main__"])
