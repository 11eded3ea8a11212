"""`compaction`: forgets the history before a revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.command import Command
from etcdctl_py.failure import CommandError, bad_arguments
from etcdctl_py.flags import switch
from etcdctl_py.golang.numbers import NumberError, parse_int

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


async def run(call: Invocation) -> None:
    """Sends the compaction. A physical one may take its time, so it has no limit."""
    if len(call.arguments) != 1:
        raise bad_arguments("compaction command needs 1 argument")
    try:
        revision = parse_int(call.arguments[0])
    except NumberError as error:
        raise CommandError(str(error)) from None
    request: dict[str, Any] = {"revision": str(revision)}
    physical = call.flags["physical"]
    if physical:
        request["physical"] = True
    call.printer()
    async with call.client() as client:
        await client.call("/v3/kv/compaction", request, limited=not physical)
    call.console.line(f"compacted revision {revision}")


COMPACTION = Command(
    "compaction",
    run,
    usage="compaction [options] <revision>",
    summary="forget the history before a revision",
    flags=(switch("physical", "wait until the old revisions are gone from the store"),),
)
