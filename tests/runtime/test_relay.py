"""Two connections joined into one, whenever that comes."""

import asyncio

import pytest
import uvloop

from miniraft.runtime.relay import Half, relay

CONTENT = bytes(range(256)) * 4096


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def run(coroutine):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(coroutine, 20))

    return run


async def relayed(greeting, before_joining):
    """A client that sends `greeting` at once, and an endpoint that tells what it got until the end."""
    loop = asyncio.get_running_loop()
    incoming, received = loop.create_future(), loop.create_future()

    class Incoming(Half):
        def connection_made(self, transport):
            super().connection_made(transport)
            incoming.set_result(self)

    async def endpoint(reader, writer):
        received.set_result(await reader.read())
        writer.close()

    front = await loop.create_server(Incoming, "127.0.0.1", 0)
    back = await asyncio.start_server(endpoint, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*front.sockets[0].getsockname())
    writer.write(greeting)
    one, other = await incoming, Half()
    await before_joining(writer)
    await loop.create_connection(lambda: other, *back.sockets[0].getsockname())
    joined = loop.create_task(relay(one, other))
    writer.write(CONTENT)
    await writer.drain()
    writer.close()
    found = await received
    await joined
    front.close()
    back.close()
    return found


def test_what_comes_before_the_other_end_is_there_is_kept(run):
    async def later(_writer):
        await asyncio.sleep(0.05)

    assert run(relayed(b"first words", later)) == b"first words" + CONTENT


def test_little_is_taken_before_the_other_end_is_there(run):
    """Whoever sends on meanwhile is made to wait by the network."""
    flood = bytes(64 << 20)
    waited = []

    async def fill(writer):
        writer.write(flood)
        await asyncio.sleep(0.3)
        waited.append(writer.transport.get_write_buffer_size())

    assert run(relayed(b"", fill)) == flood + CONTENT
    assert waited[0] > len(flood) // 2
