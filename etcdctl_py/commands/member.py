"""`member list`, `add`, `remove`, `update` and `promote`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from etcdctl_py.command import PROGRAM, Command, Group
from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.flags import string, switch
from etcdctl_py.identifiers import parse_member_id
from etcdctl_py.messages import (
    MemberAddResponse,
    MemberListResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MembersResponse,
    MemberUpdateResponse,
)

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


async def run_list(call: Invocation) -> None:
    """Shows the members."""
    consistency = call.flags["consistency"]
    if consistency not in {"l", "s"}:
        raise CommandError(f'unknown consistency flag "{consistency}"', ExitCode.BAD_FEATURE)
    printer = call.printer("member_list")
    async with call.client() as client:
        request = {"linearizable": consistency == "l"}
        answer = await client.call("/v3/cluster/member/list", request, repeatable=True)
    printer.member_list(MemberListResponse.read(answer))


async def run_add(call: Invocation) -> None:
    """Adds a member; it must be started with the settings that are shown."""
    arguments, peer_urls = call.arguments, call.flags["peer-urls"]
    if not arguments:
        raise bad_arguments("member name not provided")
    if len(arguments) > 1:
        url = next((each for each in arguments if each.startswith("http")), "")
        raise bad_arguments("too many arguments" + (f", did you mean --peer-urls={url}" if url else ""))
    if not peer_urls:
        raise bad_arguments("member peer urls not provided")
    urls = peer_urls.split(",")
    _check_urls(urls)
    printer = call.printer("member_add")
    request = {"peerURLs": urls, "isLearner": call.flags["learner"]}
    async with call.client() as client:
        answer = await client.call("/v3/cluster/member/add", request)
    printer.member_add(arguments[0], MemberAddResponse.read(answer))


def _check_urls(urls: list[str]) -> None:
    """Refuses what no member could listen on. Raises CommandError."""
    for url in urls:
        problem = _url_problem(url)
        if problem:
            raise CommandError(
                f"{problem}: {url}",
                ExitCode.ERROR,
                ("Write peer URLs as http://host:2380 or https://host:2380, comma separated.",),
            )


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return "URL cannot be read"
    if parts.scheme not in {"http", "https", "unix", "unixs"}:
        return "URL scheme must be http, https, unix, or unixs"
    if parts.scheme.startswith("unix"):
        return ""
    if port is None:
        return 'URL address does not have the form "host:port"'
    return "URL must not contain a path" if parts.path else ""


async def run_remove(call: Invocation) -> None:
    """Removes a member."""
    member_id = _only_member(call)
    printer = call.printer("member_change")
    async with call.client() as client:
        answer = await client.call("/v3/cluster/member/remove", {"ID": str(member_id)})
    printer.member_change(member_id, "removed from", MemberRemoveResponse.read(answer))


async def run_update(call: Invocation) -> None:
    """Changes a member's peer URLs."""
    member_id = _only_member(call)
    peer_urls = call.flags["peer-urls"]
    if not peer_urls:
        raise bad_arguments("member peer urls not provided")
    printer = call.printer("member_change")
    request = {"ID": str(member_id), "peerURLs": peer_urls.split(",")}
    async with call.client() as client:
        answer = await client.call("/v3/cluster/member/update", request)
    printer.member_change(member_id, "updated in", MemberUpdateResponse.read(answer))


async def run_promote(call: Invocation) -> None:
    """Makes a learner a voting member."""
    member_id = _only_member(call)
    printer = call.printer("member_change")
    async with call.client() as client:
        answer = await client.call("/v3/cluster/member/promote", {"ID": str(member_id)})
    response: MembersResponse = MemberPromoteResponse.read(answer)
    printer.member_change(member_id, "promoted in", response)


def _only_member(call: Invocation) -> int:
    if len(call.arguments) != 1:
        raise bad_arguments("member ID is not provided", f"Identifiers are shown by: {PROGRAM} member list")
    return parse_member_id(call.arguments[0])


MEMBER = Group(
    "member",
    summary="the members of the cluster",
    places={
        "add": "member:ADD",
        "list": "member:LIST",
        "promote": "member:PROMOTE",
        "remove": "member:REMOVE",
        "update": "member:UPDATE",
    },
)
LIST = Command(
    "list",
    run_list,
    usage="list",
    summary="list the members",
    flags=(string("consistency", "l (linearizable) or s (serializable)", "l"),),
    description="""
One member a line in the simple format: identifier, whether it ever started, name, peer URLs,
client URLs, whether it is a learner.
""",
)
ADD = Command(
    "add",
    run_add,
    usage="add <memberName> [options]",
    summary="add a member",
    flags=(
        string("peer-urls", "peer URLs of the new member, comma separated"),
        switch("learner", "add it without a vote, to be promoted when it has caught up"),
    ),
)
REMOVE = Command("remove", run_remove, usage="remove <memberID>", summary="remove a member")
UPDATE = Command(
    "update",
    run_update,
    usage="update <memberID> [options]",
    summary="change the peer URLs of a member",
    flags=(string("peer-urls", "new peer URLs of the member, comma separated"),),
)
PROMOTE = Command("promote", run_promote, usage="promote <memberID>", summary="give a learner its vote")
