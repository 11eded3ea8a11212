"""Messages between two real ends on loopback."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from miniraft.peer.interface import PeerAddress
from miniraft.peer.settings import PeerSettings
from miniraft.raft.entry import Entry
from miniraft.raft.message import Message, MessageKind
from tests.support.peer_ends import End, connected, eventually, pair


def append(sender, receiver, index, data=b"x"):
    return Message(MessageKind.APPEND, sender, receiver, 1, index=index, entries=[Entry(1, index, 0, data)])


def test_messages_arrive_in_order_in_both_directions(tmp_path):
    async def scenario():
        async with pair(tmp_path) as (one, two):
            sent = [append(1, 2, index, b"d" * index) for index in range(1, 500)]
            for message in sent:
                one.transport.send([message])
                if message.index % 50 == 0:
                    await asyncio.sleep(0)
            two.transport.send([Message(MessageKind.APPEND_RESPONSE, 2, 1, 1, index=7)])
            await eventually(lambda: len(two.messages) == len(sent) and one.messages)
            assert two.messages == sent
            assert one.messages == [Message(MessageKind.APPEND_RESPONSE, 2, 1, 1, index=7)]
            assert one.unreachable == []

    asyncio.run(scenario())


def test_what_waits_travels_together(tmp_path):
    async def scenario():
        async with pair(tmp_path) as (one, two):
            one.transport.send([append(1, 2, index) for index in range(1, 101)])
            await eventually(lambda: len(two.messages) == 100)
            assert len(two.batches) == 1

    asyncio.run(scenario())


def test_what_is_too_much_for_one_batch_keeps_its_order(tmp_path):
    async def scenario():
        async with pair(tmp_path, settings=PeerSettings(batch_bytes=1000)) as (one, two):
            one.transport.send([append(1, 2, index, b"d" * 300) for index in range(1, 101)])
            await eventually(lambda: len(two.messages) == 100)
            assert [message.index for message in two.messages] == list(range(1, 101))
            assert 25 <= len(two.batches) <= 50

    asyncio.run(scenario())


def test_a_message_sent_while_connecting_is_not_lost(tmp_path):
    async def scenario():
        async with End(tmp_path / "1", 1) as one, End(tmp_path / "2", 2) as two:
            two.transport.set_peers([one.address])
            one.transport.set_peers([two.address])
            one.transport.send([append(1, 2, 1)])
            await eventually(lambda: two.messages)

    asyncio.run(scenario())


def test_round_trips_are_measured_but_not_for_every_batch(tmp_path):
    async def scenario():
        async with pair(tmp_path) as (one, two):
            for index in range(1, 51):
                one.transport.send([append(1, 2, index)])
                await asyncio.sleep(0.001)
            measured = one.transport.statistics()[2].round_trip_seconds
            await eventually(lambda: len(two.messages) == 50 and measured.count)
            assert measured.count <= 3
            assert 0 < measured.sum < 5
            assert one.transport.statistics()[2].sent_bytes > 0
            assert two.transport.statistics()[1].received_bytes == one.transport.statistics()[2].sent_bytes

    asyncio.run(scenario())


def test_round_trips_are_measured_when_there_is_nothing_to_say(tmp_path):
    async def scenario():
        often = PeerSettings(echo_interval_ms=1, idle_echo_interval_ms=5)
        async with pair(tmp_path, settings=often) as (one, two):
            for end, other in ((one, 2), (two, 1)):
                measured = end.transport.statistics()[other].round_trip_seconds
                await eventually(lambda measured=measured: measured.count >= 3)
            assert one.messages == two.messages == []

    asyncio.run(scenario())


def test_a_restarted_peer_is_reconnected_and_its_loss_reported(tmp_path):
    async def scenario():
        # A back-off far longer than the test: only the peer's own call can end it.
        slow = PeerSettings(backoff_start_ms=30_000, backoff_limit_ms=30_000)
        async with End(tmp_path / "1", 1, settings=slow) as one:
            async with End(tmp_path / "2", 2) as two:
                one.transport.set_peers([two.address])
                two.transport.set_peers([one.address])
                await eventually(lambda: connected(one, two) and connected(two, one))
            await eventually(lambda: not connected(one, two))
            assert one.unreachable == [2]
            assert one.disconnected == [2]
            one.transport.send([append(1, 2, 1)])  # dropped: nobody is there
            again = End(tmp_path / "2", 2)
            await again.start(two.url)
            again.transport.set_peers([one.address])
            await eventually(lambda: connected(one, again))
            one.transport.send([append(1, 2, 2)])
            await eventually(lambda: again.messages)
            assert [message.index for message in again.messages] == [2]
            await again.close()

    asyncio.run(scenario())


def test_a_full_queue_drops_and_reports_once(tmp_path):
    async def scenario():
        async with pair(tmp_path, settings=PeerSettings(queue_messages=10)) as (one, two):
            one.transport.send([append(1, 2, index) for index in range(1, 101)])
            assert one.unreachable == [2]
            await eventually(lambda: len(two.messages) == 10)
            one.transport.send([append(1, 2, 200)])
            await eventually(lambda: len(two.messages) == 11)
            assert one.transport.statistics()[2].sent_failures == 90

    asyncio.run(scenario())


def test_a_peer_that_takes_the_connection_and_stays_silent_is_given_up(tmp_path):
    async def scenario():
        # Connections wait in the backlog: TCP is there, and nobody ever answers.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            settings = PeerSettings(connect_timeout_ms=200)
            async with End(tmp_path / "1", 1, settings=settings) as one:
                one.transport.set_peers([PeerAddress(2, "m2", (url,))])
                await eventually(lambda: one.logged("no answer within 200 ms"))
                assert one.transport.connected_since_ms(2) is None

    asyncio.run(scenario())


def test_a_paused_peer_is_noticed_by_unanswered_pings(tmp_path):
    program = f"""
