"""Checks the certificate files a configuration names, before any connection fails on them.

A handshake that fails says little and says it to the other side. So what would make every
handshake fail refuses the start here, and what makes some fail warns, each naming the file.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from certs.hosts import alternative_names, names_host
from miniraft.config.problem import ConfigError
from miniraft.tls.revocation import RevocationList, RevokedError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from miniraft.config.warning import Warnings
    from miniraft.runtime.config import ServerConfig

MAX_FILE_BYTES = 1 << 20
EXPIRY_WARNING = timedelta(days=30)
_MAKE = "make certificates with: python -m certs --member {name}={hosts}"


class _Side(NamedTuple):
    """One of the two listeners: for clients and for members."""

    prefix: str  # of its flags
    listen_flag: str
    urls: tuple[str, ...]  # that it listens on
    advertised: tuple[str, ...]
    cert_file: str
    key_file: str
    ca_file: str
    asks_for_certificates: bool
    is_self_made: bool  # --auto-tls, --peer-auto-tls


def check_certificates(config: ServerConfig, warnings: Warnings) -> None:
    """Checks both listeners' files. Raises ConfigError for what cannot work."""
    _check_side(
        config,
        _Side(
            "",
            "listen-client-urls",
            (*config.listen_client_urls, *config.listen_client_http_urls, *config.listen_metrics_urls),
            config.advertise_client_urls,
            config.cert_file,
            config.key_file,
            config.trusted_ca_file,
            config.client_cert_auth,
            config.makes_client_certificate,
        ),
        warnings,
    )
    _check_side(
        config,
        _Side(
            "peer-",
            "listen-peer-urls",
            config.listen_peer_urls,
            config.initial_advertise_peer_urls,
            config.peer_cert_file,
            config.peer_key_file,
            config.peer_trusted_ca_file,
            config.peer_client_cert_auth,
            config.makes_peer_certificate,
        ),
        warnings,
    )
    for prefix, cert_file, key_file in (
        ("client-", config.client_cert_file, config.client_key_file),
        ("peer-client-", config.peer_client_cert_file, config.peer_client_key_file),
    ):
        _check_pair_named(prefix, cert_file, key_file)
        if cert_file:
            _load_pair(prefix, cert_file, key_file)
    _check_rules(config, warnings)


def _check_rules(config: ServerConfig, warnings: Warnings) -> None:
    """What is to keep some callers out keeps out nobody, or everybody, when something is missing."""
    for flag, file in (
        ("client-crl-file", config.client_crl_file),
        ("peer-crl-file", config.peer_crl_file),
    ):
        if not file:
            continue
        try:
            RevocationList(file).read()
        except RevokedError as error:
            warnings.add(str(error), flag=f"--{flag}", fix=f"correct --{flag}; the file is read again")
    client_rules = {
        "client-crl-file": config.client_crl_file,
        "client-cert-allowed-hostname": config.client_cert_allowed_hostname,
    }
    peer_rules = {
        "peer-crl-file": config.peer_crl_file,
        "peer-cert-allowed-hostname": config.peer_cert_allowed_hostname,
        "peer-cert-allowed-cn": config.peer_cert_allowed_cn,
    }
    for prefix, rules, asks in (
        ("", client_rules, config.client_certificates_required),
        ("peer-", peer_rules, config.peer_certificates_required),
    ):
        if any(rules.values()) and not asks:
            warnings.add(
                "callers are not asked for certificates, so there is nothing to check",
                flags=",".join(f"--{flag}" for flag, value in rules.items() if value),
                fix=f"add --{prefix}client-cert-auth and --{prefix}trusted-ca-file",
            )


def _check_side(config: ServerConfig, side: _Side, warnings: Warnings) -> None:
    secure = [url for url in side.urls if urlsplit(url).scheme in ("https", "unixs")]
    plain = [url for url in side.urls if url not in secure and url not in config.listen_metrics_urls]
    _check_pair_named(side.prefix, side.cert_file, side.key_file)
    if not secure or side.is_self_made:
        _warn_plain(side, plain, warnings)
        return
    if not side.cert_file:
        raise ConfigError(
            f"TLS key/cert (--{side.prefix}cert-file, --{side.prefix}key-file) must be provided for "
            f"{'peer' if side.prefix else 'client'} url {secure[0]} with HTTPS scheme",
            _MAKE.format(name=config.name, hosts=_hosts(side))
            + f", then add --{side.prefix}cert-file and --{side.prefix}key-file; "
            f"or add --{side.prefix}auto-tls, which encrypts but checks nobody; "
            f"or write --{side.listen_flag}={secure[0].replace('https', 'http', 1)} to go without TLS",
        )
    if side.asks_for_certificates and not side.ca_file:
        flag = f"{side.prefix}client-cert-auth"
        raise ConfigError(
            f"--{flag} asks for certificates, but no CA says which to trust",
            f"add --{side.prefix}trusted-ca-file=ca.crt",
        )
    if plain:
        _warn_plain(side, plain, warnings)
    certificate = _load_pair(side.prefix, side.cert_file, side.key_file)
    authorities = _load_certificates(f"{side.prefix}trusted-ca-file", side.ca_file) if side.ca_file else []
    _check_certificate(config, side, certificate, authorities, warnings)


