"""Three members in one process, over real gRPC and real disks."""

import asyncio
import shutil

import pytest

from miniraft.pb.log_pb2 import ConfigChange
from miniraft.runtime import log
from miniraft.runtime.server import StartError
from miniraft.server.identity import added_member_id
from miniraft.server.member import REMOVED
from tests.support.certificates import Authority
from tests.support.peer_ends import eventually
from tests.support.servers import PATIENCE_SECONDS, TestCluster, free_ports, get, linearizable_get, put


def run(scenario):
    asyncio.run(scenario())


async def everywhere(cluster, key, value):
    """Waits until every running member has the value."""

    def there():
        return all(get(server, key) == value for server in cluster.servers.values())

    await eventually(there, PATIENCE_SECONDS)


def test_a_write_to_any_member_reaches_all(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            for name, server in cluster.servers.items():
                await put(server, name, "written")
                assert get(server, name) == "written"  # the member that answered has applied it
            for name in cluster.servers:
                for server in cluster.servers.values():
                    assert await linearizable_get(server, name) == "written"

    run(scenario)


def test_a_leader_that_stops_hands_over_first(tmp_path, capfd):
    log.configure()  # whatever an earlier test made of it

    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = await cluster.wait_for_leader()
            term = cluster.servers[leader].node.term
            await put(cluster.servers[leader], "a", "1")
            await cluster.stop(leader, hand_over=True)
            heir = await cluster.wait_for_leader()
            assert cluster.servers[heir].node.term == term + 1
            await put(cluster.servers[heir], "a", "2")
            await everywhere(cluster, "a", "2")

    run(scenario)
    assert "the leader asked it to take over" in capfd.readouterr().err


def test_a_leader_that_is_gone_is_replaced_without_waiting_for_the_timeout(tmp_path, capfd):
    log.configure()

    async def scenario():
        async with TestCluster(tmp_path, election_timeout_ms=1000) as cluster:
            leader = await cluster.wait_for_leader()
            await put(cluster.servers[leader], "a", "1")
            await cluster.stop(leader)
            heir = await cluster.wait_for_leader()
            assert heir != leader
            await put(cluster.servers[heir], "a", "2")

    run(scenario)
    assert "the leader's connection closed" in capfd.readouterr().err


def test_the_others_go_on_without_the_leader_and_it_catches_up(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = await cluster.wait_for_leader()
            await put(cluster.servers[leader], "a", "1")
            await cluster.stop(leader)
            heir = await cluster.wait_for_leader()
            (other,) = cluster.followers()
            for number in range(20):
                await put(cluster.servers[other], f"k{number}", "x")
            assert cluster.servers[heir].node.term > 1
            await cluster.start(leader)
            await everywhere(cluster, "k19", "x")
            assert get(cluster.servers[leader], "a") == "1"

    run(scenario)


def test_all_stopped_and_started_again(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            await put(cluster.servers["m2"], "a", "1")
            names = list(cluster.servers)
            await asyncio.gather(*(cluster.stop(name) for name in names))
            await asyncio.gather(*(cluster.start(name) for name in names))
            await everywhere(cluster, "a", "1")
            await put(cluster.servers["m3"], "a", "2")
            await everywhere(cluster, "a", "2")

    run(scenario)


def test_a_follower_far_behind_gets_a_snapshot_and_keeps_it(tmp_path):
    async def scenario():
        small = {"snapshot_count": 50, "snapshot_catchup_entries": 5, "backend_batch_interval_seconds": 0.01}
        async with TestCluster(tmp_path, **small) as cluster:
            await cluster.wait_for_leader()
            behind = cluster.followers()[0]
            await cluster.stop(behind)
            leader = cluster.servers[await cluster.wait_for_leader()]
            for number in range(300):
                await put(leader, f"k{number}", str(number))
            await eventually(lambda: leader.node.member.raft.first_index > 200, PATIENCE_SECONDS)
            server = await cluster.start(behind)
            await everywhere(cluster, "k299", "299")
            assert get(server, "k0") == "0"
            assert server.node.member.raft.first_index > 200  # it came by snapshot, not by the log
            assert server.node.hash_kv(0) == leader.node.hash_kv(0)
            await put(server, "after", "1")
            await cluster.stop(behind)
            server = await cluster.start(behind)
            await everywhere(cluster, "after", "1")
            assert get(server, "k0") == "0"
            left = [path.name for path in (tmp_path / behind / "member" / "snap").iterdir()]
            assert left == ["db"]

    run(scenario)


def test_members_that_trust_each_other_by_certificate(tmp_path):
    async def scenario():
        ca = Authority(tmp_path / "ca")
        issued = ca.issue("member")
        certificates = {
            "peer_cert_file": issued.cert_file,
            "peer_key_file": issued.key_file,
            "peer_trusted_ca_file": ca.cert_file,
            "peer_client_cert_auth": True,
            "peer_cert_allowed_cn": ("member",),
        }
        async with TestCluster(tmp_path, scheme="https", **certificates) as cluster:
            await put(cluster.servers["m1"], "a", "1")
            await everywhere(cluster, "a", "1")

    run(scenario)


def test_a_majority_is_needed(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = await cluster.wait_for_leader()
            await put(cluster.servers[leader], "a", "1")
            for name in cluster.followers():
                await cluster.stop(name)
            node = cluster.servers[leader].node
            await eventually(lambda: node.leader == 0, PATIENCE_SECONDS)
            assert get(cluster.servers[leader], "a") == "1"  # what it has it still tells

    run(scenario)


def test_a_member_whose_data_was_lost_is_refused_and_told_what_to_type(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            await cluster.wait_for_leader()
            lost = cluster.followers()[0]
            await cluster.stop(lost)
            shutil.rmtree(tmp_path / lost)
            with pytest.raises(StartError) as refused:
                await cluster.start(lost)
            text = str(refused.value)
            assert "has already been bootstrapped" in text
            assert "etcdctl member remove" in text
            assert f"etcdctl member add {lost} --peer-urls={cluster.peer_urls[lost]}" in text

    run(scenario)


def test_an_emptied_member_says_nothing_until_its_peers_have_spoken(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            names = list(cluster.servers)
            await put(cluster.servers["m1"], "a", "1")
            await asyncio.gather(*(cluster.stop(name) for name in names))
            shutil.rmtree(tmp_path / "m3")
            # Nobody is there to ask when it starts.
            starting = asyncio.ensure_future(cluster.start("m3"))
            await eventually(lambda: list(tmp_path.glob("m3/member/wal/*.wal")), PATIENCE_SECONDS)
            await asyncio.gather(cluster.start("m1"), cluster.start("m2"))
            with pytest.raises(StartError, match="has already been bootstrapped"):
                await asyncio.wait_for(starting, PATIENCE_SECONDS)

    run(scenario)


def test_a_new_member_joins(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            await put(leader, "a", "1")
            (port,) = free_ports(1)
            url = f"http://127.0.0.1:{port}"
            change = ConfigChange(
                kind=ConfigChange.ADD_VOTER, member_id=added_member_id([url], 1_700_000_000), peer_urls=[url]
            )
            await leader.node.propose_config_change(change.SerializeToString())
            cluster.peer_urls["m4"] = url
            server = await cluster.start("m4", initial_cluster_state="existing")
            assert get(server, "a") == "1"
            await put(server, "b", "2")
            await everywhere(cluster, "b", "2")
            assert [member.name for member in leader.node.members() if member.id == change.member_id] == [
                "m4"
            ]
            await cluster.stop("m4")
            server = await cluster.start("m4")
            assert get(server, "b") == "2"

    run(scenario)


def test_a_removed_member_stops_and_says_so(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            name = cluster.followers()[0]
            removed = cluster.servers[name].node
            change = ConfigChange(kind=ConfigChange.REMOVE, member_id=removed.member_id)
            await leader.node.propose_config_change(change.SerializeToString())
            reason = await asyncio.wait_for(asyncio.shield(removed.stopped), PATIENCE_SECONDS)
            assert "removed from" in reason
            await put(leader, "a", "1")

    run(scenario)


def test_a_leader_that_removes_itself_is_not_sent_away_by_others_before_its_time(tmp_path):
    """One of them may not know yet, and still need its vote."""

    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()].node
            change = ConfigChange(kind=ConfigChange.REMOVE, member_id=leader.member_id)
            await leader.propose_config_change(change.SerializeToString())
            assert leader.member.is_leaving
            reason = await asyncio.wait_for(asyncio.shield(leader.stopped), PATIENCE_SECONDS)
            assert reason == REMOVED

    run(scenario)


def test_a_member_of_another_cluster_finds_no_friends(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path) as cluster:
            name = (await cluster.wait_for_leader()) and cluster.followers()[0]
            await cluster.stop(name)
            shutil.rmtree(tmp_path / name)
            with pytest.raises(StartError, match=r"belongs to cluster .* the flags here make up cluster"):
                await cluster.start(name, initial_cluster_token="another")

    run(scenario)
