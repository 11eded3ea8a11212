"""`migrate`: there is nothing to change in our data directories; says what to do instead."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.flags import Flag, switch
from miniraft.etcdutl.command import TEXT, Command, Invocation
from miniraft.snapshot.opening import is_own_data_folder

_LEAST = (3, 5)


def _run(call: Invocation) -> None:
    target = call.flags["target-version"]
    _check(target)
    root = Path(call.flags["data-dir"])
    (root / "member" / "snap" / "db").stat()
    if not is_own_data_folder(root):
        raise CommandError(
            f"{root} is the data directory of an etcd: its form is changed by etcdutl of etcd",
            ExitCode.ERROR,
            ("To bring it over here: `etcdutl-py snapshot restore DIR/member/snap/db --skip-hash-check`.",),
        )
    sys.stderr.write(
        f"Nothing to do: the store of {root} has one form, whatever version of etcd's interface it serves. "
        f"For an etcd {target}: `etcdutl-py snapshot export {root} FILE`, then `etcdutl snapshot restore`.\n"
    )


def _check(target: str) -> None:
    match = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", target)
    if match is None:
        raise bad_arguments(f'wrong target version format, expected "X.Y", got "{target}"')
    if (int(match[1]), int(match[2])) < _LEAST:
        raise bad_arguments(f'target version "{target}" not supported. Minimal "3.5"')


MIGRATE = Command(
    "migrate",
    "--data-dir {dir} --target-version {X.Y}",
    "say what to do to go to another version of etcd",
    _run,
    flags=(
        Flag("data-dir", TEXT, "", "required: the data directory"),
        Flag("target-version", TEXT, "", "required: such as 3.6"),
        switch("force", "accepted for etcdutl's sake, without effect"),
    ),
    required=("data-dir", "target-version"),
)
