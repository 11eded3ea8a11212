"""Authentication over three members: tokens, changes and restarts are the same on all of them."""

import asyncio

from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.auth_pb2 import Permission
from tests.support.auth_client import Failure, GrpcClient
from tests.support.peer_ends import eventually
from tests.support.servers import PATIENCE_SECONDS, TestCluster

BAD_TOKEN = Failure(16, "etcdserver: invalid auth token")
DENIED = Failure(7, "etcdserver: permission denied")
QUICK = {"bcrypt_cost": 4}


class Members:
    """Clients of all running members; calls leave the event loop to the members meanwhile."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._clients = {}

    async def call(self, member, name, request, token=None):
        return await asyncio.to_thread(self._client(member).call, name, request, token)

    async def first_of_stream(self, member, name, request, token=None):
        return await asyncio.to_thread(self._client(member).first_of_stream, name, request, token)

    async def login(self, member, name, password="p"):
        return await asyncio.to_thread(self._client(member).login, name, password)

    def _client(self, member):
        address = self._cluster.servers[member].client_urls[0].partition("://")[2]
        if address not in self._clients:
            self._clients[address] = GrpcClient(address)
        return self._clients[address]

    def close(self):
        for client in self._clients.values():
            client.close()


async def set_up(members, member="m1"):
    """Users root and ann, ann with rights on [a, b), authentication on."""
    for name, request in (
        ("UserAdd", rpc.AuthUserAddRequest(name="root", password="p")),
        ("UserAdd", rpc.AuthUserAddRequest(name="ann", password="p")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="root", role="root")),
        ("RoleAdd", rpc.AuthRoleAddRequest(name="r")),
        ("UserGrantRole", rpc.AuthUserGrantRoleRequest(user="ann", role="r")),
        (
            "RoleGrantPermission",
            rpc.AuthRoleGrantPermissionRequest(
                name="r", perm=Permission(permType=Permission.READWRITE, key=b"a", range_end=b"b")
            ),
        ),
        ("AuthEnable", rpc.AuthEnableRequest()),
    ):
        answer = await members.call(member, name, request)
        assert not isinstance(answer, Failure), (name, answer)


def run(tmp_path, scenario, **changes):
    async def with_cluster():
        async with TestCluster(tmp_path, **QUICK, **changes) as cluster:
            members = Members(cluster)
            try:
                await cluster.wait_for_leader()
                await scenario(cluster, members)
            finally:
                members.close()

    asyncio.run(with_cluster())


async def agree(cluster):
    """Waits until all members have applied the same, and checks that it is the same."""

    def applied():
        return len({server.node.status().applied_index for server in cluster.servers.values()}) == 1

    await eventually(applied, PATIENCE_SECONDS)
    states = [server.node.hash_kv(0) for server in cluster.servers.values()]
    assert states.count(states[0]) == len(states)
    users = [server.node.authorization.users for server in cluster.servers.values()]
    assert len({(auth.enabled, auth.revision, tuple(auth.users())) for auth in users}) == 1


def test_a_token_from_one_member_is_good_on_all_until_the_password_changes(tmp_path):
    async def scenario(cluster, members):
        await set_up(members)
        read = rpc.RangeRequest(key=b"a", serializable=True)
        for giver in cluster.servers:
            token = await members.login(giver, "ann")
            for member in cluster.servers:  # at once: one that lags waits for the token's entry
                answer = await members.call(member, "Range", read, token)
                assert not isinstance(answer, Failure), (giver, member, answer)
                put = rpc.PutRequest(key=b"a", value=member.encode())
                assert not isinstance(await members.call(member, "Put", put, token), Failure)
                assert await members.call(member, "Put", rpc.PutRequest(key=b"x"), token) == DENIED
        change = rpc.AuthUserChangePasswordRequest(name="ann", password="q")
        root = await members.login("m2", "root")
        assert not isinstance(await members.call("m3", "UserChangePassword", change, root), Failure)
        await agree(cluster)
        for member in cluster.servers:
            assert await members.call(member, "Range", read, token) == BAD_TOKEN
        await agree(cluster)

    run(tmp_path, scenario)


def test_a_member_that_restarts_after_enabling_goes_on_as_the_others(tmp_path):
    """etcd#14571: a restarted member had no cache of permissions, refused what the others took,
    and its data was another from then on."""

    async def scenario(cluster, members):
        await set_up(members)
        for member in list(cluster.servers):
            await asyncio.sleep(0.2)  # its store is committed: nothing of users is replayed
            await cluster.stop(member)
            await cluster.start(member)
            await cluster.wait_for_leader()
            for through in cluster.servers:
                token = await members.login(through, "ann")
                put = rpc.PutRequest(key=b"a", value=member.encode())
                assert not isinstance(await members.call(through, "Put", put, token), Failure)
                assert await members.call(through, "Put", rpc.PutRequest(key=b"x"), token) == DENIED
            await agree(cluster)

    run(tmp_path, scenario)


def test_a_member_that_gets_a_snapshot_gets_the_users_and_drops_its_tokens(tmp_path):
    async def scenario(cluster, members):
        await set_up(members)
        old = await members.login("m1", "ann")
        await agree(cluster)
        behind = cluster.followers()[0]
        there = next(name for name in cluster.servers if name != behind)
        node = cluster.servers[behind].node
        assert node.authorization.tokens.use(old) == "ann"
        await cluster.stop(behind)
        root = await members.login(there, "root")
        change = rpc.AuthUserChangePasswordRequest(name="ann", password="q")
        await members.call(there, "UserChangePassword", change, root)
        token = await members.login(there, "ann", "q")
        for number in range(150):
            put = rpc.PutRequest(key=b"a%d" % number, value=b"v")
            assert not isinstance(await members.call(there, "Put", put, token), Failure)
        leader = cluster.servers[await cluster.wait_for_leader()].node.member
        await eventually(lambda: leader.raft.first_index > 100, PATIENCE_SECONDS)
        server = await cluster.start(behind)
        await agree(cluster)
        assert server.node.member.raft.first_index > 100  # it came by snapshot
        read = rpc.RangeRequest(key=b"a1", serializable=True)
        assert await members.call(behind, "Range", read, old) == BAD_TOKEN
        token = await members.login(behind, "ann", "q")
        assert (await members.call(behind, "Range", read, token)).count == 1
        assert await members.call(behind, "Range", rpc.RangeRequest(key=b"x"), token) == DENIED

    small = {"snapshot_count": 50, "snapshot_catchup_entries": 5, "backend_batch_interval_seconds": 0.01}
    run(tmp_path, scenario, **small)


def test_rights_to_leases_are_the_same_at_every_member(tmp_path):
    """Followers ask the leader for the time of a lease; who asked them is for them to check."""

    async def scenario(cluster, members):
        for lease, key in ((7, b"a"), (8, b"x")):
            await members.call("m1", "LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=600))
            await members.call("m1", "Put", rpc.PutRequest(key=key, lease=lease))
        await set_up(members)
        await agree(cluster)
        ann = await members.login("m1", "ann")
        for member in cluster.servers:
            for lease, allowed in ((7, True), (8, False)):
                renewed = await members.first_of_stream(
                    member, "LeaseKeepAlive", rpc.LeaseKeepAliveRequest(ID=lease), ann
                )
                look = rpc.LeaseTimeToLiveRequest(ID=lease, keys=True)
                seen = await members.call(member, "LeaseTimeToLive", look, ann)
                if allowed:
                    assert (renewed.TTL, list(seen.keys)) == (600, [b"a"])
                else:
                    assert renewed == seen == DENIED
                    revoke = rpc.LeaseRevokeRequest(ID=lease)
                    assert await members.call(member, "LeaseRevoke", revoke, ann) == DENIED
            assert await members.call(member, "LeaseLeases", rpc.LeaseLeasesRequest(), ann) == DENIED

    run(tmp_path, scenario)


def test_leases_end_although_nobody_is_logged_in(tmp_path):
    """What the members decide themselves needs no user."""

    async def scenario(cluster, members):
        await set_up(members)
        root = await members.login("m1", "root")
        granted = await members.call("m1", "LeaseGrant", rpc.LeaseGrantRequest(TTL=1), root)
        put = rpc.PutRequest(key=b"x", lease=granted.ID)
        assert not isinstance(await members.call("m1", "Put", put, root), Failure)

        def is_gone():
            return all(
                server.node.range(rpc.RangeRequest(key=b"x")).count == 0
                for server in cluster.servers.values()
            )

        await eventually(is_gone, PATIENCE_SECONDS)
        await agree(cluster)

    run(tmp_path, scenario)


def test_members_that_start_and_publish_themselves_need_no_user(tmp_path):
    async def scenario(cluster, members):
        await set_up(members)
        await cluster.stop("m3")
        url = "http://127.0.0.1:0"
        await cluster.start("m3", listen_client_urls=(url,), advertise_client_urls=("http://a.example:1",))
        root = await members.login("m1", "root")

        def is_published():
            return any(
                member.client_urls == ("http://a.example:1",)
                for member in cluster.servers["m1"].node.members()
            )

        await eventually(is_published, PATIENCE_SECONDS)
        listed = await members.call("m1", "MemberList", rpc.MemberListRequest(), root)
        assert len(listed.members) == 3

    run(tmp_path, scenario)
