"""The outgoing half of the link to one peer: a queue, and one stream that empties it.

    BACKOFF --delay over, or the peer called us--> CONNECTING --Hello answered--> CONNECTED
       ^                                               |                             |
       +-------------- attempt failed -----------------+-------- stream broke -------+

Messages wait while CONNECTING (a vote must not be lost because the answer's stream is a few
milliseconds late) and CONNECTED, and are dropped in BACKOFF. Raft copes with what is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from miniraft.errors import Code
from miniraft.pb import peer_pb2
from miniraft.peer.backoff import Backoff
from miniraft.peer.codec import append_message, batch_sent_at
from miniraft.peer.diagnosis import explain_failure, explain_loss
from miniraft.peer.handshake import (
    REFUSAL_KEY,
    Refusal,
    RefusalKind,
    check_receiver,
    describe_member,
)
from miniraft.peer.http2.status import RpcError
from miniraft.peer.settings import MESSAGES_METHOD

if TYPE_CHECKING:
    from miniraft.peer.http2.client import ClientCall, ClientConnection
    from miniraft.peer.interface import PeerAddress
    from miniraft.peer.link import LinkContext
    from miniraft.raft.message import Message

_REPEAT_LOG_AFTER_SECONDS = 30.0
# Refusals that pass by themselves while a cluster starts or a member has just been added.
_PASSING_REFUSALS = frozenset({RefusalKind.UNKNOWN_MEMBER, RefusalKind.NOT_READY})


class LinkState(Enum):
    """Where a connection stands."""

    BACKOFF = "backoff"
    CONNECTING = "connecting"
    CONNECTED = "connected"


class _Batch:
    """Messages that will travel together."""

    __slots__ = ("message_count", "pieces", "size_bytes")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.message_count = 0
        self.size_bytes = 0


class _RefusedError(Exception):
    """One of the two ends does not want the stream."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class PeerConnection:
    """Sends messages to one peer over one stream at a time.

    Invariant: messages leave in the order of `send`, each at most once.
    """

    def __init__(self, address: PeerAddress, context: LinkContext) -> None:
        self.address = address
        self.statistics = context.statistics_of(address.member_id)
        self._context = context
        self._settings = context.settings
        self._state = LinkState.CONNECTING
        self._batches: deque[_Batch] = deque()
        self._queued_count = 0
        self._queued_bytes = 0
        self._loss_reported = False
        self._call: ClientCall | None = None  # not None: connected, and batches may leave
        self._connected_at = 0.0
        self._echo_due_ns = 0
        self._wake = asyncio.Event()
        self._backoff = Backoff(
            self._settings.backoff_start_ms, self._settings.backoff_limit_ms, context.generator
        )
        self._logged_text = ""
        self._logged_at = 0.0
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"peer-{address.member_id:x}")

    # Called by the transport ---------------------------------------------------------------
    def queue(self, message: Message) -> None:
        """Takes a message for the next `flush`; drops it when there is no room or no connection in sight."""
        if not self._has_room():
            self._drop()
            return
        if not self._batches or self._batches[-1].size_bytes >= self._settings.batch_bytes:
            self._batches.append(_Batch())
        batch = self._batches[-1]
        size = append_message(batch.pieces, message, self._context.encoder.encode(message.entries))
        batch.size_bytes += size
        batch.message_count += 1
        self._queued_bytes += size
        self._queued_count += 1

    def flush(self) -> None:
        """Sends what is queued, as far as the peer has room; the rest follows by itself."""
        call = self._call
        if call is None:
            return
        while self._batches and call.is_clear:
            batch = self._take_batch()
            call.write(batch)
            self.statistics.sent_bytes += len(batch)
            self._loss_reported = False

    def peer_called(self) -> None:
        """The peer has just opened its stream to us, so it is up: connect at once."""
        self._backoff.reset()
        self._wake.set()

    @property
    def connected_since_ms(self) -> int | None:
        """For how long the stream has been up, or None."""
        if self._state is not LinkState.CONNECTED:
            return None
        return int((time.monotonic() - self._connected_at) * 1000)

    async def close(self) -> None:
        """Ends the stream; what is queued is lost."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self.statistics.is_connected = False

    # The queue -----------------------------------------------------------------------------
    def _has_room(self) -> bool:
        settings = self._settings
        if self._state is LinkState.CONNECTED:
            return self._queued_count < settings.queue_messages and self._queued_bytes < settings.queue_bytes
        return (
            self._state is LinkState.CONNECTING
            and self._queued_count < settings.connecting_queue_messages
            and self._queued_bytes < settings.connecting_queue_bytes
        )

    def _drop(self) -> None:
        self.statistics.sent_failures += 1
        if not self._loss_reported:
            self._loss_reported = True
            self._context.events.on_unreachable(self.address.member_id)

    def _take_batch(self) -> bytes:
        batch = self._batches.popleft()
        self._queued_count -= batch.message_count
        self._queued_bytes -= batch.size_bytes
        now_ns = time.monotonic_ns()
        if now_ns >= self._echo_due_ns:
            self._echo_due_ns = now_ns + self._settings.echo_interval_ms * 1_000_000
            batch.pieces.append(batch_sent_at(now_ns))
        return b"".join(batch.pieces)

    def _clear_queue(self) -> None:
        if self._batches and not self._loss_reported:
            self._drop()
        self._batches.clear()
        self._queued_count = self._queued_bytes = 0

    # The connection ------------------------------------------------------------------------
    async def _run(self) -> None:
        attempt = 0
        while True:
            self._state = LinkState.CONNECTING
            self._loss_reported = False
            self._wake.clear()
            url = self.address.urls[attempt % len(self.address.urls)]
            attempt += 1
            failure = await self._attempt(url)
            was_connected = self._state is LinkState.CONNECTED
            self._state = LinkState.BACKOFF
            self._note_loss(was_connected, failure)
            await self._report_failure(url, failure, was_connected)
            await self._wait(self._backoff.next_delay_ms() / 1000)

    async def _attempt(self, url: str) -> Exception:
        """Connects and sends until the stream breaks; returns what broke it."""
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(self._settings.connect_timeout_ms / 1000):
                connection = await self._context.dialer.connect(url)
                call = connection.call(MESSAGES_METHOD)
                await self._greet(call)
            self._mark_connected(url)
            await self._converse(call)
        except RpcError as error:
            return _refusal_in(error) or error
        except (_RefusedError, DecodeError, OSError, ValueError) as error:
            return error
        finally:
            if connection is not None:
                await connection.close()
        return ConnectionResetError("the peer ended the stream")

    async def _greet(self, call: ClientCall) -> None:
        local = self._context.local
        receiver_id = self.address.member_id
        call.write(peer_pb2.MessageBatch(hello=local.hello(receiver_id)).SerializeToString())
        encoded = await call.read()
        if encoded is None:
            raise ConnectionResetError("the peer ended the stream instead of answering Hello")
        hello = peer_pb2.MessageStreamReply.FromString(encoded).hello
        self.statistics.server_version = hello.server_version
        refusal = check_receiver(local, receiver_id, hello)
        if refusal is not None:
            raise _RefusedError(refusal)

    def _mark_connected(self, url: str) -> None:
        self._state = LinkState.CONNECTED
        self.statistics.is_connected = True
        self._connected_at = time.monotonic()
        self._loss_reported = False
        self._logged_text = ""
        self._backoff.reset()
        self._context.log("info", "connected to peer", **self._fields(), url=url)

    async def _converse(self, call: ClientCall) -> None:
        self._call = call
        call.on_clear = self.flush
        measuring = asyncio.get_running_loop().create_task(self._measure_when_idle())
        try:
            self.flush()
            await call.receive(self._take_reply)
        finally:
            measuring.cancel()
            self._call = None

    async def _measure_when_idle(self) -> None:
        """Followers have little to tell each other: a round trip is measured all the same."""
        while True:
            await asyncio.sleep(self._settings.idle_echo_interval_ms / 1000)
            if not self._batches and time.monotonic_ns() >= self._echo_due_ns:
                self._batches.append(_Batch())
                self.flush()

    def _take_reply(self, encoded: bytes) -> None:
        """Takes the round trip that the peer echoes."""
        sent_at_ns = peer_pb2.MessageStreamReply.FromString(encoded).echo_sent_at_ns
        if sent_at_ns:
            self.statistics.round_trip_seconds.observe((time.monotonic_ns() - sent_at_ns) / 1e9)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    # What went wrong -----------------------------------------------------------------------
    def _note_loss(self, was_connected: bool, failure: Exception) -> None:
        self._clear_queue()
        if was_connected:
            self.statistics.is_connected = False
            self.statistics.disconnections += 1
            if _peer_is_gone(failure):
                self._context.events.on_disconnected(self.address.member_id)
            if not self._loss_reported:
                self._loss_reported = True
                self._context.events.on_unreachable(self.address.member_id)

    async def _report_failure(self, url: str, failure: Exception, was_connected: bool) -> None:
        if isinstance(failure, _RefusedError):
            refusal = failure.refusal
            level = "debug" if refusal.kind in _PASSING_REFUSALS else "error"
            self._log_once(level, "peer refused the connection", refusal.text, url)
            self._context.on_refused(self.address.member_id, refusal)
            return
        if isinstance(failure, TimeoutError) and not str(failure):
            failure = TimeoutError(f"no answer within {self._settings.connect_timeout_ms} ms")
        if was_connected:
            self._log_once("warn", "lost connection to peer", explain_loss(failure), url)
            return
        now = time.monotonic()
        if self._logged_text and now - self._logged_at < _REPEAT_LOG_AFTER_SECONDS:
            return  # said already; a second look at certificates and names is not for free
        explanation = await explain_failure(url, failure, self._context.dialer.tls)
        self._log_once("warn", "cannot connect to peer, trying on", explanation, url)

    def _log_once(self, level: str, message: str, text: str, url: str) -> None:
        now = time.monotonic()
        if text == self._logged_text and now - self._logged_at < _REPEAT_LOG_AFTER_SECONDS:
            return
        self._logged_text, self._logged_at = text, now
        self._context.log(level, message, **self._fields(), url=url, error=text)

    def _fields(self) -> dict[str, str]:
        return {"peer": describe_member(self.address.member_id, self.address.name)}


def _peer_is_gone(failure: Exception) -> bool:
    """Returns whether the peer's end closed a connection that worked: its process ended, or ends."""
    if isinstance(failure, RpcError):
        return failure.code is Code.UNAVAILABLE  # what a peer that shuts down says
    return isinstance(failure, ConnectionResetError | BrokenPipeError)


def _refusal_in(error: RpcError) -> _RefusedError | None:
    try:
        kind = RefusalKind(error.metadata.get(REFUSAL_KEY, ""))
    except ValueError:
        return None  # none, or a newer version's
    return _RefusedError(Refusal(kind, error.details))
