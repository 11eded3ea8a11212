"""Certificates that OpenSSL is content with and the rules are not."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from miniraft.tls.handshake import CertificateRules, HandshakeRefused, check_handshakes
from tests.support.certificates import Authority, Issued


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@contextlib.contextmanager
def echoing(authority, rules, highest=ssl.TLSVersion.MAXIMUM_SUPPORTED):
    """A server on loopback that sends one byte to who gets in; yields its address and what it refused."""
    issued = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert_file, issued.key_file)
    context.load_verify_locations(authority.cert_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = highest
    check_handshakes(context, rules)
    refused = []

    async def take(accepted):
        try:
            transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted, ssl=context)
            transport.write(b"x")
        except ssl.SSLError as error:
            refused.append(error)

    async def accept():
        while True:
            accepted, _ = await loop.sock_accept(listener)
            await take(accepted)

    async def main():
        with contextlib.suppress(asyncio.CancelledError):
            await accept()

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.new_event_loop()
    serving = loop.create_task(main())
    thread = threading.Thread(target=lambda: loop.run_until_complete(serving), daemon=True)
    thread.start()
    try:
        yield listener.getsockname(), refused
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join(10)
        loop.close()
        listener.close()


def last_of(refused, count):
    """The refusal with this number, which the server may come to a moment after the client."""
    deadline = time.monotonic() + 10
    while len(refused) < count:
        assert time.monotonic() < deadline, "nobody was refused"
        time.sleep(0.01)
    return refused[count - 1]


def call(address, authority, client, session=None, context=None):
    """Returns whether the server took us, and the session to come back with."""
    context = context or client_context(authority, client)
    with socket.create_connection(address, timeout=10) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as connection:
                return connection.recv(1) == b"x", connection.session
        except OSError:
            return False, None


def client_context(authority, client):
    context = ssl.create_default_context(cafile=authority.cert_file)
    context.load_cert_chain(client.cert_file, client.key_file)
    return context


def test_each_rule_must_hold(authority, tmp_path):
    good, wrong = authority.issue("good"), authority.issue("wrong", ("10.0.0.1",))
    for rules in (
        CertificateRules(allowed_common_names=("other", "good")),
        CertificateRules(allowed_hostnames=("127.0.0.1",)),
        CertificateRules(authority.revoke(tmp_path / "crl.pem", wrong)),
    ):
        with echoing(authority, rules) as (address, refused):
            assert call(address, authority, good)[0]
            assert not call(address, authority, wrong)[0]
            error = last_of(refused, 1)
        assert isinstance(error, HandshakeRefused)
    serial = x509.load_pem_x509_certificate(Path(wrong.cert_file).read_bytes()).serial_number
    assert str(error) == f"transport: certificate serial {serial:x} revoked"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_revoked_client_does_not_come_back_by_an_old_session(authority, tmp_path, version):
    client = authority.issue("client")
    crl_file = authority.revoke(tmp_path / "crl.pem")
    with echoing(authority, CertificateRules(crl_file), version) as (address, refused):
        context = client_context(authority, client)
        taken, session = call(address, authority, client, context=context)
        assert taken
        authority.revoke(tmp_path / "crl.pem", client)
        assert not call(address, authority, client, session, context)[0]
        assert "revoked" in str(last_of(refused, 1))


def test_an_authority_between_may_be_revoked_too(authority, tmp_path):
    """The client shows its certificate and that of the authority which signed it."""
    between = Authority(tmp_path / "between", "between")
    signed = _sign(authority, between)
    Path(between.cert_file).write_bytes(signed)
    client = between.issue("client")
    chain = Path(client.cert_file).read_bytes() + signed
    Path(client.cert_file).write_bytes(chain)
    crl_file = authority.revoke(tmp_path / "crl.pem")
    with echoing(authority, CertificateRules(crl_file)) as (address, refused):
        assert call(address, authority, client)[0]
        authority.revoke(tmp_path / "crl.pem", Issued(between.cert_file, ""))
        assert not call(address, authority, client)[0]
        assert "revoked" in str(last_of(refused, 1))


def _sign(authority, between):
    """The certificate of `between`, signed by `authority`, in PEM."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(between._name)
        .issuer_name(authority._name)
        .public_key(between._key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority._key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def test_a_list_that_is_none_lets_nobody_in(authority, tmp_path):
    client, crl_file = authority.issue("client"), tmp_path / "crl.pem"
    crl_file.write_text("-----BEGIN nonsense")
    with echoing(authority, CertificateRules(str(crl_file))) as (address, refused):
        assert not call(address, authority, client)[0]
        assert "holds no certificate revocation list" in str(last_of(refused, 1))
        crl_file.unlink()
        assert not call(address, authority, client)[0]
        assert str(last_of(refused, 2)).startswith(f"open {crl_file}: no such file or directory")
