"""`snapshot export`: what a running member streams for `snapshot save`, from one that is stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from miniraft.etcdutl.command import Command, Invocation
from miniraft.etcdutl.progress import ProgressLine
from miniraft.runtime.disk import RealDisk
from miniraft.snapshot.contents import value_of
from miniraft.snapshot.export import write_snapshot
from miniraft.snapshot.opening import open_contents
from miniraft.wal.wal import verify_log

if TYPE_CHECKING:
    from miniraft.snapshot.contents import Contents


def _run(call: Invocation) -> None:
    source, target = map(Path, call.arguments)
    with open_contents(source) as contents, ProgressLine("exporting") as progress:
        size_bytes = write_snapshot(contents, target, progress)
        late = _entries_not_applied(source, contents)
    if late:
        sys.stderr.write(
            f"The log of {source} has {late} entries more than its store. If they were acknowledged, they "
            "are missing from the snapshot: start the member and stop it, then export again.\n"
        )
    sys.stderr.write(
        f"Wrote {target} ({size_bytes} bytes). Restore it with `etcdutl-py snapshot restore {target}`, or "
        "with etcdutl for an etcd member.\n"
    )


def _entries_not_applied(folder: Path, contents: Contents) -> int:
    """Returns how many entries the log holds that the store does not have yet: after a crash."""
    log = folder / "member" / "wal"
    if not log.is_dir():
        return 0
    recovered = verify_log(RealDisk(log)).recovered
    applied = int.from_bytes(value_of(contents, b"meta", b"consistent_index") or b"", "big")
    if recovered is None or not recovered.entries:
        return 0
    return max(0, recovered.entries[-1].index - applied)


EXPORT = Command(
    "snapshot export",
    "<data-dir> <filename>",
    "write the store of a stopped member as a snapshot that etcd can read too",
    _run,
    argument_count=2,
)
