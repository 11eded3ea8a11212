"""Brings a folder to the state asked for: makes what is missing, keeps what is good.

Existing files are judged, not trusted: a certificate must fit its key, be signed by the
authority beside it, be valid today and speak for every host asked for. What fails is refused
with words; only `renew` replaces a certificate, and then with its old key.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature

from certs.hosts import LOCAL_HOSTS, general_name, missing_hosts
from certs.issue import CLIENT_USAGES, MEMBER_USAGES, Issuer, make_authority, make_leaf, new_key
from certs.problem import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from certs.folder import Folder

MAX_DAYS = 36500
RENEW_WITHIN = timedelta(days=30)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_AUTHORITY_KEYS = ("ca.key", "peer-ca.key")
_COMMON_NAME_LENGTH = 64  # X.520's bound


class Member(NamedTuple):
    """A member and the hosts others reach it at, beside localhost."""

    name: str
    hosts: tuple[str, ...]


class Request(NamedTuple):
    """What a folder should hold."""

    members: tuple[Member, ...]
    client_name: str = "root"  # common name of client.crt: etcd takes it for the user
    further_clients: tuple[str, ...] = ()
    days: int = 365
    authority_days: int = 3650
    renew: bool = False  # replace certificates that expire soon or lack a host


class Outcome(NamedTuple):
    """What became of one certificate."""

    file: str
    action: str  # made, kept or renewed
    not_valid_after: datetime


class _Leaf(NamedTuple):
    file: str  # without ending
    common_name: str
    hosts: tuple[str, ...]
    usages: tuple[x509.ObjectIdentifier, ...]
    authority: str


def parse_member(text: str) -> Member:
    """Reads `n1=10.0.0.1,n1.example` or `n1`. Raises CertificateError."""
    name, _, listed = text.partition("=")
    check_name(name, f"--member {text}")
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    return Member(name, tuple(dict.fromkeys(hosts)))


def check_name(name: str, where: str) -> None:
    """Raises CertificateError for a name that cannot be part of a file's name."""
    if not _NAME.fullmatch(name):
        raise CertificateError(
            f"{where}: {name!r} is no name; use letters, digits, dots, hyphens and underscores, at most 63"
        )


def make(folder: Folder, request: Request) -> list[Outcome]:
    """Makes what is missing in the folder and returns what became of each certificate.

    Everything is looked at before anything is written. Raises CertificateError.
    """
    _check(request)
    leaves = list(_leaves(request))
    files = [leaf.file for leaf in leaves]
    if repeated := {file for file in files if files.count(file) > 1}:
        raise CertificateError(f"a member and a client would both be {min(repeated)}.crt; rename one")
    with folder.locked():
        for leaf in leaves:
            _judge(folder, leaf, request)
        outcomes = [_authority(folder, name, request) for name in ("ca", "peer-ca")]
        outcomes.extend(_leaf(folder, leaf, request) for leaf in leaves)
        _give(folder, outcomes)
    return outcomes


def _give(folder: Folder, outcomes: Sequence[Outcome]) -> None:
    """Hands everything to the owner but the authorities' keys: no member needs those."""
    for outcome in outcomes:
        folder.give(outcome.file)
        key = outcome.file.removesuffix(".crt") + ".key"
        if key not in _AUTHORITY_KEYS:
            folder.give(key)


def _check(request: Request) -> None:
    names = [member.name for member in request.members]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise CertificateError(
            f"member {min(repeated)} is named twice; put all its hosts behind one --member"
        )
    for name in (request.client_name, *request.further_clients):
        check_name(name, f"client {name}")
        if len(name) > _COMMON_NAME_LENGTH:
            raise CertificateError(f"client name {name} is longer than {_COMMON_NAME_LENGTH} characters")
    for days in (request.days, request.authority_days):
        if not 0 < days <= MAX_DAYS:
            raise CertificateError(f"{days} days: write a number from 1 to {MAX_DAYS}")


def _leaves(request: Request) -> Iterator[_Leaf]:
    for member in request.members:
        own = (member.name,) if _is_host(member.name) else ()
        hosts = tuple(dict.fromkeys((*own, *member.hosts, *LOCAL_HOSTS)))
        for host in hosts:
            general_name(host)
        yield _Leaf(f"{member.name}-server", member.name, hosts, MEMBER_USAGES, "ca")
        yield _Leaf(f"{member.name}-peer", member.name, hosts, MEMBER_USAGES, "peer-ca")
    yield _Leaf("client", request.client_name, (), CLIENT_USAGES, "ca")
    for name in dict.fromkeys(request.further_clients):
        yield _Leaf(f"client-{name}", name, (), CLIENT_USAGES, "ca")


def _is_host(name: str) -> bool:
    try:
        general_name(name)
    except CertificateError:
        return False
    return True


