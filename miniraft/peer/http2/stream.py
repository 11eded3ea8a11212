"""One call as both ends see it: messages out, messages in, and how it ended."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from miniraft.errors import Code
from miniraft.peer.http2.framing import MessageReader, frame_message
from miniraft.peer.http2.status import Headers, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.peer.http2.connection import Connection


class Stream:
    """A stream of a connection. ClientCall and ServerCall say what its headers mean.

    Messages that come in go to `read`, or straight to the function given to `receive`.
    The other end may send on while at most one message waits to be read; what it sends
    beyond fills the flow-control window and then stops.

    Invariants: messages leave in the order of `write`; once `failure` is set nothing more is
    sent and everything that waits has been woken.
    """

    def __init__(self, connection: Connection, stream_id: int, receive_limit_bytes: int) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.failure: Exception | None = None  # why no more comes in and nothing can be sent
        self.is_under_way = False  # DATA frames without flags need no `h2` from now on
        self.declares_length = False  # a content-length, which `h2` checks
        self.on_clear: Callable[[], None] | None = None  # what waited to be sent has been sent
        self._waiting = bytearray()  # framed messages the other end has no room for yet
        self._ends_after_waiting = False  # end_stream comes behind what waits
        self._trailers: Headers = []  # and carries these
        self._reader = MessageReader(receive_limit_bytes)
        self._messages: deque[bytes] = deque()
        # Received, but room for as much not given back yet: through `h2`, and past it.
        self._known_bytes = 0
        self._direct_bytes = 0
        self._receiver: Callable[[bytes], None] | None = None
        self._receiver_failure: Exception | None = None
        self._remote_ended = False
        self._local_ended = False
        self._incoming: asyncio.Future[None] | None = None  # somebody reads
        self._outgoing: asyncio.Future[None] | None = None  # somebody drains

    @property
    def is_over(self) -> bool:
        """Whether both ends have ended their halves well."""
        return self._remote_ended and self._local_ended and not self._ends_after_waiting

    @property
    def uncredited_bytes(self) -> int:
        """How much was received for which no room was given back yet."""
        return self._known_bytes + self._direct_bytes

    # Sending -------------------------------------------------------------------------------
    @property
    def is_clear(self) -> bool:
        """Whether a message would leave at once."""
        return not self._waiting and self.failure is None and not self.connection.is_paused

    def write(self, message: bytes) -> None:
        """Sends a message, as far as the other end has room; the rest follows by itself.

        Whoever writes much looks at `is_clear` or awaits `drain`. After the end nothing happens.
        """
        if self.failure is not None or self._local_ended:
            return
        if self._waiting or not self.connection.send_message(self.stream_id, message):
            self._waiting += frame_message(message)
            self._send_waiting()
        self.connection.flush()

    async def drain(self) -> None:
        """Returns when all that was written is on its way. Raises what broke the stream."""
        while not self.is_clear:
            if self.failure is not None:
                raise self.failure
            self._outgoing = asyncio.get_running_loop().create_future()
            await self._outgoing

    def pump(self) -> None:
        """There may be more room: sends what waits, and tells when all of it is gone."""
        self._send_waiting()
        if not self.is_clear:
            return
        if self._ends_after_waiting:
            self._ends_after_waiting = False
            self._send_end()
        _wake(self._outgoing)
        if self.on_clear is not None:
            self.on_clear()

    def _send_waiting(self) -> None:
        if self._waiting:
            sent_bytes = self.connection.send_some(self.stream_id, self._waiting)
            del self._waiting[:sent_bytes]

    def _end_after_waiting(self, trailers: Headers) -> None:
        """Nothing more is written: ends this half of the stream behind what waits."""
        if self._local_ended or self.failure is not None:
            return
        self._local_ended = True
        self._trailers = trailers
        if self._waiting:
            self._ends_after_waiting = True
        else:
            self._send_end()
        self.connection.flush()

    def _send_end(self) -> None:
        if self._trailers:
            self.connection.send_headers(self.stream_id, self._trailers, end_stream=True)
        else:
            self.connection.send_end(self.stream_id)
        self._forget_if_over()

    # Receiving -----------------------------------------------------------------------------
    async def read(self) -> bytes | None:
        """Returns the next message, or None at the good end. Raises what broke the stream."""
        while not self._messages:
            if self.failure is not None:
                raise self.failure
            if self._remote_ended:
                return None
            self._incoming = asyncio.get_running_loop().create_future()
            await self._incoming
        message = self._messages.popleft()
        if not self._messages:
            self._give_credit()
        return message

    async def receive(self, receiver: Callable[[bytes], None]) -> None:
        """Hands on every message to `receiver`, in the callback that received it, until the good end.

        Raises what broke the stream, and what `receiver` raised; it is not called again then.
        """
        while self._messages:
            receiver(self._messages.popleft())
        self._give_credit()
        self._receiver = receiver
        while self.failure is None and not self._remote_ended and self._receiver_failure is None:
            self._incoming = asyncio.get_running_loop().create_future()
            await self._incoming
        failure = self._receiver_failure or self.failure
        if failure is not None:
            raise failure

    # Called by the connection --------------------------------------------------------------
    def headers_received(self, headers: Headers) -> None:
        """Headers or trailers came in."""
        raise NotImplementedError

    def ended_by_remote(self) -> None:
        """The other end sends no more."""
        if not self._reader.is_between_messages:
            self.fail(RpcError(Code.INTERNAL, "the stream ended within a message"))
            return
        self._remote_ended = True
        self.is_under_way = False
        _wake(self._incoming)
        self._forget_if_over()

    def data_received(self, data: bytes, known_bytes: int, direct_bytes: int) -> None:
        """Bytes of messages came in. For their size in flow control see `Connection.give_credit`."""
        self._known_bytes += known_bytes
        self._direct_bytes += direct_bytes
        if self.failure is not None:
            self._give_credit()
            return
        try:
            messages = self._reader.feed(data)
        except RpcError as error:
            self.abort(error)
            return
        if self._receiver is not None:
            self._hand_on(messages, self._receiver)
        elif messages:
            self._messages += messages
            _wake(self._incoming)
        if not self._messages and self.uncredited_bytes >= self.connection.credit_step_bytes:
            self._give_credit()

    def _hand_on(self, messages: list[bytes], receiver: Callable[[bytes], None]) -> None:
        try:
            for message in messages:
                receiver(message)
        except Exception as error:  # noqa: BLE001 (whatever it is, `receive` raises it)
            self._receiver = None
            self._receiver_failure = error
            _wake(self._incoming)

    def fail(self, failure: Exception) -> None:
        """The stream is broken or its connection is: wakes all that wait."""
        if self.failure is not None:
            return
        self.failure = failure
        self._waiting.clear()
        self._give_credit()
        self.connection.forget(self.stream_id)
        _wake(self._incoming)
        _wake(self._outgoing)

    def abort(self, failure: Exception) -> None:
        """This end cannot go on: fails the stream and tells the other end what it may know."""
        raise NotImplementedError

    def _give_credit(self) -> None:
        if self._known_bytes or self._direct_bytes:
            self.connection.give_credit(self.stream_id, self._known_bytes, self._direct_bytes)
            self._known_bytes = self._direct_bytes = 0

    def _forget_if_over(self) -> None:
        if self.is_over:
            self._give_credit()
            self.connection.forget(self.stream_id)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
