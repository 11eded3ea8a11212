"""Streams over the JSON gateway, byte by byte as curl and HTTP libraries see them."""

import json
import socket
import time
from base64 import b64encode

import pytest

from miniraft.pb import rpc_pb2 as rpc
from miniraft.server.limits import Limits
from tests.mvcc.helpers import compact
from tests.support.client_api import served
from tests.support.memory_service import MemoryService

PATIENCE_SECONDS = 20.0


def coded(text):
    return b64encode(text.encode()).decode()


def create(key, **fields):
    return json.dumps({"create_request": {"key": coded(key), **fields}}).encode()


class Stream:
    """One POST over a socket of its own. Without a whole body the test sends on as long as it likes.

    (Such a body has a length that is never reached: h2corn keeps back chunks until the body ends,
    and etcd answers nothing before that.)
    """

    def __init__(self, api, path="/v3/watch", headers=(), body=None):
        host, port = api.address.split(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE_SECONDS)
        self.received = b""
        lines = [f"POST {path} HTTP/1.1", f"Host: {api.address}", *headers]
        lines.append(f"Content-Length: {1 << 40 if body is None else len(body)}")
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text)

    def _receive(self):
        piece = self.socket.recv(65536)
        assert piece, f"closed after {self.received!r}"
        self.received += piece

    def _until(self, mark):
        while mark not in self.received:
            self._receive()
        before, _, self.received = self.received.partition(mark)
        return before

    def _exactly(self, count):
        while len(self.received) < count:
            self._receive()
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def head(self):
        """Returns (status, headers)."""
        first, *lines = self._until(b"\r\n\r\n").decode().split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
        }

    def chunk(self):
        """Returns the next chunk of the body; empty at its end."""
        size = int(self._until(b"\r\n"), 16)
        content = self._exactly(size)
        assert self._exactly(2) == b"\r\n"
        return content

    def message(self):
        """Returns what the next chunk says, which must be one line."""
        line = self.chunk()
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        return json.loads(line)

    def body(self, headers):
        return self._exactly(int(headers["content-length"]))

    def is_silent(self, seconds=0.2):
        self.socket.settimeout(seconds)
        try:
            self._receive()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_SECONDS)
        return False


@pytest.fixture
def api():
    with served(MemoryService(Limits(max_request_bytes=10_000))) as served_api:
        yield served_api
        assert served_api.thread.problems == []


def put(api, key, value=b""):
    api.thread.call(api.service.keyspace.put, rpc.PutRequest(key=key, value=value))


def eventually(condition):
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("prefix", ["v3", "v3beta", "v3alpha"])
def test_created_then_one_line_for_each_message(api, prefix):
    with Stream(api, f"/{prefix}/watch") as stream:
        stream.send(create("a"))
        status, headers = stream.head()
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["transfer-encoding"] == "chunked"
        assert headers["access-control-allow-origin"] == "*"
        header = {
            "cluster_id": str(api.service.cluster_id),
            "member_id": str(api.service.member_id),
            "revision": "1",
            "raft_term": "3",
        }
        assert stream.message() == {"result": {"header": header, "created": True}}
        for _ in range(20):
            put(api, b"a", b"1")
        lines = [stream.message()["result"]["events"] for _ in range(20)]
        assert lines[0] == [
            {
                "kv": {
                    "key": coded("a"),
                    "create_revision": "2",
                    "mod_revision": "2",
                    "version": "1",
                    "value": coded("1"),
                }
            }
        ]


def test_the_status_line_waits_for_the_first_message(api):
    with Stream(api) as stream:
        stream.send(b"{}")
        assert stream.is_silent()
        stream.send(create("a"))
        assert stream.head()[0] == 200


def test_several_requests_in_one_piece_and_one_request_in_several(api):
    with Stream(api) as stream:
        pretty = json.dumps(json.loads(create("b")), indent=2).encode()
        stream.send(create("a") + pretty + b"\n\n" + create("c")[:9])
        stream.head()
        assert [stream.message()["result"].get("watch_id") for _ in range(2)] == [None, "1"]
        stream.send(create("c")[9:])
        assert stream.message()["result"]["watch_id"] == "2"
        stream.send(b'{"progress_request":{}} {"cancel_request":{"watch_id":"1"}}')
        assert stream.message()["result"]["watch_id"] == "-1"
        assert stream.message()["result"] == {
            "header": stream_header(api, 1),
            "watch_id": "1",
            "canceled": True,
        }


def stream_header(api, revision):
    return {
        "cluster_id": str(api.service.cluster_id),
        "member_id": str(api.service.member_id),
        "revision": str(revision),
        "raft_term": "3",
    }


def test_the_end_of_the_request_is_not_the_end_of_the_stream(api):
    with Stream(api, body=create("a")) as stream:
        stream.head()
        assert stream.message()["result"]["created"]
        put(api, b"a")
        assert len(stream.message()["result"]["events"]) == 1


def test_a_client_that_goes_away_is_freed_without_a_write(api):
    streams = [Stream(api) for _ in range(20)]
    for stream in streams:
        stream.send(create("a"))
        stream.head()
    assert api.thread.call(lambda: api.service.watches.watcher_count) == 20
    for stream in streams:
        stream.socket.close()
    eventually(lambda: api.thread.call(lambda: api.service.watches.stream_count) == 0)
    eventually(lambda: api.request_count() == 0)


