"""`alarm list` and `alarm disarm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group
from etcdctl_py.failure import bad_arguments
from etcdctl_py.messages import AlarmMember, AlarmResponse

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation

_PATH = "/v3/maintenance/alarm"


async def fetch_alarms(client: Client) -> AlarmResponse:
    """Asks for the alarms of all members."""
    request = {"action": "GET", "memberID": "0", "alarm": "NONE"}
    return AlarmResponse.read(await client.call(_PATH, request, repeatable=True))


async def run_list(call: Invocation) -> None:
    """Shows the alarms."""
    if call.arguments:
        raise bad_arguments("alarm list command accepts no arguments")
    printer = call.printer("alarm")
    async with call.client() as client:
        response = await fetch_alarms(client)
    printer.alarm(response)


async def run_disarm(call: Invocation) -> None:
    """Switches off every alarm that is up, and shows which those were."""
    if call.arguments:
        raise bad_arguments("alarm disarm command accepts no arguments")
    printer = call.printer("alarm")
    async with call.client() as client:
        alarms = (await fetch_alarms(client)).alarms
        disarmed = [answer for alarm in alarms for answer in await _disarm(client, alarm)]
    # etcdctl gathers the answers into one without a header.
    source = {"alarms": [{"memberID": alarm.member_id, "alarm": alarm.alarm} for alarm in disarmed]}
    printer.alarm(AlarmResponse.read(source if disarmed else {}))


async def _disarm(client: Client, alarm: AlarmMember) -> list[AlarmMember]:
    request = {"action": "DEACTIVATE", "memberID": str(alarm.member_id), "alarm": alarm.alarm}
    return AlarmResponse.read(await client.call(_PATH, request)).alarms


ALARM = Group(
    "alarm",
    summary="alarms that members raised",
    places={"list": "alarm:LIST", "disarm": "alarm:DISARM"},
)
LIST = Command("list", run_list, usage="list", summary="list the alarms")
DISARM = Command("disarm", run_disarm, usage="disarm", summary="switch all alarms off")
