"""watch, lock and elect: commands that last."""

import contextlib
import os
import re
import subprocess
import time

import pytest

from tests.support.etcdctl import PATIENCE_S, post, run_ours, run_process, run_real, running, until
from tests.support.real_etcd import free_port
from tests.support.server_under_test import server_command

pytestmark = pytest.mark.usefixtures("server_kind")


def history(address, prefix):
    """Makes a little history; returns the revision it begins with."""
    answer = post(address, "/v3/kv/put", {"key": "", "value": ""} | {"key": "eA=="})
    run = run_ours
    run("--endpoints", address, "put", f"{prefix}/1", "a")
    run("--endpoints", address, "put", f"{prefix}/1", "b")
    run("--endpoints", address, "del", f"{prefix}/1")
    run("--endpoints", address, "txn", stdin=f'\nput {prefix}/2 x\nput {prefix}/3 "y\\nz"\n\n\n'.encode())
    run("--endpoints", address, "put", f"{prefix}/end", b"\xff<>")
    return int(answer["header"]["revision"]) + 1


@pytest.mark.parametrize("output", ["simple", "json", "fields", "protobuf"])
@pytest.mark.parametrize("more", [(), ("--prev-kv",)])
def test_a_history_is_shown_alike(server, tmp_path, output, more):
    prefix = f"watched-{output}-{len(more)}"
    revision = history(server, prefix)
    words = ("--endpoints", server, "watch", prefix, "--prefix", "--rev", str(revision), "-w", output, *more)
    with running(tmp_path, *words, real=True) as real, running(tmp_path, *words) as ours:
        for run in (real, ours):
            run.wait_for(
                b"\xff<>"
                if output in {"simple", "protobuf"}
                else rb"\xff<>"
                if output == "fields"
                else b"/zw+"
            )
        assert ours.out == real.out
        assert ours.interrupt() == 130
        assert ours.err == b""


def test_changes_are_shown_as_they_happen_and_a_range_ends(server, tmp_path):
    with running(tmp_path, "--endpoints", server, "watch", "live/a", "live/c") as ours:
        for index in range(200):
            run_ours("--endpoints", server, "put", "live/b", f"v{index}")
            if ours.out:
                break
            time.sleep(0.02)
        ours.wait_for(b"PUT\nlive/b\n")
        run_ours("--endpoints", server, "put", "live/c", "outside")
        run_ours("--endpoints", server, "put", "live/a", "inside")
        ours.wait_for(b"PUT\nlive/a\ninside\n")
        assert b"outside" not in ours.out


def test_a_compacted_start_ends_the_watch(twins):
    for value in "123":
        twins.compare("put", "compacted-watch", value)
    fields = run_ours("--endpoints", twins.second, "get", "compacted-watch", "-w", "fields").out
    revision = re.search(rb'"Revision" : (\d+)', fields)[1].decode()
    twins.compare("compaction", revision)
    for output in ("simple", "json", "fields", "protobuf"):
        ours = twins.compare("watch", "compacted-watch", "--rev", "2", "-w", output)
        assert ours.code == 5
        assert (
            "watch was canceled (etcdserver: mvcc: required revision has been compacted)" in ours.error_text
        )


def test_a_command_runs_for_every_event(server, tmp_path):
    revision = history(server, "exec")
    script = 'env | grep ^ETCD_WATCH | sort; echo "$1"; [ "$ETCD_WATCH_KEY" != "\\"exec/end\\"" ]'
    words = (
        "--endpoints",
        server,
        "watch",
        "exec",
        "--prefix",
        "--rev",
        str(revision),
        "--",
        "sh",
        "-c",
        script,
        "x",
        "--y",
    )
    real, ours = run_real(*words), run_ours(*words, environment={"PATH": os.environ["PATH"]})
    assert ours.out == real.out
    assert ours.code == real.code == 1
    assert ours.last_error == real.last_error


def test_keys_from_variables(server, tmp_path):
    environment = {"ETCDCTL_WATCH_KEY": "from-variable", "ETCDCTL_WATCH_RANGE_END": "from-variablf"}
    revision = history(server, "from-variable")
    with running(
        tmp_path, "--endpoints", server, "watch", "--rev", str(revision), environment=environment
    ) as ours:
        ours.wait_for(b"from-variable/end")
    refused = run_ours("--endpoints", server, "watch", "key", environment=environment)
    assert (refused.code, refused.last_error) == (
        128,
        "Error: bad number of arguments (found conflicting environment key)",
    )


def test_an_interactive_watch(server, tmp_path):
    revision = history(server, "inter")
    lines = f'foo\nwatch --prefix "inter" --rev {revision}\nwatch\n'.encode()
    outs = {}
    for real in (True, False):
        with running(tmp_path, "--endpoints", server, "watch", "-i", real=real, stdin=subprocess.PIPE) as run:
            run.process.stdin.write(lines)
            run.process.stdin.flush()
            run.wait_for(b"inter/end")
            run.process.stdin.write(b"progress\n")
            run.process.stdin.flush()
            run.wait_for(b"progress notify: ")
            run.process.stdin.close()
            assert run.process.wait(PATIENCE_S) == 3
            assert run.err.decode().splitlines()[-1] == "Error: error reading watch request line: EOF"
            assert b"Invalid command foo (only support watch)" in run.err
            outs[real] = run.out
    assert outs[False] == outs[True]