def test_a_client_that_goes_away_after_a_whole_request_is_freed_by_the_next_events(api):
    """h2corn does not look at the connection then: it has to be written to."""
    streams = [Stream(api, body=create("a")) for _ in range(20)]
    for stream in streams:
        stream.head()
        stream.message()
        stream.socket.close()

    def is_freed():
        put(api, b"a")
        return api.thread.call(lambda: api.service.watches.stream_count) == 0

    eventually(is_freed)
    eventually(lambda: api.request_count() == 0)


def error_of(body):
    (error,) = json.loads(body).values()
    return error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"garbage", "must be an object"),
        (b'{"create_request":{"key":"Y"}}', "key must be base64"),
        (b'{"create_request":5}', "must be a JSON object"),
    ],
)
def test_a_first_request_that_is_wrong_gets_a_status(api, text, said):
    with Stream(api) as stream:
        stream.send(text)
        status, headers = stream.head()
        assert status == 400
        error = error_of(stream.body(headers))
        assert said in error["message"]
        assert (error["grpc_code"], error["code"], error["http_code"]) == (3, 3, 400)
        assert (error["http_status"], error["details"]) == ("Bad Request", [])


def test_an_end_inside_the_first_request_gets_a_status(api):
    with Stream(api, body=b'{"create_request":') as stream:
        status, headers = stream.head()
        assert status == 400
        assert "ends inside an object" in error_of(stream.body(headers))["message"]


def test_a_later_request_that_is_wrong_ends_the_stream_with_an_error_line(api):
    with Stream(api) as stream:
        stream.send(create("a"))
        stream.head()
        stream.message()
        stream.send(b"garbage")
        line = stream.message()
        assert "must be an object" in line["error"]["message"]
        assert line["error"]["grpc_code"] == 3
        assert stream.chunk() == b""
    eventually(lambda: api.thread.call(lambda: api.service.watches.stream_count) == 0)


@pytest.mark.parametrize("text", [create("a" * 600_000), b'{"create_request":{"key":"' + b"A" * 1_200_000])
def test_a_request_that_is_too_large_is_refused_before_it_has_ended(api, text):
    with Stream(api) as stream:
        for start in range(0, len(text), 60_000):
            stream.send(text[start : start + 60_000])
        status, headers = stream.head()
        assert status == 429
        assert "larger than max" in error_of(stream.body(headers))["message"]


def test_a_compacted_watch(api):
    for _ in range(5):
        put(api, b"a")
    api.thread.call(compact, api.service.keyspace, 4)
    with Stream(api) as stream:
        stream.send(create("a", start_revision="2"))
        stream.head()
        assert stream.message()["result"]["created"]
        result = stream.message()["result"]
        assert (result["canceled"], result["compact_revision"]) == (True, "4")
        assert "revision" not in result["header"]


def test_no_leader(api):
    with Stream(api, headers=["Grpc-Metadata-hasleader: true"]) as stream, Stream(api) as other:
        for one in (stream, other):
            one.send(create("a"))
            one.head()
            one.message()
        api.thread.call(api.service.lose_leader)
        error = stream.message()["error"]
        assert (error["message"], error["grpc_code"]) == ("etcdserver: no leader", 14)
        assert error["http_code"] == 503
        assert stream.chunk() == b""
        put(api, b"a")
        assert other.message()["result"]["events"]
    with Stream(api, headers=["Grpc-Metadata-hasleader: true"]) as late:
        late.send(create("a"))
        assert late.head()[0] == 503


def test_the_server_stops(api):
    with Stream(api) as stream:
        stream.send(create("a"))
        stream.head()
        stream.message()
        api.thread.call(api.application.stop)
        assert stream.message()["error"]["message"] == "etcdserver: server stopped"


def test_a_slow_reader_is_bounded_and_gets_everything(api):
    with Stream(api) as stream:
        stream.send(create("a"))
        stream.head()
        stream.message()
        for _ in range(40):
            for _ in range(50):
                put(api, b"a", b"x" * 10_000)
        assert api.thread.call(lambda: api.service.watches.slow_watcher_count) == 1
        revisions = []
        while len(revisions) < 2000:
            events = json.loads(stream.chunk())["result"]["events"]
            revisions += [int(event["kv"]["mod_revision"]) for event in events]
        assert revisions == list(range(2, 2002))


def test_another_method_than_post(api):
    host, port = api.address.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as plain:
        plain.sendall(b"GET /v3/watch HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 501 " in plain.recv(1000).split(b"\r\n")[0]


def test_metrics_tell_of_watches(api):
    with Stream(api) as stream:
        stream.send(create("a"))
        stream.head()
        stream.message()
        put(api, b"a")
        stream.message()
        host, port = api.address.split(":")
        with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as plain:
            plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b""
            while piece := plain.recv(65536):
                text += piece
    for line in (
        b"etcd_debugging_mvcc_watch_stream_total 1\n",
        b"etcd_debugging_mvcc_watcher_total 1\n",
        b"etcd_debugging_mvcc_slow_watcher_total 0\n",
        b"etcd_debugging_mvcc_pending_events_total 0\n",
        b"etcd_debugging_mvcc_events_total 1\n",
    ):
        assert line in text, line
