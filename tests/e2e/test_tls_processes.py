"""Three processes with TLS for clients and peers, started as "Kubernetes the hard way" starts etcd,
driven by the real etcdctl (3.5 and 3.4) and by etcdctl-py."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.certificates import Authority
from tests.support.real_etcd import free_port, real_binary

NAMES = ("n1", "n2", "n3")
MINIRAFT = [sys.executable, "-m", "miniraft"]
PATIENCE_SECONDS = 40


class TlsCluster:
    """Members as processes; the flags mix `--flag value` and `--flag=value` as the unit file does."""

    def __init__(self, folder):
        self.folder = folder
        self.client_ports = {name: free_port() for name in NAMES}
        self.peer_ports = {name: free_port() for name in NAMES}
        authority = Authority(folder / "pki")
        self.ca = authority.cert_file
        self.server = authority.issue("kubernetes")
        self.client = authority.issue("admin")
        self.processes = {}

    def command(self, name):
        client = f"https://127.0.0.1:{self.client_ports[name]}"
        peer = f"https://127.0.0.1:{self.peer_ports[name]}"
        cluster = ",".join(f"{other}=https://127.0.0.1:{port}" for other, port in self.peer_ports.items())
        return [
            *MINIRAFT,
            *("--name", name),
            f"--cert-file={self.server.cert_file}",
            f"--key-file={self.server.key_file}",
            f"--peer-cert-file={self.server.cert_file}",
            f"--peer-key-file={self.server.key_file}",
            f"--trusted-ca-file={self.ca}",
            f"--peer-trusted-ca-file={self.ca}",
            "--peer-client-cert-auth",
            "--client-cert-auth",
            *("--initial-advertise-peer-urls", peer),
            *("--listen-peer-urls", peer),
            *("--listen-client-urls", client),
            *("--advertise-client-urls", client),
            *("--initial-cluster-token", "etcd-cluster-0"),
            *("--initial-cluster", cluster),
            *("--initial-cluster-state", "new"),
            f"--data-dir={self.folder / name}",
        ]

    def start(self, *names):
        for name in names or NAMES:
            environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.command(name), stdout=log, stderr=log, env=environment
                )

    def kill(self, *names):
        for name in names:
            self.processes[name].send_signal(signal.SIGKILL)
        for name in names:
            self.processes.pop(name).wait()

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self):
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def flags(self, *names):
        endpoints = ",".join(f"https://127.0.0.1:{self.client_ports[name]}" for name in names or NAMES)
        return [
            f"--endpoints={endpoints}",
            f"--cacert={self.ca}",
            f"--cert={self.client.cert_file}",
            f"--key={self.client.key_file}",
        ]

    def run(self, program, *words, names=(), stdin=None, check=True):
        """Runs one command of an etcdctl; returns what it printed."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ETCD")}
        environment["ETCDCTL_API"] = "3"
        result = subprocess.run(
            [*program, *self.flags(*names), *words],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=30,
            env=environment,
        )
        if check:
            logs = "\n".join(self.log(name)[-800:] for name in NAMES)
            assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}\n{logs}"
        return result.stdout if check else result

    def leader(self, program, names=NAMES):
        """Returns the leader's name as `endpoint status` tells it."""
        for name in names:
            result = self.run(program, "endpoint", "status", "-w", "json", names=[name], check=False)
            if result.returncode == 0:
                status = json.loads(result.stdout)[0]["Status"]
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return name
        return None

    def wait_serving(self, name):
        """Waits until the member answers a linearizable read."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while self.run(PROGRAMS["etcdctl-py"](), "get", "a", names=[name], check=False).returncode != 0:
            assert time.monotonic() < limit, self.log(name)
            time.sleep(0.2)

    def wait_leader(self, program, names=NAMES):
        limit = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < limit:
            if leader := self.leader(program, names):
                return leader
            time.sleep(0.1)
        raise AssertionError("\n".join(self.log(name)[-2000:] for name in NAMES))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = TlsCluster(tmp_path_factory.mktemp("tls"))
    try:
        cluster.start()
        for name in NAMES:
            cluster.wait_serving(name)
        yield cluster
    finally:
        cluster.close()


PROGRAMS = {
    "etcdctl-3.5": lambda: [str(real_binary("etcdctl"))],
    "etcdctl-3.4": lambda: [str(real_binary("etcdctl", old=True))],
    "etcdctl-py": lambda: [sys.executable, "-m", "etcdctl_py"],
}


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
