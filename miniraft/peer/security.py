"""TLS between members: credentials from files, and who may call.

Files are read again for every new connection, so that renewed certificates are taken up
without a restart (what runs keeps running).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from miniraft.peer.handshake import Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


def server_credentials(tls: PeerTls, log: LogEvent) -> grpc.ServerCredentials:
    """Returns credentials that follow the files. Raises OSError when they cannot be read."""
    held = _read_server_files(tls)

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # Called on one of gRPC's threads before each handshake; None keeps what there is.
        nonlocal held
        try:
            files = _read_server_files(tls)
        except OSError as error:
            log("warn", "cannot read the peer certificate again, keeping the one in use", error=str(error))
            return None
        if files == held:
            return None
        held = files
        log("info", "peer certificate files changed, taken up for new connections", file=tls.cert_file)
        return _server_configuration(files)

    configuration = _server_configuration(held)
    return grpc.dynamic_ssl_server_credentials(
        configuration,
        renewed,  # type: ignore[arg-type]  # the stubs do not know that None keeps what there is
        tls.requires_client_certificate,
    )


def channel_credentials(tls: PeerTls) -> grpc.ChannelCredentials:
    """Returns credentials from the files as they are now. Raises OSError."""
    certificate = Path(tls.client_cert_file).read_bytes() if tls.client_cert_file else None
    key = Path(tls.client_key_file).read_bytes() if tls.client_key_file else None
    roots = Path(tls.trusted_ca_file).read_bytes() if tls.trusted_ca_file else None
    return grpc.ssl_channel_credentials(roots, key, certificate)


async def check_client_certificate(
    tls: PeerTls, auth_context: Mapping[str, Sequence[bytes]], peer: str
) -> Refusal | None:
    """Returns why the caller with this certificate may not call, or None.

    `peer` is gRPC's name of the other end, such as `ipv4:127.0.0.1:3456`. The checks are
    etcd's: allowed common names or host names if any are configured, and the address that
    the call comes from must be one the certificate names.
    """
    pem = auth_context.get("x509_pem_cert")
    if not pem:
        return None  # plain HTTP, or no certificate was asked for
    names = CertificateNames(x509.load_pem_x509_certificate(pem[0]))
    refusal = _check_allowed_names(tls, names)
    if refusal is None and not tls.skip_client_san_verification:
        refusal = await _check_source_address(names, remote_host(peer))
    return refusal


def remote_host(peer: str) -> str:
    """Returns the address in gRPC's name of the other end."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return rest.rpartition(":")[0].strip("[]")


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


def _read_server_files(tls: PeerTls) -> tuple[bytes, bytes, bytes | None]:
    roots = Path(tls.trusted_ca_file).read_bytes() if tls.trusted_ca_file else None
    return Path(tls.cert_file).read_bytes(), Path(tls.key_file).read_bytes(), roots


def _server_configuration(files: tuple[bytes, bytes, bytes | None]) -> grpc.ServerCertificateConfiguration:
    certificate, key, roots = files
    return grpc.ssl_server_certificate_configuration([(key, certificate)], roots)
