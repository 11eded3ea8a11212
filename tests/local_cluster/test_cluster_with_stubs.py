"""Process control and the plain view, with stub members: fast, and without a real election."""

import asyncio
import contextlib
import io
import os
import signal
import sys
from pathlib import Path

import pytest

from miniraft.local_cluster.control import ask, control_server
from miniraft.local_cluster.plain import PlainOutput, status_line
from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.run import Options, prepare
from miniraft.local_cluster.supervisor import Supervisor
from miniraft.local_cluster.view import ClusterView, MemberView
from tests.support.free_ports import free_base_port

STUB = (sys.executable, str(Path(__file__).with_name("stub_member.py")))


async def until(condition, what, timeout_seconds=15.0):
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def cluster(folder, nodes=3, tls=False):
    supervisor = Supervisor(prepare(Options(folder, nodes, free_base_port(2 * nodes), tls)), STUB)
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.shut_down()


def leader(supervisor):
    found = supervisor.view().leader
    return found.name if found else None


def all_alive(supervisor):
    return supervisor.view().alive == len(supervisor.layout.members)


def process_exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "cluster"
    path.mkdir()
    return path


async def scenario_kill(folder):
    async with cluster(folder) as supervisor:
        await until(lambda: all_alive(supervisor) and leader(supervisor) == "n1", "n1 leads")
        pid = supervisor.processes["n1"].pid
        assert await supervisor.execute("kill", "1") == f"n1 killed: kill -9 {pid}"
        assert not process_exists(pid)
        await until(lambda: leader(supervisor) == "n2", "n2 leads after n1 was killed")
        view = supervisor.view()
        assert (view.alive, view.quorum, view.can_lose) == (2, 2, 0)
        assert view.members[0].state == "killed"
        await supervisor.execute("restart", "n1")
        await until(lambda: all_alive(supervisor), "n1 is back")
        assert any("leader of term" in item.text for item in supervisor.story.newest_last())


def test_a_killed_leader_is_replaced_and_comes_back(folder):
    asyncio.run(scenario_kill(folder))


async def scenario_pause(folder):
    async with cluster(folder, tls=True) as supervisor:
        await until(lambda: all_alive(supervisor), "all alive")
        await supervisor.execute("pause", "n3")
        await until(lambda: supervisor.view().alive == 2, "a paused member is not alive")
        assert supervisor.view().members[2].state == "paused"
        with pytest.raises(ClusterError, match="paused already; resume n3"):
            await supervisor.execute("pause", "n3")
        await supervisor.execute("resume", "n3")
        await until(lambda: all_alive(supervisor), "the resumed member answers")
        await supervisor.execute("restart", "n2")
        assert supervisor.view().members[1].answer is None, "what the process before it said counts no more"
        await until(lambda: all_alive(supervisor), "the restarted member answers")
        with pytest.raises(ClusterError, match="not paused"):
            await supervisor.execute("resume", "n3")
        await supervisor.execute("stop", "n3")
        assert supervisor.view().members[2].state == "stopped"
        with pytest.raises(ClusterError, match=r"does not run .stopped.; restart n3"):
            await supervisor.execute("kill", "n3")
        with pytest.raises(ClusterError, match="no member 'n9'; write one of n1, n2, n3"):
            await supervisor.execute("kill", "n9")
        with pytest.raises(ClusterError, match="write one of kill, stop"):
            await supervisor.execute("explode", "n1")


def test_pause_resume_and_stop_with_tls(folder):
    asyncio.run(scenario_pause(folder))


async def scenario_shut_down(folder):
    async with cluster(folder) as supervisor:
        pids = [process.pid for process in supervisor.processes.values()]
        await supervisor.execute("pause", "n2")
    assert not any(process_exists(pid) for pid in pids)
    assert {process.state for process in supervisor.processes.values()} == {"stopped"}


def test_shutting_down_ends_paused_members_too(folder):
    asyncio.run(scenario_shut_down(folder))


async def scenario_exit(folder):
    async with cluster(folder, nodes=1) as supervisor:
        await until(lambda: all_alive(supervisor), "alive")
        os.kill(supervisor.processes["n1"].pid, signal.SIGABRT)
        await until(lambda: supervisor.all_gave_up, "the end is noticed")
        assert supervisor.view().members[0].state == "exited -6"


def test_a_member_that_ends_by_itself_is_told_apart_from_one_that_was_stopped(folder):
    asyncio.run(scenario_exit(folder))


async def scenario_control(folder):
    async with cluster(folder) as supervisor, control_server(supervisor):
        await until(lambda: all_alive(supervisor) and leader(supervisor) == "n1", "all alive, n1 leads")
        found = (await asyncio.to_thread(ask, folder, "status"))["status"]
        assert [member["name"] for member in found["members"]] == ["n1", "n2", "n3"]
        assert found["leader"] == "n1"
        assert found["can_lose"] == 1
        reply = await asyncio.to_thread(ask, folder, "stop", "n2")
        assert reply["message"].startswith("n2 stopped: kill -TERM ")
        with pytest.raises(ClusterError, match="no member 'nope'"):
            await asyncio.to_thread(ask, folder, "kill", "nope")
        with pytest.raises(ClusterError, match="no command 'dance'"):
            await asyncio.to_thread(ask, folder, "dance", "n1")
        path = (folder / "control").read_text()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"[1, 2]\n")
        assert b"not understood" in await reader.readline()
        writer.close()
    return path


