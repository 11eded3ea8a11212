"""SRV records: the members of a cluster, or its client endpoints, under a domain.

_etcd-server-ssl._tcp.<domain>     members that are called by https
_etcd-server._tcp.<domain>         members that are called by http
_etcd-client-ssl._tcp.<domain>     endpoints for clients, likewise
_etcd-client._tcp.<domain>

With a name of its own a cluster puts it behind the service: _etcd-server-ssl-<name>._tcp.<domain>.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception

from miniraft.discovery.problem import DiscoveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SCHEMES = ("https", "http")
_MAX_RECORDS = 1000


class Target(NamedTuple):
    """One SRV record."""

    scheme: str  # of the service it stands under
    host: str  # without the dot at its end
    port: int
    priority: int
    weight: int

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def url(self) -> str:
        """As a URL."""
        return f"{self.scheme}://{self.address}"


def make_resolver() -> dns.asyncresolver.Resolver:
    """Returns a resolver with the system's settings. Raises DiscoveryError."""
    try:
        return dns.asyncresolver.Resolver()
    except dns.exception.DNSException as error:
        raise DiscoveryError(f"the system names no DNS server (/etc/resolv.conf): {error}") from error


async def look_up(service: str, suffix: str, domain: str) -> list[Target]:
    """Returns the records of a service (`etcd-server`, `etcd-client`) under both its names.

    Raises DiscoveryError when neither has any.
    """
    resolver = make_resolver()
    found: list[Target] = []
    problems: list[str] = []
    for scheme in _SCHEMES:
        name = f"_{service_name(service, suffix, scheme)}._tcp.{domain}"
        try:
            answer = await resolver.resolve(name, "SRV")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            problems.append(f"lookup {name}: {error}")
            continue
        for record in answer:
            host = record.target.to_text(omit_final_dot=True)
            found.append(Target(scheme, host, record.port, record.priority, record.weight))
    if not found:
        raise DiscoveryError(
            f"dns lookup errors: {' and '.join(problems)}; set the SRV records, or correct the domain"
        )
    return found[:_MAX_RECORDS]


def service_name(service: str, suffix: str, scheme: str) -> str:
    """Returns a service as it is written in the DNS, without the underscore."""
    secure = f"{service}-ssl" if scheme == "https" else service
    return f"{secure}-{suffix}" if suffix else secure


async def find_members(
    domain: str, suffix: str, own_name: str, advertised_urls: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Returns name -> peer URLs of the members that stand in the DNS.

    The record that leads to an advertised URL of this member gets its name; the others' names are
    not known, and numbers stand for them. Raises DiscoveryError, with etcd's words first.
    """
    targets = await look_up("etcd-server", suffix, domain)
    own = {address: url for url in advertised_urls for address in await _addresses(*_host_and_port(url))}
    members: dict[str, list[str]] = {}
    numbers = (str(number) for number in itertools.count() if str(number) != own_name)
    for target in targets:
        addresses = await _addresses(target.host, target.port)
        advertised = next((own[address] for address in addresses if address in own), None)
        if advertised is not None and urlsplit(advertised).scheme != target.scheme:
            service = service_name("etcd-server", suffix, target.scheme)
            raise DiscoveryError(
                f"bootstrap at {target.url} from DNS for {service} has scheme mismatch with expected peer "
                f"{advertised}: correct the record, or --initial-advertise-peer-urls"
            )
        if advertised is not None:
            members.setdefault(own_name, []).append(target.url)
        else:
            members[next(numbers)] = [target.url]
    if own_name not in members:
        listed = ", ".join(target.url for target in targets)
        raise DiscoveryError(
            f'cannot find local etcd member "{own_name}" in SRV records: none of {listed} leads to '
            f"--initial-advertise-peer-urls={','.join(advertised_urls)}"
        )
    return {name: tuple(sorted(set(urls))) for name, urls in members.items()}


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


async def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    """Returns the addresses of a host; none when it has none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(str(entry[4][0]), int(entry[4][1])) for entry in found]
