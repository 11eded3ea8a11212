"""`snapshot restore`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from etcdctl_py.failure import CommandError, ExitCode
from etcdctl_py.flags import Flag, switch
from miniraft.etcdutl.command import TEXT, UNSIGNED, Command, Invocation
from miniraft.etcdutl.progress import ProgressLine
from miniraft.server.identity import format_id
from miniraft.snapshot.restore import Restored, RestoreRequest, restore_snapshot

_MAP_SIZE_BYTES = 10 << 30


def _run(call: Invocation) -> None:
    flags = call.flags
    if bool(flags["bump-revision"]) != flags["mark-compacted"]:
        raise CommandError(
            "--mark-compacted required if --revision-bump > 0",
            ExitCode.BAD_ARGUMENTS,
            ("Give both --bump-revision=N and --mark-compacted, or neither.",),
        )
    request = RestoreRequest(
        snapshot=Path(call.arguments[0]),
        data_dir=Path(flags["data-dir"] or f"{flags['name']}.etcd"),
        wal_dir=Path(flags["wal-dir"]) if flags["wal-dir"] else None,
        name=flags["name"],
        initial_cluster=flags["initial-cluster"],
        initial_cluster_token=flags["initial-cluster-token"],
        initial_advertise_peer_urls=flags["initial-advertise-peer-urls"],
        skip_hash_check=flags["skip-hash-check"],
        bump_revision=flags["bump-revision"],
        mark_compacted=flags["mark-compacted"],
    )
    with ProgressLine("checking the hash") as verifying, ProgressLine("restoring") as importing:
        restored = restore_snapshot(request, verifying, importing)
    for line in _report(request, restored):
        sys.stderr.write(f"{line}\n")


def _report(request: RestoreRequest, restored: Restored) -> list[str]:
    first, imported = restored.first, restored.imported
    lines = [
        f"Restored {request.snapshot} into {request.data_dir}: revision {restored.revision}, "
        f"member {format_id(first.member_id)} of cluster {format_id(first.cluster_id)}."
    ]
    lines += [f"Left out bucket {name!r}, which no store has." for name in imported.ignored_buckets]
    if imported.alarm_count:
        lines.append("The snapshot carries alarms; once the cluster runs: etcdctl-py alarm disarm")
    if len(first.members) > 1:
        others = ", ".join(member.name for member in first.members if member.id != first.member_id)
        lines.append(f"Restore the same snapshot for {others} too, with the same --initial-cluster.")
    return [*lines, "Start the member with:", f"  {shlex.join(_start_command(request))}"]


def _start_command(request: RestoreRequest) -> list[str]:
    urls = request.initial_advertise_peer_urls
    command = ["miniraft", f"--name={request.name}", f"--data-dir={request.data_dir}"]
    if request.wal_dir is not None:
        command.append(f"--wal-dir={request.wal_dir}")
    return [
        *command,
        f"--initial-cluster={request.initial_cluster}",
        f"--initial-cluster-token={request.initial_cluster_token}",
        f"--initial-advertise-peer-urls={urls}",
        f"--listen-peer-urls={urls}",
    ]


RESTORE = Command(
    "snapshot restore",
    "<filename> --data-dir {output dir} [flags]",
    "make the data directory of a member of a new cluster from a snapshot",
    _run,
    flags=(
        Flag("data-dir", TEXT, "", "the directory to make (default: the name, then .etcd)"),
        Flag("wal-dir", TEXT, "", "the directory for the log (default: within --data-dir)"),
        Flag("name", TEXT, "default", "name of this member"),
        Flag("initial-cluster", TEXT, "default=http://localhost:2380", "all members: NAME=URL[,NAME=URL...]"),
        Flag("initial-cluster-token", TEXT, "etcd-cluster", "salt of the new cluster's and members' ids"),
        Flag(
            "initial-advertise-peer-urls",
            TEXT,
            "http://localhost:2380",
            "this member's peer URLs, as in --initial-cluster",
        ),
        switch("skip-hash-check", "accept a file without a hash, such as one copied from a data directory"),
        Flag(
            "bump-revision", UNSIGNED, 0, "add this to the revision, so that no client has seen a later one"
        ),
        switch("mark-compacted", "mark the bumped revision as compacted (goes with --bump-revision)"),
        Flag(
            "initial-memory-map-size",
            UNSIGNED,
            _MAP_SIZE_BYTES,
            "accepted for etcdutl's sake, without effect",
        ),
    ),
    argument_count=1,
)
