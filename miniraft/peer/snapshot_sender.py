"""Sends the copy of a keyspace to a follower: one call, the file in chunks, its hash last."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from miniraft.pb import peer_pb2
from miniraft.peer.codec import message_to_pb
from miniraft.peer.settings import INSTALL_SNAPSHOT_METHOD

if TYPE_CHECKING:
    from pathlib import Path

    from miniraft.peer.http2.client import ClientConnection
    from miniraft.peer.settings import PeerSettings
    from miniraft.raft.message import Message


async def send_snapshot_file(
    connection: ClientConnection, hello: peer_pb2.Hello, message: Message, path: Path, settings: PeerSettings
) -> None:
    """Streams `path` beside its SNAPSHOT message; returns when the follower has it whole on disk.

    Memory stays at a few chunks: a write returns when the follower has room. Raises OSError
    for the file, TimeoutError when nothing moves, OSError and RpcError for the call.
    """
    stall_seconds = settings.snapshot_stall_timeout_ms / 1000
    loop = asyncio.get_running_loop()
    call = connection.call(INSTALL_SNAPSHOT_METHOD)
    with ThreadPoolExecutor(1, thread_name_prefix="snapshot-read") as thread:
        file = await loop.run_in_executor(thread, _SnapshotReader, path, settings.snapshot_chunk_bytes)
        try:
            chunk = peer_pb2.SnapshotChunk(
                hello=hello, message=message_to_pb(message), total_bytes=file.total_bytes
            )
            while True:
                async with asyncio.timeout(stall_seconds):
                    await call.drain()
                call.write(chunk.SerializeToString())
                if chunk.sha256:
                    break
                chunk = await loop.run_in_executor(thread, file.next_chunk)
            call.end()
            async with asyncio.timeout(stall_seconds):
                encoded = await call.read_only()
        finally:
            call.cancel()
            await loop.run_in_executor(thread, file.close)
    if not peer_pb2.InstallSnapshotReply.FromString(encoded).accepted:
        raise ConnectionError("the follower did not accept the snapshot")


class _SnapshotReader:
    """The file on its way out. Used in one thread at a time."""

    def __init__(self, path: Path, chunk_bytes: int) -> None:
        self.total_bytes = path.stat().st_size
        self._file = path.open("rb", buffering=0)
        self._hash = hashlib.sha256()
        self._chunk_bytes = chunk_bytes

    def next_chunk(self) -> peer_pb2.SnapshotChunk:
        """Returns the next piece of data, or the hash when there is no more."""
        data = self._file.read(self._chunk_bytes)
        if not data:
            return peer_pb2.SnapshotChunk(sha256=self._hash.digest())
        self._hash.update(data)
        return peer_pb2.SnapshotChunk(data=data)

    def close(self) -> None:
        self._file.close()
