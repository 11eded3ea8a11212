"""python-etcd3: gRPC, with the messages of etcd 3.1."""

import io
import queue
import sys

import etcd3
from scenario import eventually, main, raising


def _client(server):
    return etcd3.client(host=server.host, port=server.port, timeout=10, **server.tls)


def keys(server):
    with _client(server) as client:
        client.put("e3/a", "1")
        response = client.put("e3/a", "2", prev_kv=True)
        assert response.prev_kv.value == b"1"
        value, metadata = client.get("e3/a")
        assert (value, metadata.key, metadata.version) == (b"2", b"e3/a", 2)
        assert metadata.mod_revision == response.header.revision
        assert client.get("e3/none") == (None, None)
        client.put("e3/b", b"\x00\xff")
        found = [(value, about.key) for value, about in client.get_prefix("e3/", sort_order="descend")]
        assert found == [(b"\x00\xff", b"e3/b"), (b"2", b"e3/a")]
        assert len(list(client.get_range("e3/a", "e3/b"))) == 1
        assert client.put_if_not_exists("e3/a", "3") is False
        assert client.put_if_not_exists("e3/c", "3") is True
        assert client.replace("e3/c", "3", "4") is True
        assert client.replace("e3/c", "3", "5") is False
        assert client.delete("e3/c") is True
        assert client.delete("e3/c") is False
        assert client.delete_prefix("e3/").deleted == 2


def transactions(server):
    with _client(server) as client:
        t = client.transactions
        client.put("e3-txn", "old")
        succeeded, responses = client.transaction(
            compare=[t.value("e3-txn") == "old", t.version("e3-txn") > 0, t.mod("e3-other") == 0],
            success=[t.put("e3-txn", "new"), t.get("e3-txn"), t.put("e3-other", "x")],
            failure=[t.put("e3-txn", "failed")],
        )
        assert succeeded
        assert responses[1][0][0] == b"new"
        inner = t.txn(compare=[], success=[t.delete("e3-other")], failure=[])
        assert client.transaction(compare=[], success=[inner], failure=[])[0]
        assert client.get("e3-other") == (None, None)


def compaction(server):
    with _client(server) as client:
        first = client.put("e3-compact", "1").header.revision
        revision = client.put("e3-compact", "2").header.revision
        client.compact(revision)
        watch = client.watch("e3-compact", start_revision=first)
        with raising(etcd3.exceptions.RevisionCompactedError) as caught:
            next(watch[0])
        assert caught[0].compacted_revision == revision


def members(server):
    with _client(server) as client:
        status = client.status()
        assert status.version.startswith("3.")
        assert status.db_size > 0
        members = list(client.members)
        assert status.leader.id in [member.id for member in members]
        assert all(member.name and member.peer_urls and member.client_urls for member in members)
        assert list(client.list_alarms()) == []
        assert client.hash() > 0


def snapshots(server):
    with _client(server) as client:
        client.put("e3-snapshot", "saved")
        file = io.BytesIO()
        client.snapshot(file)
        assert b"e3-snapshot" in file.getvalue()


def leases(server):
    with _client(server) as client:
        lease = client.lease(60)
        client.put("e3-lease", "kept", lease=lease)
        assert lease.granted_ttl == 60
        assert 0 < lease.remaining_ttl <= 60
        assert lease.keys == [b"e3-lease"]
        assert lease.refresh()[0].TTL == 60
        assert client.lease(60, lease_id=4711).id == 4711
        client.revoke_lease(4711)
        lease.revoke()
        assert client.get("e3-lease") == (None, None)


def leases_expire(server):
    with _client(server) as client:
        client.put("e3-brief", "gone", lease=client.lease(1))
        assert client.get("e3-brief")[0] == b"gone"
        eventually(lambda: client.get("e3-brief") == (None, None))


def watches(server):
    with _client(server) as client:
        events, cancel = client.watch_prefix("e3-watch/")
        client.put("e3-watch/a", "1")
        client.put("e3-watch/b", "2")
        client.delete("e3-watch/a")
        seen = [next(events) for _ in range(3)]
        cancel()
        assert [type(event).__name__ for event in seen] == ["PutEvent", "PutEvent", "DeleteEvent"]
        assert [event.key for event in seen] == [b"e3-watch/a", b"e3-watch/b", b"e3-watch/a"]
        again, cancel = client.watch("e3-watch/b", start_revision=seen[0].mod_revision)
        assert next(again).value == b"2"
        cancel()


def many_watches_on_one_stream(server):
    with _client(server) as client:
        responses = queue.Queue()
        ids = [client.add_watch_callback(f"e3-many/{n}", responses.put) for n in range(50)]
        assert len(set(ids)) == 50
        for number in range(50):
            client.put(f"e3-many/{number}", "x")
        keys = {responses.get(timeout=10).events[0].key for _ in range(50)}
        assert len(keys) == 50
        for one in ids:
            client.cancel_watch(one)
        client.put("e3-many/0", "unseen")
        assert responses.empty()


def locks(server):
    """A lock that is free: to wait for one, this client needs a library of its time (tenacity)."""
    with _client(server) as client:
        for lock in (client.lock("e3-lock", ttl=30), client.lock("e3-lock", ttl=30)):
            assert lock.acquire(timeout=5)
            assert lock.is_acquired()
            assert lock.refresh()[0].TTL == 30
            assert lock.release()
            assert not lock.is_acquired()


if __name__ == "__main__":
    main(sys.modules["__main__"])
