"""Ours in place of both programs of a test suite that starts `etcd` by its flags, waits for its log
line, and drives it with `etcdctl` in a terminal, as etcd's own integration suites do."""

import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.support.free_ports import free_base_port
from tests.support.real_etcd import real_binary
from tests.support.terminal import Terminal
from tests.support.venvs import plain_environment

ROOT = Path(__file__).resolve().parents[2]
READY = "ready to serve client requests"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment whose PATH finds our programs under etcd's names first."""
    folder = tmp_path_factory.mktemp("bin")
    for name, module in (("etcd", "miniraft"), ("etcdctl", "etcdctl_py")):
        wrapper = folder / name
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        wrapper.chmod(0o755)
    own = plain_environment()
    return own | {"PATH": f"{folder}:{own['PATH']}", "PYTHONPATH": str(ROOT), "ETCDCTL_API": "3"}


class Harness:
    """The part of such a suite that starts members and runs commands."""

    def __init__(self, folder, environment, size):
        self.folder = folder
        self.environment = environment
        base = free_base_port(2 * size)
        self.clients = [f"http://localhost:{base + 2 * n}" for n in range(size)]
        self.peers = [f"http://localhost:{base + 2 * n + 1}" for n in range(size)]

    def start(self, number):
        """Starts one member in a terminal; it is not ready yet."""
        cluster = ",".join(f"test-{n}={url}" for n, url in enumerate(self.peers))
        return self.spawn(
            "etcd",
            f"--name=test-{number}",
            f"--listen-client-urls={self.clients[number]}",
            f"--advertise-client-urls={self.clients[number]}",
            f"--listen-peer-urls={self.peers[number]}",
            f"--initial-advertise-peer-urls={self.peers[number]}",
            "--initial-cluster-token=new",
            f"--data-dir={self.folder / str(number)}",
            "--snapshot-count=100000",
            f"--initial-cluster={cluster}",
            "--initial-cluster-state=new",
            "--logger=zap",
            "--log-outputs=stderr",
        )

    def spawn(self, *command):
        return Terminal(*command, environment=self.environment, folder=self.folder)

    def control(self, *words):
        """Spawns an etcdctl command that knows every member."""
        return self.spawn("etcdctl", f"--endpoints={','.join(self.clients)}", "--dial-timeout=7s", *words)

    def expect(self, words, *lines, code=0):
        """Runs one command and expects lines in their order."""
        with self.control(*words) as command:
            for line in lines:
                command.expect(line)
            assert command.finish() == code, command.text


@pytest.fixture
def harness(tmp_path, environment):
    return Harness(tmp_path, environment, 1)


def test_the_programs_say_they_are_etcd(harness):
    for program in (("etcd", "--version"), ("etcdctl", "version")):
        with harness.spawn(*program) as command:
            command.expect("ersion: 3.")
            assert command.finish() == 0


def test_a_member_through_its_life(harness):
    with harness.start(0) as member:
        member.expect(READY)
        harness.expect(("put", "foo", "bar"), "OK")
        harness.expect(("get", "foo"), "foo", "bar")
        harness.expect(("get", "foo", "--write-out=json"), '"kvs":[{"key":"Zm9v"')
        harness.expect(("del", "foo"), "1")
        harness.expect(("put", "kept", "over the restart"), "OK")
        harness.expect(("endpoint", "health"), "is healthy: successfully committed proposal")
        harness.expect(("nonsense",), 'unknown command "nonsense"', code=1)
        member.process.send_signal(signal.SIGTERM)
        assert member.finish() == 0
    with harness.start(0) as member:
        member.expect(READY)
        harness.expect(("get", "kept"), "kept", "over the restart")
        member.press(b"\x03")  # Control-C
        assert member.finish() == 0


def test_killed_and_started_again(harness):
    with harness.start(0) as member:
        member.expect(READY)
        harness.expect(("put", "kept", "over the crash"), "OK")
        member.process.kill()
        assert member.finish() == -signal.SIGKILL
    with harness.start(0) as member:
        member.expect(READY)
        harness.expect(("get", "kept", "--print-value-only"), "over the crash")


