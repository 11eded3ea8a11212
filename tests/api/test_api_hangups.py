"""Clients that hang up while they wait: their locks, candidacies and watches are given up soon."""

import base64
import contextlib
import json
import socket
import ssl
import struct
import threading
import time

import pytest

from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import PutRequest, RangeRequest
from miniraft.runtime import listener_hangups
from miniraft.runtime.listener import TlsOptions
from miniraft.runtime.listener_sockets import endpoint
from miniraft.tls.limits import TlsLimits
from tests.support.certificates import Authority
from tests.support.client_api import served
from tests.support.descriptors import open_sockets
from tests.support.http_client import post
from tests.support.memory_service import MemoryService

PATIENCE_SECONDS = 10
LEASE = 0xA1
LOCK = ("/v3/lock/lock", {"name": base64.b64encode(b"l").decode(), "lease": LEASE})


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def keys(api):
    result = api.thread.call(api.service.keyspace.range, RangeRequest(key=b"\0", range_end=b"\0"))
    return [KeyValue.FromString(pair).key for pair in result.kvs]


def watch_streams(api):
    return api.thread.call(lambda: api.service.watches.stream_count)


def taken(api):
    """Lets somebody else have the lock of name `l`, and be the leader of the election of that name."""
    api.thread.call(api.service.keyspace.leases.grant, LEASE, 60)
    api.thread.call(api.service.keyspace.put, PutRequest(key=b"l/1"))


def connect(address):
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE_SECONDS)


def send_request(connection, path, body):
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(text)}\r\n\r\n"
    connection.sendall(head.encode() + text)


def close(connection):
    connection.close()


def close_with_a_reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def end_its_side(connection):
    connection.shutdown(socket.SHUT_WR)


def close_behind_another_request(connection):
    connection.sendall(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
    connection.close()


@pytest.mark.parametrize("leave", [close, close_with_a_reset, end_its_side, close_behind_another_request])
def test_who_waits_for_a_lock_and_leaves_gives_up_its_place(leave, capfd):
    with served(MemoryService()) as api:
        taken(api)
        before = open_sockets()
        with connect(api.address) as connection:
            send_request(connection, *LOCK)
            wait_until(lambda: keys(api) == [b"l/1", b"l/a1"])
            leave(connection)
            wait_until(lambda: keys(api) == [b"l/1"])
        wait_until(lambda: watch_streams(api) == 0)
        wait_until(lambda: api.request_count() == 0)
        wait_until(lambda: open_sockets() == before)
        assert api.thread.problems == []
    assert capfd.readouterr().err == "", "the end of a connection is nothing to complain about"


@pytest.mark.parametrize("leave", [close, close_with_a_reset])
def test_who_is_gone_before_anybody_looks(leave, monkeypatch):
    look, gone = listener_hangups._find_connection, threading.Event()

    def look_late(client, server):
        gone.wait(PATIENCE_SECONDS)
        return look(client, server)

    monkeypatch.setattr(listener_hangups, "_find_connection", look_late)
    with served(MemoryService()) as api:
        taken(api)
        with connect(api.address) as connection:
            send_request(connection, *LOCK)
            wait_until(lambda: keys(api) == [b"l/1", b"l/a1"])
            leave(connection)
        gone.set()
        wait_until(lambda: keys(api) == [b"l/1"])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:0", "127.0.0.1"),
        ("http://0.0.0.0:0", "127.0.0.2"),
        ("http://[::1]:0", "::1"),
        ("http://[::]:0", "::1"),
        ("http://[::]:0", "127.0.0.1"),
    ],
)
def test_at_every_kind_of_address(url, host):
    with served(MemoryService(), urls=[url]) as api:
        taken(api)
        with connect(f"{host}:{api.address.rpartition(':')[2]}") as connection:
            send_request(connection, *LOCK)
            wait_until(lambda: keys(api) == [b"l/1", b"l/a1"])
            time.sleep(0.6)  # it was looked at
            assert keys(api) == [b"l/1", b"l/a1"], "who stays keeps the place"
        wait_until(lambda: keys(api) == [b"l/1"])


@pytest.mark.parametrize("server", ["h2corn", "h2corn behind OpenSSL", "hypercorn"])
def test_under_tls(tmp_path, server):
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    limits = TlsLimits("TLS1.3") if server == "h2corn behind OpenSSL" else TlsLimits()
    server = server.partition(" ")[0]
    tls = TlsOptions(issued.cert_file, issued.key_file, limits=limits)
    context = ssl.create_default_context(cafile=authority.cert_file)
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, server=server) as api:
        taken(api)
        with context.wrap_socket(connect(api.address), server_hostname="127.0.0.1") as connection:
            send_request(connection, *LOCK)
            wait_until(lambda: keys(api) == [b"l/1", b"l/a1"])
            time.sleep(0.6)  # it was looked at
            assert keys(api) == [b"l/1", b"l/a1"], "who stays keeps the place"
            connection.settimeout(0.01)
            with contextlib.suppress(OSError):
                connection.unwrap()  # says good-bye in TLS, which nobody reads
        wait_until(lambda: keys(api) == [b"l/1"])


@pytest.mark.parametrize(
    ("path", "body", "streams"),
    [
        ("/v3/election/campaign", {**LOCK[1], "value": "dg=="}, 1),
        ("/v3alpha/election/observe", {"name": LOCK[1]["name"]}, 1),
        ("/v3beta/watch", {"create_request": {"key": "YQ=="}}, 1),
    ],
)
def test_other_long_waits(path, body, streams):
    with served(MemoryService()) as api:
        taken(api)
        with connect(api.address) as connection:
            send_request(connection, path, body)
            wait_until(lambda: watch_streams(api) == streams)
        wait_until(lambda: watch_streams(api) == 0)
        wait_until(lambda: api.request_count() == 0)
        assert keys(api) == [b"l/1"]


def test_who_stays_gets_the_lock_and_the_connection_serves_on():
    with served(MemoryService()) as api:
        taken(api)
        with connect(api.address) as connection, connect(api.address) as other:
            send_request(connection, *LOCK)
            wait_until(lambda: keys(api) == [b"l/1", b"l/a1"])
            other.close()
            time.sleep(1.2)  # it was looked at more than once
            assert post(api.address, "/v3/kv/deleterange", {"key": "bC8x"}).status == 200
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
            send_request(connection, "/v3/kv/range", {"key": "bA=="})
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
        assert keys(api) == [b"l/a1"]


@pytest.mark.parametrize(
    ("address", "one_form"),
    [
        (("::ffff:10.1.2.3", 5, 0, 0), ("10.1.2.3", 5)),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::1", 5)),
        (["0:0::1", 5], ("::1", 5)),
    ],
)
def test_an_address_has_one_form(address, one_form):
    assert endpoint(address) == one_form
