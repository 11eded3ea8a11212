"""What a slow, silent, broken or hostile other end can do to a connection: little."""

import asyncio
import contextlib
import socket

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniraft.errors import Code
from miniraft.peer.http2.client import connect
from miniraft.peer.http2.connection import ConnectionSettings
from miniraft.peer.http2.framing import MessageReader, frame_message
from miniraft.peer.http2.server import Server, parse_timeout
from miniraft.peer.http2.status import RpcError, error_in, status_headers
from tests.support.peer_ends import eventually

SETTINGS = ConnectionSettings(2000, 3000, 64 * 1024 * 1024)
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/t.T/take"),
    (":authority", "here"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


class Taker:
    """A server with one method, which takes messages when it is allowed to."""

    def __init__(self, settings=SETTINGS):
        self.settings = settings
        self.may_read = asyncio.Event()
        self.taken = []
        self.calls = []
        self.failures = []

    async def take(self, call):
        self.calls.append(call)
        await self.may_read.wait()
        try:
            while (message := await call.read()) is not None:
                self.taken.append(message)
        except Exception as error:
            self.failures.append(error)
            raise
        call.write(b"%d" % len(self.taken))

    async def __aenter__(self):
        self.server = Server({"/t.T/take": self.take}, self.settings, lambda *_, **__: None)
        self.port = await self.server.listen("127.0.0.1", 0, None)
        return self

    async def __aexit__(self, *_):
        self.may_read.set()
        await self.server.close("over")


class RawClient:
    """h2 on a socket, without any of our code."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.events = []

    async def send(self, piece_bytes=1 << 20):
        data = self.h2.data_to_send()
        for start in range(0, len(data), piece_bytes):
            await self.send_raw(data[start : start + piece_bytes])

    async def send_raw(self, data):
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self):
        """Returns False at the end of the connection."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        except ConnectionError:
            return False
        self.events += self.h2.receive_data(data) if data else []
        return bool(data)

    async def receive_until(self, kind):
        while not any(isinstance(event, kind) for event in self.events):
            assert await self.receive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def run(scenario):
    async def bounded():
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 30), min_size=1))
def test_messages_come_out_however_their_bytes_are_cut(messages, sizes):
    data = b"".join(map(frame_message, messages))
    reader, received, position, number = MessageReader(40), [], 0, 0
    while position < len(data):
        size = sizes[number % len(sizes)]
        received += reader.feed(data[position : position + size])
        position, number = position + size, number + 1
    assert received == messages
    assert reader.is_between_messages


def test_a_message_beyond_the_limit_is_refused_before_it_comes():
    with pytest.raises(RpcError, match="larger than max"):
        MessageReader(40).feed(b"\0\0\0\0\x29")


@given(st.text(), st.sampled_from(list(Code)[1:]))
def test_any_text_survives_the_trailers(text, code):
    error = error_in(status_headers(code, text, {"key": "value"}))
    assert (error.code, error.details, error.metadata) == (code, text, {"key": "value"})


def test_deadlines_are_read():
    assert parse_timeout(b"250m") == 0.25
    assert parse_timeout(b"2H") == 7200
    assert parse_timeout(None) is None
    for bad in (b"", b"m", b"-1S", b"1x", b"123456789S"):
        with pytest.raises(RpcError, match="grpc-timeout"):
            parse_timeout(bad)


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
def test_frames_come_in_any_pieces(piece_bytes):
    async def scenario():
        async with Taker() as taker:
            taker.may_read.set()
            with RawClient(taker.port) as client:
                client.h2.send_headers(1, REQUEST)
                for number in range(20):
                    client.h2.send_data(1, frame_message(b"m%d" % number))
                    client.h2.ping(b"12345678")
                both = frame_message(b"padded") + frame_message(b"in two")
                client.h2.send_data(1, both[:15], pad_length=9)
                client.h2.send_data(1, both[15:], end_stream=True)
                await client.send(piece_bytes)
                await client.receive_until(h2.events.TrailersReceived)
            assert taker.taken == [b"m%d" % number for number in range(20)] + [b"padded", b"in two"]

    run(scenario)


def test_a_declared_length_is_checked():
    async def scenario():
        async with Taker() as taker:
            taker.may_read.set()
            for length in (26, 27):
                with RawClient(taker.port) as client:
                    client.h2.send_headers(1, [*REQUEST, ("content-length", str(length))])
                    client.h2.send_data(1, frame_message(b"12345678"))
                    client.h2.send_data(1, frame_message(b"12345678"), end_stream=True)
                    await client.send()
                    if length == 26:
                        await client.receive_until(h2.events.TrailersReceived)
                    else:
                        await client.receive_until(h2.events.ConnectionTerminated)

    run(scenario)


def test_a_stream_that_ends_within_a_message_is_an_error():
    async def scenario():
        async with Taker() as taker:
            taker.may_read.set()
            with RawClient(taker.port) as client:
                client.h2.send_headers(1, REQUEST)
                client.h2.send_data(1, frame_message(b"12345678")[:9], end_stream=True)
                await client.send()
                await eventually(lambda: taker.failures)
                assert "within a message" in str(taker.failures[0])

    run(scenario)


