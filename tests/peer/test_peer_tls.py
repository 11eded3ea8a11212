"""Members that speak TLS to each other, and what they say when they cannot."""

import asyncio
import shutil
import ssl

import pytest

from miniraft.peer.describe import PeerUnreachableError, describe_peer
from miniraft.peer.dialing import Dialer
from miniraft.peer.security import PeerTls
from miniraft.peer.settings import PeerSettings
from miniraft.runtime.config import ServerConfig
from miniraft.runtime.self_signed import with_self_signed
from miniraft.runtime.tls import peer_tls
from miniraft.tls.limits import TlsLimits
from tests.support.certificates import Authority, Issued
from tests.support.peer_ends import End, connected, eventually

HTTPS = "https://127.0.0.1:0"


def mutual(authority, name, **options):
    hosts = options.pop("hosts", ("127.0.0.1", "localhost"))
    issued = authority.issue(name, hosts)
    return PeerTls(
        cert_file=issued.cert_file,
        key_file=issued.key_file,
        trusted_ca_file=authority.cert_file,
        client_cert_file=issued.cert_file,
        client_key_file=issued.key_file,
        client_cert_auth=True,
        **options,
    )


def self_made(folder):
    """As with --peer-auto-tls."""
    config = ServerConfig(peer_auto_tls=True, listen_peer_urls=(HTTPS,))
    return peer_tls(with_self_signed(config, folder))


async def two_ends(folder, tls_one, tls_two, until, url_one=HTTPS, url_two=HTTPS, mutually=True):
    """Runs members 1 and 2 until `until(one, two)` holds."""
    one, two = End(folder / "1", 1, tls=tls_one), End(folder / "2", 2, tls=tls_two)
    await one.start(url_one)
    await two.start(url_two)
    try:
        one.transport.set_peers([two.address])
        if mutually:
            two.transport.set_peers([one.address])
        else:
            two.local.peers = {1: one.address}
        await eventually(lambda: until(one, two))
    finally:
        await one.close()
        await two.close()


def both_connected(one, two):
    return connected(one, two) and connected(two, one)


def fails_with(*words):
    """The condition that member 1 has logged a failure with all these words."""

    def condition(one, two):
        assert not connected(one, two)
        return any(all(word in str(line) for word in words) for line in one.log_lines)

    return condition


def test_mutual_tls(tmp_path):
    ca = Authority(tmp_path / "ca")
    asyncio.run(two_ends(tmp_path, mutual(ca, "one"), mutual(ca, "two"), both_connected))


def test_members_with_self_made_certificates_do_not_check_each_other(tmp_path):
    tls_one, tls_two = self_made(tmp_path / "one"), self_made(tmp_path / "two")
    asyncio.run(two_ends(tmp_path, tls_one, tls_two, both_connected))


def test_self_made_and_other_certificates_do_not_mix(tmp_path):
    ca = Authority(tmp_path / "ca")
    tls_one, tls_two = self_made(tmp_path / "one"), mutual(ca, "two")
    expected = fails_with("--peer-auto-tls has none")
    asyncio.run(two_ends(tmp_path, tls_one, tls_two, expected, mutually=False))
    expected = fails_with("O=etcd", "not vouched for")
    asyncio.run(two_ends(tmp_path, tls_two, tls_one, expected, mutually=False))


def test_another_authority_is_named(tmp_path):
    tls_one = mutual(Authority(tmp_path / "ca1", "first ca"), "one")
    tls_two = mutual(Authority(tmp_path / "ca2", "second ca"), "two")
    expected = fails_with("second ca", "--peer-trusted-ca-file", tls_one.trusted_ca_file)
    asyncio.run(two_ends(tmp_path, tls_one, tls_two, expected))


def test_a_certificate_for_another_host_lists_its_names(tmp_path):
    ca = Authority(tmp_path / "ca")
    tls_two = mutual(ca, "two", hosts=("10.9.8.7", "two.example"))
    expected = fails_with("DNS:two.example, IP:10.9.8.7", "does not name 127.0.0.1")
    asyncio.run(two_ends(tmp_path, mutual(ca, "one"), tls_two, expected))


