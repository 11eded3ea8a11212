"""`del`: removes a key or a range of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.command import Command
from etcdctl_py.commands.get import key_range
from etcdctl_py.flags import switch
from etcdctl_py.messages import DeleteRangeResponse

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


def delete_request(arguments: list[str], flags: dict[str, Any]) -> dict[str, Any]:
    """Returns the request for the arguments of del. Raises CommandError."""
    request = key_range(arguments, flags, "del")
    if flags["prev-kv"]:
        request["prev_kv"] = True
    return request


async def run(call: Invocation) -> None:
    """Sends the delete."""
    request = delete_request(call.arguments, call.flags)
    printer = call.printer("delete")
    if len(call.arguments) == 2 and not call.flags["range"]:
        call.console.error_line(
            "Note: two keys mean every key from the first up to the second. Say so with --range."
        )
    async with call.client() as client:
        answer = await client.call("/v3/kv/deleterange", request)
    printer.delete(DeleteRangeResponse.read(answer))


DELETE = Command(
    "del",
    run,
    usage="del [options] <key> [range_end]",
    summary="delete a key or a range of keys",
    flags=(
        switch("prefix", "every key that begins with the given one"),
        switch("from-key", "every key from the given one on"),
        switch("prev-kv", "show the pairs that were deleted"),
        switch("range", "say that a range is meant"),
    ),
)
