"""The cluster for other people's tests: members to kill, pause and bring back."""

import pytest

from miniraft.testing import EtcdCluster, EtcdError
from tests.support.etcdctl import run_ours


def put(cluster, names, key, value, *flags):
    endpoints = ",".join(cluster.endpoint(name) for name in names)
    return run_ours("--endpoints", endpoints, *flags, "put", key, value)


def get(cluster, name, key):
    return run_ours("--endpoints", cluster.endpoint(name), "get", "--print-value-only", key).out.decode()


def test_kill_pause_and_bring_back(etcd_cluster):
    cluster = etcd_cluster
    first = cluster.wait_for_leader()
    assert put(cluster, cluster.names, "k", "1").out == b"OK\n"
    cluster.kill(first)
    second = cluster.wait_for_leader(other_than=first)
    others = [name for name in cluster.names if name != first]
    assert put(cluster, others, "k", "2").out == b"OK\n"

    last = next(name for name in others if name != second)
    cluster.pause(last)
    refused = put(cluster, [second], "k", "3", "--command-timeout", "500ms")
    assert refused.code == 1
    cluster.resume(last)
    cluster.restart(first)
    cluster.wait_for_leader()
    for name in cluster.names:
        assert get(cluster, name, "k") in ("2\n", "3\n")  # an unanswered write may have happened
    assert '"msg"' in cluster.log(first)


def test_with_tls_and_a_member_alone():
    with EtcdCluster(1, tls=True) as cluster:
        files = ("--cacert", str(cluster.cacert), "--cert", str(cluster.cert), "--key", str(cluster.key))
        url = cluster.url("n1")
        assert url.startswith("https://")
        assert run_ours("--endpoints", url, *files, "put", "k", "v").out == b"OK\n"
        folder = cluster.cacert.parent.parent
    assert not folder.exists()


def test_what_cannot_be_is_told():
    with pytest.raises(EtcdError, match="from 1 to 7"):
        EtcdCluster(0)
    cluster = EtcdCluster(1)
    with pytest.raises(EtcdError, match="does not run"):
        cluster.kill("n1")
    with cluster:
        with pytest.raises(EtcdError, match="no member 'n9'"):
            cluster.kill("n9")
        with pytest.raises(EtcdError, match="is not paused"):
            cluster.resume("n1")