def test_without_a_client_certificate_the_remedy_is_told(tmp_path):
    ca = Authority(tmp_path / "ca")
    issued = ca.issue("one")
    bare = PeerTls(cert_file=issued.cert_file, key_file=issued.key_file, trusted_ca_file=ca.cert_file)
    expected = fails_with("does not accept ours", "--peer-cert-file")
    asyncio.run(two_ends(tmp_path, bare, mutual(ca, "two"), expected, mutually=False))


def test_http_to_an_https_peer(tmp_path):
    ca = Authority(tmp_path / "ca")

    async def scenario():
        two = End(tmp_path / "2", 2, tls=mutual(ca, "two"))
        await two.start(HTTPS)
        async with End(tmp_path / "1", 1) as one:
            wrong = two.url.replace("https", "http")
            one.transport.set_peers([two.address._replace(urls=(wrong,))])
            await eventually(lambda: one.logged("it may expect TLS"))
        await two.close()

    asyncio.run(scenario())


def test_https_to_an_http_peer(tmp_path):
    ca = Authority(tmp_path / "ca")

    async def scenario():
        async with End(tmp_path / "2", 2) as two:
            wrong = two.url.replace("http", "https")
            with pytest.raises(PeerUnreachableError, match="does not speak TLS"):
                await describe_peer(wrong, mutual(ca, "one"), 3000)

    asyncio.run(scenario())


def test_the_common_name_must_be_allowed(tmp_path):
    ca = Authority(tmp_path / "ca")
    tls_two = mutual(ca, "two", allowed_common_names=("member",))

    def refused(one, two):
        return any(refusal.kind == "certificate" for _, refusal in one.refusals)

    asyncio.run(two_ends(tmp_path, mutual(ca, "one"), tls_two, refused))
    tls_two = mutual(ca, "two", allowed_common_names=("two", "one"))
    asyncio.run(two_ends(tmp_path, mutual(ca, "one"), tls_two, both_connected))


def test_a_called_member_must_have_an_allowed_name_too(tmp_path):
    """As in etcd the rule holds for both ends of a connection."""
    ca = Authority(tmp_path / "ca")
    strict = mutual(ca, "one", allowed_common_names=("one",))
    expected = fails_with("is not one of a member", "common name 'two'", "--peer-cert-allowed-cn=one")
    asyncio.run(two_ends(tmp_path, strict, mutual(ca, "two"), expected, mutually=False))
    strict = mutual(ca, "one", allowed_hostnames=("members.example",))
    expected = fails_with("is not one of a member", "--peer-cert-allowed-hostname=members.example")
    asyncio.run(two_ends(tmp_path, strict, mutual(ca, "two"), expected, mutually=False))


def test_a_revoked_member_finds_the_connection_closed(tmp_path):
    ca = Authority(tmp_path / "ca")
    tls_one = mutual(ca, "one")
    crl_file = tmp_path / "crl.pem"
    tls_two = mutual(ca, "two", crl_file=ca.revoke(crl_file))
    asyncio.run(two_ends(tmp_path, tls_one, tls_two, both_connected))
    ca.revoke(crl_file, Issued(tls_one.cert_file, tls_one.key_file))

    def refused(one, two):
        told = one.logged("its --peer-crl-file must not list it")
        return told and two.logged("transport: certificate serial") and not connected(one, two)

    asyncio.run(two_ends(tmp_path, tls_one, tls_two, refused))


def test_a_list_of_revoked_members_is_read_for_every_connection(tmp_path):
    ca = Authority(tmp_path / "ca")
    tls_one, crl_file = mutual(ca, "one"), tmp_path / "crl.pem"

    async def scenario():
        two = End(tmp_path / "2", 2, tls=mutual(ca, "two", crl_file=ca.revoke(crl_file)))
        await two.start(HTTPS)
        await describe_peer(two.url, tls_one, 3000)
        ca.revoke(crl_file, Issued(tls_one.cert_file, tls_one.key_file))
        with pytest.raises(PeerUnreachableError):
            await describe_peer(two.url, tls_one, 3000)
        ca.revoke(crl_file)
        await describe_peer(two.url, tls_one, 3000)
        crl_file.unlink()
        with pytest.raises(PeerUnreachableError):
            await describe_peer(two.url, tls_one, 3000)
        assert two.logged(f"open {crl_file}: no such file or directory")
        await two.close()

    asyncio.run(scenario())


AES128, AES256 = (f"TLS_ECDHE_ECDSA_WITH_AES_{size}" for size in ("128_GCM_SHA256", "256_GCM_SHA384"))


