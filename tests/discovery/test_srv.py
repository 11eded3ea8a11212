"""Members that find each other in the DNS, asked over the network from a server of the test."""

import asyncio

import pytest

from miniraft.discovery.problem import DiscoveryError
from miniraft.discovery.srv import find_members, look_up
from miniraft.mvcc.store import Bucket
from miniraft.peer.security import PeerTls
from miniraft.runtime.bootstrap import begin
from miniraft.runtime.data_dir import DataFolder
from miniraft.runtime.server import StartError, start_server
from miniraft.server.identity import bootstrap_member_id, cluster_id
from tests.support.dns_server import dns_records
from tests.support.peer_ends import eventually
from tests.support.servers import TestCluster, linearizable_get, put

DOMAIN = "cluster.test"
PLAIN, SECURE = (f"_etcd-server{ssl}._tcp.{DOMAIN}" for ssl in ("", "-ssl"))


def record(port, target="localhost."):
    return 0, 0, port, target


def found(monkeypatch, records, *urls, name="n1", suffix=""):
    with dns_records(monkeypatch, records):
        return asyncio.run(find_members(DOMAIN, suffix, name, urls))


def test_the_record_that_leads_here_gets_this_members_name(monkeypatch):
    records = {PLAIN: [record(1), record(2), record(3, "n3.elsewhere.invalid.")]}
    members = found(monkeypatch, records, "http://127.0.0.1:2")
    assert members["n1"] == ("http://localhost:2",)
    assert sorted(members.values()) == [
        ("http://localhost:1",),
        ("http://localhost:2",),
        ("http://n3.elsewhere.invalid:3",),
    ]


def test_a_member_that_is_called_like_a_number_is_not_taken_for_another(monkeypatch):
    members = found(monkeypatch, {PLAIN: [record(1), record(2)]}, "http://127.0.0.1:2", name="0")
    assert len(members) == 2
    assert members["0"] == ("http://localhost:2",)


def test_both_services_count(monkeypatch):
    records = {PLAIN: [record(1)], SECURE: [record(2)]}
    members = found(monkeypatch, records, "https://localhost:2")
    assert sorted(members.values()) == [("http://localhost:1",), ("https://localhost:2",)]


def test_a_cluster_with_a_name_of_its_own(monkeypatch):
    records = {f"_etcd-server-ssl-foo._tcp.{DOMAIN}": [record(2)]}
    assert found(monkeypatch, records, "https://localhost:2", suffix="foo") == {
        "n1": ("https://localhost:2",)
    }


@pytest.mark.parametrize(
    ("records", "url", "words"),
    [
        ({}, "http://localhost:1", f"dns lookup errors: lookup {SECURE}: .* and lookup {PLAIN}: "),
        ({PLAIN: [record(1)]}, "http://localhost:2", 'cannot find local etcd member "n1" in SRV records'),
        ({PLAIN: [record(1)]}, "https://localhost:1", "has scheme mismatch with expected peer https://loc"),
    ],
)
def test_what_cannot_be_is_told(monkeypatch, records, url, words):
    with pytest.raises(DiscoveryError, match=words):
        found(monkeypatch, records, url)


def test_a_domain_that_is_none():
    for domain in ("a" * 64, "a..b"):
        with pytest.raises(DiscoveryError, match="dns lookup errors"):
            asyncio.run(look_up("etcd-server", "", domain))


def test_three_members_form_a_cluster_and_do_not_ask_again(tmp_path, monkeypatch):
    async def scenario():
        cluster = TestCluster(tmp_path, discovery_srv=DOMAIN, initial_cluster="")
        ports = [int(url.rpartition(":")[2]) for url in cluster.peer_urls.values()]
        with dns_records(monkeypatch, {PLAIN: [record(port) for port in ports]}) as server:
            async with cluster:
                await put(cluster.servers["m1"], "key", "value")
                for one in cluster.servers.values():
                    assert await linearizable_get(one, "key") == "value"
                    await eventually(
                        lambda one=one: (
                            sorted(m.name for m in one.node.member.members()) == ["m1", "m2", "m3"]
                        )
                    )
                ids = [bootstrap_member_id([f"http://localhost:{port}"], "etcd-cluster") for port in ports]
                assert sorted(m.id for m in cluster.servers["m1"].node.member.members()) == sorted(ids)
                assert cluster.servers["m1"].node.cluster_id == cluster_id(ids)
                asked = len(server.asked)
                await cluster.stop("m1")
                await cluster.start("m1")
                assert len(server.asked) == asked, "who it is stands in the log by now"

    asyncio.run(scenario())


def test_members_begin_alike_though_none_knows_the_others_names(tmp_path, monkeypatch):
    cluster = TestCluster(tmp_path, discovery_srv=DOMAIN, initial_cluster="")
    ports = [int(url.rpartition(":")[2]) for url in cluster.peer_urls.values()]

    async def first_state(name):
        folder = DataFolder(tmp_path / name)
        beginning = await begin(cluster.config(name), folder, PeerTls())
        state = [list(beginning.store.scan(bucket)) for bucket in Bucket]
        beginning.wal.close()
        beginning.store.close()
        folder.release()
        return state

    with dns_records(monkeypatch, {PLAIN: [record(port) for port in ports]}):
        one, two, three = (asyncio.run(first_state(name)) for name in cluster.peer_urls)
    assert one == two == three


def test_a_member_is_added_to_a_cluster_from_the_dns(tmp_path, monkeypatch):
    async def scenario():
        cluster = TestCluster(tmp_path, 2, discovery_srv=DOMAIN, initial_cluster="")
        first, second = (int(url.rpartition(":")[2]) for url in cluster.peer_urls.values())
        with dns_records(monkeypatch, {PLAIN: [record(first)]}) as server:
            await cluster.start("m1")
            await put(cluster.servers["m1"], "key", "value")
            await cluster.servers["m1"].node.administration.add_member([f"http://localhost:{second}"], False)
            server.records[PLAIN].append(record(second))
            urls = (f"http://localhost:{second}",)
            await cluster.start("m2", initial_cluster_state="existing", initial_advertise_peer_urls=urls)
            assert await linearizable_get(cluster.servers["m2"], "key") == "value"
            await cluster.__aexit__()

    asyncio.run(scenario())


def test_a_member_that_does_not_stand_in_the_dns_is_refused(tmp_path, monkeypatch):
    cluster = TestCluster(tmp_path, 1, discovery_srv=DOMAIN, initial_cluster="")
    with dns_records(monkeypatch, {PLAIN: [record(1)]}), pytest.raises(StartError, match="discovery failed"):
        asyncio.run(start_server(cluster.config("m1")))
