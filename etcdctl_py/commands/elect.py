"""`elect`: takes part in an election, or watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command
from etcdctl_py.console import to_bytes
from etcdctl_py.failure import CommandError, bad_arguments
from etcdctl_py.flags import switch
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import CampaignResponse, RangeResponse

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation

_SESSION_TTL_S = 60


async def run(call: Invocation) -> None:
    """Campaigns with a proposal, or with --listen shows each leader."""
    if not 1 <= len(call.arguments) <= 2:
        raise bad_arguments("elect takes one election name argument and an optional proposal argument")
    proposal = call.arguments[1] if len(call.arguments) == 2 else None
    if proposal is None and not call.flags["listen"]:
        raise bad_arguments("no proposal argument but -l not set")
    if proposal is not None and call.flags["listen"]:
        raise bad_arguments("proposal given but -l is set")
    async with call.client() as client:
        if proposal is None:
            await _observe(call, client)
        else:
            await _campaign(call, client, proposal)


async def _observe(call: Invocation, client: Client) -> None:
    from etcdctl_py.lease_session import StopSignal

    printer = call.printer("get")
    request = {"name": encode(to_bytes(call.arguments[0]))}

    async def show_leaders() -> None:
        async for answer in client.stream("/v3/election/observe", request):
            kv = answer.get("kv")
            printer.get(RangeResponse.read({"header": answer.get("header", {}), "kvs": [kv] if kv else []}))
            call.console.flush()
        raise CommandError("elect: observer lost")

    with StopSignal() as stop:
        try:
            await stop.unless_stopped(show_leaders())
        except CommandError:
            if not stop.came.is_set():
                raise


async def _campaign(call: Invocation, client: Client, proposal: str) -> None:
    from etcdctl_py.lease_session import Session, StopSignal, first_of

    printer = call.printer("get")
    with StopSignal() as stop:
        async with Session(client, _SESSION_TTL_S) as session:
            request = {
                "name": encode(to_bytes(call.arguments[0])),
                "lease": str(session.lease_id),
                "value": encode(to_bytes(proposal)),
            }
            campaign = client.call("/v3/election/campaign", request, limited=False)
            leader = CampaignResponse.read(await stop.unless_stopped(campaign)).leader
            key = leader.key if leader else b""
            answer = await client.call("/v3/kv/range", {"key": encode(key)}, repeatable=True, limited=False)
            printer.get(RangeResponse.read(answer))
            call.console.flush()
            await first_of(stop.came, session.expired)
            if session.expired.is_set():
                raise CommandError(
                    "elect: session expired", notes=("The leadership is lost: its lease ended.",)
                )


ELECT = Command(
    "elect",
    run,
    usage="elect <election-name> [proposal]",
    summary="run for leader of a named election, or watch it",
    flags=(switch("listen", "show each leader instead of running", "l"),),
    description="""
A candidate waits until it is elected, shows the key and the proposal, and leads until an interrupt.
""",
)
