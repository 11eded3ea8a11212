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
