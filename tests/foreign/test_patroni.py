"""Patroni elects a PostgreSQL primary through a cluster of three with mutual TLS."""

import json
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.patroni import LEADER_KEY, LEASE_TTL_S, Account, Instance, postgres_programs
from tests.support.tls_cluster import NAMES, PROGRAMS, TlsCluster

ETCDCTL = PROGRAMS["etcdctl-py"]()


@pytest.fixture
def folder():
    """A folder that the user of PostgreSQL reaches, as the ones of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="miniraft-patroni-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cluster(folder):
    with TlsCluster(folder / "etcd") as cluster:
        yield cluster


@pytest.fixture
def instances(folder, cluster):
    programs, account = postgres_programs(), Account()
    home = folder / "postgres"
    home.mkdir()
    account.give(home)
    files = {"cacert": cluster.ca, "cert": cluster.client.cert_file, "key": cluster.client.key_file}
    etcd3 = {"protocol": "https", "hosts": [f"127.0.0.1:{port}" for port in cluster.client_ports.values()]}
    for name, file in files.items():
        copy = home / f"{name}.pem"
        shutil.copy(file, copy)
        account.give(copy)
        etcd3[name] = str(copy)
    instances = [Instance(name, home, account, etcd3, programs) for name in ("pg1", "pg2")]
    try:
        yield instances
    finally:
        for instance in instances:
            instance.close()


def until(condition, instances, seconds=45):
    """Waits for a condition; a failure shows what the Patronis said last."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            logs = [f"{one.name}: {one.status()}\n{one.log_path.read_text()[-3000:]}" for one in instances]
            raise AssertionError("\n".join(logs))
        time.sleep(0.1)
    return value


@pytest.mark.timeout(180)
def test_a_primary_is_elected_kept_and_replaced(cluster, instances):
    first, second = instances
    first.start()
    until(first.is_primary, instances)
    second.start()
    until(second.is_streaming, instances)
    first.sql("CREATE TABLE fruit (name text)")
    write_and_see(first, second, "apple")
    assert leader_key(cluster)["value"] == "pg1"

    # The cluster loses its leader: the primary stays, on the same lease.
    lease = leader_key(cluster)["lease"]
    lost = cluster.wait_leader(ETCDCTL)
    cluster.kill(lost)
    rest = [name for name in NAMES if name != lost]
    cluster.wait_leader(ETCDCTL, rest)
    # A new leader gives every lease its whole time again. Only what is kept alive stays there.
    time.sleep(5)
    until(lambda: remaining_seconds(cluster, lease, rest) >= LEASE_TTL_S - 2, instances, 10)
    assert first.is_primary()
    assert second.is_streaming()
    assert first.sql("SELECT timeline_id FROM pg_control_checkpoint()") == "1"
    write_and_see(first, second, "banana")
    cluster.start(lost)
    cluster.wait_serving(lost)

    # The primary is lost: the other takes over when the lease has ended.
    first.kill()
    until(second.is_primary, instances)
    assert second.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM fruit") == "apple banana"
    assert leader_key(cluster)["value"] == "pg2"
    assert leader_key(cluster)["lease"] != lease

    # It comes back, and follows.
    first.start()
    until(first.is_streaming, instances)
    write_and_see(second, first, "cherry")


def write_and_see(primary, replica, name):
    """Writes on the primary and waits for it on the replica."""
    until(lambda: primary.sql(f"INSERT INTO fruit VALUES ('{name}')", check=False) is not None, [primary])
    statement = f"SELECT count(*) FROM fruit WHERE name = '{name}'"
    until(lambda: replica.sql(statement, check=False) == "1", [primary, replica], 15)


def leader_key(cluster):
    """Returns the value and the lease of the key that Patroni's leader holds."""
    found = json.loads(cluster.run(ETCDCTL, "get", LEADER_KEY, "-w", "json"))["kvs"][0]
    value = cluster.run(ETCDCTL, "get", LEADER_KEY, "--print-value-only").strip()
    return {"value": value, "lease": f"{found['lease']:x}"}


def remaining_seconds(cluster, lease, names):
    told = cluster.run(ETCDCTL, "lease", "timetolive", lease, "-w", "json", names=names)
    return json.loads(told)["ttl"]
