"""Which requests the page's server takes, and what it makes of them."""

import base64
import json

import pytest

from miniraft.local_cluster.view import Answer, ClusterView, MemberView
from miniraft.local_cluster.web.guard import protecting_headers, refusal
from miniraft.local_cluster.web.requests import (
    BadRequest,
    KeyRequest,
    gateway_call,
    read_action,
    read_gateway_answer,
    read_key_request,
    read_writer_switch,
    why_refused,
    why_silent,
)

OWN = {"Host": "127.0.0.1:2378"}
POST = OWN | {"X-Miniraft-Token": "secret", "Content-Type": "application/json"}


def refused(method, headers, port=2378):
    found = refusal(method, headers, port, "secret")
    return found.status if found else None


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", OWN, None),
        ("HEAD", OWN, None),
        ("GET", {"Host": "localhost:2378"}, None),
        ("GET", {"Host": "LOCALHOST:2378", "Origin": "http://localhost:2378"}, None),
        ("GET", OWN | {"Origin": "http://127.0.0.1:2378"}, None),
        ("GET", {}, 421),
        ("GET", {"Host": "127.0.0.1"}, 421),
        ("GET", {"Host": "127.0.0.1:2379"}, 421),
        ("GET", {"Host": "evil.example:2378"}, 421),
        ("GET", {"Host": "127.0.0.1.evil.example:2378"}, 421),
        ("GET", OWN | {"Origin": "http://evil.example"}, 403),
        ("GET", OWN | {"Origin": "http://localhost:3000"}, 403),
        ("GET", OWN | {"Origin": "https://127.0.0.1:2378"}, 403),
        ("GET", OWN | {"Origin": "null"}, 403),
        ("DELETE", OWN, 405),
        ("POST", POST, None),
        ("POST", POST | {"Content-Type": "application/json; charset=utf-8"}, None),
        ("POST", POST | {"Origin": "http://evil.example"}, 403),
        ("POST", POST | {"X-Miniraft-Token": ""}, 403),
        ("POST", POST | {"X-Miniraft-Token": "secreT"}, 403),
        ("POST", POST | {"X-Miniraft-Token": "gehe\udce4m"}, 403),
        ("POST", POST | {"Content-Type": "text/plain"}, 415),
    ],
)
def test_only_the_page_itself_is_answered(method, headers, status):
    assert refused(method, headers) == status


def test_a_refusal_says_what_to_do():
    found = refusal("GET", {"Host": "evil.example"}, 2378, "secret")
    assert found.text == "this server is not 'evil.example'; open http://127.0.0.1:2378/"
    assert "reload the page" in refusal("POST", OWN, 2378, "secret").text


def test_port_80_may_be_left_out():
    assert refused("GET", {"Host": "localhost"}, port=80) is None
    assert refused("GET", {"Host": "localhost:80"}, port=80) is None