def _hosts(side: _Side) -> str:
    return ",".join(sorted({urlsplit(url).hostname or "" for url in side.advertised}))


def _check_pair_named(prefix: str, cert_file: str, key_file: str) -> None:
    if bool(cert_file) != bool(key_file):
        given, missing = ("cert-file", "key-file") if cert_file else ("key-file", "cert-file")
        raise ConfigError(
            f"--{prefix}{given} is set without --{prefix}{missing}",
            f"a certificate and its key go together: add --{prefix}{missing}",
        )


def _warn_plain(side: _Side, plain: list[str], warnings: Warnings) -> None:
    """As in etcd, the scheme decides; TLS flags beside a plain URL protect nothing there."""
    named = [
        flag
        for flag, value in (
            ("cert-file", side.cert_file),
            ("trusted-ca-file", side.ca_file),
            ("client-cert-auth", side.asks_for_certificates),
            ("auto-tls", side.is_self_made),
        )
        if value
    ]
    if not named:
        return
    for url in plain:
        warnings.add(
            "scheme is http or unix while TLS flags are present; this URL is served without TLS",
            url=url,
            flags=",".join(f"--{side.prefix}{flag}" for flag in named),
            fix=f"write --{side.listen_flag}={url.replace('http', 'https', 1)}",
        )


def _read(flag: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        fix = "run as a user that may read it" if isinstance(error, PermissionError) else f"correct --{flag}"
        raise ConfigError(f"open {path}: {reason}", fix) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes", f"correct --{flag}")
    return content


def _load_certificates(flag: str, path: str) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read(flag, path))
    except ValueError:
        raise ConfigError(
            f"{path} holds no certificate in PEM form", f"name a file with BEGIN CERTIFICATE in --{flag}"
        ) from None


def _load_key(flag: str, path: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_read(flag, path), None)
    except TypeError:
        raise ConfigError(
            f"{path} is encrypted", f"decrypt it: openssl pkey -in {path} -out plain.key, and name that"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            f"{path} holds no private key in PEM form", f"name a file with BEGIN PRIVATE KEY in --{flag}"
        ) from None


def _load_pair(prefix: str, cert_file: str, key_file: str) -> x509.Certificate:
    certificate = _load_certificates(f"{prefix}cert-file", cert_file)[0]
    key = _load_key(f"{prefix}key-file", key_file)
    if key.public_key() != certificate.public_key():
        raise ConfigError(
            f"tls: private key does not match public key: {key_file} is not the key of {cert_file}",
            f"name the two files that were made together in --{prefix}cert-file and --{prefix}key-file",
        )
    return certificate


def _check_certificate(
    config: ServerConfig,
    side: _Side,
    certificate: x509.Certificate,
    authorities: list[x509.Certificate],
    warnings: Warnings,
) -> None:
    file = side.cert_file
    remake = _MAKE.format(name=config.name, hosts=_hosts(side))
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        warnings.add(
            "certificate has expired: connections to this member will fail",
            file=file,
            not_after=certificate.not_valid_after_utc.isoformat(),
            fix=remake,
        )
    elif certificate.not_valid_after_utc - now < EXPIRY_WARNING:
        warnings.add(
            "certificate expires soon",
            file=file,
            not_after=certificate.not_valid_after_utc.isoformat(),
            fix=remake,
        )
    if certificate.not_valid_before_utc > now:
        warnings.add(
            "certificate is not valid yet: look at the clocks",
            file=file,
            not_before=certificate.not_valid_before_utc.isoformat(),
        )
    for url in side.advertised:
        host = urlsplit(url).hostname or ""
        if urlsplit(url).scheme == "https" and not names_host(certificate, host):
            warnings.add(
                "certificate does not name the advertised host: whoever connects there will refuse it",
                file=file,
                host=host,
                names=", ".join(alternative_names(certificate)) or "none",
                fix=remake,
            )
    _warn_usage(side, certificate, warnings)
    # Only where members dial each other must this certificate itself be trusted by this CA.
    if side.prefix and authorities and not any(_issued_by(certificate, ca) for ca in authorities):
        warnings.add(
            "peer certificate is not issued by the CA in --peer-trusted-ca-file: members that trust only "
            "that CA will refuse this one",
            file=file,
            issuer=certificate.issuer.rfc4514_string(),
            ca_file=side.ca_file,
            ca=", ".join(ca.subject.rfc4514_string() for ca in authorities),
        )


def _warn_usage(side: _Side, certificate: x509.Certificate, warnings: Warnings) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return
    wanted = {ExtendedKeyUsageOID.SERVER_AUTH: "server authentication"}
    if side.prefix:
        wanted[ExtendedKeyUsageOID.CLIENT_AUTH] = "client authentication"
    for usage, words in wanted.items():
        if usage not in usages and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages:
            warnings.add(
                f"certificate does not allow {words}: handshakes will fail with 'bad certificate'",
                file=side.cert_file,
                fix=f"issue it with extendedKeyUsage {words}, or use python -m certs",
            )


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether an authority is in a certificate's chain, or may be: chains are not followed."""
    return certificate.issuer == authority.subject or certificate.issuer == authority.issuer
