"""A last look at the other end's certificates, within the handshake.

OpenSSL has verified them by then. What it does not know of (allowed names, lists of revoked
certificates) is checked here; who does not pass finds the connection closed, as with etcd.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509

from miniraft.tls.certificate_names import CertificateNames
from miniraft.tls.revocation import RevocationList, RevokedError

if TYPE_CHECKING:
    from collections.abc import Sequence


class HandshakeRefused(ssl.SSLError):
    """The other end may not be here. The message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class CertificateRules:
    """Which certificates pass: every rule that is not empty must hold."""

    crl_file: str = ""
    allowed_common_names: tuple[str, ...] = ()
    allowed_hostnames: tuple[str, ...] = ()
    flag_prefix: str = ""  # of --...cert-allowed-cn and --...cert-allowed-hostname

    def name_refusal(self, names: CertificateNames) -> str:
        """Returns why a certificate with these names does not pass; empty when it does."""
        if self.allowed_common_names and names.common_name not in self.allowed_common_names:
            return (
                f"client certificate authentication failed: common name {names.common_name!r} is not among "
                f"--{self.flag_prefix}cert-allowed-cn={','.join(self.allowed_common_names)}"
            )
        if self.allowed_hostnames and not any(names.covers(host) for host in self.allowed_hostnames):
            return (
                f"client certificate authentication failed: it names {names}, none of which is among "
                f"--{self.flag_prefix}cert-allowed-hostname={','.join(self.allowed_hostnames)}"
            )
        return ""


def check_handshakes(context: ssl.SSLContext, rules: CertificateRules) -> None:
    """Has every handshake of the context end with HandshakeRefused when the rules do not hold.

    An end that shows no certificate passes: whether one is asked for is the context's matter.
    """
    revocations = RevocationList(rules.crl_file) if rules.crl_file else None
    if revocations is None and not rules.allowed_common_names and not rules.allowed_hostnames:
        return

    def check(chain: Sequence[x509.Certificate]) -> None:
        if refusal := rules.name_refusal(CertificateNames(chain[0])):
            raise HandshakeRefused(refusal)
        if revocations is not None:
            try:
                revocations.check(chain)
            except RevokedError as error:
                raise HandshakeRefused(str(error)) from error

    class CheckedConnection(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            chain = presented_chain(self)
            if chain:
                check(chain)

    context.sslobject_class = CheckedConnection
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        # A session taken up again shows no chain, only the caller's own certificate.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0


def presented_chain(connection: ssl.SSLObject) -> list[x509.Certificate]:
    """Returns the certificates that the other end has shown, its own first; none if it has shown none."""
    inner: Any = getattr(connection, "_sslobj", None)
    shown = inner.get_unverified_chain()  # public from Python 3.13 on
    if shown:
        return [x509.load_pem_x509_certificate(one.public_bytes().encode()) for one in shown]
    own = connection.getpeercert(binary_form=True)  # from the session that is taken up again
    return [x509.load_der_x509_certificate(own)] if own else []
