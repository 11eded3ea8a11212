"""gRPC frames that are cut up, malformed or hostile, and the status they are answered with."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniraft.api.asgi import ClientGone
from miniraft.api.grpc_framing import (
    FrameReader,
    encode_frame,
    is_grpc,
    parse_timeout,
    percent_encode,
)
from miniraft.errors import Code, EtcdError
from miniraft.pb.rpc_pb2 import PutRequest, PutResponse
from tests.support.client_api import served
from tests.support.http2_client import request
from tests.support.memory_service import MemoryService

PUT = "/etcdserverpb.KV/Put"
FRAME = encode_frame(PutRequest(key=b"k", value=b"v" * 100).SerializeToString())


@pytest.fixture(scope="module")
def api():
    with served(MemoryService()) as api:
        yield api


# Through the listener ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "pieces",
    [
        [FRAME],
        [FRAME[:3], FRAME[3:]],
        [FRAME[:5], FRAME[5:]],
        [FRAME[index : index + 1] for index in range(len(FRAME))],
    ],
    ids=["whole", "in the prefix", "behind the prefix", "byte by byte"],
)
def test_a_message_in_pieces(api, pieces):
    answer = request(api.address, PUT, pieces)
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"] == "application/grpc"
    assert answer.trailers["grpc-status"] == "0"
    assert PutResponse.FromString(answer.body[5:]).header.revision > 1


def test_the_end_of_the_request_is_not_waited_for(api):
    assert request(api.address, PUT, [FRAME], end=False).grpc_status == 0


@pytest.mark.parametrize(
    ("pieces", "code", "text"),
    [
        ([], Code.INTERNAL, "the request has no message"),
        ([FRAME[:4]], Code.INTERNAL, "ends inside a prefix"),
        ([FRAME[:-1]], Code.INTERNAL, "ends inside a message"),
        ([FRAME, FRAME], None, ""),  # the second comes after the answer, or is refused
        ([FRAME + FRAME], Code.INTERNAL, "more than one message"),
        ([b"\x01" + FRAME[1:]], Code.UNIMPLEMENTED, "compressed messages are not supported"),
        ([b"\x80" + FRAME[1:]], Code.INTERNAL, "malformed gRPC frame: flags 128"),
        (
            [b"\x00\xff\xff\xff\xff"],
            Code.RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (4294967295 vs. 2097152)",
        ),
        (
            [encode_frame(b"\x0a\xff\xff\xff\xff\x7f")],
            Code.INTERNAL,
            "grpc: error unmarshalling request: not a etcdserverpb.PutRequest message",
        ),
    ],
)
def test_malformed_requests(api, pieces, code, text):
    answer = request(api.address, PUT, pieces)
    if code is None:
        assert answer.grpc_status in (Code.OK, Code.INTERNAL)
        return
    assert answer.grpc_status == code
    assert text in answer.grpc_message
    assert answer.body == b""
    assert answer.trailers == {}, "an error without a message stands in the headers"
    assert request(api.address, PUT, [FRAME]).grpc_status == 0, "the server goes on"


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None, "application/grpc-web"])
def test_wrong_content_type(api, content_type):
    answer = request(api.address, PUT, [FRAME], content_type=content_type)
    assert answer.headers[":status"] == "415"
    assert b"application/grpc" in answer.body


@pytest.mark.parametrize("content_type", ["application/grpc+proto", "application/grpc;charset=utf-8"])
def test_other_spellings_of_the_content_type(api, content_type):
    assert request(api.address, PUT, [FRAME], content_type=content_type).grpc_status == 0


@pytest.mark.parametrize("path", ["/etcdserverpb.KV/Nothing", "/nobody.Service/Method", "/x", "//", "/"])
def test_unknown_methods(api, path):
    answer = request(api.address, path, [FRAME])
    assert answer.grpc_status == Code.UNIMPLEMENTED
    assert answer.grpc_message


def test_malformed_timeout_and_version(api):
    answer = request(api.address, PUT, [FRAME], headers=[("grpc-timeout", "soon")])
    assert answer.grpc_status == Code.INVALID_ARGUMENT
    assert "malformed grpc-timeout" in answer.grpc_message


# The parts ------------------------------------------------------------------------------------
@given(st.lists(st.binary(max_size=20), max_size=5), st.data())
def test_reader_gives_back_what_was_framed(messages, data):
    body = b"".join(encode_frame(message) for message in messages)
    pieces = []
    while body:
        length = data.draw(st.integers(1, len(body)))
        pieces.append(body[:length])
        body = body[length:]
    assert read_all(pieces, limit=20) == messages


def read_all(pieces, limit):
    parts = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    parts.append({"type": "http.request"})

    async def receive():
        return parts.pop(0)

    async def read():
        reader = FrameReader(receive, limit)
        messages = []
        while (message := await reader.next()) is not None:
            messages.append(message)
        return messages

    return asyncio.run(read())


def test_reader_bounds_messages_before_it_buffers_them():
    with pytest.raises(EtcdError, match=r"larger than max \(21 vs. 20\)"):
        read_all([b"\x00\x00\x00\x00\x15"], limit=20)


def test_reader_notices_that_the_client_is_gone():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGone):
        asyncio.run(FrameReader(receive, 20).next())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"5S", 5), (b"100m", 0.1), (b"2M", 120), (b"1H", 3600), (b"7u", 7e-6), (b"9n", 9e-9), (b"0m", 0)],
)
def test_timeouts(value, seconds):
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"S", b"5", b"5s", b"-5S", b"5.0S", b"123456789S", b"\xb2S"])
def test_malformed_timeouts(value):
    with pytest.raises(EtcdError):
        parse_timeout(value)


@given(st.text())
def test_status_messages_survive_the_header(text):
    encoded = percent_encode(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    from urllib.parse import unquote_to_bytes

    assert unquote_to_bytes(encoded) == text.encode()


def test_what_is_grpc():
    assert is_grpc(b"application/grpc")
    assert is_grpc(b"Application/GRPC+Proto; x=y")
    assert not is_grpc(b"application/grpc-web+proto")
    assert not is_grpc(b"application/grpc+json")
    assert not is_grpc(None)
