"""`snapshot status`."""

from __future__ import annotations

from pathlib import Path

from etcdctl_py.golang.sizes import humanize_bytes
from miniraft.etcdutl.command import Command, Invocation
from miniraft.etcdutl.output import Figure, show
from miniraft.etcdutl.progress import ProgressLine
from miniraft.snapshot.opening import open_contents
from miniraft.snapshot.status import snapshot_status


def _run(call: Invocation) -> None:
    with open_contents(Path(call.arguments[0])) as contents, ProgressLine("reading") as progress:
        if contents.has_hash:  # etcdutl does not look at it, but who asks wants to know
            contents.verify_hash(progress)
        status = snapshot_status(contents, progress)
    figures = [
        Figure("hash", "Hash", "hash", status.hash, f"{status.hash:x}"),
        Figure("revision", "Revision", "revision", status.revision),
        Figure("total keys", "Keys", "totalKey", status.total_keys),
        Figure(
            "total size",
            "Size",
            "totalSize",
            status.total_size_bytes,
            humanize_bytes(status.total_size_bytes),
        ),
    ]
    if status.storage_version:  # etcdutl shows it from 3.6 on, and such files have it from then on
        figures.append(Figure("version", "Version", "version", status.storage_version))
    show(call.flags["write-out"], figures)


STATUS = Command(
    "snapshot status",
    "<filename>",
    "show hash, revision, count of keys and size of a snapshot (or a data directory's database)",
    _run,
    argument_count=1,
)
