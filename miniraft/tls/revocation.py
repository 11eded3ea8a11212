"""--client-crl-file and --peer-crl-file: certificates that count no more.

As in etcd the serial numbers alone decide, whoever signed the list and however old it is, and
the file is looked at for every handshake, so that a new list counts at once. A list that is
missing or cannot be read lets nobody in.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Iterable


class RevokedError(Exception):
    """A certificate was revoked, or nobody can tell. The message says which and why."""


class RevocationList:
    """A file with a certificate revocation list, in PEM or DER."""

    def __init__(self, file: str) -> None:
        self._path = Path(file)
        self._signature: tuple[int, int, int] | None = None
        self._list: x509.CertificateRevocationList | None = None

    def check(self, certificates: Iterable[x509.Certificate]) -> None:
        """Raises RevokedError when one of the certificates is on the list, or there is none."""
        revocations = self.read()
        for certificate in certificates:
            serial = certificate.serial_number
            if revocations.get_revoked_certificate_by_serial_number(serial) is not None:
                raise RevokedError(f"transport: certificate serial {serial:x} revoked")

    def read(self) -> x509.CertificateRevocationList:
        """Returns the list as the file has it now. Raises RevokedError."""
        try:
            found = self._path.stat()
            signature = (found.st_mtime_ns, found.st_size, found.st_ino)
            if self._list is None or signature != self._signature:
                self._list = _parse(self._path.read_bytes())
                self._signature = signature
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RevokedError(f"open {self._path}: {reason}: nobody is let in without the list") from error
        except ValueError as error:
            raise RevokedError(
                f"{self._path} holds no certificate revocation list in PEM or DER, so nobody is let in"
            ) from error
        return self._list


def _parse(content: bytes) -> x509.CertificateRevocationList:
    if content.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(content)
    return x509.load_der_x509_crl(content)
