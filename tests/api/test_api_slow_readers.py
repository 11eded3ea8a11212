"""Streams that their client leaves unread: they hold up no other call of their connection."""

import asyncio
import json
import time
from pathlib import Path

import grpc
import pytest

from miniraft.api.gateway_websocket import WebSocketExchange
from miniraft.api.grpc_framing import encode_frame
from miniraft.api.paced_send import PacedSend, paced
from miniraft.errors import Code
from miniraft.pb import rpc_pb2 as rpc
from miniraft.runtime.listener import ClientListener, ListenerOptions
from miniraft.server.limits import Limits
from tests.support.client_api import LoopThread, served
from tests.support.http2_client import Connection
from tests.support.memory_service import MemoryService
from tests.support.watch_client import WatchClient

PATIENCE_SECONDS = 20
KIB = 1024
WATCH = "/etcdserverpb.Watch/Watch"
PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"


@pytest.fixture(params=["h2corn", "hypercorn"])
def api(request):
    with served(MemoryService(Limits(max_request_bytes=16 * KIB * KIB)), server=request.param) as served_api:
        served_api.copies_bodies = request.param == "hypercorn"
        yield served_api
        assert served_api.thread.problems == []


@pytest.fixture
def h2corn_api():
    with served(MemoryService(Limits(max_request_bytes=16 * KIB * KIB))) as served_api:
        yield served_api


def happens(api, key, value):
    api.thread.call(api.service.keyspace.put, rpc.PutRequest(key=key, value=value))


def framed(message):
    return encode_frame(message.SerializeToString())


def watch_frame(key):
    return framed(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key)))


def put(connection):
    answer = connection.call(PUT, framed(rpc.PutRequest(key=b"other", value=b"v" * 1000)))
    assert answer.grpc_status == 0


def messages(body, kind):
    """Returns the messages in a gRPC body, which must be whole."""
    found, rest = whole_messages(body, kind)
    assert not rest, "a message is cut off"
    return found


def whole_messages(body, kind):
    """Returns the whole messages in the beginning of a gRPC body, and the rest of it."""
    found, rest = [], memoryview(bytes(body))
    while len(rest) >= (end := 5 + int.from_bytes(rest[1:5])):
        found.append(kind.FromString(rest[5:end]))
        rest = rest[end:]
    return found, rest


def event_numbers(body):
    """Returns what stands in front of each value that has come."""
    responses, _ = whole_messages(body, rpc.WatchResponse)
    return [int.from_bytes(event.kv.value[:2]) for response in responses for event in response.events]


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


# Watches --------------------------------------------------------------------------------------
def test_a_watch_that_grpcio_leaves_unread(api):
    with api.channel() as channel, WatchClient(channel, reads=False) as unread, WatchClient(channel) as read:
        call = channel.unary_unary(PUT, response_deserializer=rpc.PutResponse.FromString)
        unread.ask(b"large")
        assert read.create(b"small").created
        wait_until(lambda: api.thread.call(lambda: api.service.watches.stream_count) == 2)
        for number in range(200):
            happens(api, b"large", number.to_bytes(2) + b"x" * 64 * KIB)
            happens(api, b"small", number.to_bytes(2))
            call(rpc.PutRequest(key=b"k").SerializeToString(), timeout=PATIENCE_SECONDS)
            assert read.events(1)[0].kv.value == number.to_bytes(2)
        unread.start_reading()
        assert unread.next().created
        numbers = [int.from_bytes(event.kv.value[:2]) for event in unread.events(200)]
        assert numbers == list(range(200))


def test_many_watches_left_unread_on_one_connection(api):
    with Connection(api.address) as connection:
        unread = [connection.open(WATCH, watch_frame(b"w")) for _ in range(100)]
        put(connection)
        connection.until(lambda: all(connection.answer(stream).body for stream in unread))
        before = resident_bytes()
        for number in range(20):
            happens(api, b"w", number.to_bytes(2) + b"x" * 64 * KIB)
            put(connection)
        if api.copies_bodies:
            return  # hypercorn keeps all of it, and no more can be done about that
        assert resident_bytes() - before < 60 * KIB * KIB, "all there is to send is 125 MiB"
        # Whoever reads on gets all of it, and the others hold up nothing but themselves.
        for stream in unread[::50]:
            answer = connection.read(stream)
            connection.until(lambda answer=answer: len(answer.body) > 20 * 64 * KIB)
            connection.until(lambda answer=answer: len(event_numbers(answer.body)) == 20)
            assert event_numbers(answer.body) == list(range(20))
        put(connection)