def test_another_terminal_can_ask_and_command(folder):
    path = asyncio.run(scenario_control(folder))
    assert not Path(path).exists()


async def scenario_long_path(folder):
    async with cluster(folder, nodes=1) as supervisor, control_server(supervisor):
        assert (await asyncio.to_thread(ask, folder, "status"))["status"]["quorum"] == 1


def test_the_control_socket_works_in_a_folder_with_a_long_name(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    asyncio.run(scenario_long_path(folder))


async def scenario_plain(folder):
    written = io.StringIO()
    async with cluster(folder) as supervisor:
        output = PlainOutput(supervisor, written)
        output.started()
        supervisor.changed = output.changed
        await until(lambda: "\nready " in written.getvalue(), "ready")
        await supervisor.execute("kill", "n1")
        await until(lambda: "leader=n2" in written.getvalue(), "n2 leads")
    return written.getvalue().splitlines()


def test_plain_lines_can_be_parsed(folder):
    lines = asyncio.run(scenario_plain(folder))
    members = [line for line in lines if line.startswith("member ")]
    assert len(members) == 3
    fields = dict(word.split("=", 1) for word in members[0].split()[1:])
    assert fields["name"] == "n1"
    assert int(fields["pid"]) > 0
    assert fields["client"].startswith("http://127.0.0.1:")
    assert [line for line in lines if line.startswith("ready ")] == ["ready leader=n1 term=2"]
    statuses = [line for line in lines if line.startswith("status ")]
    last = dict(word.split("=", 1) for word in statuses[-1].split()[1:])
    assert last["members"].startswith("n1:killed,n2:leader,n3:")
    assert (last["quorum"], last["can-lose"], last["alive"]) == ("2", "0", "2/3")
    assert statuses == list(dict.fromkeys(statuses)), "a status line comes only when something changed"
    assert any(line.startswith("event ") and "n1   killed: kill -9" in line for line in lines)


async def scenario_orphans(folder):
    async with cluster(folder, nodes=1) as supervisor:
        command = supervisor.processes["n1"].command
        script = (
            "import asyncio, sys\n"
            "from pathlib import Path\n"
            "from miniraft.local_cluster.member_process import MemberProcess\n"
            "async def main():\n"
            "    process = MemberProcess('x', sys.argv[2:], Path(sys.argv[1]))\n"
            "    await process.start()\n"
            "    print(process.pid, flush=True)\n"
            "    await asyncio.sleep(60)\n"
            "asyncio.run(main())\n"
        )
        await supervisor.execute("stop", "n1")
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(folder / "x.log"), *command, stdout=asyncio.subprocess.PIPE
        )
        child = int(await parent.stdout.readline())
        await until(lambda: "ready to serve" in (folder / "x.log").read_text(), "the child runs")
        parent.kill()
        await parent.wait()
        await until(lambda: not process_exists(child), "the child ends with its parent")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_no_member_outlives_a_cluster_that_was_killed(folder):
    asyncio.run(scenario_orphans(folder))


def test_the_layout_is_kept_and_not_changed_by_accident(folder):
    first = prepare(Options(folder, 3, 21000, False))
    assert prepare(Options(folder)) == first
    assert prepare(Options(folder, 3, 21000, False)) == first
    with pytest.raises(
        ClusterError, match="holds a cluster of 3 members on ports 21000, 21002, 21004, without TLS"
    ):
        prepare(Options(folder, 5))
    with pytest.raises(ClusterError, match="add --fresh"):
        prepare(Options(folder, tls=True))
    (folder / "cluster.json").write_text("{")
    with pytest.raises(ClusterError, match="damaged"):
        prepare(Options(folder))


def test_the_default_ports_are_those_of_etcds_example(folder):
    layout = prepare(Options(folder, tls=False))
    assert [(m.client_port, m.peer_port) for m in layout.members] == [
        (2379, 2380),
        (22379, 22380),
        (32379, 32380),
    ]
    assert layout.client_environment() == {
        "ETCDCTL_ENDPOINTS": "http://127.0.0.1:2379,http://127.0.0.1:22379,http://127.0.0.1:32379"
    }


@pytest.mark.parametrize(
    ("nodes", "base_port", "words"),
    [(0, None, "from 1 to 7"), (8, None, "from 1 to 7"), (3, 65533, "smaller one"), (3, 0, "smaller one")],
)
def test_impossible_layouts_are_refused(folder, nodes, base_port, words):
    with pytest.raises(ClusterError, match=words):
        prepare(Options(folder, nodes, base_port, False))


def test_the_status_line_tells_of_a_lost_quorum():
    members = tuple(MemberView(n, f"n{n}", "http://x", None, "killed", None, "") for n in (1, 2, 3))
    assert status_line(ClusterView("/data", members)) == (
        "status alive=0/3 quorum=2 can-lose=0 leader=- term=0 members=n1:killed,n2:killed,n3:killed"
    )
