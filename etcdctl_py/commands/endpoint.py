"""`endpoint health`, `endpoint status` and `endpoint hashkv`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group
from etcdctl_py.commands.alarm import fetch_alarms
from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import number, switch
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import ALARM_TYPE, HashKVResponse, MemberListResponse, StatusResponse
from etcdctl_py.printers.base import EndpointHash, EndpointHealth, EndpointStatus

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation


async def chosen_endpoints(call: Invocation, client: Client) -> list[str]:
    """Returns --endpoints, or with --cluster the client URLs of all members."""
    if not call.flags["cluster"]:
        return call.options.endpoints
    try:
        answer = await client.call("/v3/cluster/member/list", {"linearizable": True}, repeatable=True)
    except CommandError as error:
        error.args = (f"failed to fetch endpoints from etcd cluster member list: {error.message}",)
        error.message = str(error.args[0])
        raise
    members = MemberListResponse.read(answer).members
    return [url for member in members for url in member.client_urls]


async def run_health(call: Invocation) -> None:
    """Reads a key at every endpoint, all at once."""
    import asyncio

    printer = call.printer("endpoint_health")
    async with call.client() as client:
        endpoints = await chosen_endpoints(call, client)
        checks = await asyncio.gather(*(_check_health(client, endpoint) for endpoint in endpoints))
    printer.endpoint_health([health for health, _ in checks])
    if not all(health.healthy for health, _ in checks):
        notes = [
            f"{health.endpoint}: {note}" for health, failure in checks if failure for note in failure.notes
        ]
        raise CommandError("unhealthy cluster", ExitCode.ERROR, tuple(notes))


async def _check_health(client: Client, endpoint: str) -> tuple[EndpointHealth, CommandError | None]:
    start_ns = time.perf_counter_ns()
    took_ns = 0
    try:
        async with client.at(endpoint) as one:
            start_ns = time.perf_counter_ns()
            error = await _read_health_key(one)
            took_ns = time.perf_counter_ns() - start_ns
            return EndpointHealth(endpoint, not error, took_ns, error), None
    except CommandError as failure:
        took_ns = time.perf_counter_ns() - start_ns
        reason = getattr(failure, "summary", failure.message)
        return EndpointHealth(endpoint, False, took_ns, reason), failure


async def _read_health_key(one: Client) -> str:
    """Returns why the endpoint is not healthy; empty when it is.

    A refused permission is an answer too: the read went through the whole cluster.
    """
    try:
        await one.call("/v3/kv/range", {"key": encode(b"health")}, repeatable=True)
    except CommandError as error:
        if error.message != "etcdserver: permission denied":
            raise
    try:
        alarms = (await fetch_alarms(one)).alarms
    except CommandError:
        return "Unable to fetch the alarm list"
    names = [f"{ALARM_TYPE.name(alarm.alarm)} " for alarm in alarms]
    return "Active Alarm(s): " + "".join(names) if names else ""


async def run_status(call: Invocation) -> None:
    """Asks every endpoint for its state."""
    printer = call.printer("endpoint_status")
    statuses: list[EndpointStatus] = []
    failed: CommandError | None = None
    async with call.client() as client:
        for endpoint in await chosen_endpoints(call, client):
            try:
                async with client.at(endpoint) as one:
                    answer = await one.call("/v3/maintenance/status", {}, repeatable=True)
                statuses.append(EndpointStatus(endpoint, StatusResponse.read(answer)))
            except CommandError as error:
                failed = error
                report_failure(call, f"Failed to get the status of endpoint {endpoint}", endpoint, error)
    printer.endpoint_status(statuses)
    if failed is not None:
        raise CommandError("", ExitCode.ERROR)


async def run_hashkv(call: Invocation) -> None:
    """Asks every endpoint for the hash of its history."""
    printer = call.printer("endpoint_hash")
    request = {"revision": str(call.flags["rev"])}
    hashes: list[EndpointHash] = []
    failed: CommandError | None = None
    async with call.client() as client:
        for endpoint in await chosen_endpoints(call, client):
            try:
                async with client.at(endpoint) as one:
                    answer = await one.call("/v3/maintenance/hashkv", request, repeatable=True)
                hashes.append(EndpointHash(endpoint, HashKVResponse.read(answer)))
            except CommandError as error:
                failed = error
                report_failure(call, f"Failed to get the hash of endpoint {endpoint}", endpoint, error)
    printer.endpoint_hash(hashes)
    if failed is not None:
        raise CommandError(failed.message, ExitCode.ERROR)


def report_failure(call: Invocation, failed: str, endpoint: str, error: CommandError) -> None:
    """Says at once what went wrong at one of several endpoints."""
    for note in error.notes:
        call.console.error_line(f"{endpoint}: {note}")
    reason = getattr(error, "summary", error.message)
    call.console.error_line(f"{failed} ({reason})")


ENDPOINT = Group(
    "endpoint",
    summary="health, state and data of single members",
    persistent=(switch("cluster", "all members of the cluster, as its member list names them"),),
    places={"hashkv": "endpoint:HASHKV", "health": "endpoint:HEALTH", "status": "endpoint:STATUS"},
)
HEALTH = Command(
    "health",
    run_health,
    usage="health",
    summary="check that endpoints answer a read",
)
STATUS = Command(
    "status",
    run_status,
    usage="status",
    summary="show version, size, leader and Raft state of endpoints",
)
HASHKV = Command(
    "hashkv",
    run_hashkv,
    usage="hashkv",
    summary="show a hash of the key history of endpoints, to compare members",
    flags=(number("rev", "hash the history up to this revision (0: the present one)"),),
)
