"""`snapshot save`: a copy of one member's store in a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from etcdctl_py.command import Command, Group
from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.messages import SnapshotResponse
from etcdctl_py.progress import Progress

if TYPE_CHECKING:
    from etcdctl_py.client import Client
    from etcdctl_py.invocation import Invocation

_HASH_BYTES = 32


async def run_save(call: Invocation) -> None:
    """Fetches the snapshot into FILE.part and renames it when it is whole and on the disk."""
    if len(call.arguments) != 1:
        raise bad_arguments("snapshot save expects one argument")
    endpoints = call.options.endpoints
    if len(endpoints) > 1:
        raise _failed(
            f"snapshot must be requested to one selected node, not multiple [{' '.join(endpoints)}]",
            "Each member has its own store: name the one to copy in --endpoints.",
        )
    target = Path(call.arguments[0])
    partial = target.with_name(target.name + ".part")
    async with call.client() as client:
        try:
            file = _create(partial)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise _failed(f"could not open {partial} (open {partial}: {problem})") from None
        with file, Progress(call.console, "Saving") as progress:
            await _fetch_within_limit(call, client, file, progress)
    partial.replace(target)
    call.console.line(f"Snapshot saved at {target}")


def _create(path: Path) -> BinaryIO:
    """Opens a file for its owner alone: a snapshot holds every secret of the store."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


async def _fetch_within_limit(call: Invocation, client: Client, file: BinaryIO, progress: Progress) -> None:
    """Only a --command-timeout that was given counts: a snapshot may take long."""
    import asyncio

    limit_s = client.timeout_s if "command-timeout" in call.options.given else None
    try:
        async with asyncio.timeout(limit_s):
            await _fetch(client, file, progress)
    except TimeoutError:
        raise _failed(
            f"the snapshot was not complete within {limit_s:g}s", "Give it more time with --command-timeout."
        ) from None
    except CommandError as error:
        error.code = ExitCode.INTERRUPTED
        raise


async def _fetch(client: Client, file: BinaryIO, progress: Progress) -> None:
    """Writes what arrives, and checks the hash that the last 32 bytes are of all before them."""
    digest = hashlib.sha256()
    tail = b""
    size_bytes = 0
    async for answer in client.stream("/v3/maintenance/snapshot", {}):
        response = SnapshotResponse.read(answer)
        blob = response.blob
        file.write(blob)
        size_bytes += len(blob)
        progress.advance(len(blob), size_bytes + response.remaining_bytes)
        tail += blob
        digest.update(tail[:-_HASH_BYTES])
        tail = tail[-_HASH_BYTES:]
    file.flush()
    os.fsync(file.fileno())
    if size_bytes % 512 != _HASH_BYTES:
        raise _failed(f"sha256 checksum not found [bytes: {size_bytes}]", "The copy is not whole: try again.")
    if digest.digest() != tail:
        raise _failed("the snapshot does not match its sha256 checksum", "The copy is damaged: try again.")


def _failed(message: str, *notes: str) -> CommandError:
    return CommandError(message, ExitCode.INTERRUPTED, notes)


SNAPSHOT = Group(
    "snapshot",
    summary="copy a member's store, look into the copy and restore it",
    places={
        "restore": "snapshot_file:RESTORE",
        "save": "snapshot:SAVE",
        "status": "snapshot_file:STATUS",
    },
)
SAVE = Command(
    "save",
    run_save,
    usage="save <filename>",
    summary="save a copy of one member's store to a file",
    description="""
The file is written as <filename>.part first and renamed when it is whole. To look into it and to
restore it:
  etcdutl-py snapshot status <filename>
  etcdutl-py snapshot restore <filename> --data-dir <new directory>
""",
)