def test_a_watch_goes_on_where_it_was_when_the_member_comes_back(tmp_path):
    """The member does not remember the tokens it gave: the watch logs in again."""
    member = ComingAndGoing(tmp_path)
    with contextlib.ExitStack() as stack:
        with member.serving():
            for words in (("user", "add", "root:secret"), ("auth", "enable"), ("put", "back/1", "before")):
                assert member.run(*words).code == 0
            words = ("--endpoints", member.address, "watch", "back", "--prefix", "--rev", "1")
            ours = stack.enter_context(running(tmp_path, *words, environment=member.environment))
            ours.wait_for(b"before")
        ours.wait_for(b"taken up again")
        with member.serving():
            member.run("put", "back/2", "after")
            ours.wait_for(b"after")
            assert ours.out == b"PUT\nback/1\nbefore\nPUT\nback/2\nafter\n"


class ComingAndGoing:
    """A member at a fixed address, over the same data each time."""

    def __init__(self, folder):
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {"ETCDCTL_USER": "root:secret"}
        self._folder = folder
        client, peer = f"http://{self.address}", f"http://127.0.0.1:{free_port()}"
        self._flags = (
            *("--name", "m1", "--data-dir", str(folder / "data"), "--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"m1={peer}", "--bcrypt-cost", "4"),
        )

    def run(self, *words):
        return run_ours("--endpoints", self.address, *words, environment=self.environment)

    @contextlib.contextmanager
    def serving(self):
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen([*server_command(), *self._flags], stdout=log, stderr=log)
        try:
            until(lambda: self.run("get", "x").code == 0)
            yield
        finally:
            process.kill()
            process.wait(PATIENCE_S)


@pytest.mark.parametrize("output", ["simple", "json", "fields"])
def test_a_lock_is_shown_held_and_given_back(server, tmp_path, output):
    outs = {}
    for real in (True, False):
        with running(
            tmp_path, "--endpoints", server, "lock", f"lock-{output}", "-w", output, real=real
        ) as holder:
            deadline = time.monotonic() + PATIENCE_S
            while (
                not run_ours("--endpoints", server, "get", f"lock-{output}/", "--prefix").out
                or not holder.out
            ):
                assert time.monotonic() < deadline, holder.err
                time.sleep(0.01)
            outs[real] = re.sub(rb"[0-9a-f]{12,16}|\d{2,}|\"key\":\"[^\"]*\"", b"N", holder.out)
            assert holder.interrupt() == 0
            assert holder.err == b""
        assert run_ours("--endpoints", server, "get", f"lock-{output}/", "--prefix").out == b""
    assert outs[False] == outs[True]


def test_two_locks_of_both_programs_exclude_each_other(server, tmp_path):
    with (
        running(tmp_path, "--endpoints", server, "lock", "shared", real=True) as first,
        contextlib.ExitStack() as stack,
    ):
        first.wait_for(b"shared/")
        second = stack.enter_context(running(tmp_path, "--endpoints", server, "lock", "shared"))
        deadline = time.monotonic() + PATIENCE_S
        while (
            run_ours("--endpoints", server, "get", "shared/", "--prefix", "--keys-only").out.count(b"shared/")
            < 2
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert second.out == b""
        first.interrupt()
        second.wait_for(b"shared/")
        third = stack.enter_context(running(tmp_path, "--endpoints", server, "lock", "shared"))
        while (
            run_ours("--endpoints", server, "get", "shared/", "--prefix", "--keys-only").out.count(b"shared/")
            < 2
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert third.interrupt() == 1
        assert third.err.decode().splitlines() == ["Error: context canceled"]
        assert second.interrupt() == 0


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("true",), 0),
        (("--", "sh", "-c", "exit 3"), 3),
        (("no-such-program",), 1),
        (("--ttl", "5", "--", "sh", "-c", 'test -n "$ETCD_LOCK_KEY" && test "$ETCD_LOCK_REV" -gt 1'), 0),
    ],
)
def test_a_command_under_a_lock(server, command, code):
    real = run_real("--endpoints", server, "lock", "with-command", *command)
    ours = run_process("--endpoints", server, "lock", "with-command", *command)
    assert (ours.code, ours.out, ours.last_error) == (real.code, real.out, real.last_error)
    assert ours.code == code
    assert run_ours("--endpoints", server, "get", "with-command", "--prefix").out == b""


def test_an_election(server, tmp_path):
    outs = {}
    for real in (True, False):
        with (
            running(tmp_path, "--endpoints", server, "elect", "vote", "me", real=not real) as leader,
            contextlib.ExitStack() as stack,
        ):
            leader.wait_for(b"me\n")
            observer = stack.enter_context(
                running(tmp_path, "--endpoints", server, "elect", "-l", "vote", real=real)
            )
            observer.wait_for(b"me\n")
            waiting = stack.enter_context(
                running(tmp_path, "--endpoints", server, "elect", "vote", "you", real=real)
            )
            deadline = time.monotonic() + PATIENCE_S
            while b"you" not in run_ours("--endpoints", server, "get", "vote/", "--prefix").out:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert waiting.out == b""
            assert leader.interrupt() == 0
            waiting.wait_for(b"you\n")
            observer.wait_for(b"you\n")
            assert waiting.interrupt() == 0
            outs[real] = [re.sub(rb"[0-9a-f]{12,16}", b"N", run.out) for run in (leader, observer, waiting)]
            assert observer.interrupt() == 0 or real
    assert outs[False] == outs[True]
