"""A cluster of one, end to end but for the wire to its clients."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest

from miniraft.errors import EtcdError
from miniraft.pb.rpc_pb2 import PutRequest
from miniraft.runtime.server import StartError, start_server
from miniraft.server.proposal import RequestKind
from tests.support.servers import free_ports, get, linearizable_get, put, single_config


def run(scenario):
    asyncio.run(scenario())


def test_what_was_put_is_there_and_stays_over_a_restart(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        result = await put(server, "a", "1")
        assert result.revision == 2
        assert await linearizable_get(server, "a") == "1"
        member_id, term = server.node.member_id, server.node.term
        await server.stop()

        server = await start_server(single_config(tmp_path))
        assert get(server, "a") == "1"
        assert server.node.member_id == member_id
        assert server.node.term > term
        assert (await put(server, "a", "2")).revision == 3
        await server.stop()

    run(scenario)


def test_commits_and_leaders_show_in_the_metrics(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        await put(server, "a", "1")
        url = f"{server.client_urls[0]}/metrics"

        def figures():
            with urllib.request.urlopen(url, timeout=5) as response:
                lines = response.read().decode().splitlines()
            return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

        async with asyncio.timeout(20):
            while True:
                seen = await asyncio.to_thread(figures)
                commits = float(seen["etcd_disk_backend_commit_duration_seconds_count"])
                if commits >= 1 and float(seen["etcd_server_leader_changes_seen_total"]) == 1:
                    break
                await asyncio.sleep(0.1)
        assert float(seen["etcd_server_proposals_failed_total"]) == 0
        await server.stop()

    run(scenario)


def test_many_writes_at_once_are_all_answered(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        results = await asyncio.gather(*(put(server, f"k{n}", str(n)) for n in range(500)))
        assert sorted(result.revision for result in results) == list(range(2, 502))
        assert get(server, "k499") == "499"
        await server.stop()

    run(scenario)


def test_who_waits_when_the_member_stops_is_told(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        request = PutRequest(key=b"a", value=b"1").SerializeToString()
        waiting = server.node.propose(RequestKind.PUT, request)
        await server.stop()
        with pytest.raises(EtcdError, match="server stopped"):
            await waiting
        with pytest.raises(EtcdError, match="server stopped"):
            await server.node.propose(RequestKind.PUT, request)

    run(scenario)


def test_a_client_that_gave_up_does_no_harm(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        request = PutRequest(key=b"a", value=b"1").SerializeToString()
        server.node.propose(RequestKind.PUT, request).cancel()
        assert (await put(server, "b", "2")).revision == 3
        assert get(server, "a") == "1"
        await server.stop()

    run(scenario)


def test_a_log_that_cannot_be_written_stops_the_member_and_nothing_is_acknowledged(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        await put(server, "a", "1")
        wal = server.node._log_writer._wal

        def broken():
            raise OSError(5, "Input/output error")

        wal._file.sync = broken
        with pytest.raises(EtcdError, match="server stopped"):
            await put(server, "a", "2")
        assert "Input/output error" in server.node.stopped.result()
        await server.stop()
        server = await start_server(single_config(tmp_path))
        await put(server, "b", "1")  # it starts again, whatever became of the write of 2
        await server.stop()

    run(scenario)


def test_two_members_cannot_use_one_folder(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        with pytest.raises(StartError, match=r"another process.*--data-dir"):
            await start_server(single_config(tmp_path))
        await put(server, "a", "1")
        await server.stop()

    run(scenario)


def test_a_taken_port_names_the_port_the_flag_and_its_holder(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        port = server.peer_urls[0].rpartition(":")[2]
        clash = single_config(
            tmp_path, name="m2", data_dir=str(tmp_path / "m2"), listen_peer_urls=server.peer_urls
        )
        with pytest.raises(StartError, match=rf"port {port} is taken by .*{os.getpid()}.*--listen-peer-urls"):
            await start_server(clash)
        await server.stop()

    run(scenario)


# As a process -------------------------------------------------------------------------------
class Process:
    def __init__(self, folder, client_port, peer_port):
        client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        self.url = client
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "miniraft", "--name=m1", f"--data-dir={folder / 'm1'}"),
                    *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
                    *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
                ],
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )

    def wait_for(self, text):
        deadline = time.monotonic() + 20
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def post(self, path, **body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def test_killed_outright_it_comes_back_with_all_it_acknowledged(tmp_path):
    ports = free_ports(2)
    first = Process(tmp_path, *ports)
    key = b64encode(b"a").decode()
    try:
        first.wait_for("listening for client requests on")
        for number in range(50):
            value = b64encode(str(number).encode()).decode()
            first.post("/v3/kv/put", key=key, value=value)
    finally:
        first.process.kill()
        first.process.wait()
    again = Process(tmp_path, *ports)
    try:
        again.wait_for("ready to serve client requests")
        again.wait_for("listening for client requests on")
        (found,) = again.post("/v3/kv/range", key=key)["kvs"]
        assert found["value"] == b64encode(b"49").decode()
        assert found["version"] == "50"
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(10) == 0
        assert re.search(r'"msg":"received signal; shutting down".*SIGTERM', again.log.read_text())
    finally:
        again.process.kill()
        again.process.wait()
