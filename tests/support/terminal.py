"""Programs in a terminal of their own, driven as a person or pexpect does: expect a text, type a line."""

import contextlib
import os
import select
import subprocess
import sys
import time

_PATIENCE_S = 20.0
# Makes standard input the terminal that Control-C reaches this session by, and becomes the program.
_IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """One program in a pseudo-terminal; `text` is all it has shown, with plain line feeds."""

    def __init__(self, *command, environment=None, folder=None):
        self._ours, theirs = os.openpty()
        self.command = command
        self.text = ""
        self._expected_up_to = 0
        self._raw = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def expect(self, wanted, seconds=_PATIENCE_S):
        """Waits until `wanted` is shown, after what was expected before; returns what came up to it."""
        deadline = time.monotonic() + seconds
        while (found := self.text.find(wanted, self._expected_up_to)) < 0:
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{self.command} did not show {wanted!r} but:\n{self.text}")
        before = self.text[self._expected_up_to : found]
        self._expected_up_to = found + len(wanted)
        return before

    def type(self, line):
        """Types a line and presses Enter."""
        os.write(self._ours, line.encode() + b"\n")

    def press(self, key):
        """Presses a key, such as Control-C (b"\\x03")."""
        os.write(self._ours, key)

    def finish(self, seconds=_PATIENCE_S):
        """Reads to the end; returns the exit code."""
        deadline = time.monotonic() + seconds
        while self._read(max(0.0, deadline - time.monotonic())):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds):
        """Reads what is there; returns False at the end or when nothing came in time."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # EIO: the program has closed its terminal
            data = os.read(self._ours, 65536)
        self._raw += data
        self.text = self._raw.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
