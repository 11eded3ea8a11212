"""`hashkv`."""

from __future__ import annotations

from pathlib import Path

from etcdctl_py.flags import Flag
from miniraft.etcdutl.command import UNSIGNED, Command, Invocation
from miniraft.etcdutl.output import Figure, show
from miniraft.snapshot.hash_kv import hash_kv
from miniraft.snapshot.opening import open_contents


def _run(call: Invocation) -> None:
    with open_contents(Path(call.arguments[0])) as contents:
        hashed = hash_kv(contents, call.flags["rev"])
    figures = [
        Figure("hash", "Hash", "hash", hashed.hash),
        Figure("hash revision", "Hash revision", "hashRevision", hashed.hash_revision),
        Figure("compact revision", "Compact revision", "compactRevision", hashed.compact_revision),
    ]
    show(call.flags["write-out"], figures)


HASHKV = Command(
    "hashkv",
    "<filename>",
    "hash the keyspace in a snapshot (or a data directory's database), as `endpoint hashkv` does online",
    _run,
    flags=(Flag("rev", UNSIGNED, 0, "the last revision to hash (0: the latest)"),),
    argument_count=1,
)
