"""What members ask each other beside the streams: who may ask, and what comes of it."""

import asyncio

import grpc
import pytest

from miniraft.pb import peer_pb2
from miniraft.peer.describe import PeerUnreachableError
from miniraft.peer.settings import CHECK_LEARNER_METHOD, HASH_KEYSPACE_METHOD
from tests.support.peer_ends import eventually
from tests.support.servers import TestCluster, single_config, start_server


def run(work):
    return asyncio.run(asyncio.wait_for(work, 40))


async def ask(url, question, method=HASH_KEYSPACE_METHOD):
    async with grpc.aio.insecure_channel(url.removeprefix("http://")) as channel:
        try:
            await channel.unary_unary(method)(question, timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details()
        return "OK", ""


def test_only_members_are_answered(tmp_path):
    async def scenario():
        server = await start_server(single_config(tmp_path))
        (url,) = server.peer_urls
        node = server.node

        def hello(**changes):
            fields = {"cluster_id": node.cluster_id, "member_id": 77, "receiver_id": node.member_id}
            return peer_pb2.HashQuestion(hello=peer_pb2.Hello(**{**fields, **changes})).SerializeToString()

        for question, text in (
            (hello(), "is no member of cluster"),
            (hello(cluster_id=1), "cluster ID mismatch"),
            (hello(receiver_id=1), "looked for member 1 but reached"),
            (b"", "cluster ID mismatch"),
        ):
            code, details = await ask(url, question)
            assert code == "FAILED_PRECONDITION"
            assert text in details
        assert (await ask(url, b"\xff\xff"))[0] == "INVALID_ARGUMENT"
        assert (await ask(url, b"", "/miniraft.peer.Peer/Nothing"))[0] == "UNIMPLEMENTED"
        with pytest.raises(PeerUnreachableError, match="is no member"):
            await server.transport.ask(77, CHECK_LEARNER_METHOD, b"", 1000)
        await server.stop()

    run(scenario())


def test_one_that_does_not_answer_is_named(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            await cluster.wait_for_leader()
            asking, gone = cluster.servers["m1"], cluster.servers["m2"].node.member_id
            await cluster.stop("m2")
            question = peer_pb2.HashQuestion(hello=asking.transport.hello(gone)).SerializeToString()
            with pytest.raises(PeerUnreachableError, match=cluster.peer_urls["m2"]):
                await asking.transport.ask(gone, HASH_KEYSPACE_METHOD, question, 1000)

    run(scenario())


def test_the_cluster_agrees_on_what_its_oldest_member_understands(tmp_path):
    async def scenario():
        async with TestCluster(tmp_path, 3) as cluster:
            leader = cluster.servers[await cluster.wait_for_leader()]
            await eventually(lambda: leader.node.cluster_version == "3.7.0")
            seen = leader.transport.statistics()
            assert {figures.server_version for figures in seen.values()} == {"3.7.1"}
            older = cluster.servers[cluster.followers()[0]].node.member_id
            seen[older].server_version = "3.6.4"
            await eventually(
                lambda: {server.node.cluster_version for server in cluster.servers.values()} == {"3.6.0"}, 20
            )

    run(scenario())
