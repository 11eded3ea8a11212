"""--auto-tls and --peer-auto-tls: certificates that a member makes and signs itself.

They keep listeners out, not impostors: nobody can check such a certificate, so members that
use them do not check each other's, and no listener asks for one. As in etcd they lie in
<data-dir>/fixtures/client and <data-dir>/fixtures/peer and are used again as long as both
files are there, and certificates named by flags go before them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.folder import KEY_MODE, Folder
from certs.hosts import general_name
from certs.problem import CertificateError
from miniraft.runtime import log
from miniraft.runtime.disk import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from miniraft.runtime.config import ServerConfig

_CERTIFICATE, _KEY = "cert.pem", "key.pem"
_YEAR = timedelta(days=365)
_EXPIRY_WARNING = timedelta(days=30)
# What names other certificates or asks others for theirs means nothing beside a self-made one.
_CLIENT_SETTINGS: dict[str, Any] = {
    "trusted_ca_file": "",
    "client_cert_auth": False,
    "client_cert_file": "",
    "client_key_file": "",
    "client_crl_file": "",
    "client_cert_allowed_hostname": (),
}
_PEER_SETTINGS: dict[str, Any] = {
    "peer_trusted_ca_file": "",
    "peer_client_cert_auth": False,
    "peer_client_cert_file": "",
    "peer_client_key_file": "",
    "peer_crl_file": "",
    "peer_cert_allowed_hostname": (),
    "peer_cert_allowed_cn": (),
    "peer_skip_client_san_verification": False,
}


class SelfSignedError(Exception):
    """A certificate cannot be made or used again. The message says why, and what to do."""


def with_self_signed(config: ServerConfig, data_folder: Path) -> ServerConfig:
    """Returns the configuration with the self-made certificates it asks for, making them if needed.

    `peer_auto_tls` and `auto_tls` are off in it where certificates were given. Blocks.
    Raises SelfSignedError.
    """
    if config.peer_auto_tls:
        config = _for_peers(config, data_folder / "fixtures" / "peer")
    if config.auto_tls:
        config = _for_clients(config, data_folder / "fixtures" / "client")
    return config


def _for_peers(config: ServerConfig, folder: Path) -> ServerConfig:
    if not config.makes_peer_certificate:
        log.event("warn", "ignoring peer auto TLS since certs given")
        return replace(config, peer_auto_tls=False)
    _warn_of_settings("--peer-auto-tls", config, _PEER_SETTINGS)
    cert_file, key_file = _pair(folder, config.listen_peer_urls, config.self_signed_cert_validity_years)
    return replace(config, peer_cert_file=cert_file, peer_key_file=key_file, **_PEER_SETTINGS)


def _for_clients(config: ServerConfig, folder: Path) -> ServerConfig:
    if not config.makes_client_certificate:
        log.event("warn", "ignoring client auto TLS since certs given")
        return replace(config, auto_tls=False)
    _warn_of_settings("--auto-tls", config, _CLIENT_SETTINGS)
    urls = (*config.listen_client_urls, *config.listen_client_http_urls)
    cert_file, key_file = _pair(folder, urls, config.self_signed_cert_validity_years)
    return replace(config, cert_file=cert_file, key_file=key_file, **_CLIENT_SETTINGS)


def _warn_of_settings(flag: str, config: ServerConfig, settings: dict[str, Any]) -> None:
    """As in etcd nobody is asked for a certificate then, whatever else was said: that must be seen."""
    named = [name for name, neutral in settings.items() if getattr(config, name) != neutral]
    if named:
        log.event(
            "warn",
            f"flags without effect beside {flag}: no certificate of a caller is asked for or checked",
            flags=[f"--{name.replace('_', '-')}" for name in named],
            fix=f"to have callers checked, name certificates of an authority instead of {flag}",
        )


def _pair(folder: Path, urls: Iterable[str], validity_years: int) -> tuple[str, str]:
    """Returns certificate and key file, those that are there or fresh ones."""
    folder = folder.absolute()
    cert_file, key_file = folder / _CERTIFICATE, folder / _KEY
    try:
        if cert_file.exists() and key_file.exists():
            _check_pair(cert_file, key_file)
        else:
            make_folder(folder)
            _make_pair(folder, urls, validity_years)
    except (OSError, CertificateError) as error:
        raise SelfSignedError(f"cannot make a certificate in {folder}: {error}") from error
    return str(cert_file), str(key_file)


def _check_pair(cert_file: Path, key_file: Path) -> None:
    remedy = f"remove {cert_file.parent}, and the next start makes new ones"
    try:
        certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise SelfSignedError(f"{cert_file} and {key_file} cannot be read ({error}): {remedy}") from error
    if key.public_key() != certificate.public_key():
        raise SelfSignedError(f"{key_file} is not the key of {cert_file}: {remedy}")
    not_after = certificate.not_valid_after_utc
    if not_after - datetime.now(UTC) < _EXPIRY_WARNING:
        log.event(
            "warn",
            "the self-made certificate has expired, or will soon",
            file=str(cert_file),
            not_after=not_after.isoformat(),
            fix=f"stop the member and {remedy}",
        )


def _make_pair(folder: Path, urls: Iterable[str], validity_years: int) -> None:
    now = datetime.now(UTC)
    not_after = now + validity_years * _YEAR
    log.event(
        "warn",
        "automatically generate certificates",
        certificate_validity_bound_not_after=not_after.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    )
    key = ec.generate_private_key(ec.SECP521R1())
    certificate = _certificate(key, urls, now, not_after)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    files = Folder(folder)
    files.write(_KEY, pem, KEY_MODE, replace=True)
    files.write_certificate(_CERTIFICATE, certificate, replace=True)
    log.event("info", "created cert file", path=str(folder / _CERTIFICATE))
    log.event("info", "created key file", path=str(folder / _KEY))


def _certificate(
    key: ec.EllipticCurvePrivateKey, urls: Iterable[str], not_before: datetime, not_after: datetime
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    hosts = dict.fromkeys(host for url in urls if (host := urlsplit(url).hostname))
    usages = dict.fromkeys(
        (
            "content_commitment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.KeyUsage(digital_signature=True, key_encipherment=True, **usages), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([general_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA512())
