"""TLS for the client listener: what is asked for, whether it can be had, and OpenSSL's form of it.

h2corn uses rustls, which has no certificate revocation lists and lets nobody choose cipher
suites or narrow the versions; hypercorn uses OpenSSL and can. What cannot be had is refused
at start-up: silently serving with less than was asked for would be a security hole.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from miniraft.runtime.listener_sockets import ListenError

# OpenSSL's names of the TLS 1.2 suites, by the names in the TLS standard, which etcd uses.
CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
VERSIONS = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}

_OPENSSL_NAME = "hypercorn"
_OTHER_SERVER = f"start with --client-server={_OPENSSL_NAME}, or leave the flag away"


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files in PEM and what is asked of connections. Versions are `TLS1.2` or `TLS1.3`."""

    cert_file: str
    key_file: str
    trusted_ca_file: str = ""
    require_client_certificate: bool = False
    crl_file: str = ""
    cipher_suites: tuple[str, ...] = ()
    min_version: str = "TLS1.2"
    max_version: str = ""  # empty: the highest

    def files(self) -> tuple[str, ...]:
        """Returns the files that make a new listener necessary when they change."""
        return tuple(
            file for file in (self.cert_file, self.key_file, self.trusted_ca_file, self.crl_file) if file
        )


def check_tls(tls: TlsOptions, server: str) -> None:
    """Raises ListenError for what the server cannot do and for files that are no good."""
    if tls.require_client_certificate and not tls.trusted_ca_file:
        raise ListenError(
            "--client-cert-auth needs --trusted-ca-file: the CA that client certificates are checked against"
        )
    if server != _OPENSSL_NAME:
        _refuse_what_rustls_lacks(tls)
    _check_versions(tls)
    for suite in tls.cipher_suites:
        if suite not in CIPHER_SUITES:
            raise ListenError(
                f"--cipher-suites: unknown suite {suite}: choose from {', '.join(CIPHER_SUITES)}"
            )
    openssl_context(tls)


def openssl_context(tls: TlsOptions) -> ssl.SSLContext:
    """Returns the OpenSSL context of a server. Raises ListenError naming the file that is no good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.minimum_version = VERSIONS[tls.min_version]
    if tls.max_version:
        context.maximum_version = VERSIONS[tls.max_version]
    if tls.cipher_suites:
        context.set_ciphers(":".join(CIPHER_SUITES[suite] for suite in tls.cipher_suites))
    _load_certificate(context, tls)
    if tls.trusted_ca_file:
        _load_authorities(context, tls.trusted_ca_file, "--trusted-ca-file")
    if tls.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    if tls.crl_file:
        _load_authorities(context, tls.crl_file, "--client-crl-file")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def _refuse_what_rustls_lacks(tls: TlsOptions) -> None:
    lacking = {
        "--client-crl-file": bool(tls.crl_file),
        "--cipher-suites": bool(tls.cipher_suites),
        "--tls-min-version=TLS1.3": tls.min_version == "TLS1.3",
        "--tls-max-version=TLS1.2": tls.max_version == "TLS1.2",
    }
    for flag, is_asked in lacking.items():
        if is_asked:
            raise ListenError(f"{flag} is not supported by the h2corn server: {_OTHER_SERVER}")


def _check_versions(tls: TlsOptions) -> None:
    for flag, version in (("--tls-min-version", tls.min_version), ("--tls-max-version", tls.max_version)):
        if version and version not in VERSIONS:
            raise ListenError(f"{flag}: {version} is not supported: choose TLS1.2 or TLS1.3")
    if tls.max_version and tls.max_version < tls.min_version:
        raise ListenError(f"--tls-max-version {tls.max_version} is below --tls-min-version {tls.min_version}")
    if tls.min_version == "TLS1.3" and tls.cipher_suites:
        raise ListenError("--cipher-suites has no effect with TLS 1.3: leave it or --tls-min-version away")


def _load_certificate(context: ssl.SSLContext, tls: TlsOptions) -> None:
    for flag, file in (("--cert-file", tls.cert_file), ("--key-file", tls.key_file)):
        _read(flag, file)
    if b"ENCRYPTED" in _read("--key-file", tls.key_file):
        raise ListenError(
            f"--key-file: {tls.key_file} is encrypted, and nobody is there to give the passphrase: "
            f"decrypt it with `openssl pkey -in {tls.key_file} -out NEW_FILE` and protect it by its file mode"
        )
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except (ssl.SSLError, OSError) as error:
        raise ListenError(
            f"--cert-file {tls.cert_file} and --key-file {tls.key_file} are no certificate in PEM "
            f"with its key ({error})"
        ) from None


def _load_authorities(context: ssl.SSLContext, file: str, flag: str) -> None:
    _read(flag, file)
    try:
        context.load_verify_locations(file)
    except (ssl.SSLError, OSError) as error:
        raise ListenError(f"{flag}: {file} cannot be used: is it PEM? ({error})") from None


def _read(flag: str, file: str) -> bytes:
    if not file:
        raise ListenError(f"an https URL needs {flag}: give it, or listen on http")
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ListenError(f"{flag}: cannot read {file}: {error.strerror}") from None
