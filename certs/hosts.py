"""Host names and addresses: reading them, and who a certificate speaks for."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from cryptography import x509

from certs.problem import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterable

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*\.?")
MAX_DNS_NAME_LENGTH = 253


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def general_name(host: str) -> x509.GeneralName:
    """A host as it stands in a certificate. Raises CertificateError when it is no host."""
    if is_address(host):
        return x509.IPAddress(ipaddress.ip_address(host))
    if len(host) > MAX_DNS_NAME_LENGTH or not _DNS_NAME.fullmatch(host):
        raise CertificateError(
            f"{host!r} is neither an IP address nor a host name; write --member n1=10.0.0.1,n1.example"
        )
    return x509.DNSName(host)


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses a certificate speaks for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def names_host(certificate: x509.Certificate, host: str) -> bool:
    """Whether a certificate speaks for a host; `*.` stands for one label."""
    names = {name.lower() for name in alternative_names(certificate)}
    if is_address(host):
        return str(ipaddress.ip_address(host)) in names
    return host.lower() in names or "*." + host.lower().partition(".")[2] in names


def missing_hosts(certificate: x509.Certificate, hosts: Iterable[str]) -> list[str]:
    """The hosts a certificate does not speak for."""
    return [host for host in hosts if not names_host(certificate, host)]
