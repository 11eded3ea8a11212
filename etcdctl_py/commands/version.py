"""`version`: which etcdctl this one behaves like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcdctl_py.command import Command
from etcdctl_py.version import API_VERSION, ETCDCTL_VERSION

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation


def run(call: Invocation) -> None:
    """Prints both versions."""
    call.console.line(f"etcdctl version: {ETCDCTL_VERSION}")
    call.console.line(f"API version: {API_VERSION}")


VERSION = Command("version", run, usage="version", summary="show which etcdctl this one behaves like")
