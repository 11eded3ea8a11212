"""Commands and groups: click's, with the manners of etcdctl.

Flags may stand anywhere, sub-commands may be shortened while they stay unambiguous, and groups
import a command's file only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import HELP, Flag, FlagError, FlagSet

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation

PROGRAM = "etcdctl-py"
# Where a context keeps how many arguments came before `--` (None without one).
DASH = "etcdctl_py.dash"

Runner = Callable[["Invocation"], Awaitable[None] | None]


class Command(click.Command):
    """One command: its flags, its help and the function that runs it."""

    def __init__(
        self,
        name: str,
        run: Runner,
        *,
        usage: str,
        summary: str,
        flags: tuple[Flag, ...] = (),
        description: str = "",
    ) -> None:
        super().__init__(name, params=list(flags), help=summary, add_help_option=False)
        self.run = run
        self.usage = usage
        self.summary = summary
        self.flags = flags
        self.description = description

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads flags and arguments; the context's params hold the flags that were given."""
        flags = FlagSet((*self.flags, *persistent_flags(ctx), HELP))
        try:
            ctx.params, ctx.args = flags.parse(args)
            ctx.meta[DASH] = flags.arguments_before_dash
        except FlagError as error:
            fail_with_usage(ctx, str(error), flags)
        return ctx.args


class Group(click.Group):
    """A command with sub-commands, each named by the place where it is found."""

    def __init__(
        self, name: str, *, summary: str, places: dict[str, str], persistent: tuple[Flag, ...] = ()
    ) -> None:
        super().__init__(name, params=list(persistent), help=summary, add_help_option=False)
        self.summary = summary
        self.places = places
        self.persistent = persistent

    def list_commands(self, ctx: click.Context | None = None) -> list[str]:  # noqa: ARG002
        """Names of the sub-commands, sorted."""
        return sorted(self.places)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Returns the sub-command of that name or unambiguous beginning, or None."""
        names = [cmd_name] if cmd_name in self.places else []
        names = names or [name for name in self.places if name.startswith(cmd_name)]
        if len(names) != 1:
            return None
        module, _, attribute = self.places[names[0]].partition(":")
        command: click.Command = getattr(import_module(f"etcdctl_py.commands.{module}"), attribute)
        return command


def persistent_flags(ctx: click.Context) -> list[Flag]:
    """The flags that the groups above (and of) this context hand down."""
    flags: list[Flag] = []
    at: click.Context | None = ctx
    while at is not None:
        if isinstance(at.command, Group):
            flags.extend(at.command.persistent)
        at = at.parent
    return flags


def find(root: Group, arguments: list[str]) -> tuple[click.Context, list[str]]:
    """Follows the arguments down to a command.

    Returns the context of the group it stands in, with the group itself when no sub-command
    was named, and the remaining arguments.
    """
    context = click.Context(root, info_name=PROGRAM)
    rest = list(arguments)
    while isinstance(context.command, Group):
        group = context.command
        flags = FlagSet((*persistent_flags(context), HELP))
        index = flags.first_argument(rest)
        child = group.get_command(context, rest[index]) if index is not None else None
        if index is None or child is None:
            break
        del rest[index]
        context = click.Context(child, parent=context, info_name=child.name)
    return context, rest


def fail_with_usage(ctx: click.Context, message: str, flags: FlagSet) -> NoReturn:
    """Raises the error for a flag, with the next step."""
    path = ctx.command_path
    notes = [f"Run '{path} --help' for the flags of this command, '{PROGRAM} options' for the global ones."]
    unknown = message.removeprefix("unknown flag: --")
    if unknown != message:
        near = _nearest(unknown, list(flags.by_name))
        notes += [f"Did you mean --{near}?"] if near else []
    raise CommandError(message, ExitCode.ERROR, tuple(notes))


def unknown_command(ctx: click.Context, name: str) -> CommandError:
    """The error for a word that is no sub-command of the context's group."""
    group = ctx.command
    notes = [f"Run '{ctx.command_path} --help' for usage."]
    if isinstance(group, Group):
        near = [other for other in group.list_commands() if other.startswith(name)]
        near = near or [found for found in [_nearest(name, group.list_commands())] if found]
        notes += [f"Did you mean {' or '.join(near)}?"] if near else []
    return CommandError(f'unknown command "{name}" for "{ctx.command_path}"', ExitCode.ERROR, tuple(notes))


def _nearest(word: str, words: list[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, words, n=1)), "")


def group_flags(ctx: click.Context, arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Reads what was given to a group without a sub-command."""
    flags = FlagSet((*persistent_flags(ctx), HELP))
    try:
        return flags.parse(arguments)
    except FlagError as error:
        fail_with_usage(ctx, str(error), flags)
