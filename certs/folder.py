"""The folder of certificates: private, written whole or not at all, never overwritten.

A file appears under its name only when it is complete and on the disk. Two runs at once take
turns. A key is written before its certificate, so a run that was cut short leaves at worst a
key, which the next run uses.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from certs.problem import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER_MODE = 0o700
KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644
MAX_FILE_BYTES = 1 << 20


class Owner(NamedTuple):
    """Whom the files belong to; needs root when it is somebody else."""

    uid: int
    gid: int


class Folder:
    """A folder of certificates and keys."""

    def __init__(self, path: Path, owner: Owner | None = None) -> None:
        self.path = path
        self.owner = owner

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder when it is missing and keeps other runs out of it."""
        try:
            if not self.path.exists():
                self.path.mkdir(mode=FOLDER_MODE, parents=True)
                self._give(self.path)
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise CertificateError(
                f"cannot use the folder {self.path}: {error.strerror}; choose another with --out"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return os.path.lexists(self.path / name)

    def certificate(self, name: str) -> x509.Certificate:
        """Reads a certificate. Raises CertificateError."""
        try:
            return x509.load_pem_x509_certificate(self._read(name))
        except ValueError:
            raise CertificateError(
                f"{self.path / name} holds no certificate; move it away to have it made anew"
            ) from None

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """Reads a private key. Raises CertificateError."""
        try:
            key = load_pem_private_key(self._read(name), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CertificateError(
                f"{self.path / name} holds no readable private key; move it away to have it made anew"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError(
                f"{self.path / name} is not an elliptic-curve key and so was not made here; "
                "choose another folder with --out"
            )
        return key

    def write_key(self, name: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Writes a new key; an existing file is an error."""
        content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.write(name, content, KEY_MODE)

    def write_certificate(self, name: str, certificate: x509.Certificate, *, replace: bool = False) -> None:
        """Writes a certificate; an existing file is an error unless it is to be renewed."""
        self.write(name, certificate.public_bytes(Encoding.PEM), CERTIFICATE_MODE, replace=replace)

    def give(self, name: str) -> None:
        """Hands a file to the owner asked for."""
        self._give(self.path / name)

    def _give(self, path: Path) -> None:
        if self.owner is None:
            return
        try:
            os.chown(path, *self.owner, follow_symlinks=False)
        except OSError as error:
            raise CertificateError(
                f"cannot give {path} to {self.owner.uid}:{self.owner.gid}: {error.strerror}; "
                "run as root or leave out --owner"
            ) from None

    def _read(self, name: str) -> bytes:
        try:
            with (self.path / name).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise CertificateError(f"cannot read {self.path / name}: {error.strerror}") from None
        if len(content) > MAX_FILE_BYTES:
            raise CertificateError(f"{self.path / name} is too large for a certificate or a key")
        return content

    def write(self, name: str, content: bytes, mode: int, *, replace: bool = False) -> None:
        """Writes a file of any content; an existing one is an error unless it is to be replaced."""
        final = self.path / name
        temporary = self.path / f".{name}.{secrets.token_hex(8)}"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            try:
                with os.fdopen(handle, "wb") as file:
                    os.fchmod(handle, mode)  # whatever the umask
                    file.write(content)
                    file.flush()
                    os.fsync(handle)
                if replace:
                    temporary.replace(final)
                else:
                    os.link(temporary, final)  # fails when the name is taken
            finally:
                temporary.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise CertificateError(f"cannot write {final}: {error.strerror}") from None

    def _sync(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
