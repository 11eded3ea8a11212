"""The JSON gateway, over HTTP/1.1 as its clients speak it."""

import asyncio
import socket

import aiohttp
import pytest

from miniraft.api.options import ApiOptions
from miniraft.errors import Code, EtcdError
from miniraft.server.limits import Limits
from tests.support.client_api import served
from tests.support.http_client import encoded, fetch, post
from tests.support.memory_service import CLUSTER_ID, MEMBER_ID, MemoryService

KEY, VALUE = encoded(b"key"), encoded(b"value")


@pytest.fixture
def api():
    with served(MemoryService()) as api:
        yield api


def test_put_and_range(api):
    put = post(api.address, "/v3/kv/put", {"key": KEY, "value": VALUE})
    assert put.status == 200
    assert put.headers["content-type"] == "application/json"
    assert put.headers["grpc-metadata-content-type"] == "application/grpc"
    header = {"cluster_id": str(CLUSTER_ID), "member_id": str(MEMBER_ID), "revision": "2", "raft_term": "3"}
    assert put.json == {"header": header}
    assert post(api.address, "/v3/kv/range", {"key": KEY}).json == {
        "header": header,
        "kvs": [{"key": KEY, "create_revision": "2", "mod_revision": "2", "version": "1", "value": VALUE}],
        "count": "1",
    }
    assert post(api.address, "/v3/kv/range", {"key": encoded(b"absent")}).json == {"header": header}


def test_output_is_compact(api):
    assert b" " not in post(api.address, "/v3/kv/put", {"key": KEY}).body


@pytest.mark.parametrize("prefix", ["/v3", "/v3beta", "/v3alpha"])
def test_every_prefix(api, prefix):
    assert post(api.address, f"{prefix}/kv/put", {"key": KEY}).status == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "x/y", ""])
def test_content_type_does_not_matter(api, content_type):
    answer = post(api.address, "/v3/kv/put", {"key": KEY}, {"Content-Type": content_type})
    assert answer.status == 200


def test_txn_in_every_spelling(api):
    post(api.address, "/v3/kv/put", {"key": KEY, "value": VALUE})
    txn = {
        "compare": [{"key": KEY, "target": "VALUE", "value": VALUE}],
        "success": [
            {"requestPut": {"key": KEY, "value": "MQ", "prevKv": True}},
            {"request_range": {"key": KEY}},
        ],
        "failure": [],
    }
    answer = post(api.address, "/v3/kv/txn", txn).json
    assert answer["succeeded"] is True
    put, ranged = answer["responses"]
    assert put["response_put"]["header"] == {"revision": "3"}
    assert put["response_put"]["prev_kv"]["value"] == VALUE
    assert ranged["response_range"]["kvs"][0]["value"] == "MQ=="
    txn["compare"] = [{"key": KEY, "target": 1, "result": "EQUAL", "create_revision": 77}]
    assert "succeeded" not in post(api.address, "/v3/kv/txn", txn).json


def test_delete_compaction_members_status(api):
    post(api.address, "/v3/kv/put", {"key": KEY, "value": VALUE})
    deleted = post(api.address, "/v3/kv/deleterange", {"key": KEY, "prev_kv": True}).json
    assert (deleted["deleted"], deleted["prev_kvs"][0]["value"]) == ("1", VALUE)
    assert post(api.address, "/v3/kv/compaction", {"revision": 3}).status == 200
    (member,) = post(api.address, "/v3/cluster/member/list").json["members"]
    assert member == {
        "ID": str(MEMBER_ID),
        "name": "one",
        "peerURLs": ["http://127.0.0.1:2380"],
        "clientURLs": ["http://127.0.0.1:2379"],
    }
    status = post(api.address, "/v3/maintenance/status", b"").json
    assert (status["version"], status["dbSize"], status["raftTerm"]) == ("3.7.1", "20480", "3")
    assert isinstance(post(api.address, "/v3/maintenance/hashkv").json["hash"], int)


def test_empty_body_is_an_empty_object(api):
    assert fetch(api.address, "POST", "/v3/maintenance/status").status == 200
    answer = fetch(api.address, "POST", "/v3/kv/range")
    assert (answer.status, answer.json["message"]) == (400, "etcdserver: key is not provided")


