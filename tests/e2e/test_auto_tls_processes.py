"""Three processes that make their own certificates (--auto-tls, --peer-auto-tls), and the real etcdctl."""

import json
import stat

import pytest
from cryptography import x509

from tests.support.tls_cluster import NAMES, PROGRAMS, TlsCluster


class AutoTlsCluster(TlsCluster):
    """The members of TlsCluster with certificates of their own making."""

    def command(self, name):
        named = ("--cert-file", "--key-file", "--peer-", "--trusted-ca-file", "--client-cert-auth")
        kept = [word for word in super().command(name) if not word.startswith(named)]
        return [*kept, "--auto-tls", "--peer-auto-tls", "--self-signed-cert-validity=2"]

    def flags(self, *names):
        endpoints, *_ = super().flags(*names)
        return [endpoints, "--insecure-skip-tls-verify", "--insecure-transport=false"]

    def fixtures(self):
        """The content of every certificate and key, by name."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.glob("*/fixtures/*/*.pem"))
        }

    def events(self, name, message):
        lines = [json.loads(line) for line in self.log(name).splitlines() if line.startswith("{")]
        return [line for line in lines if line["msg"] == message]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with AutoTlsCluster(tmp_path_factory.mktemp("auto-tls")) as cluster:
        yield cluster


@pytest.mark.parametrize("program", ["etcdctl-3.5", "etcdctl-py"])
def test_members_find_each_other_and_clients_reach_them(cluster, program):
    program = PROGRAMS[program]()
    cluster.wait_leader(program)
    for name in NAMES:
        assert cluster.run(program, "put", f"/auto/{name}", "value", names=[name]) == "OK\n"
    found = cluster.run(program, "get", "/auto/", "--prefix", "--keys-only", names=["n2"])
    assert found.split() == [f"/auto/{name}" for name in NAMES]


def test_the_files_are_those_of_etcd(cluster):
    kinds = [f"{name}/fixtures/{side}" for name in NAMES for side in ("client", "peer")]
    assert list(cluster.fixtures()) == [f"{kind}/{file}.pem" for kind in kinds for file in ("cert", "key")]
    for kind in kinds:
        folder = cluster.folder / kind
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "key.pem")]
        assert modes == [0o700, 0o600]
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "O=etcd"
        assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 2 * 365
    (warning, _) = cluster.events("n1", "automatically generate certificates")
    assert warning["level"] == "warn"
    assert warning["certificate-validity-bound-not-after"]
    created = [line["path"] for line in cluster.events("n1", "created cert file")]
    assert created == [str(cluster.folder / f"n1/fixtures/{side}/cert.pem") for side in ("peer", "client")]


def test_a_client_may_take_the_certificate_for_its_authority(cluster):
    program = PROGRAMS["etcdctl-3.5"]()
    own, other = (str(cluster.folder / name / "fixtures/client/cert.pem") for name in ("n1", "n2"))
    endpoint, *_ = cluster.flags("n1")
    cluster.flags = lambda *_: [endpoint, f"--cacert={own}", "--command-timeout=2s"]
    try:
        assert cluster.run(program, "get", "nothing") == ""
        cluster.flags = lambda *_: [endpoint, f"--cacert={other}", "--command-timeout=2s"]
        assert cluster.run(program, "get", "nothing", check=False).returncode != 0
    finally:
        del cluster.flags


def test_a_restart_uses_the_files_again(cluster):
    program = PROGRAMS["etcdctl-3.5"]()
    before = cluster.fixtures()
    cluster.run(program, "put", "kept", "over the restart")
    cluster.kill(*NAMES)
    cluster.start()
    for name in NAMES:
        cluster.wait_serving(name)
    assert cluster.fixtures() == before
    assert len(cluster.events("n1", "automatically generate certificates")) == 2, "none the second time"
    assert cluster.run(program, "get", "kept", "--print-value-only") == "over the restart\n"
