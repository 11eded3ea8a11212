"""Receives the copy of a keyspace into a temporary file that is whole and synced, or gone."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from miniraft.pb import peer_pb2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from miniraft.histogram import Histogram

INCOMING_PREFIX = "incoming-"
INCOMING_SUFFIX = ".snapshot.tmp"
_numbers = itertools.count(1)
_SPARE_BYTES = 16 * 1024 * 1024  # left for the log while a snapshot comes in


class SnapshotRefusedError(Exception):
    """The data is not what the sender announced."""


async def receive_snapshot_file(
    read: Callable[[], Awaitable[bytes | None]],
    folder: Path,
    sender_id: int,
    total_bytes: int,
    sync_seconds: Histogram,
) -> Path:
    """Writes the chunks that `read` returns until it returns None; returns the file's path.

    At most one chunk is in memory. Whatever ends it early (an error, cancellation) removes
    the file. `sync_seconds` is told how long the disk took to sync it. Raises
    SnapshotRefusedError for data that does not match its length or hash and OSError for the disk.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot-write")
    # Never the name of an earlier transfer: that one may still be about to remove its file.
    path = folder / f"{INCOMING_PREFIX}{sender_id:016x}-{next(_numbers)}{INCOMING_SUFFIX}"
    file = _SnapshotWriter(path, total_bytes, sync_seconds)
    complete = False
    try:
        await loop.run_in_executor(thread, file.open)
        while (encoded := await read()) is not None:
            await loop.run_in_executor(thread, file.add, encoded)
        await loop.run_in_executor(thread, file.finish)
        complete = True
    finally:
        if not complete:
            thread.submit(file.discard)  # behind whatever the thread is still busy with
        thread.shutdown(wait=False)
    return path


class _SnapshotWriter:
    """The file on its way in. Used in one thread at a time."""

    def __init__(self, path: Path, total_bytes: int, sync_seconds: Histogram) -> None:
        self._path = path
        self._sync_seconds = sync_seconds
        self._total_bytes = total_bytes
        self._written_bytes = 0
        self._hash = hashlib.sha256()
        self._announced_hash = b""
        self._descriptor = -1

    def open(self) -> None:
        free_bytes = shutil.disk_usage(self._path.parent).free
        if free_bytes < self._total_bytes + _SPARE_BYTES:
            raise OSError(
                f"a snapshot of {self._total_bytes} bytes does not fit on the disk of {self._path.parent}: "
                f"{free_bytes} bytes are free; make room there"
            )
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)

    def add(self, encoded: bytes) -> None:
        try:
            chunk = peer_pb2.SnapshotChunk.FromString(encoded)
        except DecodeError as error:
            raise SnapshotRefusedError(f"unreadable chunk: {error}") from error
        if self._announced_hash:
            raise SnapshotRefusedError("data after the hash that ends a snapshot")
        self._announced_hash = chunk.sha256
        data = memoryview(chunk.data)
        self._hash.update(data)
        self._written_bytes += len(data)
        if self._written_bytes > self._total_bytes:
            raise SnapshotRefusedError(f"more data than the {self._total_bytes} bytes announced")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def finish(self) -> None:
        if self._written_bytes != self._total_bytes or not self._announced_hash:
            raise SnapshotRefusedError(
                f"the stream ended after {self._written_bytes} of {self._total_bytes} bytes"
            )
        if self._hash.digest() != self._announced_hash:
            raise SnapshotRefusedError("SHA-256 mismatch: the snapshot was damaged on its way")
        began = time.perf_counter()
        os.fsync(self._descriptor)
        self._sync_seconds.observe(time.perf_counter() - began)
        os.close(self._descriptor)
        self._descriptor = -1

    def discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)
