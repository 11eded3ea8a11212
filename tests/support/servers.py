"""Whole members in this process: real log, keyspace, peer API and client listener on loopback."""

import asyncio
import socket

from miniraft.pb.rpc_pb2 import PutRequest, RangeRequest
from miniraft.runtime.config import ServerConfig
from miniraft.runtime.server import start_server
from miniraft.server.proposal import RequestKind
from tests.support.peer_ends import eventually

PATIENCE_SECONDS = 20


def free_ports(count):
    """Ports nobody uses at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def single_config(folder, **changes):
    """A cluster of one, on any free ports."""
    fields = {
        "name": "m1",
        "data_dir": str(folder / "m1"),
        "listen_peer_urls": ("http://127.0.0.1:0",),
        "initial_advertise_peer_urls": ("http://127.0.0.1:0",),
        "listen_client_urls": ("http://127.0.0.1:0",),
        "advertise_client_urls": ("http://127.0.0.1:0",),
        "heartbeat_interval_ms": 20,
        "election_timeout_ms": 200,
    }
    return ServerConfig(**{**fields, **changes})


class TestCluster:
    """Members m1, m2, ... of one cluster, each started and stopped on its own."""

    __test__ = False

    def __init__(self, folder, count=3, scheme="http", **changes):
        self.folder = folder
        self.changes = changes
        ports = enumerate(free_ports(count), 1)
        self.peer_urls = {f"m{n}": f"{scheme}://127.0.0.1:{port}" for n, port in ports}
        self.servers = {}

    async def __aenter__(self):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(self.start(name) for name in self.peer_urls))
        return self

    async def __aexit__(self, *_):
        for name in list(self.servers):
            await self.servers.pop(name).stop(hand_over=False)

    def config(self, name, **changes):
        url = self.peer_urls[name]
        fields = {
            "name": name,
            "data_dir": str(self.folder / name),
            "listen_peer_urls": (url,),
            "initial_advertise_peer_urls": (url,),
            "initial_cluster": ",".join(f"{n}={u}" for n, u in self.peer_urls.items()),
        }
        return single_config(self.folder, **{**fields, **self.changes, **changes})

    async def start(self, name, **changes):
        self.servers[name] = await start_server(self.config(name, **changes))
        return self.servers[name]

    async def stop(self, name, *, hand_over=False):
        await self.servers.pop(name).stop(hand_over=hand_over)

    def leader(self):
        """The name of the leader that a majority of the running members follow, or None."""
        leaders = [server.node.leader for server in self.servers.values()]
        for name, server in self.servers.items():
            if server.node.leader == server.node.member_id:
                followers = leaders.count(server.node.member_id)
                if followers > len(self.peer_urls) // 2:
                    return name
        return None

    async def wait_for_leader(self):
        await eventually(self.leader, PATIENCE_SECONDS)
        return self.leader()

    def followers(self):
        return [name for name in self.servers if name != self.leader()]


async def put(server, key, value):
    """Writes through one member."""
    request = PutRequest(key=key.encode(), value=value.encode()).SerializeToString()
    return await asyncio.wait_for(server.node.propose(RequestKind.PUT, request), PATIENCE_SECONDS)


def get(server, key):
    """Reads what one member has, as it is there."""
    result = server.node.range(RangeRequest(key=key.encode()))
    from miniraft.pb.kv_pb2 import KeyValue

    return KeyValue.FromString(result.kvs[0]).value.decode() if result.kvs else None


async def linearizable_get(server, key):
    """Reads what the cluster has."""
    await asyncio.wait_for(server.node.read_index(), PATIENCE_SECONDS)
    return get(server, key)
