"""`put`: stores a value under a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.command import Command
from etcdctl_py.console import to_bytes
from etcdctl_py.failure import bad_arguments
from etcdctl_py.flags import string, switch
from etcdctl_py.identifiers import parse_lease_flag
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import PutResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcdctl_py.invocation import Invocation


def put_request(
    arguments: list[str], flags: dict[str, Any], read_value: Callable[[], bytes]
) -> dict[str, Any]:
    """Returns the request for the arguments; `read_value` gives the value when it is not among them.

    Raises CommandError (exit 128).
    """
    lease = parse_lease_flag(flags["lease"])
    if not arguments:
        raise _needs_value()
    request: dict[str, Any] = {"key": encode(to_bytes(arguments[0]))}
    if flags["ignore-value"]:
        if len(arguments) > 1:
            raise bad_arguments("put command needs only 1 argument when 'ignore-value' is set")
        request["ignore_value"] = True
    else:
        value = to_bytes(arguments[1]) if len(arguments) > 1 else read_value()
        if not value and len(arguments) < 2:
            raise _needs_value()
        request["value"] = encode(value)
    if lease:
        request["lease"] = str(lease)
    if flags["prev-kv"]:
        request["prev_kv"] = True
    if flags["ignore-lease"]:
        request["ignore_lease"] = True
    return request


def _needs_value() -> Exception:
    return bad_arguments("put command needs 1 argument and input from stdin or 2 arguments")


async def run(call: Invocation) -> None:
    """Sends the put."""
    request = put_request(call.arguments, call.flags, call.console.stdin.read)
    call.note_ignored(2)
    printer = call.printer("put")
    async with call.client() as client:
        answer = await client.call("/v3/kv/put", request)
    printer.put(PutResponse.read(answer))


PUT = Command(
    "put",
    run,
    usage="put [options] <key> [value]",
    summary="store a value under a key",
    flags=(
        string("lease", "lease to attach to the key (hexadecimal)", "0"),
        switch("prev-kv", "show the pair that was there before"),
        switch("ignore-value", "keep the present value, change only the lease"),
        switch("ignore-lease", "keep the present lease, change only the value"),
    ),
    description="""
Without a value it is read from standard input, whole and as it is:
  put config < config.yaml

A value that begins with '-' must come after '--':
  put -- key -5
""",
)
