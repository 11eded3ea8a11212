"""The program `etcdctl-py`, also `python -m etcdctl_py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from etcdctl_py.cli import run
from etcdctl_py.console import Console, to_text
from etcdctl_py.failure import ExitCode

if TYPE_CHECKING:
    from typing import BinaryIO, TextIO


def main() -> NoReturn:
    """Runs the command line of this process and exits."""
    arguments = [to_text(os.fsencode(argument)) for argument in sys.argv[1:]]
    console = Console(_stream(sys.stdin), _stream(sys.stdout), _stream(sys.stderr), dict(os.environ))
    try:
        code = run(arguments, console)
    except KeyboardInterrupt:
        code = ExitCode.CTRL_C
    except OSError as error:
        code = _lost_output(error, console)
    try:
        console.flush()
    except OSError as error:
        code = _lost_output(error, console)
    sys.exit(int(code))


def _stream(stream: TextIO | None) -> BinaryIO:
    """The bytes below a standard stream; nothing when the stream is closed."""
    if stream is None:
        return Path(os.devnull).open("r+b")
    return stream.buffer


def _lost_output(error: OSError, console: Console) -> ExitCode:
    """Standard output takes no more. That is no word worth when a reader left, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains once more at exit
    if not isinstance(error, BrokenPipeError):
        console.error_line(f"Error: {error.strerror or error}")
    return ExitCode.ERROR


if __name__ == "__main__":
    main()
