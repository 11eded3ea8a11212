"""TLS connections that never finish their handshake (CVE-2026-73500 of etcd): they do not pile up."""

import contextlib
import select
import socket
import ssl
import time
from pathlib import Path

import grpc
import pytest

from miniraft.pb.rpc_pb2 import PutRequest, PutResponse
from miniraft.runtime import listener_servers, openssl_front
from miniraft.runtime.listener import TlsOptions
from miniraft.tls.limits import TlsLimits
from tests.support.certificates import Authority
from tests.support.client_api import served
from tests.support.descriptors import open_sockets
from tests.support.memory_service import MemoryService

PATIENCE_SECONDS = 20
HANDSHAKE_SECONDS = 1.0
SILENT_CONNECTIONS = 100


def client_hello():
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(params=["h2corn", "h2corn behind OpenSSL", "hypercorn"])
def api(request, tmp_path, monkeypatch):
    for module in (listener_servers, openssl_front):
        monkeypatch.setattr(module, "HANDSHAKE_SECONDS", HANDSHAKE_SECONDS)
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    limits = TlsLimits("TLS1.3") if request.param == "h2corn behind OpenSSL" else TlsLimits()
    tls = TlsOptions(issued.cert_file, issued.key_file, limits=limits)
    server = request.param.partition(" ")[0]
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, server=server) as served_api:
        served_api.authority = authority
        yield served_api
        assert served_api.thread.problems == []


def channel(api):
    return grpc.secure_channel(
        api.address, grpc.ssl_channel_credentials(Path(api.authority.cert_file).read_bytes())
    )


def put(channel):
    call = channel.unary_unary("/etcdserverpb.KV/Put", response_deserializer=PutResponse.FromString)
    return call(PutRequest(key=b"k").SerializeToString(), timeout=PATIENCE_SECONDS)


def is_closed(connection):
    """Whether the server has closed; what it says before that is read."""
    while select.select([connection], [], [], 0)[0]:
        try:
            if not connection.recv(4096):
                return True
        except OSError:
            return True
    return False


@pytest.mark.parametrize("said", ["nothing", "half a ClientHello", "a ClientHello, and no more"])
def test_connections_without_a_handshake_are_closed_and_hold_up_nobody(api, said):
    hello = client_hello()
    said_bytes = {"nothing": b"", "half a ClientHello": hello[: len(hello) // 2]}.get(said, hello)
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(channel(api))
        put(old)
        stream = old.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        next(stream)
        before = open_sockets()
        host, port = api.address.split(":")
        silent = []
        for _ in range(SILENT_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_SECONDS))
            connection.sendall(said_bytes)
            silent.append(connection)
        put(old)
        with channel(api) as fresh:
            put(fresh)
        wait_until(lambda: all(map(is_closed, silent)))
        for connection in silent:
            connection.close()
        wait_until(lambda: open_sockets() <= before)
        put(old)
        assert not stream.done()
        stream.cancel()


def test_a_slow_handshake_within_the_time_is_served(api):
    host, port = api.address.split(":")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=api.authority.cert_file)
    client = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                said = outgoing.read()
                connection.sendall(said[:100])
                time.sleep(HANDSHAKE_SECONDS / 10)
                connection.sendall(said[100:])
                incoming.write(connection.recv(65536))
        client.write(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
        connection.sendall(outgoing.read())
        answer = b""
        while b"etcdserver" not in answer:
            received = connection.recv(65536)
            assert received, answer
            incoming.write(received)
            with contextlib.suppress(ssl.SSLWantReadError):
                while True:
                    answer += client.read(65536)
