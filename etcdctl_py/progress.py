"""A bar on standard error that shows how far long work has come. Only a person sees it: where
standard error is no terminal, nothing is written."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcdctl_py.console import Console


class Progress:
    """Used in a with statement, which ends the bar's line."""

    def __init__(self, console: Console, label: str) -> None:
        self._label = label
        self._shown = console.is_the_process and sys.stderr.isatty()
        self._ending = contextlib.ExitStack()
        self._update: Callable[[int], None] | None = None

    def advance(self, steps: int, total: int) -> None:
        """Counts `steps` more of `total`."""
        if not self._shown:
            return
        if self._update is None:
            import click

            bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
            self._update = self._ending.enter_context(bar).update
        self._update(steps)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
