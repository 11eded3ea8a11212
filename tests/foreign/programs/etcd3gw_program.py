"""etcd3gw (OpenStack's client): the JSON gateway through requests."""

import sys

import etcd3gw
from etcd3gw.exceptions import Etcd3Exception
from scenario import eventually, main, raising


def _client(server):
    protocol = "https" if server.ca else "http"
    return etcd3gw.client(host=server.host, port=server.port, protocol=protocol, timeout=10, **server.tls)


def keys(server):
    client = _client(server)
    assert client.api_path == "/v3/"
    assert client.put("gw/a", "1")
    assert client.put("gw/b", b"\xff\x00")
    assert client.get("gw/a") == [b"1"]
    assert client.get("gw/none") == []
    found = client.get_prefix("gw/", sort_order="descend", sort_target="key")
    assert [(value, item["key"]) for value, item in found] == [(b"\xff\x00", b"gw/b"), (b"1", b"gw/a")]
    _, item = client.get("gw/a", metadata=True)[0]
    old = int(item["mod_revision"])
    client.put("gw/a", "2")
    assert client.get("gw/a", revision=old) == [b"1"]
    assert client.get("gw/", range_end="gw0", limit=1) == [b"2"]
    assert client.delete("gw/a") is True
    assert client.delete("gw/a") is False
    assert client.delete_prefix("gw/") is True


def transactions(server):
    client = _client(server)
    client.delete("gw-txn")
    assert client.create("gw-txn", "first") is True
    assert client.create("gw-txn", "second") is False
    assert client.replace("gw-txn", "wrong", "third") is False
    assert client.replace("gw-txn", "first", "third") is True
    assert client.get("gw-txn") == [b"third"]


def errors(server):
    client = _client(server)
    with raising(Etcd3Exception) as caught:
        client.get("gw", revision=10**12)
    assert "etcdserver: mvcc: required revision is a future revision" in caught[0].detail_text
    with raising(Etcd3Exception) as caught:
        client.put("", "x")
    assert "etcdserver: key is not provided" in caught[0].detail_text


def members(server):
    client = _client(server)
    member = client.members()[0]
    assert {"ID", "name", "peerURLs", "clientURLs"} <= set(member)
    status = client.status()
    assert int(status["dbSize"]) > 0
    assert int(status["raftTerm"]) > 0
    assert int(status["leader"]) in [int(member["ID"]) for member in client.members()]


def leases(server):
    client = _client(server)
    lease = client.lease(ttl=60)
    client.put("gw-lease", "kept", lease=lease)
    assert 0 < lease.ttl() <= 60
    assert lease.keys() == [b"gw-lease"]
    assert lease.refresh() == 60
    assert lease.revoke() is True
    assert client.get("gw-lease") == []
    assert lease.refresh() == -1


def leases_expire(server):
    client = _client(server)
    client.put("gw-brief", "gone", lease=client.lease(ttl=1))
    assert client.get("gw-brief") == [b"gone"]
    eventually(lambda: client.get("gw-brief") == [])


def watches(server):
    client = _client(server)
    _, item = _put_with_metadata(client, "gw-watch", "0")
    revision = int(item["mod_revision"])
    events, cancel = client.watch("gw-watch", start_revision=revision + 1)
    client.put("gw-watch", "1")
    client.put("gw-watch", "2")
    client.delete("gw-watch")
    seen = [next(events) for _ in range(3)]
    cancel()
    assert [event["kv"].get("value") for event in seen] == [b"1", b"2", None]
    assert [event.get("type") for event in seen] == [None, None, "DELETE"]
    prefix, cancel = client.watch_prefix("gw-wa", start_revision=revision)
    assert [next(prefix)["kv"]["mod_revision"] for _ in range(4)] == [str(revision + n) for n in range(4)]
    cancel()
    once = client.watch_once("gw-watch", timeout=10, start_revision=revision + 2)
    assert once["kv"]["value"] == b"2"


def _put_with_metadata(client, key, value):
    client.put(key, value)
    return client.get(key, metadata=True)[0]


def locks(server):
    client = _client(server)
    mine, other = client.lock("gw-lock", ttl=30), client.lock("gw-lock", ttl=30)
    assert mine.acquire() is True
    assert other.acquire() is False
    assert mine.is_acquired()
    assert not other.is_acquired()
    assert mine.refresh() == 30
    assert mine.release() is True
    with other:
        assert other.is_acquired()


if __name__ == "__main__":
    main(sys.modules["__main__"])
