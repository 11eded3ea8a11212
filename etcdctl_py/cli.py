"""The table of commands, and one run from arguments to exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group, find, group_flags, persistent_flags, unknown_command
from etcdctl_py.failure import CommandError, ExitCode, SilentExit
from etcdctl_py.options import GLOBAL_FLAGS, gather

if TYPE_CHECKING:
    import click

    from etcdctl_py.console import Console

ROOT = Group(
    "etcdctl-py",
    summary="a command-line client for etcd, over its HTTP/JSON API",
    persistent=GLOBAL_FLAGS,
    places={
        "alarm": "alarm:ALARM",
        "auth": "auth:AUTH",
        "check": "check:CHECK",
        "compaction": "compaction:COMPACTION",
        "completion": "completion:COMPLETION",
        "del": "delete:DELETE",
        "defrag": "defrag:DEFRAG",
        "downgrade": "downgrade:DOWNGRADE",
        "elect": "elect:ELECT",
        "endpoint": "endpoint:ENDPOINT",
        "get": "get:GET",
        "help": "help:HELP_COMMAND",
        "lease": "lease:LEASE",
        "lock": "lock:LOCK",
        "make-mirror": "make_mirror:MAKE_MIRROR",
        "member": "member:MEMBER",
        "move-leader": "move_leader:MOVE_LEADER",
        "options": "help:OPTIONS_COMMAND",
        "put": "put:PUT",
        "role": "role:ROLE",
        "snapshot": "snapshot:SNAPSHOT",
        "txn": "txn:TXN",
        "user": "user:USER",
        "version": "version:VERSION",
        "watch": "watch:WATCH",
    },
)


def run(arguments: list[str], console: Console) -> int:
    """Runs one command line and returns its exit code; nothing is raised but KeyboardInterrupt."""
    try:
        if arguments[:1] == ["__complete"]:
            from etcdctl_py.complete import complete

            complete(ROOT, arguments[1:], console)
        else:
            _dispatch(arguments, console)
    except CommandError as error:
        return _report(error, console)
    except SilentExit as stop:
        return stop.code
    return ExitCode.SUCCESS


def _report(error: CommandError, console: Console) -> int:
    for note in error.notes:
        console.error_line(note)
    if error.message:
        console.error_line(f"Error: {error.message}")
    return error.code


def _dispatch(arguments: list[str], console: Console) -> None:
    context, rest = find(ROOT, arguments)
    command = context.command
    if isinstance(command, Group):
        _show_group(context, rest, console)
        return
    if not isinstance(command, Command):
        raise TypeError(f"{command.name} is neither a group nor a command")
    command.parse_args(context, rest)
    given = dict(context.params)
    if given.get("help"):
        _show_help(context, console)
        return
    _run_command(command, context, console)


def _run_command(command: Command, context: click.Context, console: Console) -> None:
    from etcdctl_py.invocation import Invocation

    given = dict(context.params)
    local = [*command.flags, *(flag for flag in persistent_flags(context) if flag not in GLOBAL_FLAGS)]
    flags = {flag.long: given.get(flag.long, flag.initial) for flag in local}
    options = gather(given, console)
    with context:
        work = command.run(Invocation(context, context.args, flags, options, console))
        if work is not None:
            import asyncio

            asyncio.run(_finish(work))


async def _finish(work: object) -> None:
    await work  # type: ignore[misc]


def _show_group(context: click.Context, rest: list[str], console: Console) -> None:
    """Help for a group that was named alone; an error for a word that is no sub-command of it."""
    given, words = group_flags(context, rest)
    if words and "--" not in rest and not given.get("help"):
        raise unknown_command(context, words[0])
    _show_help(context, console)


def _show_help(context: click.Context, console: Console) -> None:
    from etcdctl_py.helptext import help_lines

    for line in help_lines(context):
        console.line(line)