@pytest.fixture(scope="module")
def running(tmp_path_factory, environment):
    harness = Harness(tmp_path_factory.mktemp("running"), environment, 1)
    with harness.start(0) as member:
        member.expect(READY)
        yield harness


def test_watching(running):
    with running.control("watch", "watched", "--prefix", "--rev=1") as watch:
        for value in ("1", "2"):
            running.expect(("put", "watched/a", value), "OK")
            watch.expect(f"PUT\nwatched/a\n{value}\n")
        running.expect(("del", "watched/a"), "1")
        watch.expect("DELETE\nwatched/a\n\n")


def test_watching_interactively(running):
    with running.control("watch", "-i") as watch:
        watch.type("watch typed")
        watch.type("watch typed/ --prefix")
        watch.type("progress")
        watch.expect("progress notify: ")  # both watches stand
        running.expect(("put", "typed", "1"), "OK")
        watch.expect("PUT\ntyped\n1\n")
        running.expect(("put", "typed/b", "2"), "OK")
        watch.expect("PUT\ntyped/b\n2\n")


def test_a_transaction_interactively(running):
    running.expect(("put", "txn", "old"), "OK")
    with running.control("txn", "-i") as txn:
        txn.expect("compares:")
        txn.type('value("txn") = "old"')
        txn.type("")
        txn.expect("success requests (get, put, del):")
        txn.type('put txn "new value"')
        txn.type("get txn")
        txn.type("")
        txn.expect("failure requests (get, put, del):")
        txn.type("del txn")
        txn.type("")
        txn.expect("SUCCESS\n\nOK\n\ntxn\nnew value\n")
        assert txn.finish() == 0


def test_a_password_is_asked_for_and_not_shown(running):
    with running.control("user", "add", "reader") as add:
        for prompt in ("Password of reader: ", "Type password of reader again for confirmation: "):
            add.expect(prompt)
            add.type("hidden-word")
        add.expect("User reader created")
        assert add.finish() == 0
        assert "hidden-word" not in add.text
    running.expect(("user", "delete", "reader"), "User reader deleted")


def test_a_lock_is_held_until_control_c(running):
    with running.control("lock", "mutex") as first, running.control("lock", "mutex") as second:
        holder, waiter = _holder_and_waiter(first, second)
        holder.press(b"\x03")
        assert holder.finish() in (0, 130)
        waiter.expect("mutex/")
        waiter.press(b"\x03")
        waiter.finish()
    running.expect(("lock", "mutex", "echo", "held by a command"), "held by a command")


def _holder_and_waiter(first, second):
    """Either may have come first."""
    for _ in range(100):
        for one, other in ((first, second), (second, first)):
            with contextlib.suppress(AssertionError):
                one.expect("mutex/", seconds=0.1)
                return one, other
    raise AssertionError(f"nobody got the lock: {first.text}{second.text}")


def test_three_members_by_their_flags(tmp_path, environment):
    harness = Harness(tmp_path, environment, 3)
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(harness.start(number)) for number in range(3)]
        for member in members:
            member.expect(READY)
        harness.expect(("put", "three", "members"), "OK")
        harness.expect(("member", "list"), "started, test-", "started, test-", "started, test-")
        harness.expect(("endpoint", "health"), *["is healthy"] * 3)
        for member in members:
            os.kill(member.process.pid, signal.SIGTERM)
        assert [member.finish() for member in members] == [0, 0, 0]


def test_the_real_etcdctl_in_the_same_place(running, tmp_path):
    program = str(real_binary("etcdctl"))
    endpoints = f"--endpoints={running.clients[0]}"
    with running.spawn(program, endpoints, "watch", "-i") as watch:
        watch.type("watch real")
        watch.type("progress")
        watch.expect("progress notify: ")
        with running.spawn(program, endpoints, "put", "real", "etcdctl") as put:
            put.expect("OK")
            assert put.finish() == 0
        watch.expect("PUT\nreal\netcdctl\n")
