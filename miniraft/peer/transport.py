"""The peer transport over gRPC: a connection to every peer, and transfers of snapshots."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from miniraft.peer.connection import PeerConnection
from miniraft.peer.describe import PeerUnreachableError
from miniraft.peer.diagnosis import explain_failure, explain_loss
from miniraft.peer.handshake import describe_member
from miniraft.peer.http2.status import RpcError
from miniraft.peer.interface import PeerAddress
from miniraft.peer.lease_questions import LeaseQuestions
from miniraft.peer.questions import ask_peer
from miniraft.peer.server import Attachment
from miniraft.peer.snapshot_sender import send_snapshot_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from miniraft.pb import peer_pb2
    from miniraft.peer.http2.client import ClientConnection
    from miniraft.peer.link import LinkContext
    from miniraft.peer.questions import QuestionHandler
    from miniraft.peer.server import PeerServer
    from miniraft.peer.statistics import PeerStatistics
    from miniraft.raft.message import Message


_MOST_GUESTS = 16  # callers that are not known as members; the oldest gives way
_MOST_TOLD_URLS = 8


class GrpcPeerTransport:
    """Implements PeerTransport. Created on the event loop, when this member knows who it is.

    Who calls says where it can be reached. That is how a member that lags behind can answer one
    that was added, or has moved, since: else it could never catch up while that one leads.
    """

    def __init__(self, context: LinkContext, server: PeerServer, snapshot_folder: Path) -> None:
        self._context = context
        self._server = server
        self._connections: dict[int, PeerConnection] = {}
        self._told_urls: dict[int, tuple[str, ...]] = {}  # by callers, guests (who are no peers) among them
        self._snapshots: dict[int, asyncio.Task[None]] = {}
        self._lease_questions: dict[int, LeaseQuestions] = {}
        self._closing: set[asyncio.Task[None]] = set()  # connections to peers that are gone
        server.attach(Attachment(context, snapshot_folder, self._peer_called))

    def send(self, messages: Sequence[Message]) -> None:
        """Queues messages for their receivers; those to members without a connection are lost."""
        connections = self._connections
        for message in messages:
            connection = connections.get(message.receiver)
            if connection is not None:
                connection.queue(message)
        for connection in connections.values():
            connection.flush()

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
        local.peers = {peer.member_id: peer for peer in peers if peer.member_id != local.member_id}
        for member_id in [caller for caller in self._told_urls if local.is_removed(caller)]:
            del self._told_urls[member_id]
        wanted = {member_id: self._address_of(member_id) for member_id in {**local.peers, **self._told_urls}}
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
        for member_id in list(self._lease_questions):
            if member_id not in wanted:
                self._close_later(self._lease_questions.pop(member_id))
        for member_id in list(self._snapshots):
            if member_id not in wanted:
                self._snapshots[member_id].cancel()
        self._server.end_streams_of_others(frozenset(wanted))

    def connected_since_ms(self, member_id: int) -> int | None:
        """Returns for how long our stream to the peer has been up, or None."""
        connection = self._connections.get(member_id)
        return None if connection is None else connection.connected_since_ms

    def hello(self, member_id: int) -> peer_pb2.Hello:
        """Returns what opens a question to a member."""
        return self._context.local.hello(member_id)

    async def ask(self, member_id: int, method: str, question: bytes, timeout_ms: int) -> bytes:
        """Returns a member's answer to a question. Raises PeerUnreachableError."""
        peer = self._address_of(member_id)
        if member_id not in self._context.local.peers:
            raise PeerUnreachableError(f"{describe_member(member_id, '')} is no member")
        return await ask_peer(self._context, member_id, peer.urls, method, question, timeout_ms)

    def answer(self, method: str, handler: QuestionHandler) -> None:
        """Has a question of the other members answered. Its message has the Hello in field 1."""
        self._server.answer(method, handler)

    def ask_about_lease(
        self, member_id: int, question: peer_pb2.LeaseQuestion
    ) -> asyncio.Future[peer_pb2.LeaseAnswer]:
        """Asks a peer; what is asked at about the same time travels together.

        The answer fails with PeerUnreachableError.
        """
        questions = self._lease_questions.get(member_id)
        if questions is None:
            questions = self._lease_questions[member_id] = LeaseQuestions(member_id, self._context)
        return questions.ask(question)

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
        closing += [asyncio.ensure_future(questions.close()) for questions in self._lease_questions.values()]
        self._lease_questions.clear()
        await asyncio.gather(*closing, *self._closing, *transfers, return_exceptions=True)

    # Internal ------------------------------------------------------------------------------
    def _peer_called(self, hello: peer_pb2.Hello) -> None:
        member_id, peers = hello.member_id, self._context.local.peers
        own_urls = self._context.local.peer_urls
        self._told_urls[member_id] = tuple(
            url for url in hello.peer_urls[:_MOST_TOLD_URLS] if url not in own_urls
        )
        guests = [caller for caller in self._told_urls if caller not in peers]
        if len(guests) > _MOST_GUESTS:
            self._forget_guest(guests[0])
        address = self._address_of(member_id, hello.member_name)
        connection = self._connections.get(member_id)
        if connection is not None:
            connection.address = address
            connection.peer_called()
        elif address.urls:
            self._connections[member_id] = PeerConnection(address, self._context)

    def _forget_guest(self, member_id: int) -> None:
        del self._told_urls[member_id]
        connection = self._connections.pop(member_id, None)
        if connection is not None:
            self._close_later(connection)

    def _address_of(self, member_id: int, name: str = "") -> PeerAddress:
        """Returns where a member is to be found: as the member list has it, then as it says itself."""
        listed = self._context.local.peers.get(member_id, PeerAddress(member_id, name, ()))
        told = self._told_urls.get(member_id, ())
        return listed._replace(urls=tuple(dict.fromkeys(listed.urls + told)))

    def _close_later(self, connection: PeerConnection | LeaseQuestions) -> None:
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
        began = time.monotonic()
        statistics.snapshots_sending += 1
        try:
            succeeded = await self._try_transfer(message, path)
        finally:
            statistics.snapshots_sending -= 1
            # In a thread: removing a large file takes its time.
            asyncio.get_running_loop().run_in_executor(None, lambda: path.unlink(missing_ok=True))
            if succeeded:
                statistics.snapshots_sent += 1
                statistics.snapshot_send_seconds.observe(time.monotonic() - began)
            else:
                statistics.snapshots_send_failed += 1
            context.events.on_snapshot_sent(receiver_id, succeeded)

    async def _try_transfer(self, message: Message, path: Path) -> bool:
        context = self._context
        peer = self._address_of(message.receiver)
        if not peer.urls:
            return False
        name = describe_member(peer.member_id, peer.name)
        hello = context.local.hello(peer.member_id)
        for url in peer.urls:
            context.log("info", "sending snapshot to peer", peer=name, url=url)
            connection = await self._connect(url, name)
            if connection is None:
                continue
            try:
                await send_snapshot_file(connection, hello, message, path, context.settings)
            except (RpcError, OSError) as error:
                context.log("warn", "sending snapshot failed", peer=name, url=url, error=explain_loss(error))
            else:
                context.log("info", "peer has the snapshot", peer=name)
                return True
            finally:
                await connection.close()
        return False

    async def _connect(self, url: str, name: str) -> ClientConnection | None:
        context = self._context
        try:
            async with asyncio.timeout(context.settings.connect_timeout_ms / 1000):
                return await context.dialer.connect(url)
        except (OSError, ValueError) as error:
            explanation = await explain_failure(url, error, context.dialer.tls)
            context.log("warn", "sending snapshot failed", peer=name, url=url, error=explanation)
            return None
