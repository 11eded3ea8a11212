"""The listening half of the peer API.

It is up before the member knows who it is, so that members that start together find each
other: until `attach`, only Describe is answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from miniraft.pb import peer_pb2
from miniraft.peer.codec import decode_messages, message_from_pb
from miniraft.peer.dialing import keepalive_options, parse_peer_url
from miniraft.peer.handshake import REFUSAL_KEY, Refusal, RefusalKind, check_caller, describe_member
from miniraft.peer.security import check_client_certificate, server_credentials
from miniraft.peer.settings import DESCRIBE_METHOD, INSTALL_SNAPSHOT_METHOD, MESSAGES_METHOD
from miniraft.peer.snapshot_receiver import SnapshotRefusedError, receive_snapshot_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from miniraft.peer.link import LinkContext
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
    on_peer_called: Callable[[int], None]  # a checked peer has opened its stream to us


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
        self._message_streams: dict[int, _IncomingStream] = {}
        self._snapshot_streams: dict[int, _IncomingStream] = {}
        self._server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 0),  # a second member on the same port must fail, not share it
                ("grpc.max_receive_message_length", settings.receive_limit_bytes),
                ("grpc.max_send_message_length", -1),
                *keepalive_options(settings),
                ("grpc.http2.max_ping_strikes", 0),  # members ping as often as they like
            )
        )
        self._server.add_generic_rpc_handlers((_PeerHandlers(self),))

    # Life cycle ----------------------------------------------------------------------------
    async def listen(self, urls: Sequence[str]) -> tuple[str, ...]:
        """Binds every URL and starts; returns the URLs with the ports bound (0: any free one).

        Raises PeerListenError.
        """
        bound = tuple([self._bind(url) for url in urls])
        await self._server.start()
        return bound

    def attach(self, attachment: Attachment) -> None:
        """From now on streams of members are taken."""
        self._attachment = attachment

    def end_streams_of_others(self, member_ids: frozenset[int]) -> None:
        """Ends the incoming streams of all but these members."""
        for streams in (self._message_streams, self._snapshot_streams):
            for member_id, stream in list(streams.items()):
                if member_id not in member_ids:
                    stream.end("the member was taken off the list of members")

    async def close(self) -> None:
        """Ends all streams and stops listening."""
        self._attachment = None
        tasks = [
            s.task for streams in (self._message_streams, self._snapshot_streams) for s in streams.values()
        ]
        await self._server.stop(None)
        if tasks:
            await asyncio.wait(tasks)

    def _bind(self, url: str) -> str:
        try:
            address, secure = parse_peer_url(url)
        except ValueError as error:
            raise PeerListenError(f"--listen-peer-urls: {error}") from error
        try:
            if secure:
                port = self._server.add_secure_port(address, server_credentials(self._tls, self._log))
            else:
                port = self._server.add_insecure_port(address)
        except OSError as error:
            raise PeerListenError(f"--listen-peer-urls {url}: {error}") from error
        except RuntimeError as error:
            raise PeerListenError(f"--listen-peer-urls {url} cannot be listened on: {error}") from error
        parts = urlsplit(url)
        return f"{parts.scheme}://{address.rpartition(':')[0]}:{port}"

    # Calls ---------------------------------------------------------------------------------
    async def serve_describe(self, _request: bytes, call: Any) -> bytes:
        """Answers Describe."""
        await self._check_certificate(call)
        return self._describe().SerializeToString()

    async def serve_messages(self, _requests: Any, call: Any) -> None:
        """Takes the messages of one member until its stream ends."""
        hello = (await self._first_message(call, peer_pb2.MessageBatch)).hello
        attachment = await self._admit(hello, call)
        context, sender_id = attachment.context, hello.member_id
        async with _IncomingStream(self._message_streams, sender_id, call):
            reply = peer_pb2.MessageStreamReply(hello=context.local.hello(sender_id))
            await call.write(reply.SerializeToString())
            attachment.on_peer_called(sender_id)
            self._log("debug", "peer opened its stream", peer=describe_member(sender_id, hello.member_name))
            try:
                await _deliver(call, context, sender_id)
            except ValueError as error:
                context.statistics_of(sender_id).received_failures += 1
                self._log("error", "peer sent what cannot be read", peer=f"{sender_id:x}", error=str(error))
                await call.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unreadable message batch: {error}")

    async def serve_install_snapshot(self, _requests: Any, call: Any) -> bytes:
        """Takes a snapshot. A new transfer of one member takes the place of its earlier one."""
        first = await self._first_message(call, peer_pb2.SnapshotChunk)
        attachment = await self._admit(first.hello, call)
        message = message_from_pb(first.message)
        if message is None or message.snapshot is None or message.sender != first.hello.member_id:
            await _abort(call, grpc.StatusCode.INVALID_ARGUMENT, "a snapshot must open with its message")
        statistics = attachment.context.statistics_of(message.sender)
        async with _IncomingStream(self._snapshot_streams, message.sender, call):
            received = False
            try:
                path = await receive_snapshot_file(
                    lambda: self._next_chunk(call),
                    attachment.snapshot_folder,
                    message.sender,
                    first.total_bytes,
                )
                received = True
            except SnapshotRefusedError as error:
                await _abort(call, grpc.StatusCode.DATA_LOSS, str(error))
            except TimeoutError:
                await _abort(call, grpc.StatusCode.DEADLINE_EXCEEDED, "the snapshot stopped coming")
            except OSError as error:
                self._log("error", "cannot store the snapshot of the leader", error=str(error))
                await _abort(call, grpc.StatusCode.RESOURCE_EXHAUSTED, f"cannot store the snapshot: {error}")
            finally:
                if not received:
                    statistics.snapshots_receive_failed += 1
            statistics.snapshots_received += 1
        attachment.context.events.on_snapshot_received(message, path)
        return peer_pb2.InstallSnapshotReply(accepted=True).SerializeToString()

    async def _next_chunk(self, call: Any) -> bytes | None:
        async with asyncio.timeout(self._settings.snapshot_stall_timeout_ms / 1000):
            chunk: Any = await call.read()
        return None if chunk is grpc.aio.EOF else bytes(chunk)

    # Checks --------------------------------------------------------------------------------
    async def _first_message(self, call: Any, kind: type[_Opening]) -> _Opening:
        await self._check_certificate(call)
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_TIMEOUT_SECONDS):
                encoded: Any = await call.read()
        except TimeoutError:
            await _abort(call, grpc.StatusCode.DEADLINE_EXCEEDED, "the stream did not open with a Hello")
        if encoded is grpc.aio.EOF:
            await _abort(call, grpc.StatusCode.INVALID_ARGUMENT, "the stream ended before its Hello")
        try:
            return kind.FromString(encoded)
        except DecodeError as error:
            await _abort(call, grpc.StatusCode.INVALID_ARGUMENT, f"unreadable Hello: {error}")

    async def _check_certificate(self, call: Any) -> None:
        peer = str(call.peer())
        refusal = await check_client_certificate(self._tls, call.auth_context(), peer)
        if refusal is not None:
            self._log("warn", "rejected connection", remote_addr=peer, error=refusal.text)
            await _refuse(call, refusal)

    async def _admit(self, hello: peer_pb2.Hello, call: Any) -> Attachment:
        attachment = self._attachment
        if attachment is None:
            await _refuse(
                call, Refusal(RefusalKind.NOT_READY, "this member is still finding its cluster; try again")
            )
        refusal = check_caller(attachment.context.local, hello)
        if refusal is not None:
            passing = refusal.kind is RefusalKind.UNKNOWN_MEMBER
            self._log("debug" if passing else "warn", "refused a peer's stream", error=refusal.text)
            attachment.context.statistics_of(hello.member_id).received_failures += 1
            await _refuse(call, refusal)
        return attachment


class _PeerHandlers(grpc.GenericRpcHandler):
    """Maps the three methods to the server, bytes in and bytes out."""

    def __init__(self, server: PeerServer) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            MESSAGES_METHOD: grpc.stream_stream_rpc_method_handler(server.serve_messages),
            INSTALL_SNAPSHOT_METHOD: grpc.stream_unary_rpc_method_handler(server.serve_install_snapshot),
            DESCRIBE_METHOD: grpc.unary_unary_rpc_method_handler(server.serve_describe),
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


class _IncomingStream:
    """A stream being served, kept under its member's id; the member's earlier one gives way."""

    def __init__(self, streams: dict[int, _IncomingStream], member_id: int, call: Any) -> None:
        self._streams = streams
        self._member_id = member_id
        self._call = call
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream is served outside of a task")
        self.task: asyncio.Task[Any] = task
        self._end_reason = ""

    def end(self, reason: str) -> None:
        """Ends the stream from this side."""
        self._end_reason = reason
        self.task.cancel()

    async def __aenter__(self) -> None:
        earlier = self._streams.get(self._member_id)
        self._streams[self._member_id] = self
        if earlier is not None:
            earlier.end("a newer stream of the same member took its place")

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._streams.get(self._member_id) is self:
            del self._streams[self._member_id]
        if isinstance(error, asyncio.CancelledError) and self._end_reason:
            # A cancelled handler sends no status by itself, and the caller would wait for ever.
            self.task.uncancel()
            await _abort(self._call, grpc.StatusCode.ABORTED, self._end_reason)


async def _deliver(call: Any, context: LinkContext, sender_id: int) -> None:
    """Hands on batch after batch. Raises ValueError for one that cannot be read."""
    statistics = context.statistics_of(sender_id)
    on_messages = context.events.on_messages
    end = grpc.aio.EOF
    while (encoded := await call.read()) is not end:
        statistics.received_bytes += len(encoded)
        try:
            batch = peer_pb2.MessageBatch.FromString(encoded)
        except DecodeError as error:
            raise ValueError(str(error)) from error
        messages = decode_messages(batch)
        for message in messages:
            if message.sender != sender_id or message.receiver != context.local.member_id:
                raise ValueError(
                    f"message from {message.sender:x} to {message.receiver:x} in the stream "
                    f"from {sender_id:x} to {context.local.member_id:x}"
                )
        if messages:
            on_messages(messages)
        if batch.sent_at_ns:
            await call.write(
                peer_pb2.MessageStreamReply(echo_sent_at_ns=batch.sent_at_ns).SerializeToString()
            )


async def _refuse(call: Any, refusal: Refusal) -> NoReturn:
    await call.abort(grpc.StatusCode.FAILED_PRECONDITION, refusal.text, ((REFUSAL_KEY, refusal.kind.value),))
    raise AssertionError("abort returns never")


async def _abort(call: Any, code: grpc.StatusCode, text: str) -> NoReturn:
    await call.abort(code, text)
    raise AssertionError("abort returns never")
