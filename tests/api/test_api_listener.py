"""The listener: addresses, TLS and its files, the second server, an orderly end."""

import logging
import os
import socket
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization

from miniraft.api.application import create_application, create_metrics_application
from miniraft.api.metrics import Metrics
from miniraft.api.options import ApiOptions
from miniraft.pb.rpc_pb2 import PutRequest, PutResponse, RangeRequest, RangeResponse
from miniraft.runtime.listener import ClientListener, ListenerOptions, ListenError, TlsOptions
from miniraft.tls.limits import TlsLimits
from tests.support.certificates import Authority
from tests.support.client_api import LoopThread, served
from tests.support.http2_client import request
from tests.support.http_client import encoded, fetch, post
from tests.support.memory_service import MemoryService

SERVERS = ["h2corn", "hypercorn"]


def put(channel, timeout=10):
    call = channel.unary_unary("/etcdserverpb.KV/Put", response_deserializer=PutResponse.FromString)
    return call(PutRequest(key=b"k", value=b"v").SerializeToString(), timeout=timeout)


def listener(urls, tls=None, **options):
    application = create_application(MemoryService(), Metrics(), ApiOptions())
    return ClientListener(application, urls, tls, ListenerOptions(**options))


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# Addresses ------------------------------------------------------------------------------------
def test_port_taken_names_url_flag_and_remedy():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ListenError) as raised:
            listener([url]).bind()
    text = str(raised.value)
    assert url in text
    assert "is taken" in text
    assert f"(pid {os.getpid()})" in text
    assert "--listen-client-urls" in text


def test_a_failed_bind_gives_back_what_it_had_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        free = other_port()
        with pytest.raises(ListenError):
            listener([f"http://127.0.0.1:{free}", f"http://127.0.0.1:{taken}"]).bind()
        with socket.socket() as again:
            again.bind(("127.0.0.1", free))


def other_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://127.0.0.1:1", "the scheme must be"),
        ("http://127.0.0.1", "give host and port"),
        ("http://:2379", "give host and port"),
        ("http://127.0.0.1:x", "give host and port"),
        ("http://127.0.0.1:1/v3", "has no path"),
        ("unix://", "give the path"),
        ("https://127.0.0.1:0", "needs --cert-file and --key-file"),
        ("unixs:///tmp/x.sock", "TLS over a Unix socket is not supported"),
    ],
)
def test_urls_that_cannot_be_served(url, text):
    with pytest.raises(ListenError, match=text) as raised:
        listener([url])
    assert "--listen-client-urls" in str(raised.value)


def test_unknown_host_and_foreign_address():
    with pytest.raises(ListenError, match=r"host nowhere\.invalid is unknown"):
        listener(["http://nowhere.invalid:0"]).bind()
    with pytest.raises(ListenError, match=r"no interface here has address 203\.0\.113\.1"):
        listener(["http://203.0.113.1:0"]).bind()


def test_several_addresses_with_and_without_tls(tmp_path):
    authority = Authority(tmp_path)
    tls = TlsOptions(*_files(authority.issue("server")))
    urls = ["http://127.0.0.1:0", "https://127.0.0.1:0", f"unix://{tmp_path}/socket", "http://[::1]:0"]
    with served(MemoryService(), urls=urls, tls=tls) as api:
        plain, secure, path, six = api.listener.urls
        assert six.startswith("http://[::1]:")
        for target in (plain, six):
            with grpc.insecure_channel(target.partition("://")[2]) as channel:
                assert put(channel).header.revision > 1
        with grpc.insecure_channel(path) as channel:
            assert put(channel).header.revision > 1
        with secure_channel(secure, authority) as channel:
            assert put(channel).header.revision > 1


