"""The name in a client's certificate, which the TLS library has verified by now."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniraft.api.asgi import Scope


def common_name(scope: Scope) -> str | None:
    """Returns the certificate's common name; empty when it has none, None without a certificate.

    Only servers that tell (the `tls` extension of ASGI) have certificates to offer here.
    """
    tls = (scope.get("extensions") or {}).get("tls")
    chain = tls.get("client_cert_chain") if tls else None
    return _common_name(chain[0]) if chain else None


@lru_cache(maxsize=1024)
def _common_name(pem: str) -> str:
    """The last of several counts, as in etcd."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_pem_x509_certificate(pem.encode()).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    value = names[-1].value if names else ""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
