"""Self-made certificates: when they are made, what goes before them, and what they replace."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from miniraft.config.load import load
from miniraft.config.problem import ConfigError
from miniraft.runtime import log
from miniraft.runtime.self_signed import SelfSignedError, with_self_signed
from miniraft.runtime.server import StartError, start_server
from tests.support.certificates import Authority
from tests.support.servers import single_config

HTTPS = ("https://127.0.0.1:0", "https://[::1]:0", "https://localhost:0")


@pytest.fixture
def logged(monkeypatch):
    events = []
    monkeypatch.setattr(
        log, "event", lambda level, message, **fields: events.append((level, message, fields))
    )
    return events


def config(tmp_path, **changes):
    return single_config(tmp_path, auto_tls=True, peer_auto_tls=True, listen_client_urls=HTTPS, **changes)


def certificate(path):
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def test_the_certificate_names_the_hosts_listened_on(tmp_path):
    made = with_self_signed(config(tmp_path), tmp_path)
    names = certificate(made.cert_file).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert made.peer_cert_file == str(tmp_path / "fixtures" / "peer" / "cert.pem")


def test_given_certificates_go_before(tmp_path, logged):
    issued = Authority(tmp_path / "ca").issue("given")
    files = {"cert_file": issued.cert_file, "key_file": issued.key_file}
    files |= {f"peer_{name}": file for name, file in files.items()}
    made = with_self_signed(config(tmp_path, **files), tmp_path)
    assert {name: getattr(made, name) for name in files} == files
    assert not made.peer_auto_tls, "members with real certificates check each other's"
    assert not (tmp_path / "fixtures").exists()
    assert [message for _, message, _ in logged] == [
        "ignoring peer auto TLS since certs given",
        "ignoring client auto TLS since certs given",
    ]


def test_asking_for_certificates_has_no_effect_beside_it_and_that_is_said(tmp_path, logged):
    asking = config(
        tmp_path, client_cert_auth=True, trusted_ca_file="/ca.pem", peer_cert_allowed_cn=("member",)
    )
    made = with_self_signed(asking, tmp_path)
    assert not made.client_certificates_required
    assert not made.peer_certificates_required
    assert not made.peer_cert_allowed_cn
    said = [fields["flags"] for _, message, fields in logged if message.startswith("flags without effect")]
    assert said == [["--peer-cert-allowed-cn"], ["--trusted-ca-file", "--client-cert-auth"]]


def test_half_a_pair_is_made_anew(tmp_path):
    made = with_self_signed(config(tmp_path), tmp_path)
    before = certificate(made.cert_file)
    (tmp_path / "fixtures" / "client" / "key.pem").unlink()
    again = with_self_signed(config(tmp_path), tmp_path)
    assert certificate(again.cert_file) != before
    assert again.cert_file == made.cert_file


def test_files_that_are_no_good_name_the_remedy(tmp_path):
    made = with_self_signed(config(tmp_path), tmp_path)
    peer_key = (tmp_path / "fixtures" / "peer" / "key.pem").read_bytes()
    key_file = tmp_path / "fixtures" / "client" / "key.pem"
    for content, words in ((b"garbage", "cannot be read"), (peer_key, "is not the key of")):
        key_file.write_bytes(content)
        with pytest.raises(SelfSignedError, match=words) as caught:
            with_self_signed(config(tmp_path), tmp_path)
        assert f"remove {tmp_path / 'fixtures' / 'client'}" in str(caught.value)
    with pytest.raises(StartError, match="is not the key of"):
        asyncio.run(start_server(config(tmp_path, data_dir=str(tmp_path))))
    assert made.key_file == str(key_file)


def test_an_expired_certificate_is_used_with_a_warning(tmp_path, logged):
    folder = tmp_path / "fixtures" / "client"
    issued = Authority(tmp_path / "ca").issue("old", valid_days=1, started_days_ago=3)
    folder.mkdir(parents=True)
    for source, name in ((issued.cert_file, "cert.pem"), (issued.key_file, "key.pem")):
        shutil.copyfile(source, folder / name)
    with_self_signed(replace(config(tmp_path), peer_auto_tls=False), tmp_path)
    ((level, message, fields),) = logged
    assert (level, "expired" in message, str(folder) in fields["fix"]) == ("warn", True, True)


def test_flags_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--auto-tls", "--listen-client-urls=https://127.0.0.1:1"]
    words += ["--advertise-client-urls=https://127.0.0.1:1"]
    loaded = load(words, {})
    assert loaded.warnings.items == []
    for years, text in (("0", "selfSignedCertValidity is invalid"), ("5000", "is more than 1000 years")):
        with pytest.raises(ConfigError, match=text):
            load([*words, f"--self-signed-cert-validity={years}"], {})
    assert load(["--self-signed-cert-validity=0"], {}).config, "nothing is made, so it does not matter"
    (warning,) = load(["--peer-auto-tls"], {}).warnings.items
    assert warning.message.startswith("scheme is http or unix while TLS flags are present")
    assert warning.fields["flags"] == "--peer-auto-tls"