@pytest.mark.parametrize(
    ("limits_one", "limits_two", "agreed"),
    [
        (TlsLimits(), TlsLimits("TLS1.3"), "TLSv1.3"),
        (
            TlsLimits(),
            TlsLimits(max_version="TLS1.2", cipher_suites=(AES256,)),
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            TlsLimits(max_version="TLS1.2", cipher_suites=(AES128,)),
            TlsLimits(),
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (TlsLimits(max_version="TLS1.2"), TlsLimits("TLS1.3"), None),
        (TlsLimits("TLS1.3"), TlsLimits(max_version="TLS1.2"), None),
        (
            TlsLimits(max_version="TLS1.2", cipher_suites=(AES128,)),
            TlsLimits(max_version="TLS1.2", cipher_suites=(AES256,)),
            None,
        ),
    ],
)
def test_versions_and_cipher_suites_hold_at_both_ends(tmp_path, limits_one, limits_two, agreed):
    ca = Authority(tmp_path / "ca")
    tls_one, tls_two = mutual(ca, "one", limits=limits_one), mutual(ca, "two", limits=limits_two)

    async def scenario():
        two = End(tmp_path / "2", 2, tls=tls_two)
        await two.start(HTTPS)
        dialer = Dialer(tls_one, PeerSettings())
        if agreed is None:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await dialer.connect(two.url)
            await eventually(lambda: two.logged("rejected connection on peer endpoint"))
            with pytest.raises(PeerUnreachableError, match="leave something in common"):
                await describe_peer(two.url, tls_one, 3000)
        else:
            connection = await dialer.connect(two.url)
            tls = connection.extra_info("ssl_object")
            assert agreed in (tls.version(), tls.cipher()[0])
            await connection.close()
        await two.close()

    asyncio.run(scenario())


def test_the_host_name_must_be_allowed(tmp_path):
    ca = Authority(tmp_path / "ca")
    tls_two = mutual(ca, "two", allowed_hostnames=("members.example",))

    def refused(one, two):
        return any("--peer-cert-allowed-hostname" in refusal.text for _, refusal in one.refusals)

    asyncio.run(two_ends(tmp_path, mutual(ca, "one"), tls_two, refused))
    hosts = ("127.0.0.1", "members.example")
    tls_one = mutual(ca, "one", hosts=hosts)
    tls_two = mutual(ca, "two", hosts=hosts, allowed_hostnames=("members.example",))
    asyncio.run(two_ends(tmp_path, tls_one, tls_two, both_connected))


def test_the_caller_must_come_from_an_address_its_certificate_names(tmp_path):
    ca = Authority(tmp_path / "ca")
    elsewhere = ca.issue("elsewhere", ("10.1.2.3",))
    tls_one = mutual(ca, "one")
    tls_one = PeerTls(
        cert_file=tls_one.cert_file,
        key_file=tls_one.key_file,
        trusted_ca_file=ca.cert_file,
        client_cert_file=elsewhere.cert_file,
        client_key_file=elsewhere.key_file,
        client_cert_auth=True,
    )

    def refused(one, two):
        return any("peer IP 127.0.0.1" in refusal.text for _, refusal in one.refusals)

    asyncio.run(two_ends(tmp_path, tls_one, mutual(ca, "two"), refused))
    lenient = mutual(ca, "two", skip_client_san_verification=True)
    asyncio.run(two_ends(tmp_path, tls_one, lenient, both_connected))


def test_renewed_certificates_are_taken_up_without_a_restart(tmp_path):
    old, new = Authority(tmp_path / "old", "old ca"), Authority(tmp_path / "new", "new ca")
    tls_two = mutual(old, "two")

    async def scenario():
        two = End(tmp_path / "2", 2, tls=tls_two)
        await two.start(HTTPS)
        await describe_peer(two.url, mutual(old, "one"), 3000)
        renewed = new.issue("two")
        files = (
            (renewed.cert_file, tls_two.cert_file),
            (renewed.key_file, tls_two.key_file),
            (new.cert_file, old.cert_file),
        )
        for source, target in files:
            shutil.copyfile(source, target)
        reply = await describe_peer(two.url, mutual(new, "one"), 3000)
        assert reply.member_name == "m2"
        assert two.logged("peer certificate files changed")
        await two.close()

    asyncio.run(scenario())