def test_a_watch_by_json_left_unread(api):
    with Connection(api.address) as connection:
        create = json.dumps({"create_request": {"key": "dw=="}}).encode()
        stream = connection.open("/v3/watch", create, content_type="application/json")
        connection.until(lambda: connection.answer(stream).body)
        for _ in range(40):
            happens(api, b"w", b"x" * 64 * KIB)
            put(connection)
        answer = connection.read(stream)
        connection.until(lambda: answer.body.count(b"\n") == 41)
        assert all(json.loads(line)["result"] for line in answer.body.splitlines())


def test_the_end_of_a_stream_left_unread_is_told_behind_whole_messages(api):
    with Connection(api.address) as connection:
        stream = connection.open(WATCH, watch_frame(b"w"))
        connection.until(lambda: connection.answer(stream).body)
        for _ in range(30):
            happens(api, b"w", b"x" * 200 * KIB)
        put(connection)
        api.thread.call(api.application.stop)
        answer = connection.whole(stream)
        assert (answer.grpc_status, answer.grpc_message) == (Code.UNAVAILABLE, "etcdserver: server stopped")
        assert messages(answer.body, rpc.WatchResponse)


# Long answers ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["gRPC", "JSON"])
def test_long_answers_left_unread(api, kind):
    value = b"x" * 3 * KIB * KIB
    happens(api, b"long", value)
    with Connection(api.address) as connection:
        if kind == "gRPC":
            ask = RANGE, framed(rpc.RangeRequest(key=b"long")), "application/grpc"
        else:
            ask = "/v3/kv/range", b'{"key":"bG9uZw=="}', "application/json"
        unread = [connection.open(*ask[:2], content_type=ask[2], end=True) for _ in range(5)]
        for _ in range(5):
            put(connection)
        for stream in unread:
            body = connection.whole(stream).body
            if kind == "gRPC":
                assert messages(body, rpc.RangeResponse)[0].kvs[0].value == value
            else:
                assert len(json.loads(body)["kvs"][0]["value"]) == 4 * KIB * KIB
        put(connection)


# Requests that nobody takes -------------------------------------------------------------------
def test_requests_that_are_not_taken_hold_up_no_other_call(h2corn_api):
    progress = framed(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())) * 10_000
    with Connection(h2corn_api.address) as connection:
        stream = connection.open(WATCH, watch_frame(b"w"))
        connection.until(lambda: connection.answer(stream).body)
        # Nobody reads the answers, so at last the server takes no more requests.
        while connection.send(stream, progress) == len(progress):
            pass
        for _ in range(3):
            put(connection)


# Deadlines and cancelled calls ------------------------------------------------------------------
def test_many_calls_whose_deadline_passes_cost_nobody_the_connection(api):
    with api.channel() as channel, WatchClient(channel) as watch:
        watch.create(b"w")
        api.service.hold_writes = True
        call = channel.unary_unary(PUT)
        for _ in range(3):
            waiting = [call.future(b"\x0a\x01k", timeout=0.5) for _ in range(150)]
            codes = {future.exception().code() for future in waiting}
            assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
        happens(api, b"w", b"still there")
        assert watch.events(1)[0].kv.value == b"still there"


def test_who_cancels_very_many_calls_harms_no_other_connection(api):
    with api.channel(**{"grpc.use_local_subchannel_pool": 1}) as calm, WatchClient(calm) as watch:
        watch.create(b"w")
        with api.channel(**{"grpc.use_local_subchannel_pool": 1}) as busy:
            for _ in range(300):
                stream = busy.unary_stream("/grpc.health.v1.Health/Watch")(b"", wait_for_ready=True)
                next(stream)
                stream.cancel()
            busy.unary_unary(PUT)(b"\x0a\x01w", timeout=PATIENCE_SECONDS, wait_for_ready=True)
        assert watch.events(1)[0].kv.key == b"w"


# The parts --------------------------------------------------------------------------------------
class HoldingServer:
    """A `send` that keeps what it is given until `write`, as h2corn does."""

    def __init__(self):
        self.held = []
        self.body = b""
        self.messages = []

    async def send(self, message):
        self.messages.append({**message, "body": len(message.get("body", b""))})
        if message.get("body"):
            self.held.append(message["body"])
            self.body += message["body"]

    def held_bytes(self):
        return sum(map(len, self.held))

    async def write_on(self, sending):
        """Writes what is held, and more as it comes, until all of that is sent."""
        while not all(task.done() for task in sending):
            self.held.clear()
            await asyncio.sleep(0.001)


def scope(port, **more):
    return {"http_version": "2", "client": ("10.0.0.1", port), "server": ("10.0.0.2", 2379), **more}


def body_of(content, more_body=True):
    return {"type": "http.response.body", "body": content, "more_body": more_body}


async def stalled(server, send, content):
    """Returns the task that sends, once it has come to wait."""
    sending = asyncio.create_task(send(body_of(content)))
    size = -1
    while size != len(server.body):
        size = len(server.body)
        await asyncio.sleep(0.01)
    assert not sending.done()
    return sending


