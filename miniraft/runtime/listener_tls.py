"""TLS for the client listener: what is asked for, whether it can be had, and OpenSSL's form of it.

h2corn uses rustls, which has no certificate revocation lists and lets nobody choose cipher
suites or narrow the versions. OpenSSL can, so it then stands in front (openssl_front.py).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from miniraft.runtime.listener_sockets import ListenError
from miniraft.tls.handshake import CertificateRules, check_handshakes
from miniraft.tls.limits import TlsLimits, apply_limits, check_limits

HANDSHAKE_SECONDS = 20.0  # also bounds connections that never say anything


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Files in PEM and what is asked of connections."""

    cert_file: str
    key_file: str
    trusted_ca_file: str = ""
    require_client_certificate: bool = False
    crl_file: str = ""
    allowed_hostnames: tuple[str, ...] = ()  # of which a client's certificate must name one
    limits: TlsLimits = field(default_factory=TlsLimits)

    @property
    def needs_openssl(self) -> bool:
        """Whether something is asked for that rustls cannot do."""
        lowest, highest, suites = self.limits
        return bool(
            self.crl_file or self.allowed_hostnames or suites or lowest == "TLS1.3" or highest == "TLS1.2"
        )

    def files(self) -> tuple[str, ...]:
        """Returns the files that make a new listener necessary when they change."""
        return tuple(file for file in (self.cert_file, self.key_file, self.trusted_ca_file) if file)


def check_tls(tls: TlsOptions) -> None:
    """Raises ListenError for what nobody could agree on and for files that are no good."""
    if tls.require_client_certificate and not tls.trusted_ca_file:
        raise ListenError(
            "--client-cert-auth needs --trusted-ca-file: the CA that client certificates are checked against"
        )
    try:
        check_limits(tls.limits)
    except ValueError as error:
        raise ListenError(
            f"{error}: correct --tls-min-version, --tls-max-version and --cipher-suites"
        ) from None
    openssl_context(tls)


def openssl_context(tls: TlsOptions) -> ssl.SSLContext:
    """Returns the OpenSSL context of a server. Raises ListenError naming the file that is no good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    apply_limits(context, tls.limits)
    _load_certificate(context, tls)
    if tls.trusted_ca_file:
        _load_authorities(context, tls.trusted_ca_file, "--trusted-ca-file")
    if tls.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    rules = CertificateRules(tls.crl_file, allowed_hostnames=tls.allowed_hostnames, flag_prefix="client-")
    check_handshakes(context, rules)
    return context


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
