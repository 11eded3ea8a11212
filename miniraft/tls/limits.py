"""--tls-min-version, --tls-max-version and --cipher-suites: what a handshake may agree on."""

from __future__ import annotations

import ssl
from typing import NamedTuple

VERSIONS = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}

# OpenSSL's names of the TLS 1.2 suites, by the names that etcd uses: those of the standard, and
# two shorter ones. The order is OpenSSL's affair, as it is Go's in etcd.
CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
}
# Those of TLS 1.3 may be named too. They are always on, here as in etcd.
TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")


class TlsLimits(NamedTuple):
    """Versions are `TLS1.2` or `TLS1.3`; suites have etcd's names, and none stand for all."""

    min_version: str = "TLS1.2"
    max_version: str = ""  # empty: the highest
    cipher_suites: tuple[str, ...] = ()


def check_limits(limits: TlsLimits) -> None:
    """Raises ValueError, in etcd's words, for what cannot be negotiated by anybody."""
    lowest, highest, suites = limits
    for version in (lowest, highest):
        if version and version not in VERSIONS:
            raise ValueError(f'unexpected TLS version "{version}" (must be one of: TLS1.2, TLS1.3)')
    if highest and lowest > highest:
        raise ValueError(f"min version ({lowest}) is greater than max version ({highest})")
    for suite in suites:
        if suite not in CIPHER_SUITES and suite not in TLS13_SUITES:
            raise ValueError(
                f'unexpected TLS cipher suite "{suite}" (must be one of: '
                f"{', '.join((*CIPHER_SUITES, *TLS13_SUITES))})"
            )
    if lowest == "TLS1.3" and suites:
        raise ValueError("cipher suites cannot be configured when only TLS1.3 is enabled")
    if highest == "TLS1.2" and suites and not _for_tls12(suites):
        raise ValueError("--cipher-suites names suites of TLS 1.3 only, and --tls-max-version excludes it")


def apply_limits(context: ssl.SSLContext, limits: TlsLimits) -> None:
    """Sets the limits on a context. They must have passed `check_limits`."""
    context.minimum_version = VERSIONS[limits.min_version or "TLS1.2"]
    if limits.max_version:
        context.maximum_version = VERSIONS[limits.max_version]
    if not limits.cipher_suites:
        return
    if named := _for_tls12(limits.cipher_suites):
        context.set_ciphers(":".join(named))
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_3


def _for_tls12(suites: tuple[str, ...]) -> list[str]:
    return [CIPHER_SUITES[suite] for suite in suites if suite in CIPHER_SUITES]
