"""TLS between members: credentials from files, and who may call.

Files are read again for every new connection, so that renewed certificates are taken up
without a restart (what runs keeps running).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from miniraft.peer.handshake import Refusal, RefusalKind

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

    @property
    def requires_client_certificate(self) -> bool:
        """Whether callers must show a certificate: as in etcd, naming a CA is enough to ask."""
        return self.client_cert_auth or bool(self.trusted_ca_file)


class CertificateNames:
    """What a certificate says about whose it is."""

    __slots__ = ("common_name", "dns_names", "ip_addresses", "issuer")

    def __init__(self, certificate: x509.Certificate) -> None:
        common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        self.common_name = str(common_names[0].value) if common_names else ""
        self.issuer = certificate.issuer.rfc4514_string()
        self.dns_names: list[str] = []
        self.ip_addresses: list[str] = []
        try:
            extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
        except x509.ExtensionNotFound:
            return
        names = extension.value
        if isinstance(names, x509.SubjectAlternativeName):
            self.dns_names = names.get_values_for_type(x509.DNSName)
            self.ip_addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]

    def __str__(self) -> str:
        names = [f"DNS:{name}" for name in self.dns_names] + [
            f"IP:{address}" for address in self.ip_addresses
        ]
        return ", ".join(names) or "no subject alternative names at all"

    def covers(self, host: str) -> bool:
        """Whether the certificate names `host`, an address or a DNS name (RFC 6125)."""
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            return any(_dns_name_matches(name, host) for name in self.dns_names)
        return address in self.ip_addresses


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
    _complete(context, tls)
    return context


def _server_context(tls: PeerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert_file, tls.key_file or None)
    if tls.requires_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    _complete(context, tls)
    return context


def _complete(context: ssl.SSLContext, tls: PeerTls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
    refusal = _check_allowed_names(tls, names)
    if refusal is None and not tls.skip_client_san_verification:
        refusal = await _check_source_address(names, source)
    return refusal


def _check_allowed_names(tls: PeerTls, names: CertificateNames) -> Refusal | None:
    if tls.allowed_common_names and names.common_name not in tls.allowed_common_names:
        return Refusal(
            RefusalKind.CERTIFICATE,
            f"client certificate authentication failed: common name {names.common_name!r} is not among "
            f"--peer-cert-allowed-cn={','.join(tls.allowed_common_names)}",
        )
    if tls.allowed_hostnames and not any(names.covers(host) for host in tls.allowed_hostnames):
        return Refusal(
            RefusalKind.CERTIFICATE,
            f"client certificate authentication failed: it names {names}, none of which is among "
            f"--peer-cert-allowed-hostname={','.join(tls.allowed_hostnames)}",
        )
    return None


async def _check_source_address(names: CertificateNames, source: str) -> Refusal | None:
    if not source or not (names.dns_names or names.ip_addresses):
        return None
    if names.covers(source):
        return None
    for name in names.dns_names:
        if not name.startswith("*.") and source in await _addresses_of(name):
            return None
    if any(name.startswith("*.") for name in names.dns_names):
        host = await _name_of(source)
        if host and any(_dns_name_matches(name, host) for name in names.dns_names):
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


def _dns_name_matches(pattern: str, host: str) -> bool:
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if pattern.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest == pattern[2:]
    return pattern == host