def _judge(folder: Folder, leaf: _Leaf, request: Request) -> None:
    """Raises CertificateError when an existing certificate is not what was asked for."""
    if not folder.exists(f"{leaf.file}.crt"):
        return
    path = folder.path / f"{leaf.file}.crt"
    certificate = folder.certificate(f"{leaf.file}.crt")
    _check_key(folder, leaf.file, certificate)
    if not folder.exists(f"{leaf.authority}.crt"):
        raise CertificateError(
            f"{path} is there, but the authority that signed it, {leaf.authority}.crt, is not; "
            "put it back, or choose another folder with --out"
        )
    try:
        certificate.verify_directly_issued_by(folder.certificate(f"{leaf.authority}.crt"))
    except (InvalidSignature, ValueError, TypeError):
        raise CertificateError(
            f"{path} was signed by another authority than {leaf.authority}.crt beside it; "
            "move one of them away, or choose another folder with --out"
        ) from None
    if request.renew:
        return
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise CertificateError(f"{path} expired on {_day(certificate)}; run again with --renew")
    if missing := missing_hosts(certificate, leaf.hosts):
        raise CertificateError(
            f"{path} does not speak for {', '.join(missing)}; run again with --renew, or leave those out"
        )
    if certificate.subject.rfc4514_string() != f"CN={leaf.common_name}":
        raise CertificateError(
            f"{path} is for {certificate.subject.rfc4514_string()}, not for CN={leaf.common_name}; "
            "run again with --renew, or name the same client"
        )


def _check_key(folder: Folder, file: str, certificate: x509.Certificate) -> None:
    if folder.exists(f"{file}.key") and folder.key(f"{file}.key").public_key() != certificate.public_key():
        raise CertificateError(
            f"{folder.path / file}.key is not the key of {file}.crt; move both away to have them made anew"
        )
    if not folder.exists(f"{file}.key") and file not in ("ca", "peer-ca"):
        raise CertificateError(
            f"{folder.path / file}.crt has no key beside it; put {file}.key back, "
            "or move the certificate away"
        )


def _authority(folder: Folder, name: str, request: Request) -> Outcome:
    if folder.exists(f"{name}.crt"):
        certificate = folder.certificate(f"{name}.crt")
        _check_key(folder, name, certificate)
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            raise CertificateError(
                f"the authority {folder.path / name}.crt expired on {_day(certificate)}; "
                "make a new set in another folder with --out; let members trust both meanwhile"
            )
        return Outcome(f"{name}.crt", "kept", certificate.not_valid_after_utc)
    words = "miniraft peer authority" if name == "peer-ca" else "miniraft authority"
    certificate = make_authority(words, _key(folder, name), request.authority_days)
    folder.write_certificate(f"{name}.crt", certificate)
    return Outcome(f"{name}.crt", "made", certificate.not_valid_after_utc)


def _leaf(folder: Folder, leaf: _Leaf, request: Request) -> Outcome:
    file = f"{leaf.file}.crt"
    renewing = False
    if folder.exists(file):
        existing = folder.certificate(file)
        renewing = request.renew and _is_stale(existing, leaf)
        if not renewing:
            return Outcome(file, "kept", existing.not_valid_after_utc)
    if not folder.exists(f"{leaf.authority}.key"):
        raise CertificateError(
            f"{file} cannot be made: the authority's key, {folder.path / leaf.authority}.key, is not here; "
            "put it back, or make a new set in another folder with --out"
        )
    issuer = Issuer(folder.certificate(f"{leaf.authority}.crt"), folder.key(f"{leaf.authority}.key"))
    certificate = make_leaf(
        leaf.common_name, leaf.hosts, leaf.usages, _key(folder, leaf.file), issuer, request.days
    )
    folder.write_certificate(file, certificate, replace=renewing)
    return Outcome(file, "renewed" if renewing else "made", certificate.not_valid_after_utc)


def _is_stale(certificate: x509.Certificate, leaf: _Leaf) -> bool:
    return (
        certificate.not_valid_after_utc - datetime.now(UTC) < RENEW_WITHIN
        or bool(missing_hosts(certificate, leaf.hosts))
        or certificate.subject.rfc4514_string() != f"CN={leaf.common_name}"
    )


def _key(folder: Folder, file: str) -> ec.EllipticCurvePrivateKey:
    """The key of this name, made when it is missing."""
    if not folder.exists(f"{file}.key"):
        folder.write_key(f"{file}.key", new_key())
    return folder.key(f"{file}.key")


def _day(certificate: x509.Certificate) -> str:
    return certificate.not_valid_after_utc.strftime("%Y-%m-%d")


def client_files(request: Request) -> Sequence[str]:
    """The client certificates of a request, without ending."""
    return ["client", *(f"client-{name}" for name in dict.fromkeys(request.further_clients))]
