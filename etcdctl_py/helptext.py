"""What `--help` and `options` print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import PROGRAM, Command, Group
from etcdctl_py.flags import HELP, SWITCH, Flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import click


def help_lines(ctx: click.Context) -> Iterator[str]:
    """The help of the context's command or group, line by line."""
    command = ctx.command
    summary = getattr(command, "summary", "")
    yield "NAME:"
    yield f"\t{ctx.command_path.removeprefix(PROGRAM).strip() or PROGRAM} - {summary}"
    yield ""
    yield "USAGE:"
    if isinstance(command, Group):
        yield f"\t{ctx.command_path} <command> [flags]"
        yield ""
        yield "COMMANDS:"
        yield from _aligned(_commands(command, ""))
    elif isinstance(command, Command):
        parent = ctx.parent.command_path if ctx.parent else PROGRAM
        yield f"\t{parent} {command.usage} [flags]"
        if command.description:
            yield ""
            yield "DESCRIPTION:"
            yield from (f"\t{line}".rstrip() for line in command.description.strip().splitlines())
    yield ""
    yield "OPTIONS:"
    yield from _aligned(_flags(_own_flags(ctx)))
    yield ""
    yield f'Use "{PROGRAM} options" for the options that apply to all commands.'


def option_lines(flags: Iterable[Flag]) -> Iterator[str]:
    """The global flags, line by line."""
    yield "The following options can be passed to any command:"
    yield ""
    yield from _aligned(_flags(flags))
    yield ""
    yield "Each can be given as an environment variable too: --dial-timeout as ETCDCTL_DIAL_TIMEOUT."


def _own_flags(ctx: click.Context) -> list[Flag]:
    """The command's flags and those of its groups, without the global ones."""
    flags: list[Flag] = []
    at: click.Context | None = ctx
    while at is not None and at.parent is not None:
        flags.extend(getattr(at.command, "flags", ()) or getattr(at.command, "persistent", ()))
        at = at.parent
    return [*sorted(flags, key=lambda flag: flag.long), HELP]


def _commands(group: Group, prefix: str) -> Iterator[tuple[str, str]]:
    for name in group.list_commands():
        command = group.get_command(None, name)
        if isinstance(command, Group):
            yield from _commands(command, f"{prefix}{name} ")
        elif not name.startswith("__"):
            yield f"{prefix}{name}", getattr(command, "summary", "")


def _flags(flags: Iterable[Flag]) -> Iterator[tuple[str, str]]:
    for flag in flags:
        short = f"-{flag.shorthand}, " if flag.shorthand else "    "
        shown = flag.kind.show(flag.initial)
        value = f"[={shown}]" if flag.kind is SWITCH else f"={shown}"
        yield f"{short}--{flag.long}{value}", flag.help or ""


def _aligned(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    table = list(rows)
    width = max((len(left) for left, _ in table), default=0)
    for left, right in table:
        yield f"  {left:<{width}}  {right}".rstrip()
