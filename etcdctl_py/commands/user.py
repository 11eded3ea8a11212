"""`user add`, `delete`, `get`, `list`, `passwd`, `grant-role` and `revoke-role`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.command import Command, Group
from etcdctl_py.console import to_text
from etcdctl_py.failure import bad_arguments
from etcdctl_py.flags import string, switch
from etcdctl_py.messages import (
    AuthRoleGetResponse,
    AuthUserAddResponse,
    AuthUserChangePasswordResponse,
    AuthUserDeleteResponse,
    AuthUserGetResponse,
    AuthUserGrantRoleResponse,
    AuthUserListResponse,
    AuthUserRevokeRoleResponse,
)

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


def _only_user(call: Invocation, command: str) -> str:
    if len(call.arguments) != 1:
        raise bad_arguments(f"{command} command requires user name as its argument")
    return call.arguments[0]


async def run_add(call: Invocation) -> None:
    """Adds a user."""
    written = _only_user(call, "user add")
    printer = call.printer("done")
    request: dict[str, Any]
    if call.flags["no-password"]:
        request = {"name": written, "options": {"no_password": True}}
    elif call.flags["new-user-password"]:
        request = {"name": written, "password": call.flags["new-user-password"]}
    else:
        name, colon, password = written.partition(":")
        if not name and colon:
            raise bad_arguments("empty user name is not allowed")
        request = {"name": name, "password": password if colon else _new_password(call, name)}
    async with call.client() as client:
        answer = await client.call("/v3/auth/user/add", request, limited=False)
    printer.done(f"User {request['name']} created", AuthUserAddResponse.read(answer))


async def run_passwd(call: Invocation) -> None:
    """Changes a password."""
    name = _only_user(call, "user passwd")
    printer = call.printer("done")
    password = _new_password(call, name)
    async with call.client() as client:
        answer = await client.call(
            "/v3/auth/user/changepw", {"name": name, "password": password}, limited=False
        )
    printer.done("Password updated", AuthUserChangePasswordResponse.read(answer))


def _new_password(call: Invocation, name: str) -> str:
    """Asks twice; with --interactive=false one word of standard input is the password."""
    if not call.flags["interactive"]:
        words = to_text(call.console.read_line()).split()
        return words[0] if words else ""
    password = call.console.read_password(f"Password of {name}: ")
    if not password:
        raise bad_arguments("empty password", "A user without a password is made with --no-password.")
    if password != call.console.read_password(f"Type password of {name} again for confirmation: "):
        raise bad_arguments("given passwords are different")
    return password


async def run_delete(call: Invocation) -> None:
    """Deletes a user."""
    name = _only_user(call, "user delete")
    printer = call.printer("done")
    async with call.client() as client:
        answer = await client.call("/v3/auth/user/delete", {"name": name}, limited=False)
    printer.done(f"User {name} deleted", AuthUserDeleteResponse.read(answer))


async def run_get(call: Invocation) -> None:
    """Shows a user's roles; with --detail what each allows."""
    name = _only_user(call, "user get")
    detail = call.flags["detail"]
    printer = call.printer("role_get" if detail else "user_get")
    async with call.client() as client:
        answer = await client.call("/v3/auth/user/get", {"name": name}, repeatable=True, limited=False)
        response = AuthUserGetResponse.read(answer)
        if not detail:
            printer.user_get(name, response)
            return
        call.console.line(f"User: {name}")
        for role in response.roles:
            call.console.line("")
            answer = await client.call("/v3/auth/role/get", {"role": role}, repeatable=True, limited=False)
            printer.role_get(role, AuthRoleGetResponse.read(answer))


async def run_list(call: Invocation) -> None:
    """Shows all users."""
    if call.arguments:
        raise bad_arguments("user list command requires no arguments")
    printer = call.printer("user_list")
    async with call.client() as client:
        answer = await client.call("/v3/auth/user/list", {}, repeatable=True, limited=False)
    printer.user_list(AuthUserListResponse.read(answer))


async def run_grant_role(call: Invocation) -> None:
    """Gives a user a role."""
    if len(call.arguments) != 2:
        raise bad_arguments("user grant command requires user name and role name as its argument")
    user, role = call.arguments
    printer = call.printer("done")
    async with call.client() as client:
        answer = await client.call("/v3/auth/user/grant", {"user": user, "role": role}, limited=False)
    printer.done(f"Role {role} is granted to user {user}", AuthUserGrantRoleResponse.read(answer))


async def run_revoke_role(call: Invocation) -> None:
    """Takes a role from a user."""
    if len(call.arguments) != 2:
        raise bad_arguments("user revoke-role requires user name and role name as its argument")
    user, role = call.arguments
    printer = call.printer("done")
    async with call.client() as client:
        answer = await client.call("/v3/auth/user/revoke", {"name": user, "role": role}, limited=False)
    printer.done(f"Role {role} is revoked from user {user}", AuthUserRevokeRoleResponse.read(answer))


_INTERACTIVE = switch("interactive", "ask for the password; =false reads it from stdin", default=True)

USER = Group(
    "user",
    summary="users and their roles",
    places={
        "add": "user:ADD",
        "delete": "user:DELETE",
        "get": "user:GET",
        "grant-role": "user:GRANT_ROLE",
        "list": "user:LIST",
        "passwd": "user:PASSWD",
        "revoke-role": "user:REVOKE_ROLE",
    },
)
ADD = Command(
    "add",
    run_add,
    usage="add <user name or user:password> [options]",
    summary="add a user",
    flags=(
        _INTERACTIVE,
        string("new-user-password", "the password of the new user"),
        switch("no-password", "a user who logs in by certificate only"),
    ),
)
DELETE = Command("delete", run_delete, usage="delete <user name>", summary="delete a user")
GET = Command(
    "get",
    run_get,
    usage="get <user name> [options]",
    summary="show the roles of a user",
    flags=(switch("detail", "show what each role allows"),),
)
LIST = Command("list", run_list, usage="list", summary="list all users")
PASSWD = Command(
    "passwd",
    run_passwd,
    usage="passwd <user name> [options]",
    summary="change a password",
    flags=(_INTERACTIVE,),
)
GRANT_ROLE = Command(
    "grant-role", run_grant_role, usage="grant-role <user name> <role name>", summary="give a user a role"
)
REVOKE_ROLE = Command(
    "revoke-role",
    run_revoke_role,
    usage="revoke-role <user name> <role name>",
    summary="take a role from a user",
)
