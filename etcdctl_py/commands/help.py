"""`help` and `options`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group, find, unknown_command
from etcdctl_py.helptext import help_lines, option_lines
from etcdctl_py.options import GLOBAL_FLAGS

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


def run_help(call: Invocation) -> None:
    """Prints the help of the command that the arguments name."""
    root = call.context.find_root().command
    if not isinstance(root, Group):
        raise TypeError("the root command is a group")
    context, rest = find(root, call.arguments)
    if rest and isinstance(context.command, Group):
        raise unknown_command(context, rest[0])
    for line in help_lines(context):
        call.console.line(line)


def run_options(call: Invocation) -> None:
    """Prints the global flags."""
    for line in option_lines(GLOBAL_FLAGS):
        call.console.line(line)


HELP_COMMAND = Command("help", run_help, usage="help [command]", summary="show the help of a command")
OPTIONS_COMMAND = Command("options", run_options, usage="options", summary="list the options of all commands")
