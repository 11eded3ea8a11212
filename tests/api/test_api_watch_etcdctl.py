"""The real etcdctl, 3.5 and 3.4, watching a member that runs as a process of its own."""

import os
import subprocess
import sys
import time

import pytest

from tests.support.real_etcd import real_binary
from tests.support.server_under_test import running_server

PATIENCE_SECONDS = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    flags = ("--watch-progress-notify-interval", "100ms")
    program = (sys.executable, "-m", "miniraft")
    with running_server(tmp_path_factory.mktemp("member"), *flags, program=program) as address:
        yield address


class Watching:
    """`etcdctl watch` in the background."""

    def __init__(self, command, folder, stdin):
        self.out_path = folder / "out"
        with self.out_path.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={"ETCDCTL_API": "3", "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            )

    def write(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def wait_for(self, text):
        until = time.monotonic() + PATIENCE_SECONDS
        while text not in self.out_path.read_bytes():
            assert time.monotonic() < until, self.out_path.read_bytes()
            time.sleep(0.01)

    def stop(self):
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


class Etcdctl:
    def __init__(self, binary, version, server, folder):
        self.version = version
        self.command = [str(binary), "--endpoints", server]
        self.folder = folder
        self.running = []

    def __call__(self, *words, check=True):
        environment = {"ETCDCTL_API": "3", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        done = subprocess.run([*self.command, *words], capture_output=True, env=environment, timeout=20)
        assert not check or done.returncode == 0, done.stderr
        return done

    def watch(self, *words, stdin=False):
        watching = Watching([*self.command, "watch", *words], self.folder, stdin)
        self.running.append(watching)
        return watching

    def put(self, key, value):
        """Returns the revision."""
        out = self("put", key, value, "-w", "fields").stdout
        (line,) = (line for line in out.splitlines() if line.startswith(b'"Revision"'))
        return int(line.split(b":")[1])


@pytest.fixture(params=["3.5", "3.4"])
def etcdctl(request, server, tmp_path):
    binary = real_binary("etcdctl", old=request.param == "3.4")
    etcdctl = Etcdctl(binary, request.param, server, tmp_path)
    yield etcdctl
    for watching in etcdctl.running:
        watching.stop()


def test_a_prefix_from_a_revision_with_previous_values(etcdctl):
    prefix = f"prefix{etcdctl.version}/"
    first = etcdctl.put(prefix + "a", "1")
    etcdctl.put(prefix + "a", "2")
    etcdctl("del", prefix + "a")
    watching = etcdctl.watch("--prefix", prefix, "--rev", str(first), "--prev-kv")
    key = (prefix + "a").encode()
    replayed = b"PUT\n%b\n1\nPUT\n%b\n1\n%b\n2\nDELETE\n%b\n2\n%b\n\n" % (key, key, key, key, key)
    watching.wait_for(replayed)
    etcdctl.put(prefix + "b", "live")
    watching.wait_for(replayed + b"PUT\n%bb\nlive\n" % prefix.encode())


def test_a_compacted_revision(etcdctl):
    etcdctl.put("compacted", "1")
    revision = etcdctl.put("compacted", "2")
    etcdctl("compaction", str(revision))
    failed = etcdctl("watch", "compacted", "--rev", str(revision - 1), check=False)
    assert failed.returncode == 5
    assert b"watch was canceled (etcdserver: mvcc: required revision has been compacted)" in failed.stderr


def test_a_command_for_each_event(etcdctl):
    key = f"exec{etcdctl.version}"
    revision = etcdctl.put(key, "1")
    script = 'echo "$ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"'
    watching = etcdctl.watch(key, "--rev", str(revision), "--", "sh", "-c", script)
    watching.wait_for(b'"PUT" "%b" "1"' % key.encode())


def test_interactively_several_watches_on_one_stream(etcdctl):
    key = f"interactive{etcdctl.version}"
    revision = etcdctl.put(key + "1", "one")
    watching = etcdctl.watch("-i", stdin=True)
    watching.write(f"watch {key}1 --rev {revision}".encode())
    watching.wait_for(b"PUT\n%b1\none\n" % key.encode())
    watching.write(f"watch {key}2 --rev {revision + 1}".encode())
    etcdctl.put(key + "2", "two")
    watching.wait_for(b"PUT\n%b2\ntwo\n" % key.encode())
    if etcdctl.version == "3.5":
        watching.write(b"progress")
        watching.wait_for(b"progress notify: %d\n" % (revision + 1))


def test_progress_notices(etcdctl):
    if etcdctl.version == "3.4":
        return  # it has no --progress-notify
    revision = etcdctl.put("other", "1")
    watching = etcdctl.watch("quiet", "--progress-notify")
    watching.wait_for(b"progress notify: %d\n" % revision)
