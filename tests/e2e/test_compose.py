"""The cluster of docker-compose.yml on the local engine: used, killed, paused, cut off, restarted."""

import threading
import time

import pytest

from tests.support.compose import ComposeCluster, NotAcknowledged, require_docker, wait_for

pytestmark = pytest.mark.timeout(420)


class Writer(threading.Thread):
    """Puts numbered keys through all members in turn until told to stop; remembers what was acknowledged."""

    def __init__(self, cluster, prefix):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.prefix = prefix
        self.acknowledged = {}
        self.stopping = threading.Event()

    def run(self):
        number = 0
        while not self.stopping.is_set() and number < 5000:
            name = self.cluster.members[number % len(self.cluster.members)]
            key, value = f"{self.prefix}{number}", f"value-{number}"
            try:
                self.cluster.put(name, key, value, timeout_seconds=1.0)
                self.acknowledged[key] = value
            except NotAcknowledged:
                time.sleep(0.05)
            number += 1

    def __enter__(self):
        self.start()
        wait_for(lambda: len(self.acknowledged) >= 5, 20, "the first writes")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(timeout=15)

    def check_nothing_lost(self, names):
        for name in names:
            held = self.cluster.all_with_prefix(name, self.prefix)
            missing = {k: v for k, v in self.acknowledged.items() if held.get(k) != v}
            assert not missing, (
                f"{name} lost {len(missing)} of {len(self.acknowledged)}: {sorted(missing)[:5]}"
            )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require_docker()
    cluster = ComposeCluster(
        "miniraft-test3",
        ["docker-compose.yml"],
        {"n1": 12379, "n2": 12380, "n3": 12381},
        tmp_path_factory.mktemp("certs"),
    )
    cluster.destroy()
    cluster.compose("build", timeout=600)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture
def healthy(cluster):
    """All three members running, with a leader, before each test."""
    cluster.resume()
    cluster.wait_leader()
    return cluster


def test_etcdctl_py_needs_no_flags_inside_a_member(healthy):
    assert healthy.compose("exec", "-T", "n1", "etcdctl-py", "put", "a", "b").stdout == "OK\n"
    for name in healthy.members:
        assert healthy.compose("exec", "-T", name, "etcdctl-py", "get", "a").stdout == "a\nb\n"
    keys = healthy.compose("exec", "-T", "n2", "etcdctl-py", "get", "--keys-only").stdout
    assert "a\n" in keys


def test_killing_the_leader_costs_less_than_five_seconds(healthy):
    leader = healthy.wait_leader()
    survivors = [name for name in healthy.members if name != leader]
    healthy.put(leader, "before", "1")
    healthy.docker("kill", healthy.container(leader))
    elapsed = healthy.put_soon(survivors, "after", "2", limit_seconds=5.0)
    print(f"the next write was acknowledged {elapsed:.2f} s after the kill")
    for name in survivors:
        assert healthy.get(name, "before") == "1"
        assert healthy.get(name, "after") == "2"
    healthy.compose("start", leader)
    wait_for(lambda: _has(healthy, leader, "after", "2"), 30, f"{leader} to catch up")


def test_restart_of_everything_keeps_the_data(healthy):
    with Writer(healthy, "restart-") as writer:
        healthy.compose("restart", "--timeout", "10")
    healthy.resume()
    writer.check_nothing_lost(healthy.members)


def test_down_and_up_keeps_the_data(healthy):
    healthy.put("n1", "kept", "yes")
    healthy.compose("down", "--timeout", "10")
    healthy.up()
    for name in healthy.members:
        assert healthy.get(name, "kept") == "yes"


def test_a_paused_leader_is_replaced_and_rejoins(healthy):
    leader = healthy.wait_leader()
    survivors = [name for name in healthy.members if name != leader]
    healthy.docker("pause", healthy.container(leader))
    try:
        healthy.put_soon(survivors, "while-paused", "1", limit_seconds=10.0)
    finally:
        healthy.docker("unpause", healthy.container(leader))
    wait_for(lambda: _has(healthy, leader, "while-paused", "1"), 30, f"{leader} to catch up")


def test_a_member_cut_off_its_network_catches_up(healthy):
    leader = healthy.wait_leader()
    survivors = [name for name in healthy.members if name != leader]
    network, container = f"{healthy.project}_default", healthy.container(leader)
    with Writer(healthy, "cut-") as writer:
        healthy.docker("network", "disconnect", network, container)
        try:
            healthy.put_soon(survivors, "while-cut", "1", limit_seconds=10.0)
        finally:
            healthy.docker("network", "connect", "--alias", leader, network, container)
        inside = ("exec", "-T", leader, "etcdctl-py", "get", "--print-value-only", "while-cut")
        wait_for(lambda: healthy.compose(*inside, check=False).stdout == "1\n", 30, f"{leader} to catch up")
    # Its published port may not come back with the network: ask the others.
    writer.check_nothing_lost(survivors)
    healthy.compose("restart", "--timeout", "5", leader)


def test_all_members_killed_at_once_lose_nothing(healthy):
    with Writer(healthy, "all-") as writer:
        time.sleep(1.0)
        healthy.docker("kill", *(healthy.container(name) for name in healthy.members))
    healthy.resume()
    writer.check_nothing_lost(healthy.members)
    assert len(writer.acknowledged) >= 5


def test_the_logs_tell_the_election(healthy):
    leader = healthy.wait_leader()
    healthy.docker("kill", healthy.container(leader))
    survivors = [name for name in healthy.members if name != leader]
    successor = healthy.wait_leader(among=survivors)
    story = healthy.compose("logs", "--no-color", successor).stdout
    assert "election" in story
    assert "vote" in story
    healthy.compose("start", leader)


def test_five_members_survive_two_and_say_why_three_are_too_many(tmp_path):
    require_docker()
    names = [f"n{number}" for number in range(1, 6)]
    cluster = ComposeCluster(
        "miniraft-test5",
        ["docker-compose.yml", "docker-compose.five.yml"],
        {name: 12390 + number for number, name in enumerate(names)},
        tmp_path,
    )
    cluster.destroy()
    try:
        cluster.up()
        leader = cluster.wait_leader()
        follower = next(name for name in names if name != leader)
        cluster.put(leader, "five", "1")
        cluster.docker("kill", cluster.container(leader), cluster.container(follower))
        alive = [name for name in names if name not in (leader, follower)]
        cluster.put_soon(alive, "five", "2", limit_seconds=10.0)
        cluster.docker("kill", cluster.container(alive[0]))
        command = ("exec", "-T", alive[1], "etcdctl-py", "--command-timeout=3s", "put", "five", "3")
        wait_for(lambda: _refuses_for_want_of_a_leader(cluster, *command), 30, "the loss to be noticed")
        assert cluster.get(alive[1], "five", serializable=True) == "2"
        cluster.compose("start")
        cluster.put_soon(names, "five", "4", limit_seconds=30.0)
    finally:
        cluster.destroy()


def _has(cluster, name, key, value):
    try:
        return cluster.get(name, key) == value
    except NotAcknowledged:
        return False


def _refuses_for_want_of_a_leader(cluster, *command):
    refused = cluster.compose(*command, check=False)
    assert refused.returncode == 1
    return "no leader" in refused.stderr
