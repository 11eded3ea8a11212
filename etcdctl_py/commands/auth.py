"""`auth enable`, `disable` and `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group
from etcdctl_py.failure import CommandError, bad_arguments
from etcdctl_py.messages import AuthStatusResponse

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation


def _no_arguments(call: Invocation, command: str) -> None:
    if call.arguments:
        raise bad_arguments(f"{command} command does not accept any arguments")


async def run_enable(call: Invocation) -> None:
    """Switches authentication on; gives user root the role root if it lacks it."""
    _no_arguments(call, "auth enable")
    call.printer()
    async with call.client() as client:
        try:
            await client.call("/v3/auth/enable", {})
        except CommandError as error:
            if error.message != "etcdserver: root user does not have root role":
                raise
            await _make_root(client)
            await client.call("/v3/auth/enable", {})
    call.console.line("Authentication Enabled")


async def _make_root(client: Client) -> None:
    try:
        await client.call("/v3/auth/role/add", {"name": "root"})
    except CommandError as error:
        if error.message != "etcdserver: role name already exists":
            raise
    await client.call("/v3/auth/user/grant", {"user": "root", "role": "root"})


async def run_disable(call: Invocation) -> None:
    """Switches authentication off."""
    _no_arguments(call, "auth disable")
    call.printer()
    async with call.client() as client:
        await client.call("/v3/auth/disable", {})
    call.console.line("Authentication Disabled")


async def run_status(call: Invocation) -> None:
    """Shows whether authentication is on."""
    _no_arguments(call, "auth status")
    printer = call.printer("auth_status")
    async with call.client() as client:
        answer = await client.call("/v3/auth/status", {}, repeatable=True)
    printer.auth_status(AuthStatusResponse.read(answer))


AUTH = Group(
    "auth",
    summary="switch authentication on and off",
    places={"disable": "auth:DISABLE", "enable": "auth:ENABLE", "status": "auth:STATUS"},
)
ENABLE = Command(
    "enable", run_enable, usage="enable", summary="require users to log in (a user root must exist)"
)
DISABLE = Command("disable", run_disable, usage="disable", summary="let everyone do everything again")
STATUS = Command("status", run_status, usage="status", summary="show whether authentication is on")
