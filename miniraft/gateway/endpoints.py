"""Where a gateway passes connections on to, and which endpoint is next."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from miniraft.discovery.problem import DiscoveryError
from miniraft.discovery.srv import Target, look_up
from miniraft.runtime import log

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

_CHECK_SECONDS = 5.0
_RARELY = 0.01  # how often an endpoint without weight is taken while others have one


class Discovery(NamedTuple):
    """The flags that have endpoints looked up in the DNS."""

    domain: str = ""
    service_name: str = ""
    insecure: bool = False
    trusted_ca_file: str = ""


def parse_endpoint(text: str) -> Target:
    """Reads `host:port`; of a URL just that counts. Raises DiscoveryError."""
    parts = urlsplit(text if "//" in text else f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port:
        raise DiscoveryError(f'error parsing endpoint "{text}": write host:port, as in 10.0.0.1:2379')
    return Target(parts.scheme, parts.hostname, port, 0, 0)


async def discover(discovery: Discovery) -> list[Target]:
    """Returns the endpoints that stand in the DNS, none without a domain. Raises DiscoveryError.

    Unless insecure ones are allowed, only those count that show a certificate for the domain.
    """
    if not discovery.domain:
        return []
    targets = await look_up("etcd-client", discovery.service_name, discovery.domain)
    shown = [target.url for target in targets]
    log.event("info", "discovered cluster from SRV", srv_server=discovery.domain, endpoints=shown)
    if discovery.insecure:
        return targets
    context = _context(discovery.trusted_ca_file)
    problems = await asyncio.gather(*(_problem(target, context, discovery.domain) for target in targets))
    for target, problem in zip(targets, problems, strict=True):
        if problem:
            log.event("warn", "failed to validate discovered endpoint", endpoint=target.url, error=problem)
    return [target for target, problem in zip(targets, problems, strict=True) if not problem]


def _context(trusted_ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=trusted_ca_file or None)
    except OSError as error:
        raise DiscoveryError(f"--trusted-ca-file {trusted_ca_file} cannot be used: {error}") from error


async def _problem(target: Target, context: ssl.SSLContext, domain: str) -> str:
    """Returns why an endpoint is not secure, or nothing."""
    if target.scheme != "https":
        return f'"{target.url}" is insecure'
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            _, writer = await asyncio.open_connection(
                target.host, target.port, ssl=context, server_hostname=domain
            )
    except OSError as error:
        return str(error) or f"no answer within {_CHECK_SECONDS:g} s"
    writer.transport.abort()
    return ""


async def resolves(host: str, port: int) -> set[tuple[str, int]]:
    """Returns the addresses of a host; none when it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(str(entry[4][0]), int(entry[4][1])) for entry in found}


class Remote:
    """An endpoint, and until when it is left alone because it was not there."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.absent_until_seconds = 0.0  # 0: it was there when it was last called


class Choice:
    """Picks endpoints as RFC 2782 asks: the lowest priority, there by weight, else in turn."""

    def __init__(self, targets: Sequence[Target], random: Random) -> None:
        self.remotes = [Remote(target) for target in targets]
        self._random = random
        self._turn = 0

    def next(self, tried: Iterable[Remote], now_seconds: float) -> Remote | None:
        """Returns the one to call now; those that are left alone come after the others."""
        left = [remote for remote in self.remotes if remote not in tried]
        left = [remote for remote in left if remote.absent_until_seconds <= now_seconds] or left
        if not left:
            return None
        lowest = min(remote.target.priority for remote in left)
        best = [remote for remote in left if remote.target.priority == lowest]
        weighted = [remote for remote in best if remote.target.weight]
        unweighted = [remote for remote in best if not remote.target.weight]
        if weighted and not (unweighted and self._random.random() < _RARELY):
            return self._random.choices(weighted, [remote.target.weight for remote in weighted])[0]
        self._turn += 1
        return unweighted[self._turn % len(unweighted)]
