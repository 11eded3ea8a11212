"""The certificates, the folder they are in, and what is refused."""

import os
import ssl
import stat
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import make as making
from certs.__main__ import parse_owner
from certs.explain import explain
from certs.folder import Folder, Owner
from certs.hosts import alternative_names, names_host
from certs.make import Member, Request, make, parse_member
from certs.problem import CertificateError

TWO = Request((Member("n1", ("10.0.0.1", "n1.example")), Member("n2", ())))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    make(Folder(folder), TWO)
    return folder


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def usages(path):
    return set(read(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def run(*words):
    return subprocess.run([sys.executable, "-m", "certs", *words], capture_output=True, text=True, timeout=30)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_in_the_folder_and_who_may_read_it(made):
    names = {path.name for path in made.iterdir()}
    pairs = ("ca", "peer-ca", "n1-server", "n1-peer", "n2-server", "n2-peer", "client")
    assert names == {f"{pair}.{ending}" for pair in pairs for ending in ("crt", "key")}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    for path in made.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.suffix == ".key" else 0o644), path


def test_names_and_usages(made):
    assert set(alternative_names(read(made / "n1-server.crt"))) == {
        "n1", "n1.example", "localhost", "10.0.0.1", "127.0.0.1", "::1",
    }  # fmt: skip
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert usages(made / "n1-server.crt") == usages(made / "n1-peer.crt") == both
    assert usages(made / "client.crt") == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert read(made / "client.crt").subject.rfc4514_string() == "CN=root"
    for name in ("ca", "peer-ca"):
        constraints = read(made / f"{name}.crt").extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value.ca


def handshake(made, server, client, server_ca, client_ca, host="localhost"):
    """Both ends of a TLS connection in memory. Raises ssl.SSLError as the ends would."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made / f"{client_ca}.crt")
    server_context.load_cert_chain(made / f"{server}.crt", made / f"{server}.key")
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context = ssl.create_default_context(cafile=made / f"{server_ca}.crt")
    client_context.load_cert_chain(made / f"{client}.crt", made / f"{client}.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server_context.wrap_bio(to_server, to_client, server_side=True),
        client_context.wrap_bio(to_client, to_server, server_hostname=host),
    ]
    for _ in range(8):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    return not ends


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "n1", "10.0.0.1"])
def test_they_work_in_a_handshake(made, host):
    assert handshake(made, "n1-server", "client", "ca", "ca", host)
    assert handshake(made, "n1-peer", "n2-peer", "peer-ca", "peer-ca", host)


def test_a_client_certificate_does_not_open_the_peer_port(made):
    with pytest.raises(ssl.SSLError):
        handshake(made, "n1-peer", "client", "peer-ca", "peer-ca")
    with pytest.raises(ssl.SSLError):
        handshake(made, "n1-server", "client", "ca", "ca", "elsewhere")


def test_a_second_run_changes_nothing_and_a_new_member_is_added(tmp_path):
    folder = Folder(tmp_path / "out")
    make(folder, TWO)
    before = content(folder.path)
    assert {outcome.action for outcome in make(folder, TWO)} == {"kept"}
    assert content(folder.path) == before
    more = TWO._replace(members=(*TWO.members, Member("n3", ())), further_clients=("alice",))
    made = [outcome.file for outcome in make(folder, more) if outcome.action == "made"]
    assert made == ["n3-server.crt", "n3-peer.crt", "client-alice.crt"]
    assert {name: data for name, data in content(folder.path).items() if name in before} == before


def test_a_run_that_was_cut_short_is_taken_up(tmp_path):
    folder = Folder(tmp_path / "out")
    make(folder, TWO)
    key = (tmp_path / "out" / "n2-peer.key").read_bytes()
    (tmp_path / "out" / "n2-peer.crt").unlink()
    assert [o.file for o in make(folder, TWO) if o.action == "made"] == ["n2-peer.crt"]
    assert (tmp_path / "out" / "n2-peer.key").read_bytes() == key


@pytest.fixture
def spoiled(tmp_path):
    """A folder to spoil; afterwards making must be refused with words and change nothing."""
    folder = tmp_path / "out"
    make(Folder(folder), TWO)

    def refused(words, request=TWO):
        before = content(folder)
        with pytest.raises(CertificateError, match=words):
            make(Folder(folder), request)
        assert content(folder) == before

    return folder, refused


def test_a_certificate_of_another_authority_is_refused(spoiled, tmp_path):
    folder, refused = spoiled
    make(Folder(tmp_path / "other"), TWO)
    for ending in ("crt", "key"):
        (tmp_path / "other" / f"n1-server.{ending}").replace(folder / f"n1-server.{ending}")
    refused("n1-server.crt was signed by another authority than ca.crt")


def test_a_missing_authority_is_refused(spoiled):
    folder, refused = spoiled
    (folder / "ca.crt").unlink()
    refused("authority that signed it, ca.crt, is not")


def test_keys_that_do_not_fit_or_are_gone_are_refused(spoiled):
    folder, refused = spoiled
    (folder / "n1-server.key").write_bytes((folder / "n2-server.key").read_bytes())
    refused("n1-server.key is not the key of n1-server.crt")
    (folder / "n1-server.key").unlink()
    refused("n1-server.crt has no key beside it")


def test_garbage_and_foreign_keys_are_refused(spoiled):
    folder, refused = spoiled
    (folder / "n1-peer.crt").write_text("garbage")
    refused("n1-peer.crt holds no certificate")


def test_a_host_that_is_not_in_the_certificate_is_refused_and_renewed_when_asked(spoiled):
    folder, refused = spoiled
    request = TWO._replace(members=(Member("n1", ("10.0.0.9",)),))
    refused("does not speak for 10.0.0.9; run again with --renew", request)
    key = (folder / "n1-server.key").read_bytes()
    outcomes = {o.file: o.action for o in make(Folder(folder), request._replace(renew=True))}
    assert outcomes["n1-server.crt"] == outcomes["n1-peer.crt"] == "renewed"
    assert outcomes["ca.crt"] == outcomes["client.crt"] == "kept"
    assert names_host(read(folder / "n1-server.crt"), "10.0.0.9")
    assert (folder / "n1-server.key").read_bytes() == key


def test_another_user_than_before_is_refused(spoiled):
    _, refused = spoiled
    refused("is for CN=root, not for CN=alice", TWO._replace(client_name="alice"))


def test_expired_certificates_are_refused_and_renewed(spoiled, monkeypatch):
    folder, refused = spoiled

    class Later(making.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + timedelta(days=400)

    monkeypatch.setattr(making, "datetime", Later)
    monkeypatch.setattr("certs.issue.datetime", Later)
    refused("expired on .*; run again with --renew")
    assert "renewed" in {o.action for o in make(Folder(folder), TWO._replace(renew=True))}
    assert {o.action for o in make(Folder(folder), TWO)} == {"kept"}


def test_without_the_authoritys_key_nothing_new_can_be_made_but_the_old_is_kept(spoiled):
    folder, refused = spoiled
    (folder / "ca.key").unlink()
    assert {o.action for o in make(Folder(folder), TWO)} == {"kept"}
    refused("authority's key, .*ca.key, is not here", TWO._replace(members=(*TWO.members, Member("n3", ()))))


def test_certificates_do_not_outlive_their_authority(tmp_path):
    make(Folder(tmp_path), TWO._replace(days=500, authority_days=10))
    assert read(tmp_path / "client.crt").not_valid_after_utc == read(tmp_path / "ca.crt").not_valid_after_utc


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request((Member("n1", ()), Member("n1", ()))), "named twice"),
        (Request((Member("n1", ("a b",)),)), "neither an IP address nor a host name"),
        (Request((), client_name="../x"), "is no name"),
        (Request((Member("client", ()),), further_clients=("server",)), "both be client-server.crt"),
        (Request((), days=0), "from 1 to"),
        (Request((), authority_days=10**9), "from 1 to"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(tmp_path, request_, words):
    with pytest.raises(CertificateError, match=words):
        make(Folder(tmp_path / "out"), request_)
    assert not (tmp_path / "out").exists()


def test_members_are_read_from_text():
    assert parse_member("n1=10.0.0.1, n1.local,10.0.0.1") == Member("n1", ("10.0.0.1", "n1.local"))
    assert parse_member("n1") == Member("n1", ())
    for text in ("", "=x", "../n1=x", "a/b"):
        with pytest.raises(CertificateError, match="is no name"):
            parse_member(text)
    assert parse_owner("10:20") == Owner(10, 20)
    with pytest.raises(CertificateError, match="two numbers"):
        parse_owner("me")


def test_wildcards_stand_for_one_label(tmp_path):
    make(Folder(tmp_path), Request((Member("n1", ("*.example.org",)),)))
    certificate = read(tmp_path / "n1-server.crt")
    assert names_host(certificate, "a.example.org")
    assert not names_host(certificate, "a.b.example.org")


def test_two_runs_at_once_make_one_set(tmp_path):
    folder = tmp_path / "out"
    failures = []

    def one():
        try:
            make(Folder(folder), TWO)
        except CertificateError as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {o.action for o in make(Folder(folder), TWO)} == {"kept"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_the_owner_gets_everything_but_the_authorities_keys(tmp_path):
    folder = tmp_path / "out"
    make(Folder(folder, Owner(12345, 23456)), TWO)
    for path in folder.iterdir():
        wanted = 0 if path.name in ("ca.key", "peer-ca.key") else 12345
        assert path.stat().st_uid == wanted, path.name
    assert folder.stat().st_uid == 12345


def test_the_command_says_what_it_made_and_what_to_type(tmp_path):
    folder = tmp_path / "out"
    result = run("--out", str(folder), "--member", "n1=10.0.0.1")
    assert result.returncode == 0, result.stderr
    for words in (
        "5 made, 0 kept",
        f"--cert-file={folder}/n1-server.crt",
        f"--peer-trusted-ca-file={folder}/peer-ca.crt",
        f"export ETCDCTL_CERT={folder}/client.crt",
    ):
        assert words in result.stdout
    again = run("--out", str(folder), "--member", "n1=10.0.0.1")
    assert again.returncode == 0
    assert f"nothing to do in {folder}" in again.stdout
    other = run("--out", str(folder), "--member", "n1=10.0.0.2")
    assert other.returncode == 1
    assert other.stderr.startswith("miniraft-certs: ")
    assert "--renew" in other.stderr
    assert run("--out", str(folder), "--quiet", "--renew", "--member", "n1=10.0.0.2").stdout == ""


def test_wrong_usage_of_the_command(tmp_path):
    assert run("--nosuch").returncode == 2
    assert "not a directory" in run("--out", "/dev/null").stderr.lower()
    assert run("show", str(tmp_path / "x")).returncode == 1


def test_a_certificate_is_explained_in_words(made):
    text = explain(made / "n1-server.crt")
    for words in ("CN=n1", "miniraft authority", "10.0.0.1", "be a server", "be a client", "more days"):
        assert words in text
    assert "signed by  itself" in explain(made / "ca.crt")
    assert "only its owner may read it" in explain(made / "n1-server.key")
    with pytest.raises(CertificateError, match="no certificate in PEM"):
        explain(Path(__file__))
