"""Standard input, output and error as bytes, so that any key or value passes unharmed."""

from __future__ import annotations

import sys
from typing import BinaryIO


def to_bytes(text: str) -> bytes:
    """Turns text back into the bytes it was read from."""
    return text.encode("utf-8", "surrogateescape")


def to_text(value: bytes) -> str:
    """Reads bytes as UTF-8; what is no UTF-8 survives the way back through `to_bytes`."""
    return value.decode("utf-8", "surrogateescape")


class Console:
    """The three standard streams of one run, and its environment variables."""

    def __init__(
        self, stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO, environment: dict[str, str]
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.environment = environment

    def write(self, value: bytes) -> None:
        """Writes bytes to standard output as they are."""
        self.stdout.write(value)

    def line(self, text: str) -> None:
        """Writes a line to standard output."""
        self.stdout.write(to_bytes(text) + b"\n")

    def error_line(self, text: str) -> None:
        """Writes a line to standard error, after what standard output still holds back."""
        self.stdout.flush()
        self.stderr.write(to_bytes(text) + b"\n")
        self.stderr.flush()

    def flush(self) -> None:
        """Hands over everything written so far."""
        self.stdout.flush()
        self.stderr.flush()

    def read_line(self) -> bytes:
        """Reads one line of standard input with its newline; empty at the end."""
        self.stdout.flush()
        return self.stdin.readline()

    @property
    def is_the_process(self) -> bool:
        """Whether these are the process's own streams, which a child inherits."""
        return self.stdout is sys.stdout.buffer

    def is_terminal(self) -> bool:
        """Whether a person types the standard input."""
        return self.stdin.isatty()

    def read_password(self, prompt: str) -> str:
        """Asks for a password: unseen from a terminal, else one line of standard input."""
        if self.is_terminal() and self.is_the_process:
            from getpass import getpass

            return getpass(prompt)
        self.write(to_bytes(prompt))
        answer = self.read_line()
        self.write(b"\n")
        return to_text(answer.rstrip(b"\n"))
