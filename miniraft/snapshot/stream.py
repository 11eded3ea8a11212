"""A snapshot for a client of a running member, in the pieces that Maintenance.Snapshot sends.

Three choices:
- The bbolt file is made whole before the first piece goes out. Its first pages name what is
  known last, and every message tells how much remains. The price is a file on disk while the
  client reads; in return the store is read once, at full speed, and not held up by a slow client.
- It is made by another process. Reading and packing a million pairs keeps a Python interpreter
  busy for seconds; in a thread of the member they would be taken from its event loop, and with
  them heartbeats and puts.
- It is made from a copy of the store's file (`Store.copy_to`), a consistent state that nobody
  writes to; the store itself may be committed to all the while.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from miniraft.snapshot.bolt_contents import HASH_BYTES
from miniraft.snapshot.problem import SnapshotError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

BLOB_BYTES = 64 << 10  # etcd: 32 KiB; clients accept 4 MiB at least


async def snapshot_blobs(
    copy_store: Callable[[Path], Awaitable[object]],
    copy: Path,
    export: Path,
    blob_bytes: int = BLOB_BYTES,
) -> AsyncGenerator[tuple[bytes, int]]:
    """Yields (blob, remaining bytes) for each SnapshotResponse; all work is done off the event loop.

    `copy_store` writes a consistent copy of the store to the path given (`StoreCommitter.copy_to`;
    commit first what is applied, or the snapshot misses writes that were acknowledged). `copy` and
    `export` name two files that do not exist, on the disk of the data folder; together they may
    take twice the size of the store. Both are gone when the generator ends, however it ends: use
    `contextlib.aclosing`, for a client that goes away ends it in the middle.

    As in etcd, the last blob is the SHA-256 hash of those before it, and is not counted in what
    remains. Raises SnapshotError, OSError; and what `copy_store` raises.
    """
    try:
        await copy_store(copy)
        await _export_in_process(copy, export)
        await asyncio.to_thread(copy.unlink)
        descriptor = os.open(export, os.O_RDONLY | os.O_CLOEXEC)
        try:
            remaining = os.fstat(descriptor).st_size - HASH_BYTES
            offset = 0
            while remaining:
                length = min(blob_bytes, remaining)
                blob = await _read(descriptor, length, offset)
                offset += length
                remaining -= length
                yield blob, remaining
            yield await _read(descriptor, HASH_BYTES, offset), 0
        finally:
            os.close(descriptor)
    finally:
        for path in (copy, export):
            path.unlink(missing_ok=True)


async def _read(descriptor: int, length: int, offset: int) -> bytes:
    """Reads in a thread. It ends before this does, even when this is cancelled: the descriptor
    must not be closed under it, and become another file's."""
    reading = asyncio.ensure_future(asyncio.to_thread(os.pread, descriptor, length, offset))
    try:
        data = await asyncio.shield(reading)
    except asyncio.CancelledError:
        await asyncio.wait([reading])
        raise
    if len(data) != length:
        raise SnapshotError(f"the exported snapshot is shorter than it was: {len(data)} of {length} bytes")
    return data


async def _export_in_process(copy: Path, export: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "miniraft.snapshot.export", str(copy), str(export)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
    )
    try:
        _, complaint = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise SnapshotError(f"the snapshot could not be made: {complaint.decode(errors='replace').strip()}")


def _environment() -> dict[str, str]:
    """The other process is to find this package, from wherever this one has it."""
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
