"""Tells on stderr how far long work has come: a line kept up to date on a terminal, a new line
every ten seconds elsewhere. Work that is soon done says nothing."""

from __future__ import annotations

import sys
import time

_QUIET_S = 1.0
_TERMINAL_INTERVAL_S = 0.2
_PLAIN_INTERVAL_S = 10.0


class ProgressLine:
    """Callable as a `Progress`. Used in a with statement, which ends the line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_terminal = sys.stderr.isatty()
        self._next_s = time.monotonic() + (_QUIET_S if self._is_terminal else _PLAIN_INTERVAL_S)
        self._shown = False

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        """Takes note of how far it has come."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + (_TERMINAL_INTERVAL_S if self._is_terminal else _PLAIN_INTERVAL_S)
        self._shown = True
        percent = 100 * done_bytes // max(total_bytes, 1)
        text = f"{self._what}: {percent}% of {total_bytes / 1e6:.0f} MB"
        sys.stderr.write(f"\r{text}" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._is_terminal:
            sys.stderr.write("\n")
