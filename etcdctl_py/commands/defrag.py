"""`defrag`: gives the store's free space back to the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command
from etcdctl_py.commands.endpoint import chosen_endpoints, report_failure
from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import switch

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


async def run(call: Invocation) -> None:
    """Defragments one member after the other, as each stands still meanwhile."""
    call.printer()
    failed = False
    async with call.client() as client:
        for endpoint in await chosen_endpoints(call, client):
            try:
                async with client.at(endpoint) as one:
                    await one.call("/v3/maintenance/defragment", {}, repeatable=True)
                call.console.line(f"Finished defragmenting etcd member[{endpoint}]")
            except CommandError as error:
                failed = True
                report_failure(call, f"Failed to defragment etcd member[{endpoint}]", endpoint, error)
    if failed:
        raise CommandError("", ExitCode.ERROR)


DEFRAG = Command(
    "defrag",
    run,
    usage="defrag [options]",
    summary="give free space of the members' stores back to their disks",
    flags=(switch("cluster", "all members of the cluster, as its member list names them"),),
    description="""
A member answers nothing while it is at it: take one after the other. Give it time with
--command-timeout when the store is large.
""",
)
