"""TLS between members: credentials from files, and who may call.

Files are read again for every new connection, so that renewed certificates are taken up
without a restart (what runs keeps running).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from miniraft.peer.handshake import Refusal, RefusalKind
from miniraft.tls.certificate_names import CertificateNames, dns_name_matches
from miniraft.tls.handshake import CertificateRules, check_handshakes
from miniraft.tls.limits import TlsLimits, apply_limits

if TYPE_CHECKING:
    from miniraft.peer.settings import LogEvent


@dataclass(frozen=True, slots=True)
class PeerTls:
    """The certificate files of the peer API; an empty name means none.

    `client_*` is what this member shows when it calls, `cert_file` what it shows when called.
    """

    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    client_cert_auth: bool = False
    allowed_common_names: tuple[str, ...] = ()
    allowed_hostnames: tuple[str, ...] = ()
    skip_client_san_verification: bool = False
    skip_server_verification: bool = False  # --peer-auto-tls: nobody could vouch for the others' certificates
    crl_file: str = ""
    limits: TlsLimits = field(default_factory=TlsLimits)

    @property
    def name_rules(self) -> CertificateRules:
        """Which names a certificate of another member must bear, whichever of the two calls."""
        return CertificateRules(
            allowed_common_names=self.allowed_common_names,
            allowed_hostnames=self.allowed_hostnames,
            flag_prefix="peer-",
        )

    @property
    def requires_client_certificate(self) -> bool:
        """Whether callers must show a certificate: as in etcd, naming a CA is enough to ask."""
        return self.client_cert_auth or bool(self.trusted_ca_file)


class ServerContexts:
    """The TLS context of the peer API, made anew when the files have changed."""

    def __init__(self, tls: PeerTls, log: LogEvent) -> None:
        """Raises OSError when the files cannot be read or are no good."""
        self._tls = tls
        self._log = log
        self._files = _read_files(tls.cert_file, tls.key_file, tls.trusted_ca_file)
        self._context = _server_context(tls)

    def __call__(self) -> ssl.SSLContext:
        """Returns the context for a new connection."""
        tls = self._tls
        try:
            files = _read_files(tls.cert_file, tls.key_file, tls.trusted_ca_file)
            if files != self._files:
                self._context = _server_context(tls)
                self._files = files
                self._log(
                    "info", "peer certificate files changed, taken up for new connections", file=tls.cert_file
                )
        except OSError as error:
            self._log(
                "warn", "cannot read the peer certificate again, keeping the one in use", error=str(error)
            )
        return self._context


def client_context(tls: PeerTls) -> ssl.SSLContext:
    """Returns the TLS context for a call, from the files as they are now. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    if tls.client_cert_file:
        context.load_cert_chain(tls.client_cert_file, tls.client_key_file or None)
    if tls.skip_server_verification:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _complete(context, tls)
    check_handshakes(context, tls.name_rules)
    return context


def _server_context(tls: PeerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert_file, tls.key_file or None)
    if tls.requires_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    _complete(context, tls)
    # A wrong name is told to the caller once it calls; a revoked certificate does not get so far.
    check_handshakes(context, CertificateRules(crl_file=tls.crl_file))
    return context


def _complete(context: ssl.SSLContext, tls: PeerTls) -> None:
    apply_limits(context, tls.limits)
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate CA may be the one trusted
    if tls.trusted_ca_file:
        context.load_verify_locations(cadata=Path(tls.trusted_ca_file).read_text())
    else:
        context.load_default_certs(
            ssl.Purpose.CLIENT_AUTH
            if context.protocol is ssl.PROTOCOL_TLS_SERVER
            else ssl.Purpose.SERVER_AUTH
        )


def _read_files(*files: str) -> tuple[bytes, ...]:
    return tuple([Path(file).read_bytes() for file in files if file])


async def check_client_certificate(tls: PeerTls, certificate: bytes | None, source: str) -> Refusal | None:
    """Returns why the caller with this certificate (DER) may not call from `source`, or None.

    The checks are etcd's: allowed common names or host names if any are configured, and the
    address that the call comes from must be one the certificate names.
    """
    if certificate is None:
        return None  # plain HTTP, or no certificate was asked for
    names = CertificateNames(x509.load_der_x509_certificate(certificate))
    if wrong_name := tls.name_rules.name_refusal(names):
        return Refusal(RefusalKind.CERTIFICATE, wrong_name)
    return None if tls.skip_client_san_verification else await _check_source_address(names, source)


async def _check_source_address(names: CertificateNames, source: str) -> Refusal | None:
    if not source or not (names.dns_names or names.ip_addresses):
        return None
    if names.covers(source):
        return None
    for name in names.dns_names:
        if not name.startswith("*.") and source in await _addresses_of(name):
            return None
    if names.dns_names:
        host = await _name_of(source)
        if host and any(dns_name_matches(name, host) for name in names.dns_names):
            return None
    return Refusal(
        RefusalKind.CERTIFICATE,
        f"peer IP {source} is not among what its certificate names [{names}]: issue the certificate with "
        f"IP:{source}, or with a DNS name that resolves to it, or start the called member with "
        f"--peer-skip-client-san-verification",
    )


async def _addresses_of(name: str) -> set[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]) for *_, address in found}


async def _name_of(address: str) -> str:
    try:
        name, _ = await asyncio.get_running_loop().getnameinfo((address, 0), socket.NI_NAMEREQD)
    except OSError:
        return ""
    return name
