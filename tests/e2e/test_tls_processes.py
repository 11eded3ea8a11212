"""Three processes with TLS for clients and peers, started as "Kubernetes the hard way" starts etcd,
driven by the real etcdctl (3.5 and 3.4) and by etcdctl-py."""

import signal
import subprocess
import sys

import pytest

from tests.support.certificates import Authority
from tests.support.tls_cluster import NAMES, PROGRAMS, TlsCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with TlsCluster(tmp_path_factory.mktemp("tls")) as cluster:
        yield cluster


@pytest.fixture(params=list(PROGRAMS))
def program(request):
    return PROGRAMS[request.param]()


def test_every_program_works_against_every_member(cluster, program):
    cluster.wait_leader(program)
    for name in NAMES:
        one = [name]
        assert cluster.run(program, "put", f"/tls/{name}", "value", names=one) == "OK\n"
        assert cluster.run(program, "get", f"/tls/{name}", names=one) == f"/tls/{name}\nvalue\n"
    keys = cluster.run(program, "get", "/tls/", "--prefix", "--keys-only", names=["n3"])
    assert keys == "/tls/n1\n\n/tls/n2\n\n/tls/n3\n\n"
    txn = 'value("/tls/n1") = "value"\n\nput /tls/txn yes\n\nput /tls/txn no\n\n'
    assert cluster.run(program, "txn", stdin=txn, names=["n2"]) == "SUCCESS\n\nOK\n"
    assert cluster.run(program, "del", "/tls/", "--prefix", names=["n1"]) == "4\n"
    listed = cluster.run(program, "member", "list")
    assert all(f", started, {name}, " in listed for name in NAMES)
    assert cluster.run(program, "endpoint", "health", check=False).returncode == 0


def test_killing_the_leader_and_bringing_it_back(cluster):
    program = PROGRAMS["etcdctl-py"]()
    leader = cluster.wait_leader(program)
    survivors = [name for name in NAMES if name != leader]
    cluster.run(program, "put", "before", "1", names=[leader])
    cluster.kill(leader)
    cluster.wait_leader(program, survivors)
    # The dead member stands first: the others are tried.
    assert cluster.run(program, "put", "after", "2", names=[leader, *survivors]) == "OK\n"
    for name in survivors:
        assert cluster.run(program, "get", "before", "--print-value-only", names=[name]) == "1\n"
        assert cluster.run(program, "get", "after", "--print-value-only", names=[name]) == "2\n"
    cluster.start(leader)
    cluster.wait_serving(leader)
    assert cluster.run(program, "get", "after", "--print-value-only", names=[leader]) == "2\n"


def test_all_killed_at_once_come_back_with_everything(cluster):
    program = PROGRAMS["etcdctl-3.5"]()
    cluster.wait_leader(program)
    for number in range(10):
        cluster.run(program, "put", f"/all/{number}", "kept", names=[NAMES[number % 3]])
    cluster.kill(*NAMES)
    cluster.start()
    for name in NAMES:
        cluster.wait_serving(name)
        counted = cluster.run(program, "get", "/all/", "--prefix", "--keys-only", names=[name])
        assert len(counted.split()) == 10


def test_without_a_majority_the_cause_is_named(cluster):
    program = PROGRAMS["etcdctl-py"]()
    leader = cluster.wait_leader(program)
    alive, *dead = sorted(NAMES, key=lambda name: name == leader)
    cluster.run(program, "put", "minority", "old", names=[alive])
    cluster.kill(*dead)
    refused = cluster.run(program, "put", "minority", "new", names=[alive], check=False)
    assert refused.returncode == 1
    assert "no leader" in refused.stderr
    local = cluster.run(program, "get", "minority", "--consistency=s", names=[alive])
    assert local == "minority\nold\n"
    cluster.start(*dead)
    for name in dead:
        cluster.wait_serving(name)


def test_a_client_without_certificate_or_with_a_foreign_one_is_told_why(cluster, tmp_path):
    endpoint = f"--endpoints=https://127.0.0.1:{cluster.client_ports['n1']}"
    foreign = Authority(tmp_path / "other").issue("stranger")
    attempts = {
        "certificate": [endpoint, f"--cacert={cluster.ca}"],
        "authority": [endpoint],
        "http": [f"--endpoints=http://127.0.0.1:{cluster.client_ports['n1']}"],
        "rejects": [
            endpoint,
            f"--cacert={cluster.ca}",
            f"--cert={foreign.cert_file}",
            f"--key={foreign.key_file}",
        ],
    }
    for word, flags in attempts.items():
        result = subprocess.run(
            [sys.executable, "-m", "etcdctl_py", *flags, "get", "a"],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert result.returncode != 0
        assert word in result.stderr, (word, result.stderr)
        assert "deadline exceeded" not in result.stderr
        assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_sigterm_ends_a_member_cleanly(cluster):
    program = PROGRAMS["etcdctl-py"]()
    leader = cluster.wait_leader(program)
    process = cluster.processes.pop(leader)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    survivors = [name for name in NAMES if name != leader]
    assert cluster.wait_leader(program, survivors) != leader
    cluster.start(leader)
    cluster.wait_serving(leader)
