"""`downgrade validate`, `enable` and `cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group
from etcdctl_py.failure import bad_arguments
from etcdctl_py.messages import DowngradeResponse

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


async def _run(call: Invocation, action: str, version: str) -> None:
    printer = call.printer("downgrade")
    request = {"action": action.upper(), "version": version}
    async with call.client() as client:
        answer = await client.call("/v3/maintenance/downgrade", request)
    printer.downgrade(action, DowngradeResponse.read(answer))


def _version(call: Invocation) -> str:
    if not call.arguments:
        raise bad_arguments("TARGET_VERSION not provided", "Name the version to go down to, such as 3.6.")
    if len(call.arguments) > 1:
        raise bad_arguments("too many arguments")
    return call.arguments[0]


async def run_validate(call: Invocation) -> None:
    """Asks whether a downgrade could begin."""
    await _run(call, "validate", _version(call))


async def run_enable(call: Invocation) -> None:
    """Begins a downgrade."""
    await _run(call, "enable", _version(call))


async def run_cancel(call: Invocation) -> None:
    """Stops a downgrade."""
    await _run(call, "cancel", "")


DOWNGRADE = Group(
    "downgrade",
    summary="prepare a cluster for an older version",
    places={"cancel": "downgrade:CANCEL", "enable": "downgrade:ENABLE", "validate": "downgrade:VALIDATE"},
)
VALIDATE = Command(
    "validate", run_validate, usage="validate <TARGET_VERSION>", summary="ask whether a downgrade could begin"
)
ENABLE = Command("enable", run_enable, usage="enable <TARGET_VERSION>", summary="begin a downgrade")
CANCEL = Command("cancel", run_cancel, usage="cancel", summary="stop a downgrade")
