"""What a certificate says about whose it is."""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID


class CertificateNames:
    """The common name, the alternative names and the issuer of a certificate."""

    __slots__ = ("common_name", "dns_names", "ip_addresses", "issuer")

    def __init__(self, certificate: x509.Certificate) -> None:
        common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        self.common_name = str(common_names[-1].value) if common_names else ""  # of several the last
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
            return any(dns_name_matches(name, host) for name in self.dns_names)
        return address in self.ip_addresses


def dns_name_matches(pattern: str, host: str) -> bool:
    """Whether a DNS name of a certificate stands for `host`; `*.` stands for one label."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if pattern.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest == pattern[2:]
    return pattern == host
