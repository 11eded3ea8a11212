"""When the server cannot be reached: the cause by name, the next step, and the other endpoints."""

import contextlib
import socket
import socketserver
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.support.certificates import Authority
from tests.support.etcdctl import run_ours, run_real, until, without_new_fields
from tests.support.real_etcd import free_port
from tests.support.server_under_test import Tls, running_server


@contextlib.contextmanager
def listening(backlog=16):
    """A port that accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def shaking_hands_only(certificate):
    """A TLS port that completes handshakes and says nothing after them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve():
            # Closing the listener ends the wait with an error.
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, context.wrap_socket(connection, server_side=True) as secured:
                        while secured.recv(4096):
                            pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def black_hole():
    """A port where connections never come about: its queue is full and nobody empties it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(address)
        time.sleep(0.05)
        yield f"127.0.0.1:{address[1]}"


@contextlib.contextmanager
def answering(answer):
    """A server that sends the same bytes to whoever connects."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        stopped = threading.Event()

        def serve():
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(1)
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join()


@contextlib.contextmanager
def waiting_for_http():
    """A port that answers HTTP, and waits for the rest of whatever else comes."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            if self.request.recv(4096).startswith(b"GET "):
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with contextlib.suppress(OSError):
                while self.request.recv(4096):
                    pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def failure(*words, code=1, **more):
    """Runs a command that must fail; returns what it said, and how long it took in seconds."""
    start = time.monotonic()
    ours = run_ours(*words, **more)
    took_s = time.monotonic() - start
    assert ours.code == code, ours.error_text
    assert ours.out == b""
    assert ours.last_error.startswith("Error: ")
    assert "deadline exceeded" not in ours.error_text
    return ours.error_text, took_s


def test_nobody_listens():
    address = f"127.0.0.1:{free_port()}"
    said, took_s = failure("--endpoints", address, "get", "k")
    assert "connection refused" in said
    assert address in said
    assert "Start the member" in said
    assert took_s < 2


def test_every_endpoint_is_explained():
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    said, _ = failure("--endpoints", ",".join(addresses), "put", "k", "v")
    assert all(f"{address}: connection refused" in said for address in addresses)
    assert "none of the 3 endpoints answered" in said


def test_a_name_that_does_not_exist():
    said, _ = failure("--endpoints", "no-such-host.invalid:2379", "get", "k")
    assert "no-such-host.invalid" in said
    assert "has no address" in said


def test_http_to_a_port_that_speaks_https(tls_server, mutual_tls_server):
    for address in (tls_server, mutual_tls_server):
        said, _ = failure("--endpoints", address, "get", "k")
        assert "expects https" in said
        assert f"https://{address}" in said


def test_https_to_a_port_that_speaks_http(server, authority):
    brief = ("--dial-timeout", "500ms")  # ours waits for the end of what it takes for a request
    for flags in (("--cacert", authority.cert_file), ("--insecure-transport=false",)):
        said, _ = failure("--endpoints", server, "get", "k", *flags, *brief)
        assert "expects http" in said
        assert f"http://{server}" in said
    said, _ = failure("--endpoints", f"https://{server}", "get", "k", *brief)
    assert "expects http" in said


def test_https_to_a_port_that_waits_for_http():
    with waiting_for_http() as address:
        flags = ("--dial-timeout", "300ms")
        said, took_s = failure("--endpoints", f"https://{address}", *flags, "get", "k")
        assert "expects http" in said
        assert took_s < 2.5, "the handshake was waited for twice"


def test_an_unknown_authority(tls_server, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    said, _ = failure("--endpoints", tls_server, "--cacert", stranger.cert_file, "get", "k")
    assert "authority unknown to --cacert" in said
    said, _ = failure("--endpoints", f"https://{tls_server}", "get", "k")
    assert "authority unknown to the system's authorities" in said


def test_a_certificate_for_another_name(server_kind, tmp_path, authority):
    issued = authority.issue("elsewhere", ("10.0.0.1", "etcd.example"))
    with running_server(tmp_path, tls=Tls(issued.cert_file, issued.key_file)) as address:
        said, _ = failure("--endpoints", address, "--cacert", authority.cert_file, "get", "k")
        assert "not for 127.0.0.1" in said
        assert "10.0.0.1, etcd.example" in said
        ours = run_ours("--endpoints", f"https://{address}", "--insecure-skip-tls-verify", "put", "k", "v")
        assert ours.out == b"OK\n"


def test_an_expired_certificate(server_kind, tmp_path, authority):
    issued = authority.issue("expired", valid_days=1, started_days_ago=3)
    with running_server(tmp_path, tls=Tls(issued.cert_file, issued.key_file)) as address:
        said, _ = failure("--endpoints", address, "--cacert", authority.cert_file, "get", "k")
        assert "has expired" in said


def test_a_missing_client_certificate(mutual_tls_server, authority):
    said, _ = failure("--endpoints", mutual_tls_server, "--cacert", authority.cert_file, "get", "k")
    assert "asks for a client certificate" in said
    assert "--cert and --key" in said


def test_a_rejected_client_certificate(mutual_tls_server, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger").issue("stranger")
    said, _ = failure(
        *("--endpoints", mutual_tls_server, "--cacert", authority.cert_file),
        *("--cert", stranger.cert_file, "--key", stranger.key_file, "put", "k", "v"),
    )
    assert "rejects the client certificate" in said
    assert stranger.cert_file in said


def same_output(*words):
    return without_new_fields(run_ours(*words)).out == run_real(*words).out


def test_tls_and_mutual_tls_work(tls_server, mutual_tls_server, authority):
    client = authority.issue("client")
    identity = ("--cert", client.cert_file, "--key", client.key_file)
    for address, more in ((tls_server, ()), (mutual_tls_server, identity)):
        flags = ("--endpoints", address, "--cacert", authority.cert_file, *more)
        assert run_ours(*flags, "put", "k", "v").out == b"OK\n"
        for words in (
            ("get", "k", "-w", "json"),
            ("member", "list"),
            ("endpoint", "status", "--cluster"),
            ("endpoint", "hashkv", "--cluster", "-w", "json"),
        ):
            until(partial(same_output, *flags, *words))
        variables = {f"ETCDCTL_{flags[at][2:].upper()}": flags[at + 1] for at in range(0, len(flags), 2)}
        assert run_ours("get", "k", environment=variables).out == b"k\nv\n"


@pytest.mark.parametrize("kind", ["key of another", "not PEM", "swapped", "missing", "encrypted"])
def test_certificate_files_that_cannot_work(tls_server, authority, tmp_path, kind):
    client, other = authority.issue("client"), authority.issue("other")
    text = tmp_path / "text"
    text.write_text("no certificate")
    encrypted = tmp_path / "encrypted.pem"
    if kind == "encrypted":
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        encrypted.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
    cert, key = {
        "key of another": (client.cert_file, other.key_file),
        "not PEM": (str(text), client.key_file),
        "swapped": (client.key_file, client.cert_file),
        "missing": (client.cert_file, str(tmp_path / "none.pem")),
        "encrypted": (client.cert_file, str(encrypted)),
    }[kind]
    said, _ = failure(
        *(
            "--endpoints",
            tls_server,
            "--cacert",
            authority.cert_file,
            "--cert",
            cert,
            "--key",
            key,
            "get",
            "k",
        ),
        code=128,
    )
    assert key in said


def test_a_cacert_file_without_certificates(tls_server, tmp_path):
    text = tmp_path / "text"
    text.write_text("no certificate")
    said, _ = failure("--endpoints", tls_server, "--cacert", str(text), "get", "k", code=128)
    assert "no certificate" in said


def test_a_server_that_accepts_and_says_nothing(monkeypatch):
    monkeypatch.setattr("etcdctl_py.explain._PROBE_TIMEOUT_S", 0.2)
    monkeypatch.setattr("etcdctl_py.explain._ANSWER_TIMEOUT_S", 0.2)
    with listening() as address:
        said, took_s = failure("--endpoints", address, "get", "k", "--command-timeout", "300ms")
        assert "does not answer" in said
        assert took_s < 4
        said, _ = failure("--endpoints", f"https://{address}", "get", "k", "--command-timeout", "300ms")
        assert "TLS handshake" in said


def test_a_member_that_shakes_hands_and_says_nothing_does_not_fail_the_handshake(authority, monkeypatch):
    monkeypatch.setattr("etcdctl_py.explain._ANSWER_TIMEOUT_S", 0.2)
    with shaking_hands_only(authority.issue("silent")) as address:
        flags = ("--cacert", authority.cert_file, "--command-timeout", "300ms")
        said, _ = failure("--endpoints", address, *flags, "get", "k")
        assert "accepts connections but does not answer" in said
        assert "handshake" not in said


def test_a_host_that_drops_everything(monkeypatch):
    monkeypatch.setattr("etcdctl_py.explain._PROBE_TIMEOUT_S", 0.2)
    with black_hole() as address:
        said, _ = failure("--endpoints", address, "get", "k", "--dial-timeout", "300ms")
        assert "does not answer at all" in said


def test_a_black_hole_in_front_does_not_hide_the_good_endpoint(server):
    run_ours("--endpoints", server, "put", "k", "v")
    with black_hole() as address:
        start = time.monotonic()
        ours = run_ours("--endpoints", f"{address},{server}", "put", "k", "v2")
        assert ours.out == b"OK\n"
        assert ours.err == b""
        assert time.monotonic() - start < 2


def test_a_closed_port_in_front_does_not_hide_the_good_endpoint(server):
    for words, out in ((("put", "k", "v"), b"OK\n"), (("get", "k"), b"k\nv\n")):
        ours = run_ours("--endpoints", f"127.0.0.1:{free_port()},{server}", *words)
        assert (ours.out, ours.err, ours.code) == (out, b"", 0)


def test_a_server_of_another_kind():
    with answering(b"SSH-2.0-OpenSSH\r\n") as address:
        said, _ = failure("--endpoints", address, "get", "k")
        assert "not in HTTP" in said
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<htm>") as address:
        said, _ = failure("--endpoints", address, "get", "k")
        assert "did not answer as etcd does" in said
    with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as address:
        said, _ = failure("--endpoints", address, "get", "k")
        assert "peer port" in said


@pytest.mark.parametrize(
    ("status", "body", "last"),
    [
        (400, '{"error":"etcdserver: x y","message":"etcdserver: x y","code":3}', "etcdserver: x y"),
        (400, '{"code":3, "message":"etcdserver: x y"}', "etcdserver: x y"),
        (
            503,
            '{"error":{"grpc_code":14,"http_code":503,"message":"no one"}}',
            "rpc error: code = Unavailable desc = no one",
        ),
        (500, '{"error":{"code":2,"message":"odd","details":[]}}', "rpc error: code = Unknown desc = odd"),
        (504, '{"code":4,"message":"context deadline exceeded"}', "context deadline exceeded"),
    ],
)
def test_both_generations_of_error_bodies_are_read(status, body, last):
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    with answering(answer.encode()) as address:
        ours = run_ours("--endpoints", address, "put", "k", "v")
        assert ours.last_error == f"Error: {last}"
        assert ours.code == 1


def test_a_port_that_speaks_grpc_alone():
    settings = b"\0\0\6\4\0\0\0\0\0" + b"\0\3\0\0\0\x64"
    with answering(settings) as address:
        said, _ = failure("--endpoints", address, "get", "k")
        assert "gRPC alone" in said
        assert "peer port" in said


def test_the_peer_port_is_recognized(server_kind, tmp_path):
    peer = f"http://127.0.0.1:{free_port()}"
    flags = (
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        f"m1={peer}",
    )
    with running_server(tmp_path, *flags):
        said, _ = failure("--endpoints", peer, "get", "k")
        assert "peer port" in said


def test_a_member_without_a_leader_says_so(server_kind, tmp_path):
    """Two members, one of them gone: the other answers but has no majority."""
    peers = {name: f"http://127.0.0.1:{free_port()}" for name in ("m1", "m2")}
    cluster = ",".join(f"{name}={url}" for name, url in peers.items())

    def member(name):
        return running_server(
            tmp_path / name,
            *("--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name]),
            *("--initial-cluster", cluster, "--heartbeat-interval", "20", "--election-timeout", "100"),
            name=name,
        )

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        first, second = member("m1"), member("m2")
        ready = [pool.submit(each.__enter__) for each in (first, second)]
        address = ready[0].result()
        stack.push(first.__exit__)
        ready[1].result()
        assert run_ours("--endpoints", address, "put", "k", "v").code == 0
        second.__exit__(None, None, None)
        deadline = time.monotonic() + 15
        while True:
            said, _ = failure("--endpoints", address, "get", "k", "--command-timeout", "200ms")
            if "has no leader" in said:
                break
            assert time.monotonic() < deadline, said
        assert "Start the missing members" in said
        stale = run_ours("--endpoints", address, "get", "k", "--consistency", "s")
        assert stale.out == b"k\nv\n"


def test_endpoint_health_names_each_cause(server):
    closed = f"127.0.0.1:{free_port()}"
    ours = run_ours("--endpoints", f"{closed},{server}", "endpoint", "health")
    assert ours.code == 1
    assert f"{server} is healthy" in ours.out.decode()
    assert f"{closed} is unhealthy: failed to commit proposal: connection refused" in ours.error_text
    assert ours.last_error == "Error: unhealthy cluster"
    table = run_ours("--endpoints", f"{closed},{server}", "endpoint", "health", "-w", "json").out.decode()
    assert '"error":"connection refused' in table


def test_endpoint_status_shows_the_others(server):
    closed = f"127.0.0.1:{free_port()}"
    for words, attempt in (("status", "get the status of"), ("hashkv", "get the hash of")):
        command = ("--endpoints", f"{closed},{server}", "endpoint", words, "--command-timeout", "300ms")
        until(partial(same_output, *command))
        ours = run_ours(*command)
        assert ours.code == run_real(*command).code == 1
        assert f"Failed to {attempt} endpoint {closed} (connection refused" in ours.error_text


def test_the_cluster_cannot_be_listed():
    said, _ = failure("--endpoints", f"127.0.0.1:{free_port()}", "endpoint", "health", "--cluster")
    assert "failed to fetch endpoints from etcd cluster member list" in said


@pytest.mark.parametrize("endpoint", ["ftp://host:1", "http://", "host:port", "[::1"])
def test_endpoints_that_cannot_be_read(endpoint):
    said, _ = failure("--endpoints", endpoint, "get", "k")
    assert endpoint in said
    assert "host:port" in said


def test_ipv6_and_unix_sockets(server_kind, tmp_path):
    client = f"http://[::1]:{free_port()}"
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with running_server(tmp_path, name="six") as address:
        port = address.split(":")[1]
        said, _ = failure("--endpoints", client, "get", "k")
        assert "connection refused" in said
        assert run_ours("--endpoints", f"http://localhost:{port}", "put", "k", "v").code == 0
    said, _ = failure("--endpoints", f"unix://{tmp_path}/none.sock", "get", "k")
    assert "no socket" in said