# Errors ---------------------------------------------------------------------------------------
def test_error_has_the_fields_of_both_generations(api):
    answer = post(api.address, "/v3/kv/put", {"key": KEY, "lease": "7"})
    assert answer.status == 404
    text = "etcdserver: requested lease not found"
    assert answer.json == {"error": text, "code": 5, "message": text}
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.CANCELLED, 499),
        (Code.UNKNOWN, 500),
        (Code.INVALID_ARGUMENT, 400),
        (Code.DEADLINE_EXCEEDED, 504),
        (Code.NOT_FOUND, 404),
        (Code.ALREADY_EXISTS, 409),
        (Code.PERMISSION_DENIED, 403),
        (Code.RESOURCE_EXHAUSTED, 429),
        (Code.FAILED_PRECONDITION, 400),
        (Code.ABORTED, 409),
        (Code.OUT_OF_RANGE, 400),
        (Code.UNIMPLEMENTED, 501),
        (Code.INTERNAL, 500),
        (Code.UNAVAILABLE, 503),
        (Code.DATA_LOSS, 500),
        (Code.UNAUTHENTICATED, 401),
    ],
)
def test_http_status_of_every_code(api, code, status):
    api.service.unexpected = EtcdError(code, "as planted")
    answer = post(api.address, "/v3/kv/range", {"key": KEY})
    assert answer.status == status
    assert answer.json == {"error": "as planted", "code": int(code), "message": "as planted"}
    assert answer.headers.get("www-authenticate") == ("as planted" if code == Code.UNAUTHENTICATED else None)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"key":"not base64!"}', b'{"limit":"many"}', b"\xff"])
def test_bad_json(api, body):
    answer = post(api.address, "/v3/kv/range", body)
    assert (answer.status, answer.json["code"]) == (400, 3)
    assert answer.json["message"]


def test_wrong_method_and_unknown_path(api):
    answer = fetch(api.address, "GET", "/v3/kv/range")
    assert answer.status == 501
    assert answer.json == {"error": "Method Not Allowed", "code": 12, "message": "Method Not Allowed"}
    for path in ("/v3/kv/nothing", "/v3/", "/v3/kv/range/", "/v3alpha/x"):
        answer = post(api.address, path)
        assert answer.status == 404
        assert answer.json == {"error": "Not Found", "code": 5, "message": "Not Found"}
    assert post(api.address, "/v2/keys").text == "404 page not found\n"


def test_gateway_switched_off():
    with served(MemoryService(), api=ApiOptions(enable_gateway=False)) as api:
        answer = post(api.address, "/v3/kv/range", {"key": KEY})
        assert (answer.status, answer.text) == (404, "404 page not found\n")


def test_size_is_bounded():
    with served(MemoryService(Limits(max_request_bytes=1000))) as api:
        limit = 1000 + 512 * 1024
        message = post(api.address, "/v3/kv/put", {"key": KEY, "value": encoded(b"v" * limit)})
        assert (message.status, message.json["code"]) == (429, 8)
        assert message.json["message"].startswith("grpc: received message larger than max (")
        body = post(api.address, "/v3/kv/put", b" " * (2 * limit + 1))
        assert (body.status, body.json["code"]) == (429, 8)
        assert post(api.address, "/v3/kv/put", {"key": KEY, "value": encoded(b"v" * 500_000)}).status == 200


def test_body_without_a_length_is_bounded(api):
    host, port = api.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(70):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")
    assert post(api.address, "/v3/kv/put", {"key": KEY}).status == 200


def test_metadata_in_headers(api):
    api.service.leader = 0
    answer = post(
        api.address, "/v3/kv/range", {"key": KEY, "serializable": True}, {"Grpc-Metadata-hasleader": "true"}
    )
    assert (answer.status, answer.json["message"]) == (503, "etcdserver: no leader")


def test_deadline_in_a_header(api):
    api.service.hold_writes = True
    answer = post(api.address, "/v3/kv/put", {"key": KEY}, {"Grpc-Timeout": "50m"})
    assert (answer.status, answer.json["message"]) == (504, "context deadline exceeded")
    assert post(api.address, "/v3/kv/put", {"key": KEY}, {"Grpc-Timeout": "soon"}).status == 400


def test_a_mistake_of_ours_is_no_empty_reply(api, caplog):
    api.service.unexpected = ZeroDivisionError("planted")
    answer = post(api.address, "/v3/kv/range", {"key": KEY})
    assert (answer.status, answer.json["code"]) == (500, 2)
    assert "planted" in caplog.text


def test_many_requests_on_kept_connections(api):
    async def run():
        connector = aiohttp.TCPConnector(limit=64)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def put(number):
                value = {"key": encoded(b"k%d" % number), "value": VALUE}
                async with session.post(api.url + "/v3/kv/put", json=value) as answer:
                    return int((await answer.json())["header"]["revision"])

            return await asyncio.gather(*(put(number) for number in range(1000)))

    assert sorted(asyncio.run(run())) == list(range(2, 1002))


def test_json_over_http2_in_the_clear(api):
    """JSON also works on an HTTP/2 connection in the clear, which etcd refuses."""
    from tests.support.http2_client import request

    answer = request(api.address, "/v3/kv/range", [b'{"key":"' + KEY.encode() + b'"}'], content_type=None)
    assert answer.headers[":status"] == "200"
