"""`lease grant`, `revoke`, `timetolive`, `list` and `keep-alive`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from etcdctl_py.command import Command, Group
from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.flags import switch
from etcdctl_py.golang.numbers import NumberError, parse_int
from etcdctl_py.identifiers import parse_lease_argument
from etcdctl_py.messages import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation


async def renew(client: Client, lease_id: int, *, limited: bool = False) -> LeaseKeepAliveResponse:
    """Renews a lease once; a TTL of zero in the answer means that there is no such lease."""
    answer = await client.call("/v3/lease/keepalive", {"ID": str(lease_id)}, repeatable=True, limited=limited)
    return LeaseKeepAliveResponse.read({"ID": lease_id, **answer.get("result", {})})


async def run_grant(call: Invocation) -> None:
    """Creates a lease."""
    if len(call.arguments) != 1:
        raise bad_arguments("lease grant command needs TTL argument")
    try:
        ttl_s = parse_int(call.arguments[0])
    except NumberError as error:
        raise bad_arguments(f"bad TTL ({error})") from None
    printer = call.printer("grant")
    async with call.client() as client:
        with _said_after("failed to grant lease"):
            answer = await client.call("/v3/lease/grant", {"TTL": str(ttl_s), "ID": "0"})
    printer.grant(LeaseGrantResponse.read(answer))


async def run_revoke(call: Invocation) -> None:
    """Ends a lease and deletes its keys."""
    if len(call.arguments) != 1:
        raise bad_arguments("lease revoke command needs 1 argument")
    lease_id = parse_lease_argument(call.arguments[0])
    printer = call.printer("revoke")
    async with call.client() as client:
        with _said_after("failed to revoke lease"):
            answer = await client.call("/v3/lease/revoke", {"ID": str(lease_id)})
    printer.revoke(lease_id, LeaseRevokeResponse.read(answer))


async def run_time_to_live(call: Invocation) -> None:
    """Shows what is left of a lease."""
    if len(call.arguments) != 1:
        raise bad_arguments("lease timetolive command needs lease ID as argument")
    lease_id = parse_lease_argument(call.arguments[0])
    with_keys = call.flags["keys"]
    printer = call.printer("time_to_live")
    request: dict[str, Any] = {"ID": str(lease_id), "keys": with_keys}
    async with call.client() as client:
        with _connection_code():
            answer = await client.call("/v3/lease/timetolive", request, repeatable=True, limited=False)
    printer.time_to_live(LeaseTimeToLiveResponse.read(answer), with_keys)


async def run_list(call: Invocation) -> None:
    """Shows all leases."""
    printer = call.printer("leases")
    async with call.client() as client:
        with _connection_code():
            answer = await client.call("/v3/lease/leases", {}, repeatable=True, limited=False)
    printer.leases(LeaseLeasesResponse.read(answer))


async def run_keep_alive(call: Invocation) -> None:
    """Renews a lease three times per TTL until it is gone; with --once a single time."""
    import asyncio

    if len(call.arguments) != 1:
        raise bad_arguments("lease keep-alive command needs lease ID as argument")
    lease_id = parse_lease_argument(call.arguments[0])
    printer = call.printer("keep_alive")
    async with call.client() as client:
        while True:
            with _connection_code():
                response = await renew(client, lease_id)
            if response.ttl <= 0:
                break
            printer.keep_alive(response)
            call.console.flush()
            if call.flags["once"]:
                return
            await asyncio.sleep(response.ttl / 3)
    if call.flags["once"]:
        raise CommandError("etcdserver: requested lease not found", ExitCode.BAD_CONNECTION)
    if printer.name == "simple":
        printer.keep_alive(response)


@contextmanager
def _said_after(attempt: str) -> Iterator[None]:
    """Puts the server's error in parentheses behind what was tried."""
    try:
        yield
    except CommandError as error:
        error.message = f"{attempt} ({error.message})"
        raise


@contextmanager
def _connection_code() -> Iterator[None]:
    """Gives failures the exit code 2, as etcdctl does for the commands that look at leases."""
    try:
        yield
    except CommandError as error:
        error.code = ExitCode.BAD_CONNECTION
        raise


LEASE = Group(
    "lease",
    summary="grant, renew, inspect and revoke leases",
    places={
        "grant": "lease:GRANT",
        "keep-alive": "lease:KEEP_ALIVE",
        "list": "lease:LIST",
        "revoke": "lease:REVOKE",
        "timetolive": "lease:TIME_TO_LIVE",
    },
)
GRANT = Command("grant", run_grant, usage="grant <ttl>", summary="create a lease that lives <ttl> seconds")
REVOKE = Command("revoke", run_revoke, usage="revoke <leaseID>", summary="end a lease and delete its keys")
TIME_TO_LIVE = Command(
    "timetolive",
    run_time_to_live,
    usage="timetolive <leaseID> [options]",
    summary="show how long a lease still lives",
    flags=(switch("keys", "show the keys attached to it too"),),
)
LIST = Command("list", run_list, usage="list", summary="list all leases")
KEEP_ALIVE = Command(
    "keep-alive",
    run_keep_alive,
    usage="keep-alive [options] <leaseID>",
    summary="renew a lease until it is interrupted or the lease is gone",
    flags=(switch("once", "renew it a single time"),),
)
