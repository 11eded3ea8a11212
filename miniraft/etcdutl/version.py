"""`version`: the versions of the interface spoken, in etcdutl's words."""

from __future__ import annotations

import sys

from miniraft.etcdutl.command import Command, Invocation
from miniraft.version import API_VERSION, SERVER_VERSION


def _run(_call: Invocation) -> None:
    sys.stdout.write(f"etcdutl version: {SERVER_VERSION}\nAPI version: {API_VERSION}\n")


VERSION = Command("version", "", "show the version", _run)
