"""OpenSSL in front of h2corn: what passes through, what the application sees, and how it ends."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import stat
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from miniraft.api.client_certificate import common_name
from miniraft.runtime.listener import ClientListener, ListenerOptions
from miniraft.runtime.listener_tls import TlsOptions
from miniraft.tls.limits import TlsLimits
from tests.support.certificates import Authority
from tests.support.client_api import LoopThread

MIB = 1 << 20
ASKS_FOR_IT = TlsLimits(min_version="TLS1.3")  # what rustls cannot do


class Application:
    """Tells what it sees of a request; /big streams, /slow waits."""

    def __init__(self):
        self.sent_bytes = 0
        self.waiting = asyncio.Event()

    def stop(self):
        pass

    async def __call__(self, scope, receive, send):
        path = scope["path"]
        digest, more = hashlib.sha256(), True
        while more:
            message = await receive()
            digest.update(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path == "/big":
            for _ in range(64):
                await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})
                self.sent_bytes += MIB
        elif path == "/slow":
            self.waiting.set()
            await asyncio.sleep(0.3)
        seen = {
            "client": scope["client"],
            "scheme": scope["scheme"],
            "user": common_name(scope),
            "digest": digest.hexdigest(),
        }
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


class Front:
    """A listener with OpenSSL in front, in a thread of its own."""

    def __init__(self, thread, tls, urls):
        self.thread = thread
        self.application = thread.call(Application)
        options = ListenerOptions(certificate_check_seconds=0.05)
        self.listener = ClientListener(self.application, urls, tls, options)
        thread.run(self.listener.start())
        self.urls = self.listener.urls

    def stop(self):
        self.thread.run(self.listener.stop(grace_seconds=5.0))


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@contextlib.contextmanager
def front(authority, *urls, **options):
    issued = authority.issue("server", ("127.0.0.1", "::1"))
    tls = TlsOptions(issued.cert_file, issued.key_file, limits=ASKS_FOR_IT, **options)
    with LoopThread() as thread:
        made = Front(thread, tls, urls or ("https://127.0.0.1:0",))
        try:
            yield made
        finally:
            made.stop()
        assert not thread.problems, thread.problems


def mutual(authority):
    return {"trusted_ca_file": authority.cert_file, "require_client_certificate": True}


def context_of(authority, client=None):
    context = ssl.create_default_context(cafile=authority.cert_file)
    if client is not None:
        context.load_cert_chain(client.cert_file, client.key_file)
    return context


def get(url, context):
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        return json.loads(answer.read())


def folders():
    return set(Path(tempfile.gettempdir()).glob("miniraft-tls-*"))


def test_the_application_sees_the_client_as_it_is(authority):
    with front(authority, "https://127.0.0.1:0", "https://[::1]:0", **mutual(authority)) as made:
        for url, host in zip(made.urls, ("127.0.0.1", "::1"), strict=True):
            for user in ("ada", "root"):
                seen = get(f"{url}/", context_of(authority, authority.issue(user)))
                assert (seen["client"][0], seen["scheme"], seen["user"]) == (host, "https", user)


def test_without_a_certificate_there_is_no_user(authority):
    with front(authority) as made:
        assert get(f"{made.urls[0]}/", context_of(authority))["user"] is None


def test_one_connection_is_not_taken_for_another(authority):
    with front(authority, **mutual(authority)) as made:
        address = made.urls[0].removeprefix("https://")
        connections = {}
        for user in ("ada", "bob"):
            context = context_of(authority, authority.issue(user))
            connections[user] = http.client.HTTPSConnection(address, context=context, timeout=10)
        for _ in range(3):
            for user, connection in connections.items():
                connection.request("GET", "/")
                assert json.loads(connection.getresponse().read())["user"] == user
        for connection in connections.values():
            connection.close()


def test_a_client_that_reads_slowly_is_waited_for(authority):
    with front(authority) as made:
        host, port = made.urls[0].removeprefix("https://").split(":")
        with (
            socket.create_connection((host, int(port)), timeout=10) as raw,
            context_of(authority).wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            sent = -1
            while sent != made.application.sent_bytes:  # until it moves no more
                sent = made.application.sent_bytes
                time.sleep(0.3)
            assert sent < 48 * MIB
            received = 0
            while received < 64 * MIB:
                received += len(connection.recv(MIB))


def test_what_a_client_sends_goes_through_whole(authority):
    content = os.urandom(3 * MIB)
    with front(authority) as made:
        request = urllib.request.Request(f"{made.urls[0]}/", content, method="POST")
        with urllib.request.urlopen(request, context=context_of(authority), timeout=20) as answer:
            assert json.loads(answer.read())["digest"] == hashlib.sha256(content).hexdigest()


def test_a_client_that_says_nothing_holds_nobody_up(authority):
    with front(authority) as made:
        host, port = made.urls[0].removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=10):
            assert get(f"{made.urls[0]}/", context_of(authority))["scheme"] == "https"


def test_an_orderly_end_lets_requests_finish_and_leaves_nothing(authority):
    before = folders()
    with front(authority) as made:
        (folder,) = folders() - before
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with LoopThread() as other:

            async def ask():
                return await asyncio.to_thread(get, f"{made.urls[0]}/slow", context_of(authority))

            answer = asyncio.run_coroutine_threadsafe(ask(), other.loop)
            made.thread.run(made.application.waiting.wait())
            made.stop()
            assert answer.result(10)["scheme"] == "https"
        assert folders() == before


def test_what_a_killed_process_left_is_removed_and_nothing_else(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = time.time() - 3600
    killed, empty, young = (tmp_path / f"miniraft-tls-{name}" for name in ("killed", "empty", "young"))
    for folder in (killed, empty, young):
        folder.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(killed / "http"))
    for folder in (killed, empty):
        os.utime(folder, (old, old))
    with front(authority) as first:
        (served,) = folders() - {young}
        os.utime(served, (old, old))
        with front(authority):
            assert {young, served} < folders()
            assert len(folders()) == 3
        assert get(f"{first.urls[0]}/", context_of(authority)), "it is served as before"


def test_changed_certificates_are_taken_up(authority, tmp_path):
    with front(authority) as made:
        assert get(f"{made.urls[0]}/", context_of(authority))
        for number in range(2):  # the second time by the successor, when the first has gone
            other = Authority(tmp_path / f"other{number}")
            other.issue("server")
            for name in ("server.pem", "server-key.pem"):
                (other.folder / name).replace(authority.folder / name)
            eventually_answers(f"{made.urls[0]}/", context_of(other))


def eventually_answers(url, context):
    deadline = time.monotonic() + 10
    while True:
        try:
            return get(url, context)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
