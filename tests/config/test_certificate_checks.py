"""Certificate files are judged before the first connection fails on them."""

import shutil
import subprocess

import pytest

from certs.folder import Folder
from certs.make import Member, Request, make
from miniraft.config.load import load
from miniraft.config.problem import ConfigError
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make(Folder(folder), Request((Member("n1", ("10.0.0.1",)), Member("n2", ()))))
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def flags(folder, **changes):
    values = {
        "listen-client-urls": "https://127.0.0.1:2379",
        "advertise-client-urls": "https://127.0.0.1:2379",
        "listen-peer-urls": "https://127.0.0.1:2380",
        "initial-advertise-peer-urls": "https://127.0.0.1:2380",
        "cert-file": folder / "n1-server.crt",
        "key-file": folder / "n1-server.key",
        "trusted-ca-file": folder / "ca.crt",
        "client-cert-auth": "true",
        "peer-cert-file": folder / "n1-peer.crt",
        "peer-key-file": folder / "n1-peer.key",
        "peer-trusted-ca-file": folder / "peer-ca.crt",
        "peer-client-cert-auth": "true",
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return [f"--{name}={value}" for name, value in values.items() if value is not None]


def refused(folder, **changes):
    with pytest.raises(ConfigError) as caught:
        load(flags(folder, **changes), {})
    assert caught.value.fix
    return caught.value


def warned(folder, **changes):
    return load(flags(folder, **changes), {}).warnings.items


def test_certificates_that_fit_are_taken_without_a_word(made):
    assert warned(made) == []


def test_https_without_a_certificate(made):
    caught = refused(made, cert_file=None, key_file=None)
    assert caught.message == (
        "TLS key/cert (--cert-file, --key-file) must be provided for client url "
        "https://127.0.0.1:2379 with HTTPS scheme"
    )
    assert "python -m certs --member default=127.0.0.1" in caught.fix
    assert "--listen-client-urls=http://127.0.0.1:2379" in caught.fix
    assert "peer url https://127.0.0.1:2380" in refused(made, peer_cert_file=None, peer_key_file=None).message


def test_half_of_a_pair(made):
    assert refused(made, key_file=None).message == "--cert-file is set without --key-file"
    assert refused(made, peer_cert_file=None).message == "--peer-key-file is set without --peer-cert-file"


def test_asking_for_certificates_without_a_ca(made):
    assert "no CA says which to trust" in refused(made, trusted_ca_file=None).message
    assert refused(made, peer_trusted_ca_file=None).fix == "add --peer-trusted-ca-file=ca.crt"


def test_files_that_are_missing_or_are_something_else(made, tmp_path):
    assert refused(made, cert_file="/x").message == "open /x: no such file or directory"
    assert "holds no certificate" in refused(made, cert_file=made / "n1-server.key").message
    assert "holds no private key" in refused(made, key_file=made / "n1-server.crt").message
    (tmp_path / "empty.crt").touch()
    assert "holds no certificate" in refused(made, trusted_ca_file=tmp_path / "empty.crt").message


def test_another_certificates_key(made):
    message = refused(made, key_file=made / "n2-server.key").message
    assert message.startswith("tls: private key does not match public key: ")
    assert "n2-server.key is not the key of" in message


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on PATH")
def test_an_encrypted_key(made, tmp_path):
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", made / "n1-server.key", "-aes256", "-passout", "pass:x", "-out", locked],
        check=True,
    )
    assert "openssl pkey" in refused(made, key_file=locked).fix


def test_a_host_the_certificate_does_not_name(made):
    (warning,) = warned(made, advertise_client_urls="https://10.0.0.7:2379")
    assert "does not name the advertised host" in warning.message
    assert warning.fields["host"] == "10.0.0.7"
    assert "10.0.0.1" in warning.fields["names"]
    assert warned(made, advertise_client_urls="https://10.0.0.1:2379") == []


def test_a_peer_certificate_without_the_right_usages_or_issuer(made):
    messages = [
        warning.message
        for warning in warned(made, peer_cert_file=made / "client.crt", peer_key_file=made / "client.key")
    ]
    assert any("does not name the advertised host" in message for message in messages)
    assert any("does not allow server authentication" in message for message in messages)
    assert any("is not issued by the CA in --peer-trusted-ca-file" in message for message in messages)


def test_a_certificate_that_runs_out(tmp_path):
    folder = tmp_path / "short"
    make(Folder(folder), Request((Member("n1", ()),), days=3))
    messages = [warning.message for warning in warned(folder)]
    assert messages == ["certificate expires soon", "certificate expires soon"]


def test_tls_flags_beside_a_plain_url(made):
    found = warned(made, listen_client_urls="http://127.0.0.1:2379")
    assert found[0].message.startswith("scheme is http or unix while TLS flags are present")
    assert found[0].fields["fix"] == "write --listen-client-urls=https://127.0.0.1:2379"


def test_lists_of_revoked_certificates(made, tmp_path):
    crl_file = Authority(tmp_path / "ca").revoke(tmp_path / "crl.pem")
    assert warned(made, client_crl_file=crl_file, peer_crl_file=crl_file) == []
    (warning,) = warned(made, client_crl_file="/nowhere")
    assert warning.message.startswith("open /nowhere: no such file or directory: nobody is let in")
    (warning,) = warned(made, peer_crl_file=made / "ca.crt")
    assert "holds no certificate revocation list" in warning.message
    assert warning.fields["flag"] == "--peer-crl-file"


def test_rules_for_callers_who_are_not_asked(made, tmp_path):
    crl_file = Authority(tmp_path / "ca").revoke(tmp_path / "crl.pem")
    asks_nobody = {"trusted_ca_file": None, "client_cert_auth": None}
    (warning,) = warned(made, client_crl_file=crl_file, client_cert_allowed_hostname="a", **asks_nobody)
    assert "not asked for certificates" in warning.message
    assert warning.fields["flags"] == "--client-crl-file,--client-cert-allowed-hostname"
    asks_nobody = {f"peer_{name}": None for name in asks_nobody}
    (warning,) = warned(made, peer_cert_allowed_cn="a", **asks_nobody)
    assert warning.fields["fix"] == "add --peer-client-cert-auth and --peer-trusted-ca-file"
