"""An HTTP/2 client that sends exactly the bytes a test wants, whole or in pieces."""

import contextlib
import socket
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

_PATIENCE_SECONDS = 10.0


@dataclass
class Answer:
    """A response; `trailers` is empty when everything stood in the headers."""

    headers: dict = field(default_factory=dict)
    body: bytes = b""
    trailers: dict = field(default_factory=dict)
    reset: int | None = None

    @property
    def grpc_status(self):
        return int({**self.headers, **self.trailers}["grpc-status"])

    @property
    def grpc_message(self):
        return {**self.headers, **self.trailers}.get("grpc-message", "")


class Connection:
    """One connection with many streams, each of them read or left unread.

    What comes in is always taken off the wire; a stream that is left unread is given no more
    leave to send, as by a client whose application does not read it.
    """

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._transport = socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS)
        self._transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority = address
        self._answers = {}
        self._unread_bytes = {}  # of the streams left unread
        self._ended = set()
        self._h2.initiate_connection()
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._transport.close()

    def open(self, path, content, *, content_type="application/grpc", end=False, reads=False):
        """Begins a POST; returns the number of its stream."""
        stream = self._h2.get_next_available_stream_id()
        self._answers[stream] = Answer(body=bytearray())
        if not reads:
            self._unread_bytes[stream] = 0
        headers = [(":method", "POST"), (":scheme", "http"), (":authority", self._authority)]
        headers += [(":path", path), ("content-type", content_type), ("te", "trailers")]
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, content, end_stream=end)
        self._flush()
        return stream

    def send(self, stream, content):
        """Sends as much of the content as the server gives leave for; returns how much."""
        self._take(block=False)
        sent = 0
        while sent < len(content):
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if size == 0:
                break
            piece = content[sent : sent + size]
            self._h2.send_data(stream, piece)
            self._flush()
            sent += len(piece)
        return sent

    def call(self, path, content, content_type="application/grpc"):
        """Returns the whole Answer to one request."""
        return self.whole(self.open(path, content, content_type=content_type, end=True, reads=True))

    def answer(self, stream):
        """Returns what has come so far."""
        return self._answers[stream]

    def read(self, stream):
        """Reads a stream from now on; returns its Answer, which grows."""
        unread_bytes = self._unread_bytes.pop(stream, 0)
        if unread_bytes and stream not in self._ended:
            self._h2.increment_flow_control_window(unread_bytes, stream)
            self._flush()
        return self._answers[stream]

    def whole(self, stream):
        """Returns the Answer of a stream that has come to its end."""
        answer = self.read(stream)
        while stream not in self._ended:
            self._take()
        return answer

    def until(self, condition):
        """Takes in what comes until the condition holds."""
        while not condition():
            self._take()

    def _flush(self):
        self._transport.sendall(self._h2.data_to_send())

    def _take(self, *, block=True):
        self._transport.settimeout(_PATIENCE_SECONDS if block else 0.05)
        try:
            data = self._transport.recv(1 << 20)
        except TimeoutError:
            if block:
                raise
            return
        finally:
            self._transport.settimeout(_PATIENCE_SECONDS)
        assert data, "the server has closed the connection"
        events = self._h2.receive_data(data)
        for event in events:
            self._handle(event)
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self._give_leave(event.stream_id, event.flow_controlled_length)
        self._flush()

    def _give_leave(self, stream, size):
        self._h2.increment_flow_control_window(size)
        if stream in self._unread_bytes:
            self._unread_bytes[stream] += size
        elif stream not in self._ended:
            self._h2.increment_flow_control_window(size, stream)

    def _handle(self, event):
        answer = self._answers.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.DataReceived):
            answer.body += event.data
        elif isinstance(event, h2.events.ResponseReceived):
            answer.headers = dict(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            self._ended.add(event.stream_id)


def request(address, path, pieces, headers=(), content_type="application/grpc", end=True):
    """POSTs `pieces`, one DATA frame each, over a connection of its own; returns the Answer."""
    host, port = address.rsplit(":", 1)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    with socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS) as transport:
        connection.initiate_connection()
        connection.send_headers(
            1,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", address),
                (":path", path),
                *((("content-type", content_type),) if content_type else ()),
                ("te", "trailers"),
                *headers,
            ],
        )
        transport.sendall(connection.data_to_send())
        for piece in pieces:
            connection.send_data(1, piece)
            transport.sendall(connection.data_to_send())
        if end:
            connection.end_stream(1)
            transport.sendall(connection.data_to_send())
        return _read(connection, transport)


def _read(connection, transport):
    answer = Answer()
    while data := transport.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                answer.headers = dict(event.headers)
            elif isinstance(event, h2.events.TrailersReceived):
                answer.trailers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamReset):
                answer.reset = int(event.error_code)
                return answer
            elif isinstance(event, h2.events.StreamEnded):
                return answer
        with contextlib.suppress(OSError):
            transport.sendall(connection.data_to_send())
    return answer
