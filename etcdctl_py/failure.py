"""How a command fails: a text for the last line, an exit code, and what to do next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes scripts know from etcdctl."""

    SUCCESS = 0
    ERROR = 1
    BAD_CONNECTION = 2
    INVALID_INPUT = 3
    BAD_FEATURE = 4
    INTERRUPTED = 5
    BAD_ARGUMENTS = 128
    CTRL_C = 130


class CommandError(Exception):
    """Ends the command. The last line of stderr becomes `Error: <message>`.

    `notes` are lines for before it: the cause in full and what to do. An empty message
    prints no `Error:` line, for the commands that say it in their own words.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR, notes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.notes = notes


class SilentExit(Exception):  # noqa: N818 (an exit, not an error: all was said already)
    """Ends the command with an exit code and not one more word."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def bad_arguments(message: str, *notes: str) -> CommandError:
    """A command line that etcdctl refuses with exit code 128."""
    return CommandError(message, ExitCode.BAD_ARGUMENTS, notes)
