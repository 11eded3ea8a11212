"""Which limits make sense, in etcd's words; what they do is tested on the listeners."""

import ssl

import pytest

from miniraft.tls.limits import CIPHER_SUITES, TLS13_SUITES, TlsLimits, apply_limits, check_limits


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (TlsLimits("TLS1.1"), 'unexpected TLS version "TLS1.1"'),
        (TlsLimits(max_version="x"), 'unexpected TLS version "x"'),
        (TlsLimits("TLS1.3", "TLS1.2"), r"min version \(TLS1.3\) is greater than max version \(TLS1.2\)"),
        (TlsLimits(cipher_suites=("FOO",)), 'unexpected TLS cipher suite "FOO"'),
        (TlsLimits(cipher_suites=("TLS_RSA_WITH_RC4_128_SHA",)), "unexpected TLS cipher suite"),
        (
            TlsLimits("TLS1.3", cipher_suites=("TLS_RSA_WITH_AES_128_GCM_SHA256",)),
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (TlsLimits(max_version="TLS1.2", cipher_suites=TLS13_SUITES), "suites of TLS 1.3 only"),
    ],
)
def test_limits_nobody_could_keep(limits, words):
    with pytest.raises(ValueError, match=words):
        check_limits(limits)


@pytest.mark.parametrize("suite", CIPHER_SUITES)
def test_openssl_knows_every_suite(suite):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    limits = TlsLimits(cipher_suites=(suite, *TLS13_SUITES))
    check_limits(limits)
    apply_limits(context, limits)
    named = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert named == [CIPHER_SUITES[suite]]


def test_suites_of_tls_1_3_alone_leave_nothing_else():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    apply_limits(context, TlsLimits(cipher_suites=TLS13_SUITES))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
