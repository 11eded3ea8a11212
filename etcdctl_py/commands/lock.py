"""`lock`: holds a named lock until it is interrupted, or while a command runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from etcdctl_py.command import Command
from etcdctl_py.console import to_bytes
from etcdctl_py.failure import CommandError, SilentExit, bad_arguments
from etcdctl_py.flags import number
from etcdctl_py.keyrange import encode
from etcdctl_py.messages import LockResponse, RangeResponse

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation


async def run(call: Invocation) -> None:
    """Waits for the lock; shows its key, or runs the command, and gives it back."""
    from etcdctl_py.lease_session import Session, StopSignal, first_of

    if not call.arguments:
        raise bad_arguments("lock takes a lock name argument and an optional command to execute")
    name, *command = call.arguments
    printer = call.printer("get")
    async with call.client() as client:
        with StopSignal() as stop:
            async with Session(client, call.flags["ttl"]) as session:
                request = {"name": encode(to_bytes(name)), "lease": str(session.lease_id)}
                waiting = client.call("/v3/lock/lock", request, limited=False)
                lock = LockResponse.read(await stop.unless_stopped(waiting))
                if command:
                    await _run_command(call, lock, command)
                    return
                printer.get(await _held(client, lock.key))
                call.console.flush()
                await first_of(stop.came, session.expired)
                if session.expired.is_set():
                    raise CommandError("session expired", notes=("The lock is lost: its lease ended.",))


async def _held(client: Client, key: bytes) -> RangeResponse:
    """The lock's own key. Raises CommandError when it is gone already."""
    answer = await client.call("/v3/kv/range", {"key": encode(key)}, repeatable=True, limited=False)
    response = RangeResponse.read(answer)
    if not response.kvs:
        raise CommandError("lock lost on init")
    return response


async def _run_command(call: Invocation, lock: LockResponse, command: list[str]) -> None:
    from etcdctl_py.children import run_child

    variables = {"ETCD_LOCK_KEY": lock.key, "ETCD_LOCK_REV": str(lock.head.revision).encode()}
    code = await asyncio.to_thread(run_child, command, variables, call.console)
    if code != 0:
        call.console.error_line(
            f"Error: exit status {code}" if code > 0 else f"Error: signal {-code} ended the command"
        )
        raise SilentExit(code if code > 0 else 1)


LOCK = Command(
    "lock",
    run,
    usage="lock <lockname> [exec-command arg1 arg2 ...]",
    summary="hold a named lock, alone or while a command runs",
    flags=(number("ttl", "seconds until the lock is free again when this process dies", 10),),
    description="""
Without a command the key that stands for the lock is shown and the lock held until an interrupt.
With one, it runs while the lock is held, with ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment;
its exit code becomes that of etcdctl-py. Flags of the command go behind '--':
  lock backup -- sh -c 'run-backup'
""",
)
