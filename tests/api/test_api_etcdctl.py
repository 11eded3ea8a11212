"""The real etcdctl, 3.5 and 3.4, against the client API."""

import json
import subprocess

import pytest

from miniraft.runtime.listener import TlsOptions
from tests.support.certificates import Authority
from tests.support.client_api import served
from tests.support.memory_service import CLUSTER_ID, MEMBER_ID, MemoryService
from tests.support.real_etcd import real_binary


@pytest.fixture(params=["3.5", "3.4"])
def etcdctl(request):
    """Returns a function that runs one etcdctl command and returns its result."""
    binary = real_binary("etcdctl", old=request.param == "3.4")

    def run(endpoint, *arguments, stdin="", check=True):
        result = subprocess.run(
            [str(binary), "--endpoints", endpoint, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=20,
            env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        )
        if check:
            assert result.returncode == 0, result.stderr
        return result

    run.version = request.param
    return run


@pytest.fixture
def api():
    with served(MemoryService()) as api:
        yield api


def test_put_get_delete(api, etcdctl):
    assert etcdctl(api.address, "put", "greeting", "hello").stdout == "OK\n"
    assert etcdctl(api.address, "get", "greeting").stdout == "greeting\nhello\n"
    etcdctl(api.address, "put", "greeting2", "hello again")
    assert (
        etcdctl(api.address, "get", "--prefix", "greet", "--keys-only").stdout == "greeting\n\ngreeting2\n\n"
    )
    assert etcdctl(api.address, "del", "--prefix", "greet", "--prev-kv").stdout == (
        "2\ngreeting\nhello\ngreeting2\nhello again\n"
    )
    assert etcdctl(api.address, "get", "--prefix", "greet").stdout == ""


def test_get_tells_revisions_and_header(api, etcdctl):
    etcdctl(api.address, "put", "k", "1")
    etcdctl(api.address, "put", "k", "2")
    answer = json.loads(etcdctl(api.address, "get", "k", "-w", "json").stdout)
    assert answer["header"] == {
        "cluster_id": CLUSTER_ID,
        "member_id": MEMBER_ID,
        "revision": 3,
        "raft_term": 3,
    }
    (pair,) = answer["kvs"]
    assert (pair["create_revision"], pair["mod_revision"], pair["version"]) == (2, 3, 2)
    assert answer["count"] == 1


def test_txn_takes_the_right_branch(api, etcdctl):
    etcdctl(api.address, "put", "k", "1")
    success = etcdctl(api.address, "txn", stdin='value("k") = "1"\n\nput k 2\nget k\n\nput k 3\n\n')
    assert success.stdout == "SUCCESS\n\nOK\n\nk\n2\n"
    failure = etcdctl(api.address, "txn", stdin='value("k") = "1"\n\nput k 2\n\ndel k\n\n')
    assert failure.stdout == "FAILURE\n\n1\n"


def test_compaction(api, etcdctl):
    for value in "123":
        etcdctl(api.address, "put", "k", value)
    assert etcdctl(api.address, "compaction", "3").stdout == "compacted revision 3\n"
    refused = etcdctl(api.address, "get", "k", "--rev", "2", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        "Error: etcdserver: mvcc: required revision has been compacted"
    )


def test_endpoint_status_health_and_hash(api, etcdctl):
    (status,) = json.loads(etcdctl(api.address, "endpoint", "status", "-w", "json").stdout)
    assert status["Status"]["version"] == "3.7.1"
    assert status["Status"]["leader"] == MEMBER_ID
    assert "errors" not in status["Status"]
    assert "is healthy" in etcdctl(api.address, "endpoint", "health").stderr + (
        etcdctl(api.address, "endpoint", "health").stdout
    )
    (hashed,) = json.loads(etcdctl(api.address, "endpoint", "hashkv", "-w", "json").stdout)
    assert hashed["HashKV"]["hash"] == api.thread.call(api.service.hash_kv, 0)[0]
    assert hashed["HashKV"]["compact_revision"] == -1


def test_member_list_alarms_and_move_leader(api, etcdctl):
    answer = json.loads(etcdctl(api.address, "member", "list", "-w", "json").stdout)
    assert "revision" not in answer["header"]
    assert answer["members"] == [
        {
            "ID": MEMBER_ID,
            "name": "one",
            "peerURLs": ["http://127.0.0.1:2380"],
            "clientURLs": ["http://127.0.0.1:2379"],
        }
    ]
    assert etcdctl(api.address, "alarm", "list").stdout == ""
    moved = etcdctl(api.address, "move-leader", "2a")
    assert moved.stdout == f"Leadership transferred from {MEMBER_ID:x} to 2a\n"
    assert api.service.transferred_to == [0x2A]


def test_leases(api, etcdctl):
    granted = etcdctl(api.address, "lease", "grant", "10").stdout
    assert granted.endswith(" granted with TTL(10s)\n")
    lease = granted.split()[1]
    etcdctl(api.address, "put", "k", "v", "--lease", lease)
    assert etcdctl(api.address, "lease", "list").stdout == f"found 1 leases\n{lease}\n"
    assert etcdctl(api.address, "lease", "keep-alive", "--once", lease).stdout == (
        f"lease {lease} keepalived with TTL(10)\n"
    )
    assert etcdctl(api.address, "lease", "timetolive", "--keys", lease).stdout == (
        f"lease {lease} granted with TTL(10s), remaining(10s), attached keys([k])\n"
    )
    assert etcdctl(api.address, "lease", "revoke", lease).stdout == f"lease {lease} revoked\n"
    assert etcdctl(api.address, "get", "k").stdout == ""
    assert etcdctl(api.address, "lease", "timetolive", lease).stdout == f"lease {lease} already expired\n"
    refused = etcdctl(api.address, "lease", "revoke", lease, check=False)
    assert refused.stderr.endswith("(etcdserver: requested lease not found)\n")


def test_mutual_tls(tmp_path, etcdctl):
    authority = Authority(tmp_path / "ca")
    server, client = authority.issue("server"), authority.issue("client")
    tls = TlsOptions(server.cert_file, server.key_file, authority.cert_file, require_client_certificate=True)
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls) as api:
        flags = ["--cacert", authority.cert_file, "--cert", client.cert_file, "--key", client.key_file]
        assert etcdctl(api.url, *flags, "put", "k", "v").stdout == "OK\n"
        assert etcdctl(api.url, *flags, "get", "k").stdout == "k\nv\n"
        stranger = etcdctl(
            api.url, "--cacert", authority.cert_file, "--command-timeout", "1s", "get", "k", check=False
        )
        assert stranger.returncode != 0


def test_unix_socket(tmp_path, etcdctl):
    # etcdctl 3.4 names the socket's path as the request's authority, which h2corn refuses.
    server = "h2corn" if etcdctl.version == "3.5" else "hypercorn"
    path = tmp_path / "client.sock"
    with served(MemoryService(), urls=[f"unix://{path}"], server=server):
        assert etcdctl(f"unix://{path}", "put", "k", "v").stdout == "OK\n"
        assert etcdctl(f"unix://{path}", "get", "k").stdout == "k\nv\n"
    assert not path.exists()