def test_the_policy_lets_in_nothing_from_elsewhere_and_nothing_inline():
    policy = protecting_headers(2378)["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_what_is_asked_for_is_read():
    assert read_action(b'{"command": "kill", "member": "n1"}') == ("kill", "n1")
    assert read_writer_switch(b'{"on": true, "member": "any"}') == (True, "any")
    body = {"operation": "get", "key": "k", "value": "x", "member": "n2", "serializable": True}
    assert read_key_request(json.dumps(body).encode()) == KeyRequest("get", "k", "", "n2", True)
    body = {"operation": "put", "key": "k", "value": "", "member": "any"}
    assert read_key_request(json.dumps(body).encode()) == KeyRequest("put", "k", "", "any", False)


KEY = {"operation": "put", "key": "k", "value": "v", "member": "any"}


@pytest.mark.parametrize(
    ("read", "document", "words"),
    [
        (read_action, [], "no JSON object"),
        (read_action, {}, '"command" is missing or no text'),
        (read_action, {"command": "kill", "member": 1}, '"member" is missing or no text'),
        (read_action, {"command": "k" * 21, "member": "n1"}, "has 21 bytes; send at most 20"),
        (read_writer_switch, {"on": "yes", "member": "n1"}, "send true or false"),
        (read_key_request, KEY | {"operation": "delete"}, "no operation 'delete'; send put or get"),
        (read_key_request, KEY | {"key": ""}, "the key is empty"),
        (read_key_request, KEY | {"key": "ä" * 600}, "has 1200 bytes; send at most 1024"),
        (read_key_request, KEY | {"value": "v" * 65537}, "send at most 65536"),
        (read_key_request, KEY | {"key": "\ud800"}, "half of a surrogate pair"),
        (read_key_request, KEY | {"operation": "get"}, '"serializable" is missing'),
    ],
)
def test_bad_input_is_named(read, document, words):
    with pytest.raises(BadRequest, match=words):
        read(json.dumps(document).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(BadRequest, match="no JSON object"):
        read_action(body)


PUT = KeyRequest("put", "k", "v", "any", False)
GET = KeyRequest("get", "k", "", "any", True)


def encoded(text):
    return base64.b64encode(text).decode()


def test_a_request_as_members_take_it():
    assert gateway_call(PUT) == ("/v3/kv/put", {"key": "aw==", "value": "dg=="})
    assert gateway_call(GET) == ("/v3/kv/range", {"key": "aw==", "serializable": True})


def answer(request, status, document):
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_gateway_answer(request, "n1", status, content, 7)


def test_answers_in_words():
    header = {"header": {"revision": "9"}}
    assert answer(PUT, 200, header) == (True, "OK", "n1", 7, "this write made revision 9")
    assert answer(GET, 200, header) == (True, "(no such key)", "n1", 7, "read at revision 9")
    found = header | {"kvs": [{"value": encoded(b"hi"), "mod_revision": "4"}]}
    assert answer(GET, 200, found) == (True, "hi", "n1", 7, "written at revision 4, read at revision 9")
    empty = header | {"kvs": [{"mod_revision": "4"}]}
    assert answer(GET, 200, empty).text == ""
    binary = header | {"kvs": [{"value": encoded(b"\xff\xfe"), "mod_revision": "4"}]}
    assert answer(GET, 200, binary).text == "(bytes, in base64) //4="
    long = header | {"kvs": [{"value": encoded(b"x" * 9000), "mod_revision": "4"}]}
    assert answer(GET, 200, long).text.endswith("x… (9000 characters)")
    error = answer(PUT, 503, {"error": "e", "code": 14, "message": "etcdserver: no leader"})
    assert error == (False, "etcdserver: no leader", "n1", 7, "")


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"header": {}, "kvs": [{"value": "?", "mod_revision": "1"}]}'),
        (200, b'{"header": {}, "kvs": [{"value": ""}]}'),
        (502, b"<html>"),
    ],
)
def test_an_answer_nobody_understands_is_said_to_be_one(status, content):
    assert "an answer nobody understands" in answer(GET, status, content).text


def test_why_there_is_no_answer():
    def view(state, said):
        members = (
            MemberView(1, "n1", "http://x", 5, state, said, ""),
            MemberView(2, "n2", "http://y", None, "killed", None, ""),
            MemberView(3, "n3", "http://z", None, "killed", None, ""),
        )
        return ClusterView("/d", members)

    alone = Answer(1, 0, 3, 1, 1, 1)
    assert why_silent(view("running", alone), PUT, "n1", 5.0) == (
        "no answer within 5 s; whether it was written is not known. "
        "n1 knows no leader: 1 of 3 members answer, 2 decide"
    )
    assert "written" not in why_silent(view("running", alone), GET, "n1", 5.0)
    assert "n1 is paused: resume n1" in why_silent(view("paused", None), GET, "n1", 5.0)
    assert why_refused(view("killed", None), "n1") == (
        "n1 refuses connections: its process is killed. Restart n1, or ask another"
    )
    assert "waits for a leader" in why_refused(view("running", None), "n1")
