"""Members that find each other with the help of another etcd: the real one, and ours."""

import asyncio
import contextlib

import pytest

from miniraft.discovery.join import Joining
from miniraft.discovery.problem import DiscoveryError
from miniraft.discovery.registry import members_prefix, size_key
from miniraft.pb.kv_pb2 import Event, KeyValue
from miniraft.pb.rpc_pb2 import RangeRequest, RangeResponse, ResponseHeader, WatchResponse
from miniraft.runtime import log
from miniraft.runtime.server import StartError, start_server
from miniraft.server.identity import bootstrap_member_id
from tests.support.certificates import Authority
from tests.support.etcdctl import run_real
from tests.support.real_etcd import running_etcd
from tests.support.servers import free_ports, linearizable_get, put, single_config

TOKEN = "8A591FAB-1D72-41FA-BDF2-A27162FDA1E0"
PATIENCE_SECONDS = 30


@contextlib.asynccontextmanager
async def service(kind, folder):
    """An etcd that runs; yields its `host:port`."""
    folder.mkdir()
    if kind == "etcd":
        with running_etcd(folder) as address:
            yield address
        return
    server = await start_server(single_config(folder))
    try:
        yield server.client_urls[0].removeprefix("http://")
    finally:
        await server.stop(hand_over=False)


async def etcdctl(address, *words):
    done = await asyncio.to_thread(run_real, "--endpoints", address, *words)
    assert done.code == 0, done.error_text
    return done.out.decode()


class Members:
    """Members of one cluster that know nothing of each other but the token."""

    def __init__(self, folder, endpoints, **changes):
        self.folder = folder
        self.changes = {"discovery_endpoints": tuple(endpoints), "discovery_token": TOKEN, **changes}
        self.servers = {}

    def config(self, name, **changes):
        url = f"http://127.0.0.1:{free_ports(1)[0]}"
        fields = {
            "name": name,
            "data_dir": str(self.folder / name),
            "listen_peer_urls": (url,),
            "initial_advertise_peer_urls": (url,),
        }
        return single_config(self.folder, **{**fields, **self.changes, **changes})

    async def start(self, name, **changes):
        async with asyncio.timeout(PATIENCE_SECONDS):
            self.servers[name] = await start_server(self.config(name, **changes))

    async def start_all(self, *names):
        await asyncio.gather(*(self.start(name) for name in names))

    async def stop(self):
        for server in self.servers.values():
            await server.stop(hand_over=False)


@contextlib.asynccontextmanager
async def members(*arguments, **changes):
    made = Members(*arguments, **changes)
    try:
        yield made
    finally:
        await made.stop()


@pytest.mark.parametrize("kind", ["etcd", "miniraft"])
def test_three_members_find_each_other_and_a_fourth_is_too_late(tmp_path, kind):
    async def scenario():
        async with service(kind, tmp_path / "service") as address:
            await etcdctl(address, "put", size_key(TOKEN), "3")
            # The first endpoint does not answer: they go on to the next.
            dead = f"127.0.0.1:{free_ports(1)[0]}"
            async with members(tmp_path, [dead, f"http://{address}"]) as cluster:
                await cluster.start_all("m1", "m2", "m3")
                await put(cluster.servers["m1"], "key", "value")
                for server in cluster.servers.values():
                    assert await linearizable_get(server, "key") == "value"
                listed = cluster.servers["m2"].node.member.members()
                assert sorted(member.name for member in listed) == ["m1", "m2", "m3"]
                for member in listed:
                    assert member.id == bootstrap_member_id(member.peer_urls, TOKEN), "as etcd derives them"
                found = await etcdctl(address, "get", members_prefix(TOKEN), "--prefix")
                for member in listed:
                    assert f"/members/{member.id:x}\n{member.name}={member.peer_urls[0]}\n" in found
                with pytest.raises(StartError, match="discovery failed: discovery: cluster is full"):
                    await cluster.start("m4")

    asyncio.run(scenario())


def test_one_that_was_stopped_while_it_waited_comes_back(tmp_path):
    async def scenario():
        async with service("miniraft", tmp_path / "service") as address:
            await etcdctl(address, "put", size_key(TOKEN), "2")
            async with members(tmp_path, [address]) as cluster:
                config = cluster.config("m1")
                waiting = asyncio.ensure_future(start_server(config))
                while not await etcdctl(address, "get", members_prefix(TOKEN), "--prefix"):
                    pass
                waiting.cancel()
                await asyncio.wait([waiting])
                again = asyncio.ensure_future(start_server(config))
                await cluster.start("m2")
                cluster.servers["m1"] = await asyncio.wait_for(again, PATIENCE_SECONDS)
                await put(cluster.servers["m1"], "key", "value")
                assert await linearizable_get(cluster.servers["m2"], "key") == "value"

    asyncio.run(scenario())


