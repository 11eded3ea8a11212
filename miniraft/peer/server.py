"""The listening half of the peer API.

It is up before the member knows who it is, so that members that start together find each
other: until `attach`, only Describe is answered.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from miniraft.errors import Code
from miniraft.pb import peer_pb2
from miniraft.peer.codec import decode_messages, message_from_pb
from miniraft.peer.dialing import connection_settings, parse_peer_url
from miniraft.peer.handshake import REFUSAL_KEY, Refusal, RefusalKind, check_caller, describe_member
from miniraft.peer.http2.server import Server
from miniraft.peer.http2.status import RpcError
from miniraft.peer.security import ServerContexts, check_client_certificate
from miniraft.peer.settings import DESCRIBE_METHOD, INSTALL_SNAPSHOT_METHOD, MESSAGES_METHOD
from miniraft.peer.snapshot_receiver import SnapshotRefusedError, receive_snapshot_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from miniraft.peer.http2.server import ServerCall
    from miniraft.peer.link import LinkContext
    from miniraft.peer.questions import QuestionHandler
    from miniraft.peer.security import PeerTls
    from miniraft.peer.settings import LogEvent, PeerSettings

_FIRST_MESSAGE_TIMEOUT_SECONDS = 5.0
_Opening = TypeVar("_Opening", peer_pb2.MessageBatch, peer_pb2.SnapshotChunk)


class PeerListenError(Exception):
    """A peer URL cannot be listened on. The message names it and says what to do."""


class Attachment(NamedTuple):
    """The member behind the server, once it knows who it is."""

    context: LinkContext
    snapshot_folder: Path
    on_peer_called: Callable[[peer_pb2.Hello], None]  # a checked peer has opened its stream to us


class PeerServer:
    """Serves the peer API on any number of URLs."""

    def __init__(
        self,
        describe: Callable[[], peer_pb2.DescribeReply],
        tls: PeerTls,
        settings: PeerSettings,
        log: LogEvent,
    ) -> None:
        self._describe = describe
        self._tls = tls
        self._settings = settings
        self._log = log
        self._attachment: Attachment | None = None
        self._message_streams: dict[int, ServerCall] = {}
        self._snapshot_streams: dict[int, ServerCall] = {}
        self._server = Server(
            {
                MESSAGES_METHOD: self._serve_messages,
                INSTALL_SNAPSHOT_METHOD: self._serve_install_snapshot,
                DESCRIBE_METHOD: self._serve_describe,
            },
            connection_settings(settings),
            log,
        )

    # Life cycle ----------------------------------------------------------------------------
    async def listen(self, urls: Sequence[str]) -> tuple[str, ...]:
        """Binds every URL and starts; returns the URLs with the ports bound (0: any free one).

        Raises PeerListenError.
        """
        return tuple([await self._bind(url) for url in urls])

    def attach(self, attachment: Attachment) -> None:
        """From now on streams of members are taken."""
        self._attachment = attachment

    def answer(self, method: str, handler: QuestionHandler) -> None:
        """Has a question of checked members answered. Its message has the Hello in field 1."""

        async def serve(call: ServerCall) -> None:
            await self._serve_question(call, handler)

        self._server.handlers[method] = serve

    def end_streams_of_others(self, member_ids: frozenset[int]) -> None:
        """Ends the incoming streams of all but these members."""
        for streams in (self._message_streams, self._snapshot_streams):
            for member_id, stream in list(streams.items()):
                if member_id not in member_ids:
                    reason = "the member was taken off the list of members"
                    stream.finish(RpcError(Code.ABORTED, reason))

    async def close(self) -> None:
        """Ends all streams and stops listening."""
        self._attachment = None
        await self._server.close("it is shutting down")

    async def _bind(self, url: str) -> str:
        try:
            host, port, secure = parse_peer_url(url)
        except ValueError as error:
            raise PeerListenError(f"--listen-peer-urls: {error}") from error
        try:
            contexts = ServerContexts(self._tls, self._log) if secure else None
            port = await self._server.listen(host, port, contexts)
        except OSError as error:
            raise PeerListenError(f"--listen-peer-urls {url} cannot be listened on: {error}") from error
        return f"{urlsplit(url).scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    # Calls ---------------------------------------------------------------------------------
    async def _serve_describe(self, call: ServerCall) -> None:
        await self._check_certificate(call)
        await call.read_only()
        call.write(self._describe().SerializeToString())

    async def _serve_question(self, call: ServerCall, handler: QuestionHandler) -> None:
        await self._check_certificate(call)
        encoded = await call.read_only()
        try:
            question = peer_pb2.Question.FromString(encoded)
        except DecodeError as error:
            raise RpcError(Code.INVALID_ARGUMENT, f"unreadable question: {error}") from error
        self._admit(question.hello)
        call.write(await handler(encoded))

    async def _serve_messages(self, call: ServerCall) -> None:
        """Takes the messages of one member until its stream ends."""
        hello = (await self._first_message(call, peer_pb2.MessageBatch)).hello
        attachment = self._admit(hello)
        context, sender_id = attachment.context, hello.member_id
        with _keep(self._message_streams, sender_id, call):
            reply = peer_pb2.MessageStreamReply(hello=context.local.hello(sender_id))
            call.write(reply.SerializeToString())
            context.statistics_of(sender_id).server_version = hello.server_version
            attachment.on_peer_called(hello)
            self._log("debug", "peer opened its stream", peer=describe_member(sender_id, hello.member_name))
            try:
                await call.receive(_Deliverer(call, context, sender_id).take)
            except ValueError as error:
                context.statistics_of(sender_id).received_failures += 1
                self._log("error", "peer sent what cannot be read", peer=f"{sender_id:x}", error=str(error))
                raise RpcError(Code.INVALID_ARGUMENT, f"unreadable message batch: {error}") from error

    async def _serve_install_snapshot(self, call: ServerCall) -> None:
        """Takes a snapshot. A new transfer of one member takes the place of its earlier one."""
        first = await self._first_message(call, peer_pb2.SnapshotChunk)
        attachment = self._admit(first.hello)
        message = message_from_pb(first.message)
        if message is None or message.snapshot is None or message.sender != first.hello.member_id:
            raise RpcError(Code.INVALID_ARGUMENT, "a snapshot must open with its message")
        statistics = attachment.context.statistics_of(message.sender)
        with _keep(self._snapshot_streams, message.sender, call):
            received = False
            began = time.monotonic()
            statistics.snapshots_receiving += 1
            try:
                path = await receive_snapshot_file(
                    lambda: self._next_chunk(call),
                    attachment.snapshot_folder,
                    message.sender,
                    first.total_bytes,
                    statistics.snapshot_sync_seconds,
                )
                received = True
            except SnapshotRefusedError as error:
                raise RpcError(Code.DATA_LOSS, str(error)) from error
            except TimeoutError as error:
                raise RpcError(Code.DEADLINE_EXCEEDED, "the snapshot stopped coming") from error
            except ConnectionError:
                raise  # the sender is gone
            except OSError as error:
                self._log("error", "cannot store the snapshot of the leader", error=str(error))
                raise RpcError(Code.RESOURCE_EXHAUSTED, f"cannot store the snapshot: {error}") from error
            finally:
                statistics.snapshots_receiving -= 1
                if not received:
                    statistics.snapshots_receive_failed += 1
            statistics.snapshots_received += 1
            statistics.snapshot_receive_seconds.observe(time.monotonic() - began)
        attachment.context.events.on_snapshot_received(message, path)
        call.write(peer_pb2.InstallSnapshotReply(accepted=True).SerializeToString())

    async def _next_chunk(self, call: ServerCall) -> bytes | None:
        async with asyncio.timeout(self._settings.snapshot_stall_timeout_ms / 1000):
            return await call.read()

    # Checks --------------------------------------------------------------------------------
    async def _first_message(self, call: ServerCall, kind: type[_Opening]) -> _Opening:
        await self._check_certificate(call)
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_TIMEOUT_SECONDS):
                encoded = await call.read()
        except TimeoutError as error:
            raise RpcError(Code.DEADLINE_EXCEEDED, "the stream did not open with a Hello") from error
        if encoded is None:
            raise RpcError(Code.INVALID_ARGUMENT, "the stream ended before its Hello")
        try:
            return kind.FromString(encoded)
        except DecodeError as error:
            raise RpcError(Code.INVALID_ARGUMENT, f"unreadable Hello: {error}") from error

    async def _check_certificate(self, call: ServerCall) -> None:
        source = call.remote_host
        refusal = await check_client_certificate(self._tls, call.certificate, source)
        if refusal is not None:
            self._log("warn", "rejected connection on peer endpoint", remote_addr=source, error=refusal.text)
            raise _refused(refusal)

    def _admit(self, hello: peer_pb2.Hello) -> Attachment:
        attachment = self._attachment
        if attachment is None:
            raise _refused(
                Refusal(RefusalKind.NOT_READY, "this member is still finding its cluster; try again")
            )
        refusal = check_caller(attachment.context.local, hello)
        if refusal is not None:
            passing = refusal.kind is RefusalKind.UNKNOWN_MEMBER
            self._log("debug" if passing else "warn", "refused a peer's stream", error=refusal.text)
            attachment.context.statistics_of(hello.member_id).received_failures += 1
            raise _refused(refusal)
        return attachment


@contextmanager
def _keep(streams: dict[int, ServerCall], member_id: int, call: ServerCall) -> Iterator[None]:
    """Keeps a stream under its member's id while it is served; the member's earlier one gives way."""
    earlier = streams.get(member_id)
    streams[member_id] = call
    if earlier is not None:
        earlier.finish(RpcError(Code.ABORTED, "a newer stream of the same member took its place"))
    try:
        yield
    finally:
        if streams.get(member_id) is call:
            del streams[member_id]


class _Deliverer:
    """Hands on the messages of one member, batch after batch."""

    __slots__ = ("_call", "_on_messages", "_own_id", "_sender_id", "_statistics")

    def __init__(self, call: ServerCall, context: LinkContext, sender_id: int) -> None:
        self._call = call
        self._on_messages = context.events.on_messages
        self._own_id = context.local.member_id
        self._sender_id = sender_id
        self._statistics = context.statistics_of(sender_id)

    def take(self, encoded: bytes) -> None:
        """Hands on one batch. Raises ValueError for one that cannot be read."""
        self._statistics.received_bytes += len(encoded)
        try:
            batch = peer_pb2.MessageBatch.FromString(encoded)
        except DecodeError as error:
            raise ValueError(str(error)) from error
        messages = decode_messages(batch)
        for message in messages:
            if message.sender != self._sender_id or message.receiver != self._own_id:
                raise ValueError(
                    f"message from {message.sender:x} to {message.receiver:x} in the stream "
                    f"from {self._sender_id:x} to {self._own_id:x}"
                )
        if messages:
            self._on_messages(messages)
        if batch.sent_at_ns:
            reply = peer_pb2.MessageStreamReply(echo_sent_at_ns=batch.sent_at_ns)
            self._call.write(reply.SerializeToString())


def _refused(refusal: Refusal) -> RpcError:
    return RpcError(Code.FAILED_PRECONDITION, refusal.text, {REFUSAL_KEY: refusal.kind.value})
