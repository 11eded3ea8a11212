"""The application by itself: what ASGI servers may do that the listener's happens not to."""

import asyncio
import gc
import weakref

import pytest

from miniraft.api.application import create_application, create_metrics_application
from miniraft.api.call import Call
from miniraft.api.grpc_framing import encode_frame
from miniraft.api.metrics import Metrics
from miniraft.api.options import ApiOptions
from miniraft.errors import EtcdError
from miniraft.pb.rpc_pb2 import PutRequest
from tests.support.memory_service import MemoryService

PUT = "/etcdserverpb.KV/Put"


def exchange(messages, *, path=PUT, kind="http", service=None, application=None):
    """Runs one request and returns what was sent, in a list."""
    sent = []
    incoming = list(messages)

    async def receive():
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "http_version": "2",
        "scheme": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/grpc")],
    }
    application = application or create_application(service or MemoryService(), Metrics(), ApiOptions())
    asyncio.run(application(scope, receive, send))
    return sent


def body(data, more=False):
    return {"type": "http.request", "body": data, "more_body": more}


def test_size_is_bounded_also_when_a_message_comes_whole():
    limit = MemoryService().limits.max_request_bytes + 512 * 1024
    start, _ = exchange([body(encode_frame(b"x" * (limit + 1)))])
    assert (b"grpc-status", b"8") in start["headers"]


def test_shared_response_messages_stay_as_they_are():
    frame = encode_frame(PutRequest(key=b"k").SerializeToString())
    first, second = exchange([body(frame)]), exchange([body(frame)])
    assert [message["type"] for message in first] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert first == second


def test_a_client_that_is_gone_is_no_error(caplog):
    assert exchange([{"type": "http.disconnect"}]) == []
    assert exchange([body(b"\x00\x00", more=True)]) == []
    assert exchange([{"type": "http.disconnect"}], path="/grpc.health.v1.Health/Watch") == []
    assert caplog.text == ""


def test_websockets_beside_the_gateway_are_refused_and_lifespan_is_agreed_to():
    for application in (None, create_metrics_application(MemoryService(), Metrics())):
        path = "/metrics" if application is None else "/v3/watch"
        (closed,) = exchange([], kind="websocket", path=path, application=application)
        assert closed["type"] == "websocket.close"
        lifespan = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = exchange(lifespan, kind="lifespan", path="", application=application)
        assert [message["type"] for message in sent] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]


def test_an_api_that_serves_nothing_is_refused():
    with pytest.raises(ValueError, match="must serve gRPC, HTTP or both"):
        ApiOptions(serve_grpc=False, serve_http=False)


# Call -----------------------------------------------------------------------------------------
def test_a_call_that_has_ended_holds_on_to_nothing():
    async def run():
        call = Call({}, 5.0)
        future = asyncio.get_running_loop().create_future()
        reference = weakref.ref(call.wait_on(future))
        call.finish()
        del call, future
        gc.collect()
        return reference() is None

    assert asyncio.run(run())


def test_deadline_fails_the_wait_and_only_an_open_one():
    async def run():
        loop = asyncio.get_running_loop()
        call = Call({}, 0.01)
        done = loop.create_future()
        done.set_result("early")
        assert await call.wait_on(done) == "early"
        with pytest.raises(EtcdError, match="context deadline exceeded"):
            await call.wait_on(loop.create_future())
        assert await call.wait_on(done) == "early"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("metadata", "token"),
    [
        ({}, b""),
        ({b"token": b"raw"}, b"raw"),
        ({b"authorization": b"raw"}, b"raw"),
        ({b"authorization": b"Bearer raw"}, b"raw"),
        ({b"token": b"first", b"authorization": b"second"}, b"first"),
    ],
)
def test_token(metadata, token):
    assert Call(metadata, None).token == token