def test_streams_of_a_connection_share_it_and_always_leave_some():
    async def run():
        server = HoldingServer()
        sending = [
            await stalled(server, PacedSend(scope(1), server.send).send, b"x" * 300 * KIB) for _ in range(40)
        ]
        assert 900 * KIB < server.held_bytes() < 1100 * KIB
        late = HoldingServer()
        await PacedSend(scope(1), late.send).send(body_of(b"y" * KIB))
        assert late.held_bytes() == KIB, "there is room for one more"
        elsewhere = HoldingServer()
        await PacedSend(scope(2), elsewhere.send).send(body_of(b"y" * 100 * KIB))
        assert elsewhere.held_bytes() == 100 * KIB, "another connection has its own"
        late.held.clear()
        await server.write_on(sending)
        assert len(server.body) == 40 * 300 * KIB

    asyncio.run(run())


def test_one_stream_that_is_read_gets_on_among_those_that_are_not():
    async def run():
        unread, read = HoldingServer(), HoldingServer()
        waiting = [
            await stalled(unread, PacedSend(scope(7), unread.send).send, b"x" * 300 * KIB) for _ in range(40)
        ]
        going_on = asyncio.create_task(PacedSend(scope(7), read.send).send(body_of(b"y" * 50 * KIB)))
        await read.write_on([going_on])
        assert read.body == b"y" * 50 * KIB
        await unread.write_on(waiting)

    asyncio.run(run())


def test_what_an_ended_stream_has_left_unwritten_still_counts():
    async def run():
        server = HoldingServer()
        for _ in range(5):
            await PacedSend(scope(3), server.send).send(body_of(b"x" * 60 * KIB, more_body=False))
        sending = await stalled(server, PacedSend(scope(3), server.send).send, b"x" * 1024 * KIB)
        assert server.held_bytes() - 300 * KIB < 90 * KIB, "an eighth of what is left"
        await server.write_on([sending])

    asyncio.run(run())


def test_the_last_piece_ends_the_body_and_other_messages_pass():
    async def run():
        server = HoldingServer()
        send = paced(scope(4), server.send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(body_of(b"x" * 100 * KIB, more_body=False))
        await send(body_of(b"", more_body=False))
        kinds = [
            (message["type"][14:], message["body"], message.get("more_body")) for message in server.messages
        ]
        assert kinds == [
            ("start", 0, None),
            ("body", 64 * KIB, True),
            ("body", 36 * KIB, False),
            ("body", 0, False),
        ]

    asyncio.run(run())


def test_a_cancelled_send_ends_what_it_has_begun():
    async def run():
        server = HoldingServer()
        sending = await stalled(server, PacedSend(scope(5), server.send).send, b"x" * KIB * KIB)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert len(server.body) == KIB * KIB

    asyncio.run(run())


def test_http_1_is_left_to_the_server():
    server = HoldingServer()
    assert paced(scope(6, http_version="1.1"), server.send) == server.send


def test_a_response_over_websocket_is_one_frame_whatever_carries_it():
    async def run():
        frames = []

        async def receive():
            return {"type": "websocket.receive", "text": "{}"}

        async def send(message):
            frames.append(message)

        carried = scope(8, type="websocket", headers=[], path="/v3/watch")
        exchange = WebSocketExchange(carried, receive, send, one_request=False)
        await exchange.receive()
        await paced(exchange.scope, exchange.send)(body_of(b"x" * 200 * KIB + b"\n"))
        assert [len(frame["text"]) for frame in frames if frame["type"] == "websocket.send"] == [200 * KIB]

    asyncio.run(run())


def test_hypercorn_is_given_whole_bodies():
    """It copies them, so nobody would see what is written, and pieces would only be cut off."""
    seen = []

    async def application(scope, receive, send):
        seen.append(paced(scope, send))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(body_of(b"x", more_body=False))

    application.stop = lambda: None
    with LoopThread() as thread:
        listener = ClientListener(application, ["http://127.0.0.1:0"], None, ListenerOptions("hypercorn"))
        thread.run(listener.start())
        with Connection(listener.urls[0].removeprefix("http://")) as connection:
            connection.call("/", b"", content_type="text/plain")
        thread.run(listener.stop(2.0))
    assert not isinstance(getattr(seen[0], "__self__", None), PacedSend)


def test_clients_without_an_address_have_a_share_each():
    async def run():
        for client in (None, ("", 0)):
            for _ in range(4):
                server = HoldingServer()
                await PacedSend(scope(0, client=client), server.send).send(body_of(b"x" * 100 * KIB))
                assert server.held_bytes() == 100 * KIB

    asyncio.run(run())