import asyncio, pathlib
from miniraft.peer.interface import PeerAddress
from tests.support.peer_ends import End
async def run():
    async with End(pathlib.Path({str(tmp_path / "2")!r}), 2) as end:
        end.local.peers = {{1: PeerAddress(1, "m1", ())}}
        print(end.url, flush=True)
        await asyncio.sleep(60)
asyncio.run(run())
"""

    async def scenario():
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=environment
        )
        url = (await child.stdout.readline()).decode().strip()
        quick = PeerSettings(keepalive_interval_ms=200, keepalive_timeout_ms=300)
        async with End(tmp_path / "1", 1, settings=quick) as one:
            one.transport.set_peers([PeerAddress(2, "m2", (url,))])
            await eventually(lambda: one.transport.connected_since_ms(2) is not None)
            child.send_signal(signal.SIGSTOP)
            await eventually(lambda: one.unreachable)
            assert one.logged("no longer answers pings")
            assert one.disconnected == []  # it may wake again
            child.send_signal(signal.SIGCONT)
            await eventually(lambda: one.transport.connected_since_ms(2) is not None)
        child.kill()
        await child.wait()

    asyncio.run(scenario())


def test_the_next_url_is_tried(tmp_path):
    async def scenario():
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
            async with End(tmp_path / "1", 1) as one, End(tmp_path / "2", 2) as two:
                two.transport.set_peers([one.address._replace(urls=(dead, one.url))])
                one.transport.set_peers([two.address._replace(urls=(dead, two.url))])
                await eventually(lambda: connected(one, two) and connected(two, one))

    asyncio.run(scenario())


def test_a_peer_taken_off_the_list_is_disconnected_on_both_ends(tmp_path):
    async def scenario():
        async with pair(tmp_path) as (one, two):
            one.local.is_removed = {2}.__contains__
            one.transport.set_peers([])
            assert one.transport.connected_since_ms(2) is None
            await eventually(lambda: two.refusals)
            member_id, refusal = two.refusals[0]
            assert member_id == 1
            assert refusal.kind == "removed-member"
            assert "member m2 (2) has been removed" in refusal.text

    asyncio.run(scenario())