def test_a_service_that_comes_late_is_waited_for(tmp_path, monkeypatch):
    said = asyncio.Event()
    plain = log.event

    def event(level, message, **fields):
        if message == "retry connecting to discovery service":
            said.set()
        plain(level, message, **fields)

    monkeypatch.setattr(log, "event", event)

    async def scenario():
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        async with members(tmp_path, [url]) as cluster:
            waiting = asyncio.ensure_future(cluster.start("m1"))
            await asyncio.wait_for(said.wait(), PATIENCE_SECONDS)
            config = single_config(tmp_path / "late", listen_client_urls=(url,), advertise_client_urls=(url,))
            late = await start_server(config)
            await put(late, size_key(TOKEN), "1")
            await waiting
            assert cluster.servers["m1"].node.leader
            await late.stop(hand_over=False)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "size key not found: set it with: etcdctl put /_etcd"), ("three", "size key is bad")],
)
def test_a_cluster_without_a_size_is_refused(tmp_path, value, words):
    async def scenario():
        async with service("miniraft", tmp_path / "service") as address:
            if value:
                await etcdctl(address, "put", size_key(TOKEN), value)
            async with members(tmp_path, [address]) as cluster:
                with pytest.raises(StartError, match=words):
                    await cluster.start("m1")

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["etcd", "miniraft"])
def test_with_users(tmp_path, kind):
    async def scenario():
        async with service(kind, tmp_path / "service") as address:
            await etcdctl(address, "put", size_key(TOKEN), "1")
            async with members(tmp_path, [address], discovery_user="any:thing") as cluster:
                await cluster.start("m0")  # as etcd's client: without users nobody asks for one
            await etcdctl(address, "del", members_prefix(TOKEN), "--prefix")
            await etcdctl(address, "user", "add", "root:secret")
            await etcdctl(address, "user", "grant-role", "root", "root")
            await etcdctl(address, "auth", "enable")
            async with members(tmp_path, [address]) as cluster:
                with pytest.raises(StartError, match="user name is empty"):
                    await cluster.start("m1")
                with pytest.raises(StartError, match="authentication failed, invalid user ID or password"):
                    await cluster.start("m2", discovery_user="root:wrong")
                await cluster.start("m3", discovery_user="root", discovery_password="secret")

    asyncio.run(scenario())


def test_with_tls(tmp_path):
    authority, strangers = Authority(tmp_path / "ca"), Authority(tmp_path / "others", "others")
    server, client = authority.issue("server"), authority.issue("client")
    secure = {
        "listen_client_urls": ("https://127.0.0.1:0",),
        "advertise_client_urls": ("https://127.0.0.1:0",),
        "cert_file": server.cert_file,
        "key_file": server.key_file,
        "trusted_ca_file": authority.cert_file,
        "client_cert_auth": True,
    }
    shown = {"discovery_cert": client.cert_file, "discovery_key": client.key_file}

    async def scenario():
        found = await start_server(single_config(tmp_path / "service", **secure))
        await put(found, size_key(TOKEN), "3")
        address = found.client_urls[0].removeprefix("https://")
        async with members(tmp_path, [address], **shown) as cluster:
            trusting = cluster.start("m1", discovery_cacert=authority.cert_file)
            careless = cluster.start(
                "m2",
                discovery_cacert=strangers.cert_file,
                discovery_insecure_skip_tls_verify=True,
            )
            by_url = cluster.start(
                "m3", discovery_endpoints=found.client_urls, discovery_cacert=authority.cert_file
            )
            await asyncio.gather(trusting, careless, by_url)
            pairs = found.node.range(RangeRequest(key=b"/_etcd", range_end=b"/_etce")).kvs
            assert len(pairs) == 4
            with pytest.raises(StartError, match="--discovery-cacert, --discovery-cert or --discovery-key"):
                await cluster.start("m4", discovery_cacert="/nowhere")
        await found.stop(hand_over=False)

    asyncio.run(scenario())


# Others who register at the same moment ---------------------------------------------------------
class Service:
    """A discovery service whose other members come when the test wants it: before call number `when`."""

    def __init__(self, size, others, when):
        self.size = size
        self.others = list(others)
        self.when = when
        self.calls = 0
        self.revision = 1
        self.pairs = []

    def _turn(self):
        self.calls += 1
        while self.others and self.calls >= self.when:
            self._put(
                members_prefix(TOKEN) + self.others[0], f"{self.others[0]}=http://{self.others.pop(0)}:1"
            )

    def _put(self, key, value):
        self.revision += 1
        known = [pair.create_revision for pair in self.pairs if pair.key == key.encode()]
        pair = KeyValue(key=key.encode(), value=value.encode(), mod_revision=self.revision)
        pair.create_revision = known[0] if known else self.revision
        self.pairs = [other for other in self.pairs if other.key != pair.key] + [pair]

    async def log_in(self):
        pass

    async def get(self, key, *, is_prefix=False):
        self._turn()
        found = self.pairs if is_prefix else [KeyValue(value=b"%d" % self.size)]
        return RangeResponse(header=ResponseHeader(revision=self.revision), kvs=found)

    async def put(self, key, value):
        self._turn()
        self._put(key, value)

    async def watch(self, prefix, start_revision):
        self._turn()
        for pair in self.pairs:
            if pair.mod_revision >= start_revision:
                yield WatchResponse(events=[Event(type=Event.PUT, kv=pair)])


def joined(size, others, when):
    service = Service(size, others, when)
    joining = Joining(service, TOKEN, members_prefix(TOKEN) + "own", lambda *_, **__: None)
    return asyncio.run(joining.join("own=http://own:1"))


def test_members_that_come_between_reading_and_waiting_are_seen():
    # 1 and 2 read, 3 registers, 4 and 5 read again, 6 waits.
    for when in range(1, 7):
        members = joined(3, ["a", "b"], when).split(",")
        assert sorted(members) == ["a=http://a:1", "b=http://b:1", "own=http://own:1"]


def test_one_that_was_not_quick_enough_is_not_a_member():
    for when in (1, 2, 3):
        with pytest.raises(DiscoveryError, match="cluster is full"):
            joined(2, ["a", "b"], when)
    for when in (4, 5, 6):
        assert joined(2, ["a", "b"], when) == "own=http://own:1,a=http://a:1"
