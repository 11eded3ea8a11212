"""What clients may write in JSON, and what is refused: the real etcd and ours take the same."""

import json

import pytest

from miniraft.pb import rpc_pb2 as rpc
from tests.support.http_client import fetch, post

ACCEPTED = {
    "nothing but white space around it": b' \r\n{"key":"YQ=="}\n ',
    "an integer as a number": b'{"key":"YQ==","limit":1}',
    "an integer as a string": b'{"key":"YQ==","limit":"1"}',
    "an integer with a fraction of nothing": b'{"key":"YQ==","limit":1.0}',
    "an integer with an exponent": b'{"key":"YQ==","limit":1e2}',
    "the largest integer": b'{"key":"YQ==","limit":9223372036854775807}',
    "null for a default": b'{"key":"YQ==","limit":null,"sort_order":null,"serializable":null}',
    "base64 without padding": b'{"key":"YQ"}',
    "base64 with another alphabet": b'{"key":"_-8="}',
    "escapes": b'{"\\u006bey":"YQ\\u003d\\u003d"}',
    "names in lowerCamelCase": b'{"key":"YQ==","rangeEnd":"Yg==","countOnly":true}',
    "an enum by name": b'{"key":"YQ==","sort_order":"DESCEND","sort_target":"MOD"}',
    "an enum by number": b'{"key":"YQ==","sort_order":2,"sort_target":3}',
    "a field nobody knows": b'{"key":"YQ==","unknown":{"key":[1,"x",null]}}',
}
REFUSED = {
    "nothing": b"",
    "an empty object": b"{}",
    "null": b"null",
    "an array": b"[]",
    "a string": b'"YQ=="',
    "no JSON": b"key=YQ==",
    "an object without end": b'{"key":"YQ=="',
    "a comma too many": b'{"key":"YQ==",}',
    "no base64": b'{"key":"a"}',
    "a number for bytes": b'{"key":5}',
    "a fraction": b'{"key":"YQ==","limit":1.5}',
    "an integer with blanks": b'{"key":"YQ==","limit":" 1"}',
    "an integer without digits": b'{"key":"YQ==","limit":""}',
    "a hexadecimal integer": b'{"key":"YQ==","limit":"0x1"}',
    "a truth for an integer": b'{"key":"YQ==","limit":true}',
    "an integer too large": b'{"key":"YQ==","limit":9223372036854775808}',
    "an integer too large, as a string": b'{"key":"YQ==","limit":"9223372036854775808"}',
    "a string for a truth": b'{"key":"YQ==","serializable":"true"}',
    "a number for a truth": b'{"key":"YQ==","serializable":1}',
}
REFUSED_TXNS = {
    "two operations in one": b'{"success":[{"request_put":{"key":"YQ=="},"request_range":{"key":"YQ=="}}]}',
    "two operands": b'{"compare":[{"key":"YQ==","target":"VALUE","value":"dg==","lease":"1"}]}',
    "null for an operation": b'{"success":[null]}',
    "an object for an array": b'{"success":{}}',
    "an array for an object": b'{"success":[{"request_put":[]}]}',
}


@pytest.fixture(scope="module")
def servers(pair):
    """Both have the key `a`, in three versions."""
    for server in pair:
        for _ in range(3):
            server.call(rpc.PutRequest(key=b"a", value=b"v"))
    return pair


def answers(servers, path, body):
    """Returns status and body of both."""
    for server in servers:
        response = post(server.address, path, body)
        yield response.status, json.loads(response.body)


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_accepted(servers, body):
    (real_status, real), (status, ours) = answers(servers, "/v3/kv/range", body)
    assert status == real_status == 200
    for answer in (real, ours):  # the two are not at the same revision
        del answer["header"]
        for pair in answer.get("kvs", ()):
            del pair["create_revision"], pair["mod_revision"]
    assert ours == real


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/v3/kv/range", body) for body in REFUSED.values()),
        *(("/v3/kv/txn", body) for body in REFUSED_TXNS.values()),
        ("/v3/nothing", b"{}"),
        ("/v3/kv/range/", b'{"key":"YQ=="}'),
    ],
    ids=[*REFUSED, *REFUSED_TXNS, "an unknown path", "a path too long"],
)
def test_what_is_refused(servers, path, body):
    """With the same status and code. What is wrong with the JSON, each says in words of its own."""
    (real_status, real), (status, ours) = answers(servers, path, body)
    assert (status, ours["code"]) == (real_status, real["code"])
    if real["message"].startswith("etcdserver: "):
        assert ours["message"] == real["message"]


@pytest.mark.parametrize(
    ("body", "real_status", "status"),
    [
        (b'{"key":"YQ==","sort_order":"descending"}', 200, 400),
        (b'{"key":"YQ==","sort_order":"2"}', 200, 400),
        (b'{"key":"YQ=="} and more', 200, 400),
        (b'{"key":"Yg==","key":"YQ=="}', 400, 200),
    ],
    ids=["an enum by an unknown name", "an enum by a number as a string", "text behind it", "a field twice"],
)
def test_known_differences(servers, body, real_status, status):
    """What etcd drops without a word, ours refuses; of a field given twice ours takes the second."""
    assert [answer[0] for answer in answers(servers, "/v3/kv/range", body)] == [real_status, status]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_wrong_methods(servers, method):
    real, ours = (fetch(server.address, method, "/v3/kv/range", b"{}") for server in servers)
    assert (ours.status, ours.json["code"]) == (real.status, real.json["code"]) == (501, 12)
