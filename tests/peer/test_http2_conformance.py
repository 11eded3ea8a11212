"""Our gRPC layer against grpcio: each as client of the other, on asyncio's loop and on uvloop."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
import uvloop

from miniraft.errors import Code
from miniraft.peer.http2.client import connect
from miniraft.peer.http2.connection import ConnectionSettings
from miniraft.peer.http2.server import Server
from miniraft.peer.http2.status import RpcError
from miniraft.peer.security import PeerTls, ServerContexts, client_context
from tests.support.certificates import Authority
from tests.support.peer_ends import eventually

SETTINGS = ConnectionSettings(2000, 3000, 16 * 1024 * 1024)
PLENTY = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
SIZES = [0, 1, 100, 16_379, 16_384, 70_000, 5_000_000]  # around a frame, around the windows
TEXT = "not so: 100 % – ünïcödé\nsecond line"
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request):
    def run(scenario):
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(asyncio.wait_for(scenario, 30))

    return run


def ignore(*_, **__):
    """A log that nobody reads."""


# Our server, grpcio's client ---------------------------------------------------------------
class OurHandlers:
    def __init__(self):
        self.failures = []

    async def unary(self, call):
        call.write(await call.read_only())

    async def echo(self, call):
        call.write(b"early")
        while (message := await call.read()) is not None:
            await call.drain()
            call.write(message)

    async def pushed(self, call):
        """As `echo`, but by `receive`."""
        call.write(b"early")
        await call.receive(call.write)

    async def count(self, call):
        total = 0
        while (message := await call.read()) is not None:
            total += len(message)
        call.write(b"%d" % total)

    async def refuse(self, call):
        await call.read()
        raise RpcError(Code.FAILED_PRECONDITION, TEXT, {"miniraft-refusal": "wrong-cluster"})

    async def late_refusal(self, call):
        await call.read()
        call.write(b"first")
        raise RpcError(Code.DATA_LOSS, "damaged")

    async def bug(self, call):
        raise KeyError("secret")

    async def receiver_fails(self, call):
        def receiver(message):
            raise ValueError(f"cannot read {message!r}")

        try:
            await call.receive(receiver)
        except ValueError as error:
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from error

    async def for_ever(self, call):
        call.write(b"here")
        try:
            while await call.read() is not None:
                pass
            await asyncio.sleep(60)
        except Exception as error:
            self.failures.append(error)
            raise


@asynccontextmanager
async def our_server(tls=None, settings=SETTINGS):
    ours = OurHandlers()
    handlers = {f"/t.T/{name}": getattr(ours, name) for name in dir(OurHandlers) if not name.startswith("_")}
    server = Server(handlers, settings, ignore)
    port = await server.listen("127.0.0.1", 0, tls)
    try:
        yield server, ours, port
    finally:
        await server.close("shutting down")
        assert not server.connections


@asynccontextmanager
async def their_channel(port, credentials=None):
    target = f"127.0.0.1:{port}"
    channel = (
        grpc.aio.insecure_channel(target, PLENTY)
        if credentials is None
        else grpc.aio.secure_channel(target, credentials, PLENTY)
    )
    async with channel:
        yield channel


async def error_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def test_their_unary_calls(run):
    async def scenario():
        async with our_server() as (_, _, port), their_channel(port) as channel:
            call = channel.unary_unary("/t.T/unary")
            for size in SIZES:
                assert await call(b"x" * size) == b"x" * size
            assert await asyncio.gather(*(call(b"%d" % n) for n in range(200))) == [
                b"%d" % n for n in range(200)
            ]

    run(scenario())


@pytest.mark.parametrize("method", ["echo", "pushed"])
def test_their_bidirectional_streams(run, method):
    async def scenario():
        async with our_server() as (_, _, port), their_channel(port) as channel:
            call = channel.stream_stream(f"/t.T/{method}")()
            assert await call.read() == b"early"  # before anything was sent
            for size in SIZES:
                await call.write(b"y" * size)
                assert await call.read() == b"y" * size
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK

    run(scenario())


def test_their_client_streams(run):
    async def scenario():
        async with our_server() as (_, _, port), their_channel(port) as channel:
            call = channel.stream_unary("/t.T/count")()
            for _ in range(400):
                await call.write(b"z" * 100_000)
            await call.done_writing()
            assert await call == b"40000000"

    run(scenario())


def test_they_understand_our_errors(run):
    async def scenario():
        async with our_server() as (_, _, port), their_channel(port) as channel:
            error = await error_of(channel.unary_unary("/t.T/refuse")(b""))
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert error.details() == TEXT
            assert ("miniraft-refusal", "wrong-cluster") in tuple(error.trailing_metadata())
            error = await error_of(channel.unary_unary("/t.T/nothing")(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            error = await error_of(channel.unary_unary("/t.T/bug")(b""))
            assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "internal error")
            error = await error_of(channel.unary_unary("/t.T/unary")(b"x" * 17_000_000))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "16777216" in error.details()
            error = await error_of(channel.unary_unary("/t.T/for_ever")(b"", timeout=0.2))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            squeezed = channel.unary_unary("/t.T/unary")(b"s" * 999, compression=grpc.Compression.Gzip)
            assert (await error_of(squeezed)).code() is grpc.StatusCode.UNIMPLEMENTED

    run(scenario())


def test_they_get_a_status_in_the_middle_of_their_stream(run):
    async def scenario():
        async with our_server() as (_, _, port), their_channel(port) as channel:
            call = channel.stream_stream("/t.T/late_refusal")()
            await call.write(b"1")
            assert await call.read() == b"first"
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
            assert await call.code() is grpc.StatusCode.DATA_LOSS
            call = channel.stream_stream("/t.T/receiver_fails")()
            await call.write(b"1")
            with pytest.raises(grpc.aio.AioRpcError, match="cannot read b'1'"):
                await call.read()
            assert await channel.unary_unary("/t.T/unary")(b"still here") == b"still here"

    run(scenario())


def test_their_cancellation_reaches_our_handler(run):
    async def scenario():
        async with our_server() as (server, ours, port), their_channel(port) as channel:
            call = channel.stream_stream("/t.T/for_ever")()
            assert await call.read() == b"here"
            call.cancel()
            await eventually(lambda: ours.failures)
            assert ours.failures[0].code is Code.CANCELLED
            await eventually(lambda: not next(iter(server.connections)).streams())

    run(scenario())


def test_they_hear_that_our_server_closes(run):
    async def scenario():
        async with our_server() as (server, _, port), their_channel(port) as channel:
            call = channel.stream_stream("/t.T/for_ever")()
            assert await call.read() == b"here"
            closing = asyncio.create_task(server.close("going down"))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert (caught.value.code(), caught.value.details()) == (
                grpc.StatusCode.UNAVAILABLE,
                "going down",
            )
            await closing

    run(scenario())


# grpcio's server, our client ---------------------------------------------------------------
async def _their_unary(request, _call):
    return request


async def _their_echo(requests, call):
    await call.write(b"early")
    async for message in requests:
        await call.write(message)


async def _their_count(requests, _call):
    return b"%d" % sum([len(message) async for message in requests])


async def _their_refuse(_request, call):
    await call.abort(grpc.StatusCode.FAILED_PRECONDITION, TEXT, (("miniraft-refusal", "wrong-cluster"),))


async def _their_deadline(_request, call):
    return b"%d" % round(call.time_remaining())


THEIR_METHODS = {
    "/t.T/unary": grpc.unary_unary_rpc_method_handler(_their_unary),
    "/t.T/echo": grpc.stream_stream_rpc_method_handler(_their_echo),
    "/t.T/count": grpc.stream_unary_rpc_method_handler(_their_count),
    "/t.T/refuse": grpc.unary_unary_rpc_method_handler(_their_refuse),
    "/t.T/deadline": grpc.unary_unary_rpc_method_handler(_their_deadline),
}


class TheirHandlers(grpc.GenericRpcHandler):
    def service(self, details):
        return THEIR_METHODS.get(details.method)


@asynccontextmanager
async def their_server(credentials=None):
    server = grpc.aio.server(options=PLENTY)
    server.add_generic_rpc_handlers((TheirHandlers(),))
    address = "127.0.0.1:0"
    port = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


@asynccontextmanager
async def our_connection(port, context=None, settings=SETTINGS):
    connection = await connect("127.0.0.1", port, settings, context)
    try:
        yield connection
    finally:
        await connection.close()
        assert connection.streams() == []


async def talk(connection):
    """All kinds of calls."""
    for size in SIZES:
        assert await connection.call_unary("/t.T/unary", b"u" * size, 5000) == b"u" * size
    call = connection.call("/t.T/echo")
    assert await call.read() == b"early"
    for size in SIZES:
        call.write(b"e" * size)
        assert await call.read() == b"e" * size
    for number in range(3000):
        call.write(b"%d" % number)
    for number in range(3000):
        assert await call.read() == b"%d" % number
    call.end()
    assert await call.read() is None
    call = connection.call("/t.T/count")
    for _ in range(400):
        await call.drain()
        call.write(b"z" * 100_000)
    call.end()
    assert await call.read_only() == b"40000000"


def test_our_calls_of_their_server(run):
    async def scenario():
        async with their_server() as (_, port), our_connection(port) as connection:
            await talk(connection)
            with pytest.raises(RpcError) as caught:
                await connection.call_unary("/t.T/refuse", b"", 5000)
            error = caught.value
            assert (error.code, error.details) == (Code.FAILED_PRECONDITION, TEXT)
            assert error.metadata["miniraft-refusal"] == "wrong-cluster"
            with pytest.raises(RpcError) as caught:
                await connection.call_unary("/t.T/nothing", b"", 5000)
            assert caught.value.code is Code.UNIMPLEMENTED
            assert await connection.call_unary("/t.T/deadline", b"", 20_000) == b"20"
            await talk(connection)  # nothing of that has hurt the connection

    run(scenario())


def test_we_hear_that_their_server_closes(run):
    async def scenario():
        async with their_server() as (server, port), our_connection(port) as connection:
            call = connection.call("/t.T/echo")
            assert await call.read() == b"early"
            await server.stop(None)
            with pytest.raises((RpcError, ConnectionError)):
                await call.read()
            await connection.closed
            with pytest.raises(ConnectionError):
                connection.call("/t.T/echo")

    run(scenario())


def test_we_talk_to_ourselves(run):
    async def scenario():
        async with our_server() as (_, _, port), our_connection(port) as connection:
            await talk(connection)

    run(scenario())


# TLS ---------------------------------------------------------------------------------------
def tls_of(authority, name="member"):
    issued = authority.issue(name, ("127.0.0.1",))
    return PeerTls(
        cert_file=issued.cert_file,
        key_file=issued.key_file,
        trusted_ca_file=authority.cert_file,
        client_cert_file=issued.cert_file,
        client_key_file=issued.key_file,
        client_cert_auth=True,
    )


def files_of(tls):
    names = (tls.key_file, tls.cert_file, tls.trusted_ca_file)
    return [Path(name).read_bytes() for name in names]


def test_mutual_tls_in_both_directions(run, tmp_path):
    tls = tls_of(Authority(tmp_path / "ca"))
    key, certificate, roots = files_of(tls)

    async def scenario():
        theirs = grpc.ssl_channel_credentials(roots, key, certificate)
        async with our_server(ServerContexts(tls, ignore)) as (_, _, port):
            async with their_channel(port, theirs) as channel:
                for size in SIZES:
                    assert await channel.unary_unary("/t.T/unary")(b"x" * size) == b"x" * size
            async with our_connection(port, client_context(tls)) as connection:
                await talk(connection)
            nameless = grpc.ssl_channel_credentials(roots)
            async with their_channel(port, nameless) as channel:
                error = await error_of(channel.unary_unary("/t.T/unary")(b"", timeout=5))
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        credentials = grpc.ssl_server_credentials([(key, certificate)], roots, True)
        async with (
            their_server(credentials) as (_, port),
            our_connection(port, client_context(tls)) as connection,
        ):
            await talk(connection)

    run(scenario())


def test_a_certificate_for_another_host_is_refused(run, tmp_path):
    ca = Authority(tmp_path / "ca")
    issued = ca.issue("two", ("10.9.8.7",))
    tls = PeerTls(cert_file=issued.cert_file, key_file=issued.key_file)
    trusting = client_context(PeerTls(trusted_ca_file=ca.cert_file))

    async def scenario():
        async with our_server(ServerContexts(tls, ignore)) as (_, _, port):
            with pytest.raises(OSError, match="certificate is not valid for"):
                await connect("127.0.0.1", port, SETTINGS, trusting)

    run(scenario())