def test_unix_socket_left_behind_is_taken_over_and_a_used_one_is_not(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with served(MemoryService(), urls=[f"unix://{path}"]):
        with pytest.raises(ListenError, match="another program is listening there"):
            listener([f"unix://{path}"]).bind()
        with grpc.insecure_channel(f"unix://{path}") as channel:
            assert put(channel).header.revision == 2
    path.write_text("not a socket")
    with pytest.raises(ListenError, match="is there and not a socket"):
        listener([f"unix://{path}"]).bind()


def test_nothing_is_answered_between_bind_and_start():
    with LoopThread() as thread:
        bound = listener(["http://127.0.0.1:0"])
        thread.call(bound.bind)
        host, port = bound.urls[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            thread.run(bound.start())
            connection.settimeout(5)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        thread.run(bound.stop())


# Long-lived connections -----------------------------------------------------------------------
def test_frequent_pings_are_tolerated():
    options = {
        "grpc.keepalive_time_ms": 50,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.http2.min_time_between_pings_ms": 50,
    }
    with served(MemoryService()) as api, api.channel(**options) as channel:
        stream = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        next(stream)
        time.sleep(1.0)
        assert not stream.done(), "twenty pings a second are no reason to close"
        assert put(channel).header.revision == 2
        stream.cancel()


def test_stop_lets_requests_finish():
    service = MemoryService()
    service.delay_seconds = 0.3
    with served(service) as api, api.channel() as channel:
        future = channel.unary_unary("/etcdserverpb.KV/Put").future(b"\x0a\x01k")
        wait_until(lambda: api.request_count() == 1)
        api.thread.run(api.listener.stop(grace_seconds=5))
        assert PutResponse.FromString(future.result(timeout=5)).header.revision == 2
        with pytest.raises(OSError, match="refused"):
            fetch(api.address, "GET", "/version")


# Splitting the API ----------------------------------------------------------------------------
def test_grpc_and_http_on_different_listeners():
    service = MemoryService()
    only_grpc = ApiOptions(serve_http=False)
    only_http = ApiOptions(serve_grpc=False)
    metrics = Metrics()
    with (
        served(service, api=only_grpc, metrics=metrics) as grpc_api,
        served(service, api=only_http, metrics=metrics, serve_grpc=False) as http_api,
    ):
        with grpc_api.channel() as channel:
            put(channel)
        assert fetch(grpc_api.address, "GET", "/version").status == 404
        assert post(grpc_api.address, "/v3/kv/put", {"key": "YQ=="}).status == 404
        assert post(http_api.address, "/v3/kv/put", {"key": "YQ=="}).status == 200
        refused = request(http_api.address, "/etcdserverpb.KV/Put", [b"\x00\x00\x00\x00\x00"])
        assert refused.headers[":status"] == "415"
        text = fetch(http_api.address, "GET", "/metrics").text
    labels = 'grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_type="unary"'
    assert f"grpc_server_started_total{{{labels}}} 2\n" in text, "both listeners count together"


def test_metrics_listener_serves_monitoring_alone():
    service, metrics = MemoryService(), Metrics()
    application = create_metrics_application(service, metrics)
    with LoopThread() as thread:
        serving = ClientListener(application, ["http://127.0.0.1:0"])
        thread.run(serving.start())
        address = serving.urls[0].removeprefix("http://")
        for path in ("/metrics", "/health", "/livez", "/readyz/non_learner"):
            assert fetch(address, "GET", path).status == 200
        for path in ("/version", "/debug/vars", "/v3/kv/range", "/etcdserverpb.KV/Range"):
            assert fetch(address, "GET", path).status == 404
        thread.run(serving.stop())


# TLS ------------------------------------------------------------------------------------------
def _files(issued):
    return issued.cert_file, issued.key_file


def secure_channel(url, authority, client=None):
    credentials = grpc.ssl_channel_credentials(
        Path(authority.cert_file).read_bytes(),
        Path(client.key_file).read_bytes() if client else None,
        Path(client.cert_file).read_bytes() if client else None,
    )
    return grpc.secure_channel(url.removeprefix("https://"), credentials)


def fails(channel):
    with pytest.raises(grpc.RpcError) as raised:
        put(channel, timeout=2)
    return raised.value.code()


@pytest.mark.parametrize("server", SERVERS)
def test_mutual_tls(tmp_path, server):
    authority, strangers = Authority(tmp_path / "a"), Authority(tmp_path / "b", "others")
    tls = TlsOptions(
        *_files(authority.issue("server")),
        trusted_ca_file=authority.cert_file,
        require_client_certificate=True,
    )
    client, stranger = authority.issue("client"), strangers.issue("client")
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, server=server) as api:
        with secure_channel(api.url, authority, client) as channel:
            assert put(channel).header.revision == 2
        for who in (None, stranger):
            with secure_channel(api.url, authority, who) as channel:
                assert fails(channel) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        context = ssl.create_default_context(cafile=authority.cert_file)
        context.load_cert_chain(*_files(client))
        with urllib.request.urlopen(f"{api.url}/version", context=context, timeout=5) as answer:
            assert answer.status == 200
        assert api.service.revision == 2


def test_changed_certificates_are_served_and_open_streams_live_on(tmp_path):
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    server = old.issue("server")
    tls = TlsOptions(*_files(server))
    options = {"certificate_check_seconds": 0.05}
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, **options) as api:
        with secure_channel(api.url, old) as before:
            stream = before.unary_stream("/grpc.health.v1.Health/Watch")(b"")
            next(stream)
            _replace(server, new.issue("server"))
            wait_until(lambda: _trusts(api.url, new))
            assert not _trusts(api.url, old)
            assert not stream.done(), "a stream under the old certificate goes on"
            stream.cancel()
        with secure_channel(api.url, new) as after:
            assert put(after).header.revision == 2


