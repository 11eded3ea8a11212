"""The real etcdctl (3.5 and 3.4) and etcdutl on ours: one look at each thing they do over streams."""

import json
import re
import signal
import subprocess

import pytest

from tests.support.real_etcd import real_binary
from tests.support.terminal import Terminal
from tests.support.venvs import plain_environment

pytestmark = pytest.mark.parametrize("old", [False, True], ids=["3.5", "3.4"])


class Control:
    """One etcdctl on one member."""

    def __init__(self, address, old):
        self.command = [str(real_binary("etcdctl", old)), f"--endpoints={address}"]
        self.environment = plain_environment() | {"ETCDCTL_API": "3"}

    def __call__(self, *words):
        done = subprocess.run(
            [*self.command, *words], capture_output=True, text=True, timeout=30, env=self.environment
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def spawn(self, *words):
        return Terminal(*self.command, *words, environment=self.environment)


@pytest.fixture
def control(single, old):
    return Control(single, old)


def revision(control):
    return json.loads(control("get", "any", "-w", "json"))["header"]["revision"]


def test_watch(control, old):
    prefix = f"real/{old}/"
    # From here on, even if the watch stands only after the first put.
    following = str(revision(control) + 1)
    with control.spawn("watch", prefix, "--prefix", "--prev-kv", "--rev", following) as watch:
        control("put", f"{prefix}a", "1")
        watch.expect(f"PUT\n{prefix}a\n1\n")
        control("put", f"{prefix}a", "2")
        watch.expect(f"PUT\n{prefix}a\n1\n{prefix}a\n2\n")
        control("del", f"{prefix}a")
        watch.expect(f"DELETE\n{prefix}a\n2\n{prefix}a\n\n")


def test_lease(control):
    lease = control("lease", "grant", "60").split()[1]
    control("put", "leased", "value", f"--lease={lease}")
    told = control("lease", "timetolive", lease, "--keys")
    assert re.search(r"granted with TTL\(60s\), remaining\((59|60)s\), attached keys\(\[leased\]\)", told)
    assert lease in control("lease", "list").splitlines()
    assert control("lease", "keep-alive", "--once", lease) == f"lease {lease} keepalived with TTL(60)\n"
    with control.spawn("lease", "keep-alive", lease) as keeping:
        keeping.expect("keepalived with TTL(60)")
        assert control("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert control("get", "leased") == ""


def test_lock(control):
    assert control("lock", "real-lock", "echo", "held") == "held\n"
    with control.spawn("lock", "real-lock") as holder:
        holder.expect("real-lock/")
        with control.spawn("lock", "real-lock", "echo", "then", "held") as waiter:
            holder.process.send_signal(signal.SIGINT)
            holder.finish()
            waiter.expect("then held")
            assert waiter.finish() == 0


def test_elect(control, old):
    election = f"election-{old}"  # a candidate that is killed stands until its lease ends
    with control.spawn("elect", election, "first") as leader:
        leader.expect(f"{election}/")
        leader.expect("first")
        with control.spawn("elect", "-l", election) as listener:
            listener.expect("first")
            with control.spawn("elect", election, "second") as follower:
                leader.process.send_signal(signal.SIGINT)
                leader.finish()
                follower.expect("second")
                listener.expect("second")


def test_a_snapshot_is_read_by_the_real_program(control, old, tmp_path):
    control("put", "in-snapshot", "value")
    saved_revision = revision(control)
    file = str(tmp_path / "saved.db")
    assert f"Snapshot saved at {file}" in control("snapshot", "save", file)
    reader = str(real_binary("etcdctl", old) if old else real_binary("etcdutl"))
    done = subprocess.run(
        [reader, "snapshot", "status", file, "-w", "json"],
        capture_output=True,
        text=True,
        timeout=30,
        env=control.environment,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["revision"] >= saved_revision


def test_check_datascale(control):
    assert "PASS" in control("check", "datascale", "--load=s")
