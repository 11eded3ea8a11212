"""What a command is, and what it is given. Flags are read as etcdctl-py reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import HELP, Flag, FlagError, FlagSet, Kind
from etcdctl_py.golang.numbers import parse_int

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "etcdutl-py"
FORMATS = ("simple", "json", "fields", "table")


def _parse_unsigned(text: str) -> int:
    number = parse_int(text, 0)
    if number < 0:
        raise ValueError("it must not be negative")
    return number


UNSIGNED = Kind("uint", _parse_unsigned, str)
TEXT = Kind("string", str, lambda value: f'"{value}"')
WRITE_OUT = Flag("write-out", TEXT, "simple", f"set the output format ({', '.join(FORMATS)})", shorthand="w")


class Invocation(NamedTuple):
    """A command line, read."""

    arguments: list[str]
    flags: dict[str, Any]  # all of the command's, by long name


@dataclass(frozen=True)
class Command:
    """One command: its path of words, flags, help, and the function that runs it."""

    path: str
    usage: str  # behind the path
    summary: str
    run: Callable[[Invocation], None]
    flags: tuple[Flag, ...] = ()
    required: tuple[str, ...] = ()
    argument_count: int = 0

    def read(self, words: list[str]) -> Invocation | None:
        """Reads the words behind the command's path; None when help is asked for.

        Raises CommandError.
        """
        known = FlagSet((*self.flags, WRITE_OUT, HELP))
        try:
            given, arguments = known.parse(words)
        except FlagError as error:
            raise CommandError(str(error), ExitCode.ERROR, (self.hint,)) from error
        if given.get("help"):
            return None
        if len(arguments) != self.argument_count:
            expected = ("no arguments", "exactly one argument", "exactly two arguments")[self.argument_count]
            raise CommandError(f"{self.path} requires {expected}", ExitCode.BAD_ARGUMENTS, (self.hint,))
        missing = [f'"{name}"' for name in self.required if name not in given]
        if missing:
            raise CommandError(f"required flag(s) {', '.join(missing)} not set", ExitCode.ERROR, (self.hint,))
        flags = {**known.defaults(), **given}
        if flags["write-out"] not in FORMATS:
            raise CommandError(
                "unsupported output format", ExitCode.BAD_FEATURE, (f"Use one of: {', '.join(FORMATS)}.",)
            )
        return Invocation(arguments, flags)

    @property
    def hint(self) -> str:
        """Where to read on."""
        return f"Run '{PROGRAM} {self.path} --help' for usage."
