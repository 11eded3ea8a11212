"""Three processes with every rule that flags put on TLS, and who gets past them."""

import json
import subprocess
import sys

import pytest

from tests.support.certificates import Authority
from tests.support.tls_cluster import NAMES, PROGRAMS, TlsCluster

SUITE = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


class StrictCluster(TlsCluster):
    """TlsCluster with narrow versions and suites, lists of revoked certificates and allowed names."""

    def __init__(self, folder):
        super().__init__(folder)
        self.authority = Authority(folder / "strict", "strict ca")
        self.ca = self.authority.cert_file
        self.server = self.authority.issue("kubernetes")
        self.client = self.authority.issue("admin", ("admin.example",))
        self.crl_file = folder / "revoked.pem"
        self.authority.revoke(self.crl_file)

    def command(self, name):
        return [
            *super().command(name),
            "--tls-min-version=TLS1.2",
            "--tls-max-version=TLS1.2",
            f"--cipher-suites={SUITE},TLS_RSA_WITH_AES_128_GCM_SHA256",
            f"--client-crl-file={self.crl_file}",
            f"--peer-crl-file={self.crl_file}",
            "--client-cert-allowed-hostname=admin.example,other.example",
            "--peer-cert-allowed-cn=kubernetes",
        ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with StrictCluster(tmp_path_factory.mktemp("strict")) as cluster:
        yield cluster


@pytest.mark.parametrize("program", PROGRAMS)
def test_whoever_keeps_to_the_rules_gets_in(cluster, program):
    program = PROGRAMS[program]()
    cluster.wait_leader(program)
    for name in NAMES:
        assert cluster.run(program, "put", f"/strict/{name}", "value", names=[name]) == "OK\n"
    found = cluster.run(program, "get", "/strict/", "--prefix", "--keys-only", names=["n2"])
    assert found.split() == [f"/strict/{name}" for name in NAMES]


def test_a_certificate_names_the_user_as_ever(cluster):
    """With OpenSSL in front the listener still tells who calls."""
    program = PROGRAMS["etcdctl-3.5"]()
    for words in (
        ("user", "add", "root", "--new-user-password=secret"),
        ("user", "grant-role", "root", "root"),
        ("user", "add", "admin", "--no-password"),
        ("role", "add", "reader"),
        ("role", "grant-permission", "reader", "read", "/strict/", "--prefix"),
        ("user", "grant-role", "admin", "reader"),
        ("auth", "enable"),
    ):
        cluster.run(program, *words, names=["n1"])
    try:
        assert cluster.run(program, "get", "/strict/n1", names=["n2"]) == "/strict/n1\nvalue\n"
        refused = cluster.run(program, "put", "/strict/n1", "x", names=["n2"], check=False)
        assert "permission denied" in refused.stderr
    finally:
        cluster.run(program, "--user=root:secret", "auth", "disable", names=["n1"])


def test_who_does_not_finds_the_connection_closed(cluster):
    wrong_name = cluster.authority.issue("guest", ("guest.example",))
    left = cluster.authority.issue("left", ("admin.example",))
    endpoint = f"--endpoints=https://127.0.0.1:{cluster.client_ports['n1']}"

    def asks(client):
        words = [endpoint, f"--cacert={cluster.ca}", f"--cert={client.cert_file}", f"--key={client.key_file}"]
        done = subprocess.run(
            [sys.executable, "-m", "etcdctl_py", *words, "get", "a"], capture_output=True, timeout=30
        )
        return done.returncode == 0

    assert asks(left)
    assert not asks(wrong_name)
    cluster.authority.revoke(cluster.crl_file, left)
    assert not asks(left)
    lines = [json.loads(line) for line in cluster.log("n1").splitlines() if line.startswith("{")]
    told = [line["msg"] for line in lines if "rejected connection on client endpoint" in line["msg"]]
    assert any("--client-cert-allowed-hostname=admin.example,other.example" in text for text in told)
    assert any("transport: certificate serial" in text for text in told)


def test_a_member_with_another_name_is_kept_out(cluster):
    other = cluster.authority.issue("imposter")
    cluster.kill("n3")
    right, cluster.server = cluster.server, other
    try:
        cluster.start("n3")
        program = PROGRAMS["etcdctl-py"]()
        cluster.wait_leader(program, ["n1", "n2"])
        rejected = "common name 'imposter' is not among --peer-cert-allowed-cn=kubernetes"
        cluster.wait_logged("n1", rejected)
    finally:
        cluster.kill("n3")
        cluster.server = right
    cluster.start("n3")
    cluster.wait_serving("n3")
