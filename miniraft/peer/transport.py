"""The peer transport over gRPC: a connection to every peer, and transfers of snapshots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio

from miniraft.peer.connection import PeerConnection
from miniraft.peer.diagnosis import explain_failure
from miniraft.peer.handshake import describe_member
from miniraft.peer.server import Attachment
from miniraft.peer.snapshot_sender import send_snapshot_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from miniraft.peer.interface import PeerAddress
    from miniraft.peer.link import LinkContext
    from miniraft.peer.server import PeerServer
    from miniraft.peer.statistics import PeerStatistics
    from miniraft.raft.message import Message


class GrpcPeerTransport:
    """Implements PeerTransport. Created on the event loop, when this member knows who it is."""

    def __init__(self, context: LinkContext, server: PeerServer, snapshot_folder: Path) -> None:
        self._context = context
        self._server = server
        self._connections: dict[int, PeerConnection] = {}
        self._snapshots: dict[int, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()  # connections to peers that are gone
        server.attach(Attachment(context, snapshot_folder, self._peer_called))

    def send(self, messages: Sequence[Message]) -> None:
        """Queues messages for their receivers; those to members without a connection are lost."""
        connections = self._connections
        for message in messages:
            connection = connections.get(message.receiver)
            if connection is not None:
                connection.send(message)

    def send_snapshot(self, message: Message, path: Path) -> None:
        """Streams `path` in the background. An earlier transfer to the same peer is given up."""
        earlier = self._snapshots.get(message.receiver)
        if earlier is not None:
            earlier.cancel()
        task = asyncio.get_running_loop().create_task(self._transfer(message, path))
        self._snapshots[message.receiver] = task
        task.add_done_callback(lambda done: self._forget_transfer(message.receiver, done))

    def set_peers(self, peers: Sequence[PeerAddress]) -> None:
        """Opens, keeps and closes connections; a peer whose URLs changed is connected anew."""
        local = self._context.local
        wanted = {peer.member_id: peer for peer in peers if peer.member_id != local.member_id}
        local.peers = wanted
        for member_id, connection in list(self._connections.items()):
            peer = wanted.get(member_id)
            if peer is None or peer.urls != connection.address.urls:
                del self._connections[member_id]
                self._close_later(connection)
            else:
                connection.address = peer
        for member_id, peer in wanted.items():
            if member_id not in self._connections and peer.urls:
                self._connections[member_id] = PeerConnection(peer, self._context)
        for member_id in list(self._snapshots):
            if member_id not in wanted:
                self._snapshots[member_id].cancel()
        self._server.end_streams_of_others(frozenset(wanted))

    def connected_since_ms(self, member_id: int) -> int | None:
        """Returns for how long our stream to the peer has been up, or None."""
        connection = self._connections.get(member_id)
        return None if connection is None else connection.connected_since_ms

    def statistics(self) -> dict[int, PeerStatistics]:
        """Returns the counters of every peer seen so far, by member id."""
        return self._context.statistics

    async def close(self) -> None:
        """Ends all outgoing streams; closing the server ends the others."""
        connections = list(self._connections.values())
        self._connections.clear()
        transfers = list(self._snapshots.values())
        for task in transfers:
            task.cancel()
        closing = [asyncio.ensure_future(connection.close()) for connection in connections]
        await asyncio.gather(*closing, *self._closing, *transfers, return_exceptions=True)

    # Internal ------------------------------------------------------------------------------
    def _peer_called(self, member_id: int) -> None:
        connection = self._connections.get(member_id)
        if connection is not None:
            connection.peer_called()

    def _close_later(self, connection: PeerConnection) -> None:
        task = asyncio.get_running_loop().create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _forget_transfer(self, member_id: int, task: asyncio.Task[None]) -> None:
        if self._snapshots.get(member_id) is task:
            del self._snapshots[member_id]

    async def _transfer(self, message: Message, path: Path) -> None:
        context, receiver_id = self._context, message.receiver
        statistics = context.statistics_of(receiver_id)
        succeeded = False
        try:
            succeeded = await self._try_transfer(message, path)
        finally:
            # In a thread: removing a large file takes its time.
            asyncio.get_running_loop().run_in_executor(None, lambda: path.unlink(missing_ok=True))
            if succeeded:
                statistics.snapshots_sent += 1
            else:
                statistics.snapshots_send_failed += 1
            context.events.on_snapshot_sent(receiver_id, succeeded)

    async def _try_transfer(self, message: Message, path: Path) -> bool:
        context = self._context
        peer = context.local.peers.get(message.receiver)
        if peer is None or not peer.urls:
            return False
        name = describe_member(peer.member_id, peer.name)
        hello = context.local.hello(peer.member_id)
        for url in peer.urls:
            context.log("info", "sending snapshot to peer", peer=name, url=url)
            try:
                channel = context.dialer.open(url)
            except (OSError, ValueError) as error:
                context.log("error", "cannot send snapshot", peer=name, url=url, error=str(error))
                continue
            try:
                await send_snapshot_file(channel, hello, message, path, context.settings)
            except grpc.aio.AioRpcError as error:
                details = error.details() or error.code().name
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    details = await explain_failure(url, details, context.dialer.tls)
                context.log("warn", "sending snapshot failed", peer=name, url=url, error=details)
            except (OSError, TimeoutError, asyncio.InvalidStateError) as error:
                context.log("warn", "sending snapshot failed", peer=name, url=url, error=str(error))
            else:
                context.log("info", "peer has the snapshot", peer=name)
                return True
            finally:
                await channel.close()
        return False
