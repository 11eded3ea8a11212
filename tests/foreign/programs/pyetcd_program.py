"""etcd-sdk-python (pyetcd), the kept descendant of python-pyetcd."""

import io
import queue
import sys
import threading

import pyetcd
from scenario import eventually, main, raising


def _client(server):
    return pyetcd.client(host=server.host, port=server.port, timeout=10, **server.tls)


def keys(server):
    with _client(server) as client:
        client.put("sdk/a", "1")
        response = client.put("sdk/a", "2", prev_kv=True)
        assert response.prev_kv.value == b"1"
        value, metadata = client.get("sdk/a")
        assert (value, metadata.key, metadata.version) == (b"2", b"sdk/a", 2)
        assert metadata.mod_revision == response.header.revision
        assert client.get("sdk/none") == (None, None)
        client.put("sdk/b", b"\x00\xff")
        found = [(value, about.key) for value, about in client.get_prefix("sdk/", sort_order="descend")]
        assert found == [(b"\x00\xff", b"sdk/b"), (b"2", b"sdk/a")]
        assert len(list(client.get_range("sdk/a", "sdk/b"))) == 1
        assert client.put_if_not_exists("sdk/a", "3") is False
        assert client.put_if_not_exists("sdk/c", "3") is True
        assert client.replace("sdk/c", "3", "4") is True
        assert client.replace("sdk/c", "3", "5") is False
        assert client.delete("sdk/c") is True
        assert client.delete("sdk/c") is False
        assert client.delete_prefix("sdk/").deleted == 2


def transactions(server):
    with _client(server) as client:
        t = client.transactions
        client.put("sdk-txn", "old")
        succeeded, responses = client.transaction(
            compare=[t.value("sdk-txn") == "old", t.version("sdk-txn") > 0, t.mod("sdk-other") == 0],
            success=[t.put("sdk-txn", "new"), t.get("sdk-txn"), t.put("sdk-other", "x")],
            failure=[t.put("sdk-txn", "failed")],
        )
        assert succeeded
        assert responses[1][0][0] == b"new"
        inner = t.txn(compare=[], success=[t.delete("sdk-other")], failure=[])
        assert client.transaction(compare=[], success=[inner], failure=[])[0]
        assert client.get("sdk-other") == (None, None)


def compaction(server):
    with _client(server) as client:
        first = client.put("sdk-compact", "1").header.revision
        revision = client.put("sdk-compact", "2").header.revision
        client.compact(revision)
        watch = client.watch("sdk-compact", start_revision=first)
        with raising(pyetcd.exceptions.RevisionCompactedError) as caught:
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
        client.put("sdk-snapshot", "saved")
        file = io.BytesIO()
        client.snapshot(file)
        assert b"sdk-snapshot" in file.getvalue()


def leases(server):
    with _client(server) as client:
        lease = client.lease(60)
        client.put("sdk-lease", "kept", lease=lease)
        assert lease.granted_ttl == 60
        assert 0 < lease.remaining_ttl <= 60
        assert lease.keys == [b"sdk-lease"]
        assert lease.refresh()[0].TTL == 60
        assert client.lease(60, lease_id=4711).id == 4711
        client.revoke_lease(4711)
        lease.revoke()
        assert client.get("sdk-lease") == (None, None)


def leases_expire(server):
    with _client(server) as client:
        client.put("sdk-brief", "gone", lease=client.lease(1))
        assert client.get("sdk-brief")[0] == b"gone"
        eventually(lambda: client.get("sdk-brief") == (None, None))


def watches(server):
    with _client(server) as client:
        events, cancel = client.watch_prefix("sdk-watch/")
        client.put("sdk-watch/a", "1")
        client.put("sdk-watch/b", "2")
        client.delete("sdk-watch/a")
        seen = [next(events) for _ in range(3)]
        cancel()
        assert [type(event).__name__ for event in seen] == ["PutEvent", "PutEvent", "DeleteEvent"]
        assert [event.key for event in seen] == [b"sdk-watch/a", b"sdk-watch/b", b"sdk-watch/a"]
        again, cancel = client.watch("sdk-watch/b", start_revision=seen[0].mod_revision)
        assert next(again).value == b"2"
        cancel()


def many_watches_on_one_stream(server):
    with _client(server) as client:
        responses = queue.Queue()
        ids = [client.add_watch_callback(f"sdk-many/{n}", responses.put) for n in range(50)]
        assert len(set(ids)) == 50
        for number in range(50):
            client.put(f"sdk-many/{number}", "x")
        keys = {responses.get(timeout=10).events[0].key for _ in range(50)}
        assert len(keys) == 50
        for one in ids:
            client.cancel_watch(one)
        client.put("sdk-many/0", "unseen")
        assert responses.empty()


def locks(server):
    with _client(server) as client, _client(server) as second:
        mine, other = client.lock("sdk-lock", ttl=30), second.lock("sdk-lock", ttl=30)
        assert mine.acquire(timeout=5)
        assert mine.is_acquired()
        assert not other.acquire(timeout=0)
        assert mine.refresh()[0].TTL == 30
        got = []
        waiting = threading.Thread(target=lambda: got.append(other.acquire(timeout=10)))
        waiting.start()
        assert mine.release()
        waiting.join(15)
        assert got == [True]
        assert other.release()


if __name__ == "__main__":
    main(sys.modules["__main__"])
