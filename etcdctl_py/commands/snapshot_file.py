"""`snapshot status` and `snapshot restore`: work on a snapshot's file, which etcdutl-py does.

etcdctl has them until 3.5, marked as deprecated; they are typed from habit, in courses and scripts.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from etcdctl_py.command import Command
from etcdctl_py.failure import CommandError, ExitCode, SilentExit, bad_arguments
from etcdctl_py.flags import string, switch, unsigned

if TYPE_CHECKING:
    from etcdctl_py.invocation import Invocation

_MODULE = "miniraft.etcdutl"


def run_status(call: Invocation) -> None:
    """Shows what is in a snapshot, in the format of --write-out."""
    _note_deprecation(call, "snapshot status")
    output_format = call.options["write-out"]
    if output_format == "protobuf":
        raise CommandError("protobuf not supported as output format", ExitCode.BAD_FEATURE)
    _run_etcdutl(call, "snapshot status", [f"--write-out={output_format}"])


def run_restore(call: Invocation) -> None:
    """Makes a data directory from a snapshot. It prints no answer, so --write-out has no say."""
    _note_deprecation(call, "snapshot restore")
    given = [name for name in call.flags if name in call.context.params]
    _run_etcdutl(call, "snapshot restore", [f"--{name}={_text_of(call.flags[name])}" for name in given])


def _note_deprecation(call: Invocation, path: str) -> None:
    call.console.error_line(f"Deprecated: Use `etcdutl {path}` or `etcdutl-py {path}` instead.\n")


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _run_etcdutl(call: Invocation, path: str, flags: list[str]) -> None:
    """Runs a command of etcdutl-py on FILE as a child process, and ends with its exit code."""
    from etcdctl_py.children import run_child

    if len(call.arguments) != 1:
        raise bad_arguments(f"{path} requires exactly one argument")
    _require_etcdutl(path)
    # The child looks where this process looks: `-m` alone would put the working directory first.
    search_path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    command = [sys.executable, "-P", "-m", _MODULE, *path.split(), *flags, "--", *call.arguments]
    code = run_child(command, {"PYTHONPATH": os.fsencode(search_path)}, call.console)
    if code < 0:
        raise CommandError(f"signal {-code} ended etcdutl-py")
    if code:
        raise SilentExit(code)


def _require_etcdutl(path: str) -> None:
    """Raises CommandError where only etcdctl_py is installed."""
    from importlib.util import find_spec

    try:
        found = find_spec(_MODULE)
    except ModuleNotFoundError:  # not even the package around it
        found = None
    if found is None:
        raise CommandError(
            f"{path} needs etcdutl of the package miniraft, which is not installed",
            notes=(f"Install the package miniraft for {sys.executable}, or use etcd's own etcdutl {path}.",),
        )


STATUS = Command(
    "status",
    run_status,
    usage="status <filename>",
    summary="[deprecated] show what is in a snapshot, as etcdutl-py does",
    description="""
Shows hash, revision, number of keys and size of the file, in the format of --write-out (simple,
json, fields or table). No server is asked. The same as: etcdutl-py snapshot status <filename>
""",
)
RESTORE = Command(
    "restore",
    run_restore,
    usage="restore <filename> [options]",
    summary="[deprecated] make a data directory from a snapshot, as etcdutl-py does",
    flags=(
        string("data-dir", "the directory to make (if empty: the name, then .etcd)"),
        string("wal-dir", "the directory for the log (if empty: within --data-dir)"),
        string("name", "name of this member", "default"),
        string("initial-cluster", "all members: NAME=URL[,NAME=URL...]", "default=http://localhost:2380"),
        string("initial-cluster-token", "salt of the new cluster's and members' ids", "etcd-cluster"),
        string(
            "initial-advertise-peer-urls",
            "this member's peer URLs, as in --initial-cluster",
            "http://localhost:2380",
        ),
        switch("skip-hash-check", "accept a file without a hash, such as one copied from a data directory"),
        unsigned("bump-revision", "add this to the revision, so that no client has seen a later one"),
        switch("mark-compacted", "mark the bumped revision as compacted (goes with --bump-revision)"),
        unsigned("initial-memory-map-size", "accepted for compatibility, without effect"),
    ),
    description="""
The member is that of a new cluster; its clients lose nothing but what came after the snapshot. No
server is asked: the directory is made here, and must not be there yet. For several members,
restore the same file once for each, with the same --initial-cluster:
  snapshot restore backup.db --data-dir /var/lib/etcd-from-backup

The same as: etcdutl-py snapshot restore <filename> [options]
""",
)
