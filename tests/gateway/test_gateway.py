"""`miniraft gateway`: the real etcdctl through it, and endpoints that come and go."""

import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from miniraft.discovery.problem import DiscoveryError
from miniraft.discovery.srv import Target
from miniraft.gateway.endpoints import Choice, Discovery, discover, parse_endpoint
from tests.support.certificates import Authority
from tests.support.dns_server import dns_records
from tests.support.etcdctl import run_real
from tests.support.member_processes import Processes, initial_cluster, until
from tests.support.real_etcd import free_port, running_etcd

PATIENCE_SECONDS = 30


# As a process -----------------------------------------------------------------------------------
class GatewayProcess:
    def __init__(self, folder, *flags):
        self.address = f"127.0.0.1:{free_port()}"
        self.log_file = folder / "gateway.log"
        command = [
            sys.executable,
            "-m",
            "miniraft",
            "gateway",
            "start",
            "--listen-addr",
            self.address,
            *flags,
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def log(self):
        return self.log_file.read_text()

    def messages(self):
        return [json.loads(line)["msg"] for line in self.log().splitlines() if line.startswith("{")]

    def wait_for(self, message):
        until(lambda: message in self.messages(), message)


@contextlib.contextmanager
def gateway(folder, *flags):
    made = GatewayProcess(folder, *flags)
    try:
        made.wait_for("ready to proxy client requests")
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def etcdctl(address, *words):
    done = run_real("--endpoints", address, *words)
    assert done.code == 0, done.error_text
    return done.out.decode()


def test_etcdctl_reaches_the_real_etcd_through_it(tmp_path):
    with running_etcd(tmp_path) as endpoint, gateway(tmp_path, f"--endpoints=http://{endpoint}") as passing:
        assert etcdctl(passing.address, "put", "a", "b") == "OK\n"
        assert etcdctl(passing.address, "get", "a") == "a\nb\n"
        watching = subprocess.Popen(
            [*_etcdctl_command(), "--endpoints", passing.address, "watch", "w"], stdout=subprocess.PIPE
        )
        try:
            # Not seen before the watch is there: put again until it is.
            stop = threading.Event()
            thread = threading.Thread(target=_put_until, args=(endpoint, stop))
            thread.start()
            lines = [watching.stdout.readline() for _ in range(3)]
            stop.set()
            thread.join()
            assert lines == [b"PUT\n", b"w\n", b"seen\n"]
        finally:
            watching.kill()
            watching.wait()
            watching.stdout.close()
        passing.process.send_signal(signal.SIGTERM)
        assert passing.process.wait(PATIENCE_SECONDS) == 0


def _etcdctl_command():
    from tests.support.real_etcd import real_binary

    return [str(real_binary("etcdctl"))]


def _put_until(endpoint, stop):
    while not stop.wait(0.1):
        run_real("--endpoints", endpoint, "put", "w", "seen")


def test_members_that_go_are_passed_over_and_come_back(tmp_path):
    with Processes(tmp_path) as processes:
        members = [processes.new(name) for name in ("n1", "n2", "n3")]
        for member in members:
            member.start(initial_cluster(*members))
        for member in members:
            until(member.status, f"{member.name} is up")
        endpoints = ",".join(member.client for member in members)
        with gateway(tmp_path, f"--endpoints={endpoints}", "--retry-delay=500ms") as passing:
            for number in range(3):
                etcdctl(passing.address, "put", f"key{number}", "value")
            members[0].kill()
            until(lambda: members[1].status().leader not in (0, None), "there is a leader")
            for number in range(6):  # whichever endpoint's turn it is
                etcdctl(passing.address, "get", f"key{number % 3}")
            assert "deactivated endpoint" in passing.messages()
            members[0].start(initial_cluster(*members))
            until(members[0].status, "n1 is back")

            def is_called_again():
                etcdctl(passing.address, "get", "key0")
                return "activated" in passing.messages()

            until(is_called_again, "the endpoint has its turn again")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--endpoints="], "no endpoints found"),
        (["--endpoints=bar"], 'error parsing endpoint "bar"'),
        (["--endpoints=nowhere.invalid:1"], "failed to resolve endpoint host: nowhere.invalid"),
        (["--listen-addr=foo"], "failed to validate listen address: foo"),
        (["--endpoints=localhost:4321", "--listen-addr=127.0.0.1:4321"], "it would call itself"),
        (["--retry-delay=x"], 'time: invalid duration "x"'),
        (["--nosuch"], "No such option"),
        (["--discovery-srv=a..b"], "dns lookup errors"),
    ],
)
def test_what_cannot_be_is_told(flags, words):
    command = [sys.executable, "-m", "miniraft", "gateway", "start", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 1
    assert words in done.stderr


def test_bytes_go_through_whole_and_an_end_at_either_side_is_passed_on(tmp_path):
    content = os.urandom(4 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
        with gateway(tmp_path, f"--endpoints={endpoint}") as passing:
            host, port = passing.address.split(":")
            for ends in ("client", "server"):
                client = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
                server, _ = listener.accept()
                server.settimeout(PATIENCE_SECONDS)
                with client, server:
                    for one, other in ((client, server), (server, client)):
                        sending = threading.Thread(target=one.sendall, args=(content,))
                        sending.start()
                        assert _received(other, len(content)) == content
                        sending.join()
                    first, last = (client, server) if ends == "client" else (server, client)
                    first.close()
                    assert last.recv(1) == b""


def _received(connection, size):
    found = bytearray()
    while len(found) < size:
        piece = connection.recv(size)
        assert piece, "it ended too early"
        found += piece
    return bytes(found)


def test_a_client_is_let_go_when_no_endpoint_is_there(tmp_path):
    with gateway(tmp_path, f"--endpoints=127.0.0.1:{free_port()}") as passing:
        host, port = passing.address.split(":")
        client = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        assert "deactivated endpoint" in passing.messages()


# Which endpoint ---------------------------------------------------------------------------------
def target(host, priority=0, weight=0):
    return Target("", host, 1, priority, weight)


def picked(choice, count, tried=()):
    return collections.Counter(choice.next(tried, 0.0).target.host for _ in range(count))


def test_endpoints_take_turns():
    choice = Choice([target("a"), target("b"), target("c")], random.Random(1))
    assert picked(choice, 30) == {"a": 10, "b": 10, "c": 10}


def test_the_lowest_priority_first_and_there_by_weight():
    targets = [target("a", 1, 3), target("b", 1, 1), target("zero", 1), target("later", 2, 9)]
    choice = Choice(targets, random.Random(1))
    counts = picked(choice, 4000)
    assert counts["later"] == 0
    assert 2700 < counts["a"] < 3300
    assert 0 < counts["zero"] < 100
    assert picked(choice, 10, tried=choice.remotes[:3]) == {"later": 10}


def test_those_that_were_not_there_come_last():
    choice = Choice([target("a"), target("b")], random.Random(1))
    choice.remotes[0].absent_until_seconds = 10.0
    assert picked(choice, 4) == {"b": 4}
    assert choice.next(choice.remotes[1:], 0.0) is choice.remotes[0]
    assert choice.next(choice.remotes, 0.0) is None
    assert {choice.next((), 10.0).target.host for _ in range(2)} == {"a", "b"}


def test_endpoints_as_people_write_them():
    assert parse_endpoint("10.0.0.1:2379").address == "10.0.0.1:2379"
    assert parse_endpoint("https://n1.example:2379").address == "n1.example:2379"
    assert parse_endpoint("[::1]:2379").address == "[::1]:2379"
    for text in ("", "n1", "n1:x", ":2379", "n1:0"):
        with pytest.raises(DiscoveryError, match="error parsing endpoint"):
            parse_endpoint(text)


# Endpoints in the DNS ---------------------------------------------------------------------------
def test_discovered_endpoints_must_show_a_certificate_for_the_domain(tmp_path, monkeypatch):
    authority = Authority(tmp_path / "ca")
    right, wrong = authority.issue("right", ("etcd.test",)), authority.issue("wrong", ("localhost",))

    async def scenario():
        async with tls_server(right) as good, tls_server(wrong) as bad:
            records = {
                "_etcd-client-ssl._tcp.etcd.test": [(0, 0, good, "localhost."), (0, 0, bad, "localhost.")],
                "_etcd-client._tcp.etcd.test": [(0, 0, 1, "localhost.")],
            }
            with dns_records(monkeypatch, records):
                asked = Discovery("etcd.test", trusted_ca_file=authority.cert_file)
                assert [found.port for found in await discover(asked)] == [good]
                everything = await discover(asked._replace(insecure=True))
                assert sorted(found.port for found in everything) == sorted((good, bad, 1))
                with pytest.raises(DiscoveryError, match="--trusted-ca-file /nowhere cannot be used"):
                    await discover(asked._replace(trusted_ca_file="/nowhere"))

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def tls_server(issued):
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert_file, issued.key_file)

    async def taken(reader, writer):
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(taken, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_nothing_is_looked_up_without_a_domain():
    started = time.monotonic()
    assert asyncio.run(discover(Discovery())) == []
    assert time.monotonic() - started < 5
