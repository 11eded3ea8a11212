"""`miniraft cluster` as people run it: real members, TLS, from a script, a second terminal and tmux."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from tests.support.free_ports import free_base_port
from tests.support.local_cluster import DEADLINE_SECONDS, ENVIRONMENT, Running, miniraft, running, status
from tests.support.requirements import require


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_three_members_lose_their_leader_and_come_back_with_their_data(tmp_path):
    port = free_base_port(7)
    base = str(port + 1)
    with running(tmp_path, "--nodes", "3", "--base-port", base) as cluster:
        first = re.search(r"leader=(n\d) term=(\d+)", cluster.wait_for("^ready "))
        leader, term = first[1], int(first[2])
        assert len(cluster.pids()) == 3
        assert "https://127.0.0.1:" + base in cluster.lines[0]
        assert f"web url=http://127.0.0.1:{port}/" in cluster.lines

        before = len(cluster.lines)
        assert f"{leader} killed: kill -9" in miniraft(tmp_path, "kill", leader).stdout
        line = cluster.wait_for(rf"^status alive=2/3 quorum=2 can-lose=0 leader=n\d term=(?!{term} )", before)
        assert f"leader={leader} " not in line
        cluster.wait_for(r"^event .* n\d +elected: leads in term", before)
        shown = miniraft(tmp_path, "status").stdout
        assert "alive 2/3, quorum 2, can lose 0" in shown

        again = miniraft(tmp_path, "kill", leader, check=False)
        assert again.returncode == 1
        assert f"does not run (killed); restart {leader}" in again.stderr

        before = len(cluster.lines)
        miniraft(tmp_path, "restart", leader)
        cluster.wait_for(r"^status alive=3/3 quorum=2 can-lose=1 leader=n\d", before)
        assert "ready to serve client requests" in miniraft(tmp_path, "logs", leader).stdout
        found = status(tmp_path)
        follower = next(m["name"] for m in found["members"] if m["name"] != found["leader"])

        before = len(cluster.lines)
        miniraft(tmp_path, "pause", follower)
        cluster.wait_for(rf"^status alive=2/3 .*{follower}:paused", before)
        miniraft(tmp_path, "resume", follower)
        cluster.wait_for(r"^status alive=3/3 ", before)

        assert cluster.stop() == 0
        assert cluster.lines[-1] == "stopped"
        assert not any(exists(member["pid"]) for member in found["members"])
    assert miniraft(tmp_path, "status", check=False).returncode == 1

    with running(tmp_path) as cluster:
        cluster.wait_for("^ready ")
        assert status(tmp_path)["term"] > term, "the same cluster, not a new one"
        second = miniraft(tmp_path, check=False)
        assert second.returncode == 1
        assert "runs in cluster-data already" in second.stderr
        assert cluster.stop() == 0


def test_without_tls_and_its_environment(tmp_path):
    base = free_base_port(2)
    with running(
        tmp_path, "--nodes", "1", "--base-port", str(base), "--no-tls", "--data-dir", "d", "--no-web"
    ) as cluster:
        cluster.wait_for("^ready leader=n1 ")
        assert not any(line.startswith("web ") for line in cluster.lines)
        lines = miniraft(tmp_path, "env", "--data-dir", "d").stdout.splitlines()
        assert lines == [
            "unset ETCDCTL_CACERT ETCDCTL_CERT ETCDCTL_KEY",
            f"export ETCDCTL_ENDPOINTS=http://127.0.0.1:{base}",
        ]
        assert miniraft(tmp_path, "--data-dir", "d", "status").stdout.endswith("quorum 1, can lose 0\n")
        pid = cluster.pids()[0]
        cluster.process.kill()
        cluster.process.wait()
    if sys.platform == "linux":
        deadline = time.monotonic() + 10
        while exists(pid):
            assert time.monotonic() < deadline, "a member outlived its cluster"
            time.sleep(0.05)
    message = miniraft(tmp_path, "--data-dir", "d", "--nodes", "3", check=False).stderr
    assert "holds a cluster of 1 members" in message
    assert "--fresh" in message
    refused = miniraft(tmp_path, "--data-dir", "d", "--fresh", check=False)
    assert "add --yes if that is meant" in refused.stderr
    assert (tmp_path / "d" / "n1" / "member").exists()
    (tmp_path / "d" / "n1" / "keep").touch()
    port = free_base_port(3)
    words = ["--nodes", "1", "--no-tls", "--base-port", str(port + 1)]
    with (
        socket.create_server(("127.0.0.1", port)),
        running(tmp_path, "--data-dir", "d", "--fresh", "--yes", *words) as cluster,
    ):
        cluster.wait_for(f"^web off: .*port {port} for the page cannot be used.*--web-port")
        cluster.wait_for("^ready ")
        assert not (tmp_path / "d" / "n1" / "keep").exists()
        assert cluster.stop() == 0


def test_members_that_cannot_run_end_the_cluster_with_their_reason(tmp_path):
    base = free_base_port(2)
    (tmp_path / "d").mkdir()
    with running(
        tmp_path, "--nodes", "1", "--no-tls", "--base-port", str(base), "--data-dir", "d"
    ) as cluster:
        cluster.wait_for("^ready ")
        assert cluster.stop() == 0
    (tmp_path / "d" / "n1" / "member" / "format").write_text("something else\n")
    cluster = Running(tmp_path, "--data-dir", "d")
    assert cluster.process.wait(DEADLINE_SECONDS) == 1
    assert any("every member ended by itself" in line for line in cluster.lines)
    assert any("something else" in line for line in cluster.lines), cluster.lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nodes", "9"], "write a number from 1 to 7"),
        (["status"], "no cluster runs in cluster-data; start one with: miniraft cluster"),
        (["kill", "n1"], "no cluster runs in cluster-data"),
        (["env"], "there is no cluster in cluster-data"),
        (["logs", "n1"], "there is no cluster in cluster-data"),
    ],
)
def test_wrong_use_is_answered_with_what_to_type(tmp_path, words, message):
    result = miniraft(tmp_path, *words, check=False)
    assert result.returncode == 1
    assert message in result.stderr


def test_a_taken_port_and_a_foreign_folder_are_named(tmp_path):
    base = free_base_port(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base))
        taken.listen()
        result = miniraft(tmp_path, "--nodes", "1", "--base-port", str(base), check=False)
    assert result.returncode == 1
    assert f"port {base} of n1 cannot be used" in result.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    result = miniraft(tmp_path, "--data-dir", "mine", "--fresh", "--yes", check=False)
    assert "holds something else than a cluster" in result.stderr
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_etcdctl_talks_to_it_with_the_printed_environment(tmp_path):
    from tests.support.real_etcd import real_binary

    etcdctl = real_binary("etcdctl")
    with running(tmp_path, "--base-port", str(free_base_port(6))) as cluster:
        cluster.wait_for("^ready ")
        script = (
            f'eval "$({sys.executable} -m miniraft cluster env)"; '
            f"{etcdctl} put greeting hello && {etcdctl} get greeting"
        )
        result = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, timeout=30, cwd=tmp_path, env=ENVIRONMENT
        )
        assert result.stdout.splitlines() == ["OK", "greeting", "hello"], result.stderr
        assert cluster.stop() == 0


class Tmux:
    """A terminal of a given size that a program runs in."""

    def __init__(self, folder):
        self.socket = folder / "tmux"

    def run(self, *words):
        result = subprocess.run(
            ["tmux", "-S", str(self.socket), *words],
            capture_output=True,
            text=True,
            timeout=20,
            env=ENVIRONMENT,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def screen(self):
        return self.run("capture-pane", "-p")

    def wait_for(self, pattern):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            screen = self.screen()
            if found := re.search(pattern, screen):
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} on the screen:\n{screen}")


def test_the_live_view_in_a_terminal(tmp_path):
    require(shutil.which("tmux") is not None, "tmux", "install it with: apt-get install tmux")
    tmux = Tmux(tmp_path)
    base = free_base_port(7) + 1
    command = f"{sys.executable} -m miniraft cluster --base-port {base}; echo ended with $?; sleep 60"
    tmux.run("new-session", "-d", "-x", "130", "-y", "36", "-c", str(tmp_path), command)
    try:
        found = tmux.wait_for(r"n(\d) leads in term (\d+); alive 3/3, quorum 2, can lose 1")
        leader, term = found[1], found[2]
        assert "k kill -9" in tmux.screen(), "the keys are on the screen"
        tmux.wait_for(r"3 members; http://127\.0\.0\.1:\d+/ shows it in the browser")
        tmux.run("send-keys", "k")
        tmux.wait_for("> k  kill which member")
        tmux.run("send-keys", leader)
        tmux.wait_for(rf"n{leader} killed: kill -9 \d+")
        tmux.wait_for(rf"n[^{leader}] leads in term (?!{term};)\d+; alive 2/3, quorum 2, can lose 0")
        tmux.wait_for(r"elected: leads in term \d")
        tmux.run("send-keys", f"r{leader}")
        tmux.wait_for("alive 3/3")
        tmux.run("send-keys", f"pause n{leader}", "Enter")
        tmux.wait_for(rf"n{leader} +paused")
        tmux.run("send-keys", f"c{leader}")
        tmux.wait_for("alive 3/3")
        tmux.run("resize-window", "-x", "70", "-y", "20")
        tmux.wait_for(r"(?m)^> ")
        tmux.run("send-keys", "q")
        tmux.wait_for("ended with 0")
    finally:
        tmux.run("kill-server")