def test_a_broken_certificate_does_not_replace_a_good_one(tmp_path, caplog):
    caplog.set_level(logging.INFO, "miniraft.listener")
    authority = Authority(tmp_path)
    server = authority.issue("server")
    options = {"certificate_check_seconds": 0.05}
    with served(
        MemoryService(), urls=["https://127.0.0.1:0"], tls=TlsOptions(*_files(server)), **options
    ) as api:
        Path(server.key_file).write_text("nothing good")
        wait_until(lambda: "changed certificate files are not used" in caplog.text)
        assert server.key_file in caplog.text
        assert _trusts(api.url, authority)
        time.sleep(0.2)
        assert caplog.text.count("changed certificate files are not used") == 1, "said once, not every time"
        _replace(server, authority.issue("again"))
        wait_until(lambda: "serving with the changed certificate files" in caplog.text)
        assert _trusts(api.url, authority)


def _replace(old, new):
    for name in ("cert_file", "key_file"):
        Path(getattr(new, name)).rename(getattr(old, name))


def _trusts(url, authority):
    context = ssl.create_default_context(cafile=authority.cert_file)
    try:
        with urllib.request.urlopen(f"{url}/version", context=context, timeout=5):
            return True
    except OSError:
        return False


def test_files_that_are_no_good_are_named(tmp_path):
    authority = Authority(tmp_path)
    cert, key = _files(authority.issue("server"))
    other = authority.issue("other")
    garbage = tmp_path / "garbage"
    garbage.write_text("garbage")

    def refused(tls):
        with pytest.raises(ListenError) as raised:
            listener(["https://127.0.0.1:0"], tls)
        return str(raised.value)

    assert "--cert-file: cannot read /nowhere: No such file" in refused(TlsOptions("/nowhere", key))
    assert "needs --key-file" in refused(TlsOptions(cert, ""))
    assert other.key_file in refused(TlsOptions(cert, other.key_file))
    assert f"--trusted-ca-file: {garbage}" in refused(TlsOptions(cert, key, trusted_ca_file=str(garbage)))
    assert "--client-cert-auth needs --trusted-ca-file" in refused(
        TlsOptions(cert, key, require_client_certificate=True)
    )


def test_an_encrypted_key_is_refused_with_the_command_that_helps(tmp_path):
    authority = Authority(tmp_path)
    cert, key = _files(authority.issue("server"))
    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ListenError, match=f"openssl pkey -in {key}"):
        listener(["https://127.0.0.1:0"], TlsOptions(cert, key))


def test_unknown_cipher_suites_and_versions(tmp_path):
    files = _files(Authority(tmp_path).issue("server"))
    for limits, text in (
        (TlsLimits(cipher_suites=("NULL",)), 'unexpected TLS cipher suite "NULL"'),
        (TlsLimits(min_version="TLS1.1"), 'unexpected TLS version "TLS1.1"'),
        (TlsLimits("TLS1.3", "TLS1.2"), "is greater than max version"),
    ):
        with pytest.raises(ListenError, match=text):
            listener(["https://127.0.0.1:0"], TlsOptions(*files, limits=limits))


@pytest.mark.parametrize("server", SERVERS)
def test_versions_and_cipher_suites(tmp_path, server):
    authority = Authority(tmp_path)
    files = _files(authority.issue("server"))

    def agreed(limits, **client):
        tls = TlsOptions(*files, limits=limits)
        with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, server=server) as api:
            with secure_channel(api.url, authority) as channel:
                assert put(channel).header.revision == 2
            return _handshake(api, authority, **client)

    suites = ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_128_GCM_SHA256")
    assert agreed(TlsLimits(max_version="TLS1.2", cipher_suites=suites)) == (
        "TLSv1.2",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    )
    assert agreed(TlsLimits(cipher_suites=suites))[0] == "TLSv1.3", "the suites of TLS 1.3 are always on"
    assert agreed(TlsLimits(min_version="TLS1.3"))[0] == "TLSv1.3"
    for limits in (TlsLimits(min_version="TLS1.3"), TlsLimits(cipher_suites=("TLS_AES_128_GCM_SHA256",))):
        with pytest.raises(ssl.SSLError):
            agreed(limits, highest=ssl.TLSVersion.TLSv1_2)


