"""What a running member counts of its own slowness."""

import asyncio
import time

from miniraft.runtime import node as node_module
from tests.support.peer_ends import eventually
from tests.support.servers import TestCluster, put, single_config, start_server


def run(work):
    return asyncio.run(asyncio.wait_for(work, 40))


def test_heartbeats_that_come_out_late_are_counted_by_the_leader(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            name = await cluster.wait_for_leader()
            leader = cluster.servers[name].node
            before = leader.member.figures.heartbeats_late
            time.sleep(0.1)  # noqa: ASYNC251 (five heartbeats: the loop is held up)
            await eventually(lambda: leader.member.figures.heartbeats_late >= before + 2)

    run(scenario())


def test_slow_applies_are_told_once_a_second(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        node_module.log, "event", lambda level, message, **fields: lines.append((message, fields))
    )

    async def scenario():
        server = await start_server(single_config(tmp_path, warning_apply_duration_seconds=0.0))
        try:
            for number in range(20):
                await put(server, f"k{number}", "v")
            assert server.node.applies.slow_count >= 20
        finally:
            await server.stop()

    run(scenario())
    told = [fields for message, fields in lines if message == "apply request took too long"]
    assert 1 <= len(told) < 20
    assert told[0]["expected_seconds"] == 0.0
    assert told[0]["took_seconds"] >= 0
