"""One HTTP/2 connection: `h2` between a transport and the streams.

`h2` knows the protocol; this knows which stream is whose, how much may be buffered, and when
the other end is dead. Everything happens in the event loop's callbacks.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import FlowControlError, FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes

from miniraft.errors import Code
from miniraft.peer.http2.frames import (
    DATA,
    FRAME_HEAD_BYTES,
    PREFACE_BYTES,
    message_head,
    read_head,
    window_updates,
)
from miniraft.peer.http2.framing import PREFIX_BYTES
from miniraft.peer.http2.keepalive import Keepalive
from miniraft.peer.http2.status import Headers, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from miniraft.peer.http2.stream import Stream

_MAX_CONCURRENT_STREAMS = 32
_STREAM_WINDOW_BYTES = 4 * 1024 * 1024  # received and not read yet, for one stream
_CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
_FRAME_BYTES = 256 * 1024  # the largest frame in either direction
_WRITE_HIGH_WATER_BYTES = 512 * 1024  # more waits in the streams
_WRITE_LOW_WATER_BYTES = 128 * 1024
# Only answers to pings and settings grow the buffer beyond: an end that asks and never reads.
_WRITE_LIMIT_BYTES = 1024 * 1024
_CLOSE_TIMEOUT_SECONDS = 1.0
_STATUS_OF_RESET: dict[int | None, Code] = {
    ErrorCodes.CANCEL: Code.CANCELLED,
    ErrorCodes.REFUSED_STREAM: Code.UNAVAILABLE,
}


class ConnectionSettings(NamedTuple):
    """Times and bounds of a connection."""

    keepalive_interval_ms: int
    keepalive_timeout_ms: int
    receive_limit_bytes: int  # for one message


class Connection(asyncio.Protocol):
    """Either end of a connection.

    Invariants: every byte that `h2` has to send is handed to the transport before the callback
    that produced it returns; `closed` is done once the transport is gone, and then no stream
    is left.
    """

    def __init__(self, settings: ConnectionSettings, *, is_client: bool) -> None:
        self.settings = settings
        self.is_paused = True  # the transport has enough to write, or there is none
        self.credit_step_bytes = _STREAM_WINDOW_BYTES // 4
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._failure: Exception | None = None  # why the connection ends
        self._keepalive: Keepalive | None = None
        self._preface_bytes = 0 if is_client else PREFACE_BYTES  # not yet received
        self._held = bytearray()  # the beginning of a frame
        self._wanted_bytes = 0  # no use looking at it before so many are there
        self._uncredited_bytes = 0  # received past `h2`, room not given back yet
        self._h2 = H2Connection(H2Configuration(client_side=is_client, header_encoding=None))
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            DataReceived: self._on_data,
            WindowUpdated: self._on_window,
            RemoteSettingsChanged: self._on_settings,
            RequestReceived: self._on_request,
            ResponseReceived: self._on_headers,
            TrailersReceived: self._on_headers,
            StreamEnded: self._on_end,
            StreamReset: self._on_reset,
            ConnectionTerminated: self._on_goaway,
        }

    # asyncio.Protocol ----------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there: says who we are in HTTP/2."""
        # uvloop's transports only look like asyncio's.
        self._transport = transport = cast("asyncio.Transport", transport)
        # asyncio leaves it off for accepted sockets, and then a second small message waits for
        # the acknowledgement of the first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(_WRITE_HIGH_WATER_BYTES, _WRITE_LOW_WATER_BYTES)
        self.is_paused = False
        self._h2.initiate_connection()
        self._h2.update_settings(
            {
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
                SettingCodes.MAX_FRAME_SIZE: _FRAME_BYTES,
                SettingCodes.MAX_CONCURRENT_STREAMS: _MAX_CONCURRENT_STREAMS,
            }
        )
        self._h2.increment_flow_control_window(
            _CONNECTION_WINDOW_BYTES - self._h2.inbound_flow_control_window
        )
        settings = self.settings
        self._keepalive = Keepalive(
            self._loop,
            settings.keepalive_interval_ms,
            settings.keepalive_timeout_ms,
            self._ping,
            lambda: self.break_off(TimeoutError("it no longer answers pings")),
        )
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        if self._failure is not None:
            return
        if self._keepalive is not None:
            self._keepalive.heard_at = self._loop.time()
        if self._held:
            self._held += data
            if len(self._held) < self._wanted_bytes:
                return
            data = bytes(self._held)
            self._held.clear()
        try:
            taken_bytes = self._take_frames(data)
        except ProtocolError as error:
            failure = ConnectionError(f"it does not speak HTTP/2 as it should: {error}")
            self._close_for(failure, error.error_code)
            return
        if taken_bytes < len(data):
            self._held += data[taken_bytes:]
        self.flush()

    def _take_frames(self, data: bytes) -> int:
        """Handles the whole frames that `data` begins with; returns their length in bytes."""
        position, size = 0, len(data)
        if self._preface_bytes:
            position = min(self._preface_bytes, size)
            self._preface_bytes -= position
            self._h2.receive_data(data[:position])
        while self._failure is None:
            if size - position < FRAME_HEAD_BYTES:
                self._wanted_bytes = FRAME_HEAD_BYTES
                return position
            length, kind, flags, stream_id = read_head(data, position)
            end = position + FRAME_HEAD_BYTES + length
            if length > self._h2.max_inbound_frame_size:  # `h2` would wait for all of it first
                raise FrameTooLargeError(f"a frame of {length} bytes")
            if end > size:
                self._wanted_bytes = end - position
                return position
            stream = self._streams.get(stream_id) if kind == DATA and not flags else None
            if stream is not None and stream.is_under_way:
                self._check_window(stream, length)
                stream.data_received(data[position + FRAME_HEAD_BYTES : end], 0, length)
            else:
                self._handle_events(self._h2.receive_data(data[position:end]))
            position = end
        return size

    def _handle_events(self, events: Iterable[Event]) -> None:
        handlers = self._handlers
        for event in events:
            handler = handlers.get(event.__class__)
            if handler is not None:
                handler(event)

    def _check_window(self, stream: Stream, size_bytes: int) -> None:
        """Notes what came in past `h2`. Raises FlowControlError when there was no room for it."""
        self._uncredited_bytes += size_bytes
        if (
            self._uncredited_bytes > _CONNECTION_WINDOW_BYTES
            or stream.uncredited_bytes + size_bytes > _STREAM_WINDOW_BYTES
        ):
            raise FlowControlError("more data than there was room for")

    def pause_writing(self) -> None:
        """The transport has enough."""
        self.is_paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.is_paused = False
        self._pump_all()

    def eof_received(self) -> None:
        """The other end closes; so does this one."""

    def connection_lost(self, error: Exception | None) -> None:
        """The transport is gone."""
        if self._keepalive is not None:
            self._keepalive.stop()
        self._transport = None
        self.is_paused = True
        self._fail_streams(error or ConnectionResetError("the connection was closed"))
        if not self.closed.done():
            self.closed.set_result(None)

    # Life cycle ----------------------------------------------------------------------------
    @property
    def is_open(self) -> bool:
        """Whether calls can be made on it."""
        return self._transport is not None and self._failure is None

    @property
    def failure(self) -> Exception | None:
        """Why the connection ended, or None while it is there."""
        return self._failure

    def extra_info(self, name: str) -> Any:
        """Returns what the transport knows, as in asyncio.BaseTransport.get_extra_info."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    async def close(self) -> None:
        """Says goodbye and returns when the transport is gone."""
        self._close_for(ConnectionAbortedError("this end closed the connection"))
        if self._transport is not None:
            await asyncio.wait([self.closed], timeout=_CLOSE_TIMEOUT_SECONDS)
        if self._transport is not None:
            self._transport.abort()
            await self.closed

    def break_off(self, failure: Exception) -> None:
        """Ends the connection without a word: nobody listens."""
        self._fail_streams(failure)
        if self._transport is not None:
            self._transport.abort()

    def _close_for(self, failure: Exception, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        self._fail_streams(failure)
        if self._transport is not None and not self._transport.is_closing():
            with suppress(ProtocolError):
                self._h2.close_connection(code)
            self.flush()
            self._transport.close()

    def _fail_streams(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        for stream in self.streams():
            stream.fail(self._failure)

    # For streams ---------------------------------------------------------------------------
    # `h2` knows all frames of what has just come in before the streams are told of the first
    # one, so it may refuse to send on a stream whose end is among the events still to be
    # handled. Whatever was to be sent then is lost like anything behind the end of a stream.
    def send_message(self, stream_id: int, message: bytes) -> bool:
        """Sends a message as one frame if it fits; returns whether it is gone."""
        h2 = self._h2
        size = PREFIX_BYTES + len(message)
        transport, stream = self._transport, h2.streams.get(stream_id)
        if transport is None or stream is None:
            return True
        if (
            self.is_paused
            or size > min(h2.max_outbound_frame_size, _FRAME_BYTES)
            or size > h2.outbound_flow_control_window
            or size > stream.outbound_flow_control_window
        ):
            return False
        self.flush()  # the stream's headers may still be with `h2`
        h2.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size
        transport.write(message_head(stream_id, size, len(message)) + message)
        return True

    def send_some(self, stream_id: int, data: bytearray) -> int:
        """Sends the beginning of `data`, as much as there is room for; returns how much is gone."""
        h2 = self._h2
        position, size = 0, len(data)
        with memoryview(data) as view:
            while position < size and not self.is_paused:
                try:
                    room = min(
                        h2.max_outbound_frame_size, _FRAME_BYTES, h2.local_flow_control_window(stream_id)
                    )
                    if room <= 0:
                        break
                    piece = bytes(view[position : position + room])
                    h2.send_data(stream_id, piece)
                except ProtocolError:
                    return size
                position += len(piece)
                self.flush()
        return position

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Sends headers or trailers with the next `flush`."""
        with suppress(ProtocolError):
            self._h2.send_headers(stream_id, headers, end_stream=end_stream)

    def send_end(self, stream_id: int) -> None:
        """Ends this end's half of a stream with the next `flush`."""
        with suppress(ProtocolError):
            self._h2.end_stream(stream_id)

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Breaks off a stream; one that is over already is left alone."""
        with suppress(ProtocolError):
            self._h2.reset_stream(stream_id, code)
        self.flush()

    def give_credit(self, stream_id: int, known_bytes: int, direct_bytes: int) -> None:
        """Room for so many more bytes is there: `direct_bytes` came in past `h2`, `known_bytes` did not."""
        if known_bytes:
            with suppress(ProtocolError):
                self._h2.acknowledge_received_data(known_bytes, stream_id)
            self.flush()
        if direct_bytes:
            self._uncredited_bytes -= direct_bytes
            if self._transport is not None and self._failure is None:
                self._transport.write(window_updates(stream_id, direct_bytes))

    def streams(self) -> list[Stream]:
        """Returns the streams that are open now."""
        return list(self._streams.values())

    def next_stream_id(self) -> int:
        """Returns the number of the next stream of this end."""
        return self._h2.get_next_available_stream_id()

    def adopt(self, stream: Stream) -> None:
        """From now on the stream is told what comes in for it."""
        self._streams[stream.stream_id] = stream

    def forget(self, stream_id: int) -> None:
        """The stream is over."""
        self._streams.pop(stream_id, None)

    def flush(self) -> None:
        """Hands what `h2` has to send to the transport."""
        transport = self._transport
        if transport is not None:
            self._write_out(transport)

    def _write_out(self, transport: asyncio.Transport) -> None:
        data = self._h2.data_to_send()
        if not data:
            return
        transport.write(data)
        if self.is_paused and transport.get_write_buffer_size() > _WRITE_LIMIT_BYTES:
            self.break_off(ConnectionAbortedError("it asks and does not read the answers"))

    def _pump_all(self) -> None:
        for stream in self.streams():
            stream.pump()
        self.flush()

    def _ping(self) -> None:
        if self._failure is None:
            with suppress(ProtocolError):
                self._h2.ping(b"miniraft")
            self.flush()

    # Events --------------------------------------------------------------------------------
    def _on_data(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self.give_credit(event.stream_id, event.flow_controlled_length, 0)
        else:
            stream.is_under_way = not stream.declares_length
            stream.data_received(event.data, event.flow_controlled_length, 0)

    def _on_window(self, event: WindowUpdated) -> None:
        if event.stream_id:
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.pump()
        else:
            self._pump_all()

    def _on_settings(self, _event: RemoteSettingsChanged) -> None:
        self._pump_all()

    def _on_request(self, event: RequestReceived) -> None:
        """A call comes in: the server's business."""

    def _on_headers(self, event: ResponseReceived | TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.declares_length |= declares_length(event.headers)
            stream.headers_received(list(event.headers))

    def _on_end(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.ended_by_remote()

    def _on_reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            code = _STATUS_OF_RESET.get(event.error_code, Code.INTERNAL)
            stream.fail(RpcError(code, f"the other end broke off the call ({event.error_code!r})"))

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        words = (event.additional_data or b"").decode(errors="replace")
        self._fail_streams(ConnectionResetError(f"the other end closes the connection {words}".rstrip()))
        if self._transport is not None:
            self._transport.close()


def declares_length(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether headers say how many bytes follow."""
    return any(name == b"content-length" for name, _ in headers)