def _handshake(api, authority, client=None, highest=ssl.TLSVersion.MAXIMUM_SUPPORTED):
    """What a client and the listener agree on."""
    host, port = api.address.split(":")
    context = ssl.create_default_context(cafile=authority.cert_file)
    context.maximum_version = highest
    if client:
        context.load_cert_chain(*_files(client))
    with (
        socket.create_connection((host, int(port)), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        return connection.version(), connection.cipher()[0]


UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("server", SERVERS)
def test_a_revoked_certificate_and_a_list_that_is_renewed(tmp_path, server, caplog):
    authority = Authority(tmp_path)
    good, bad = authority.issue("good"), authority.issue("bad")
    crl_file = tmp_path / "crl.pem"
    tls = TlsOptions(
        *_files(authority.issue("server")),
        trusted_ca_file=authority.cert_file,
        require_client_certificate=True,
        crl_file=authority.revoke(crl_file),
    )
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, server=server) as api:

        def may(client):
            with secure_channel(api.url, authority, client) as channel:
                try:
                    return bool(put(channel, timeout=2))
                except grpc.RpcError:
                    return False

        assert may(good)
        assert may(bad)
        authority.revoke(crl_file, bad, valid_days=-1)  # out of date, and it counts all the same
        assert may(good)
        assert not may(bad)
        authority.revoke(crl_file, good, encoding=serialization.Encoding.DER)
        assert may(bad)
        assert not may(good)
        crl_file.unlink()
        assert not may(bad), "without the list nobody can tell"
    if server == "h2corn":
        assert "rejected connection on client endpoint: transport: certificate serial" in caplog.text
        assert f"open {crl_file}: no such file or directory" in caplog.text


@pytest.mark.parametrize("server", SERVERS)
def test_the_host_name_in_a_clients_certificate_must_be_allowed(tmp_path, server):
    authority = Authority(tmp_path)
    tls = TlsOptions(
        *_files(authority.issue("server")),
        trusted_ca_file=authority.cert_file,
        require_client_certificate=True,
        allowed_hostnames=("apps.example", "10.1.2.3"),
    )
    with served(MemoryService(), urls=["https://127.0.0.1:0"], tls=tls, server=server) as api:
        for hosts, passes in (
            (("apps.example", "other"), True),
            (("*.example",), True),
            (("10.1.2.3",), True),
            (("127.0.0.1",), False),
            ((), False),
        ):
            client = authority.issue("client", hosts)
            with secure_channel(api.url, authority, client) as channel:
                if passes:
                    put(channel)
                else:
                    assert fails(channel) in UNREACHABLE


# The second server ------------------------------------------------------------------------------
def test_unknown_server():
    with pytest.raises(
        ListenError, match="--client-server: there is no nginx: choose from h2corn, hypercorn"
    ):
        listener(["http://127.0.0.1:0"], server="nginx")


def test_the_same_application_under_hypercorn():
    with served(MemoryService(), server="hypercorn") as api:
        with api.channel() as channel:
            assert put(channel).header.revision == 2
            ranged = channel.unary_unary(
                "/etcdserverpb.KV/Range", response_deserializer=RangeResponse.FromString
            )
            (pair,) = ranged(RangeRequest(key=b"k").SerializeToString(), timeout=5).kvs
            assert pair.value == b"v"
            with pytest.raises(grpc.RpcError) as raised:
                ranged(b"", timeout=5)
            assert raised.value.details() == "etcdserver: key is not provided"
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary("/etcdserverpb.Lease/LeaseForget")(b"", timeout=5)
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
            pieces = channel.unary_stream("/etcdserverpb.KV/RangeStream")(b"\x0a\x01k", timeout=5)
            assert len(list(pieces)) == 1
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
            next(watch)
            watch.cancel()
            wait_until(lambda: api.request_count() == 0)
        answer = post(api.address, "/v3/kv/range", {"key": encoded(b"k")})
        assert answer.json["kvs"][0]["value"] == encoded(b"v")
        assert post(api.address, "/v3/kv/range", b"{").json["code"] == 3
        assert fetch(api.address, "GET", "/health").text == '{"health":"true","reason":""}'
        assert "grpc_server_started_total" in fetch(api.address, "GET", "/metrics").text


def test_nothing_is_printed_by_the_server(capfd):
    with served(MemoryService()) as api:
        fetch(api.address, "GET", "/version")
    assert capfd.readouterr() == ("", "")


def test_two_listeners_stop_at_the_same_time():
    with served(MemoryService()) as one, served(MemoryService()) as two:
        threads = [
            threading.Thread(target=lambda api=api: api.thread.run(api.listener.stop(2.0)))
            for api in (one, two)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
