"""The live view on a terminal: draws after every change and reads single keys."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING

from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from miniraft.local_cluster.supervisor import Supervisor
    from miniraft.local_cluster.view import Happening

KEYS = {"k": "kill", "s": "stop", "p": "pause", "c": "resume", "r": "restart"}
REDRAW_SECONDS = 0.05
_ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_MAX_TYPED = 40


class Typed:
    """What was typed so far and what it comes to: a key and a member's number, or words.

    `feed` returns ("kill", "2"), ("quit", "") or None while there is nothing to do yet.
    """

    def __init__(self) -> None:
        self.text = ""
        self.hint = ""

    def feed(self, key: str) -> tuple[str, str] | None:
        """Takes one key."""
        self.hint = ""
        if key in ("\x03", "\x04"):
            return "quit", ""
        if key == "\x1b":
            self.text = ""
        elif key in ("\x7f", "\b"):
            self.text = self.text[:-1]
        elif key in ("\r", "\n"):
            return self._words()
        elif key.isprintable() and len(self.text) < _MAX_TYPED:
            self.text += key
            return self._keys()
        return None

    def _keys(self) -> tuple[str, str] | None:
        """A quit, or one key and a number; anything longer waits for Enter."""
        if self.text == "q":
            self.text = ""
            return "quit", ""
        if len(self.text) == 2 and self.text[0] in KEYS and self.text[1].isdigit():
            command, number = KEYS[self.text[0]], self.text[1]
            self.text = ""
            return command, number
        if self.text in KEYS:
            self.hint = f"{KEYS[self.text]} which member? type its number"
        return None

    def _words(self) -> tuple[str, str] | None:
        """A typed line such as `kill n2`."""
        words = self.text.split()
        self.text = ""
        if not words:
            return None
        if words[0] in ("quit", "exit"):
            return "quit", ""
        return KEYS.get(words[0], words[0]), words[1] if len(words) > 1 else ""


class Screen:
    """Draws the supervisor's view and does what is typed until somebody quits."""

    def __init__(self, supervisor: Supervisor, quit_: Callable[[], None], message: str = "") -> None:
        self._supervisor = supervisor
        self._quit = quit_
        self._typed = Typed()
        self._message = message
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, _happenings: list[Happening]) -> None:
        """Draws soon; many changes at once are drawn once."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(REDRAW_SECONDS, self._draw)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Has the terminal while the body runs, and gives it back as it was."""
        loop = asyncio.get_running_loop()
        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
        tty.setcbreak(handle)
        sys.stdout.write(_ENTER)
        loop.add_reader(handle, self._read, handle)
        loop.add_signal_handler(signal.SIGWINCH, self.changed, [])
        self._draw()
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
            loop.remove_reader(handle)
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
            termios.tcsetattr(handle, termios.TCSADRAIN, before)

    def _draw(self) -> None:
        self._scheduled = False
        size = shutil.get_terminal_size()
        view = self._supervisor.view()._replace(
            typed=self._typed.text, message=self._typed.hint or self._message
        )
        lines = render(view, size.columns, size.lines, colour="NO_COLOR" not in os.environ)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")
            sys.stdout.flush()

    def _read(self, handle: int) -> None:
        content = os.read(handle, 1024)
        if not content:
            self._quit()  # the terminal is gone
            return
        text = content.decode("utf-8", "replace")
        if text.startswith("\x1b") and len(text) > 1:
            return  # an arrow or a function key
        for key in text:
            action = self._typed.feed(key)
            if action is not None:
                self._do(*action)
        self.changed([])

    def _do(self, command: str, member: str) -> None:
        if command == "quit":
            self._message = "stopping the members; the data stays"
            self._quit()
            return
        self._message = f"{command} {member} ..."
        task = asyncio.get_running_loop().create_task(self._execute(command, member))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _execute(self, command: str, member: str) -> None:
        try:
            self._message = await self._supervisor.execute(command, member)
        except ClusterError as error:
            self._message = str(error)
        self.changed([])
