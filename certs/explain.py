"""Says in words what a certificate, or a key, is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.folder import MAX_FILE_BYTES
from certs.hosts import alternative_names
from certs.problem import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "be a server (serverAuth)",
    ExtendedKeyUsageOID.CLIENT_AUTH: "be a client (clientAuth)",
}
_KEY_USAGES = {
    "digital_signature": "sign a handshake",
    "key_cert_sign": "sign certificates",
    "crl_sign": "sign revocation lists",
    "key_encipherment": "encrypt keys (RSA key exchange)",
}


def explain(path: Path) -> str:
    """Describes every certificate in a PEM file, or its key. Raises CertificateError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise CertificateError(f"cannot read {path}: {error.strerror}") from None
    if b"PRIVATE KEY" in content:
        return _explain_key(path, content)
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise CertificateError(
            f"{path} holds no certificate in PEM form (it would begin with BEGIN CERTIFICATE)"
        ) from None
    blocks = ["\n".join(_lines(certificate)) for certificate in certificates]
    return f"{path}\n" + "\n\n".join(blocks) + "\n"


def _explain_key(path: Path, content: bytes) -> str:
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        return f"{path}\n  a private key, encrypted with a passphrase\n"
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path} holds a private key that cannot be read") from None
    mode = path.stat().st_mode & 0o777
    readers = "only its owner may read it" if not mode & 0o077 else f"mode {mode:o}: others may read it!"
    return f"{path}\n  a private key: {_key_words(key.public_key())}; {readers}\n"


def _lines(certificate: x509.Certificate) -> Iterator[str]:
    yield f"  who        {certificate.subject.rfc4514_string() or 'nobody (no subject)'}"
    own = certificate.subject == certificate.issuer
    yield f"  signed by  {'itself' if own else certificate.issuer.rfc4514_string()}"
    yield f"  kind       {_kind(certificate)}"
    names = alternative_names(certificate)
    yield f"  speaks for {', '.join(names) or 'no host (no subject alternative names)'}"
    yield f"  may        {', '.join(_permissions(certificate)) or 'anything (no usages named)'}"
    yield f"  valid      {_validity(certificate)}"
    yield f"  key        {_key_words(certificate.public_key())}"
    yield f"  serial     {certificate.serial_number:x}"
    yield f"  sha256     {certificate.fingerprint(hashes.SHA256()).hex()}"


def _kind(certificate: x509.Certificate) -> str:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return "a certificate"
    return "an authority: it signs others" if constraints.ca else "an end of a connection: it signs no others"


def _permissions(certificate: x509.Certificate) -> Iterator[str]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        yield from (words for name, words in _KEY_USAGES.items() if getattr(usage, name))
    except x509.ExtensionNotFound:
        pass
    try:
        extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        yield from (_USAGES.get(usage, usage.dotted_string) for usage in extended)
    except x509.ExtensionNotFound:
        pass


def _validity(certificate: x509.Certificate) -> str:
    now = datetime.now(UTC)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    if now >= last:
        return f"{span}: EXPIRED {(now - last).days} days ago"
    if now < first:
        return f"{span}: NOT YET VALID"
    return f"{span}: {(last - now).days} more days"


def _key_words(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"elliptic curve {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    return type(key).__name__
