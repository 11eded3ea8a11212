"""What a shell may offer next: sub-commands and flags. The completion scripts ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command, Group, find, persistent_flags
from etcdctl_py.flags import HELP

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

    from etcdctl_py.console import Console


def complete(root: Group, words: list[str], console: Console) -> None:
    """Prints the candidates for the last word, each with a tab and its description."""
    *before, begun = words or [""]
    if begun in {'""', "''"}:
        begun = ""
    context, _ = find(root, before)
    for name, text in _candidates(context, begun):
        if name.startswith(begun):
            console.line(f"{name}\t{text}")


def _candidates(context: click.Context, begun: str) -> Iterator[tuple[str, str]]:
    command = context.command
    if begun.startswith("-"):
        own = command.flags if isinstance(command, Command) else ()
        for flag in sorted((*own, *persistent_flags(context), HELP), key=lambda flag: flag.long):
            yield f"--{flag.long}", flag.help or ""
    elif isinstance(command, Group):
        for name in command.list_commands():
            child = command.get_command(None, name)
            yield name, getattr(child, "summary", "")