def test_who_does_not_read_stops_the_sender_and_memory_stays_small():
    async def scenario():
        async with Taker() as taker:
            connection = await connect("127.0.0.1", taker.port, SETTINGS, None)
            call = connection.call("/t.T/take")
            message, sent = b"x" * 200_000, 0

            async def send_all():
                nonlocal sent
                for _ in range(100):
                    call.write(message)
                    await call.drain()
                    sent += 1

            sending = asyncio.create_task(send_all())
            await eventually(lambda: sent >= 20)
            await asyncio.sleep(0.2)
            assert sent <= 4 * 1024 * 1024 / len(message) + 1  # the window, and not one byte more
            (held,) = taker.calls
            assert held.uncredited_bytes <= 4 * 1024 * 1024
            taker.may_read.set()
            await sending
            call.end()
            assert await call.read_only() == b"100"
            assert taker.taken == [message] * 100
            await connection.close()

    run(scenario)


def test_more_than_the_window_ends_the_connection():
    async def scenario():
        async with Taker() as taker:
            with RawClient(taker.port) as client:
                client.h2.send_headers(1, REQUEST)
                await client.send()
                await client.receive_until(h2.events.RemoteSettingsChanged)
                client.h2.send_data(1, frame_message(b"first"))
                await client.send()
                await eventually(lambda: taker.calls and taker.calls[0].is_under_way)
                head = (16_384).to_bytes(3, "big") + b"\0\0" + (1).to_bytes(4, "big")
                frame = head + frame_message(b"y" * (16_384 - 5))
                with contextlib.suppress(ConnectionError):
                    for _ in range(300):  # 4.9 MB
                        await client.send_raw(frame)
                with contextlib.suppress(ConnectionError):
                    while await client.receive():
                        pass
                await eventually(lambda: not taker.server.connections)
                taker.may_read.set()
                await eventually(lambda: taker.failures)

    run(scenario)


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" * 100, b"\0" * 1000]
)
def test_what_is_no_http2_is_hung_up_on(garbage):
    async def scenario():
        async with Taker() as taker:
            with RawClient(taker.port) as client:
                await client.send_raw(garbage)
                while await asyncio.get_running_loop().sock_recv(client.socket, 65536):
                    pass
            await eventually(lambda: not taker.server.connections)

    run(scenario)


def test_an_overlong_frame_ends_the_connection_before_it_is_held():
    async def scenario():
        async with Taker() as taker:
            with RawClient(taker.port) as client:
                client.h2.send_headers(1, REQUEST)
                client.h2.send_data(1, frame_message(b"first"))
                await client.send()
                await eventually(lambda: taker.calls)
                await client.send_raw(b"\xff\xff\xff\0\0" + (1).to_bytes(4, "big"))
                await client.receive_until(h2.events.ConnectionTerminated)

    run(scenario)


def test_who_pings_and_never_reads_is_broken_off():
    async def scenario():
        async with Taker() as taker:
            with RawClient(taker.port) as client:
                client.h2.send_headers(1, REQUEST)
                await client.send()
                ping = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"
                with contextlib.suppress(ConnectionError):
                    for _ in range(200):
                        await client.send_raw(ping * 20_000)
                await eventually(lambda: not taker.server.connections)

    run(scenario)


def test_streams_beyond_the_limit_are_refused():
    async def scenario():
        async with Taker() as taker:
            with RawClient(taker.port) as client:
                client.h2.remote_settings.max_concurrent_streams = 1000
                await client.send()
                await client.receive_until(h2.events.RemoteSettingsChanged)
                client.h2._open_streams = lambda _remainder: 0  # a client that does not care
                for number in range(40):
                    client.h2.send_headers(2 * number + 1, REQUEST)
                await client.send()
                with contextlib.suppress(ConnectionError):
                    while await client.receive():
                        pass
                assert len(taker.calls) <= 32

    run(scenario)


def test_a_silent_end_is_noticed_by_unanswered_pings():
    async def scenario():
        quick = ConnectionSettings(100, 200, 1000)
        async with Taker(quick) as taker:
            with socket.create_connection(("127.0.0.1", taker.port)):
                await eventually(lambda: taker.server.connections)
                await eventually(lambda: not taker.server.connections)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            connection = await connect("127.0.0.1", silent.getsockname()[1], quick, None)
            call = connection.call("/t.T/take")
            with pytest.raises(TimeoutError, match="no longer answers pings"):
                await call.read()
            await connection.close()

    run(scenario)


def test_quiet_but_living_connections_stay():
    async def scenario():
        quick = ConnectionSettings(50, 100, 1000)
        async with Taker(quick) as taker:
            connection = await connect("127.0.0.1", taker.port, quick, None)
            await asyncio.sleep(0.5)
            assert connection.is_open
            await connection.close()

    run(scenario)


def test_a_taken_port_is_an_error_and_nothing_is_left_open():
    async def scenario():
        async with Taker() as taker:
            second = Server({}, SETTINGS, lambda *_, **__: None)
            with pytest.raises(OSError, match="in use"):
                await second.listen("127.0.0.1", taker.port, None)
            await second.close("over")

    run(scenario)
