"""Runs a command as a child process, for `watch` and `lock`."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from etcdctl_py.failure import CommandError
from etcdctl_py.golang.quoting import quote_text

if TYPE_CHECKING:
    from etcdctl_py.console import Console


def run_child(words: list[str], variables: dict[str, bytes], console: Console) -> int:
    """Runs a command with further environment variables; returns its exit code.

    Raises CommandError when it cannot be started.
    """
    console.flush()
    environment = {os.fsencode(name): os.fsencode(value) for name, value in console.environment.items()}
    environment |= {name.encode(): value for name, value in variables.items()}
    arguments = [word.encode("utf-8", "surrogateescape") for word in words]
    captured = not console.is_the_process
    try:
        done = subprocess.run(arguments, env=environment, check=False, capture_output=captured)
    except FileNotFoundError:
        raise CommandError(f"exec: {quote_text(words[0])}: executable file not found in $PATH") from None
    except OSError as error:
        raise CommandError(f"fork/exec {words[0]}: {(error.strerror or str(error)).lower()}") from None
    if done.stdout:
        console.write(done.stdout)
    if done.stderr:
        console.stderr.write(done.stderr)
    return done.returncode
