"""The command line of `miniraft gateway`, with etcd's flags."""

from __future__ import annotations

import asyncio
import signal
import sys
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click

from miniraft.discovery.problem import DiscoveryError
from miniraft.gateway.endpoints import Choice, Discovery, discover, parse_endpoint, resolves
from miniraft.gateway.proxy import Gateway
from miniraft.runtime import log, systemd
from miniraft.runtime.config import parse_duration_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTEXT = {"help_option_names": ["-h", "--help"]}
_MAX_ENDPOINTS = 1000


class Options(NamedTuple):
    """What was asked for."""

    endpoints: tuple[str, ...]
    listen_addr: str
    retry_seconds: float
    discovery: Discovery


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Reads a Go duration; 0 is what etcd takes it for."""
    try:
        seconds = parse_duration_seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if seconds < 0:
        raise click.BadParameter(f"{value} is negative")
    return seconds or 300.0


@click.group(invoke_without_command=True, context_settings=_CONTEXT)
@click.pass_context
def command(context: click.Context) -> None:
    """Pass connections on to the members of a cluster."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command(context_settings=_CONTEXT)
@click.option(
    "--endpoints", default="127.0.0.1:2379", show_default=True, help="Endpoints, as host:port,host:port."
)
@click.option("--listen-addr", default="127.0.0.1:23790", show_default=True, help="Where clients connect.")
@click.option(
    "--retry-delay",
    metavar="DURATION",
    callback=_seconds,
    default="1m0s",
    show_default=True,
    help="Pause before an endpoint that was not there is called again.",
)
@click.option("--discovery-srv", default="", help="DNS domain whose SRV records name the endpoints.")
@click.option("--discovery-srv-name", default="", help="Suffix of the SRV service.")
@click.option("--insecure-discovery", is_flag=True, help="Take discovered endpoints without TLS too.")
@click.option("--trusted-ca-file", default="", help="CA of the discovered endpoints' certificates.")
def start(
    endpoints: str,
    listen_addr: str,
    retry_delay: float,
    discovery_srv: str,
    discovery_srv_name: str,
    insecure_discovery: bool,
    trusted_ca_file: str,
) -> int:
    """Start the gateway.

    TLS goes through it untouched: clients see the members' certificates, which must name the
    gateway's address.
    """
    import uvloop

    log.configure("auto", "info", ("stderr",))
    listed = tuple(part.strip() for part in endpoints.split(",") if part.strip())
    discovery = Discovery(discovery_srv, discovery_srv_name, insecure_discovery, trusted_ca_file)
    uvloop.run(_run(Options(listed[:_MAX_ENDPOINTS], listen_addr, retry_delay, discovery)))
    return 0


async def _run(options: Options) -> None:
    """Proxies until the process is told to stop. Raises DiscoveryError, OSError."""
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    host, port = _listen_address(options.listen_addr)
    targets = await discover(options.discovery) or [parse_endpoint(text) for text in options.endpoints]
    if not targets:
        raise DiscoveryError("no endpoints found: write --endpoints=10.0.0.1:2379,10.0.0.2:2379")
    own = await resolves(host or "localhost", port)
    for target in targets:
        found = await resolves(target.host, target.port)
        if not found:
            raise DiscoveryError(f"failed to resolve endpoint host: {target.host}: correct --endpoints")
        if found & own:
            raise DiscoveryError(
                f"SRV or endpoint ({target.address}) should not resolve to the gateway listen addr "
                f"({options.listen_addr}): it would call itself; correct one of them"
            )
    gateway = Gateway(Choice(targets, Random()), options.retry_seconds)
    await gateway.listen(host, port)
    systemd.notify("READY=1")
    await told_to_stop.wait()
    await gateway.close()


def _listen_address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        if parts.port is not None and parts.netloc == text:
            return parts.hostname or "", parts.port
    except ValueError:
        pass
    raise DiscoveryError(f"failed to validate listen address: {text}: write --listen-addr=127.0.0.1:23790")


def main(words: Sequence[str]) -> int:
    """Runs the command and returns its exit code: 0, or 1 with a reason on stderr."""
    try:
        command(list(words), prog_name="miniraft gateway", standalone_mode=False)
    except (DiscoveryError, OSError) as error:
        sys.stderr.write(f"miniraft gateway: {error}\n")
        return 1
    except click.ClickException as error:
        error.show()
        return 1  # as etcd's
    return 0
