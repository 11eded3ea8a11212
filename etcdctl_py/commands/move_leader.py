"""`move-leader`: hands the leadership to another member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import PROGRAM, Command
from etcdctl_py.failure import CommandError, bad_arguments
from etcdctl_py.golang.numbers import NumberError, parse_uint
from etcdctl_py.messages import MoveLeaderResponse, StatusResponse

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation


async def run(call: Invocation) -> None:
    """Finds the leader among the endpoints and sends it the request: no other member takes it."""
    if len(call.arguments) != 1:
        raise bad_arguments("move-leader command needs 1 argument")
    try:
        target = parse_uint(call.arguments[0], 16)
    except NumberError as error:
        raise bad_arguments(str(error)) from None
    printer = call.printer("move_leader")
    async with call.client() as client:
        endpoint, leader = await _find_leader(call, client)
        async with client.at(endpoint) as leading:
            answer = await leading.call("/v3/maintenance/transfer-leadership", {"targetID": str(target)})
    printer.move_leader(leader, target, MoveLeaderResponse.read(answer))


async def _find_leader(call: Invocation, client: Client) -> tuple[str, int]:
    await client.log_in()
    endpoints = call.options.endpoints
    for endpoint in endpoints:
        async with client.at(endpoint) as one:
            try:
                status = StatusResponse.read(await one.call("/v3/maintenance/status", {}, repeatable=True))
            except CommandError:
                if len(endpoints) == 1:
                    raise
                continue
        if status.leader and status.leader == status.head.member_id:
            return endpoint, status.leader
    raise bad_arguments(
        f"no leader endpoint given at [{' '.join(endpoints)}]",
        f"Name the leader's client URL in --endpoints: {PROGRAM} endpoint status --cluster shows it.",
    )


MOVE_LEADER = Command(
    "move-leader",
    run,
    usage="move-leader <transferee-member-id>",
    summary="hand the leadership to another member",
)
