"""`role add`, `delete`, `get`, `list`, `grant-permission` and `revoke-permission`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py import keyrange
from etcdctl_py.command import Command, Group
from etcdctl_py.console import to_bytes, to_text
from etcdctl_py.failure import bad_arguments
from etcdctl_py.flags import switch
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import (
    AuthRoleAddResponse,
    AuthRoleDeleteResponse,
    AuthRoleGetResponse,
    AuthRoleGrantPermissionResponse,
    AuthRoleListResponse,
    AuthRoleRevokePermissionResponse,
)

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation

_PERMISSION_TYPES = frozenset({"READ", "WRITE", "READWRITE"})


def _only_role(call: Invocation, command: str) -> str:
    if len(call.arguments) != 1:
        raise bad_arguments(f"{command} command requires role name as its argument")
    return call.arguments[0]


def _key_range(call: Invocation, words: list[str]) -> tuple[bytes, bytes]:
    """The key and its range's end; the end is empty for a single key."""
    prefix, from_key = call.flags["prefix"], call.flags["from-key"]
    if prefix and from_key:
        raise bad_arguments("--from-key and --prefix flags are mutually exclusive")
    key = to_bytes(words[0])
    if len(words) > 1:
        for name, given in (("--prefix", prefix), ("--from-key", from_key)):
            if given:
                raise bad_arguments(f"unexpected endkey argument with {name} flag")
        return key, to_bytes(words[1])
    if prefix:
        return (key, keyrange.prefix_end(key)) if key else (b"\0", keyrange.EVERYTHING_FROM)
    if from_key:
        return key or b"\0", keyrange.EVERYTHING_FROM
    return key, b""


async def run_add(call: Invocation) -> None:
    """Adds a role."""
    role = _only_role(call, "role add")
    printer = call.printer("done")
    async with call.client() as client:
        answer = await client.call("/v3/auth/role/add", {"name": role}, limited=False)
    printer.done(f"Role {role} created", AuthRoleAddResponse.read(answer))


async def run_delete(call: Invocation) -> None:
    """Deletes a role."""
    role = _only_role(call, "role delete")
    printer = call.printer("done")
    async with call.client() as client:
        answer = await client.call("/v3/auth/role/delete", {"role": role}, limited=False)
    printer.done(f"Role {role} deleted", AuthRoleDeleteResponse.read(answer))


async def run_get(call: Invocation) -> None:
    """Shows what a role allows."""
    role = _only_role(call, "role get")
    printer = call.printer("role_get")
    async with call.client() as client:
        answer = await client.call("/v3/auth/role/get", {"role": role}, repeatable=True, limited=False)
    printer.role_get(role, AuthRoleGetResponse.read(answer))


async def run_list(call: Invocation) -> None:
    """Shows all roles."""
    if call.arguments:
        raise bad_arguments("role list command requires no arguments")
    printer = call.printer("role_list")
    async with call.client() as client:
        answer = await client.call("/v3/auth/role/list", {}, repeatable=True, limited=False)
    printer.role_list(AuthRoleListResponse.read(answer))


async def run_grant_permission(call: Invocation) -> None:
    """Allows a role to read or write keys."""
    if len(call.arguments) < 3:
        raise bad_arguments(
            "role grant command requires role name, permission type, and key [endkey] as its argument"
        )
    role, kind, *words = call.arguments
    if kind.upper() not in _PERMISSION_TYPES:
        raise bad_arguments(
            f"invalid permission type: {kind}", "Permission types are: read, write and readwrite."
        )
    key, end = _key_range(call, words)
    printer = call.printer("done")
    permission = {"permType": kind.upper(), "key": encode(key), "range_end": encode(end)}
    async with call.client() as client:
        answer = await client.call("/v3/auth/role/grant", {"name": role, "perm": permission}, limited=False)
    printer.done(f"Role {role} updated", AuthRoleGrantPermissionResponse.read(answer))


async def run_revoke_permission(call: Invocation) -> None:
    """Takes a permission from a role; it must name the same keys as when it was given."""
    if len(call.arguments) < 2:
        raise bad_arguments(
            "role revoke-permission command requires role name and key [endkey] as its argument"
        )
    role, *words = call.arguments
    key, end = _key_range(call, words)
    printer = call.printer("done")
    request = {"role": role, "key": encode(key), "range_end": encode(end)}
    async with call.client() as client:
        answer = await client.call("/v3/auth/role/revoke", request, limited=False)
    text = f"Permission of {_described(to_bytes(words[0]), end)} is revoked from role {role}"
    printer.done(text, AuthRoleRevokePermissionResponse.read(answer))


def _described(key: bytes, end: bytes) -> str:
    if not end:
        return f"key {to_text(key)}"
    if end == keyrange.EVERYTHING_FROM:
        return f"range [{to_text(key)}, <open ended>"
    return f"range [{to_text(key)}, {to_text(end)})"


_RANGE_FLAGS = (
    switch("prefix", "every key that begins with the given one"),
    switch("from-key", "every key from the given one on"),
)

ROLE = Group(
    "role",
    summary="roles and what they allow",
    places={
        "add": "role:ADD",
        "delete": "role:DELETE",
        "get": "role:GET",
        "grant-permission": "role:GRANT_PERMISSION",
        "list": "role:LIST",
        "revoke-permission": "role:REVOKE_PERMISSION",
    },
)
ADD = Command("add", run_add, usage="add <role name>", summary="add a role")
DELETE = Command("delete", run_delete, usage="delete <role name>", summary="delete a role")
GET = Command("get", run_get, usage="get <role name>", summary="show what a role allows")
LIST = Command("list", run_list, usage="list", summary="list all roles")
GRANT_PERMISSION = Command(
    "grant-permission",
    run_grant_permission,
    usage="grant-permission [options] <role name> <permission type> <key> [endkey]",
    summary="allow a role to read or write a key or a range of keys",
    flags=_RANGE_FLAGS,
)
REVOKE_PERMISSION = Command(
    "revoke-permission",
    run_revoke_permission,
    usage="revoke-permission [options] <role name> <key> [endkey]",
    summary="take a permission from a role",
    flags=_RANGE_FLAGS,
)
