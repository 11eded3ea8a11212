"""Leases, locks and elections asked of the real etcd and of us: the same answers, errors, revisions."""

import base64
import json
import random
import time
import urllib.request

import grpc
import pytest

from miniraft.pb import election_pb2 as election
from miniraft.pb import lock_pb2 as lock
from miniraft.pb import rpc_pb2 as rpc
from tests.support.real_etcd import running_etcd
from tests.support.server_under_test import MINIRAFT, running_server

QUICK = ("--heartbeat-interval", "10", "--election-timeout", "50")
IDS = [1, 2, 7, 0x7FFFFFFFFFFFFFFF, -1, -(1 << 63)]
TTLS = [100_000, 200_000, 300_000, 400_000, 9_000_000_000]
KEYS = [b"a", b"b", b"c", b"lease/d"]


class Asked:
    """One server; every answer comes without what must differ."""

    def __init__(self, address):
        self.address = address
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(address, options=options)

    def call(self, path, request, response):
        method = self.channel.unary_unary(path, type(request).SerializeToString, response.FromString)
        try:
            return plain(method(request, timeout=10))
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def lease(self, name, request):
        response = getattr(rpc, f"Lease{name}Response")
        return self.call(f"/etcdserverpb.Lease/Lease{name}", request, response)

    def keep_alive(self, *ids):
        method = self.channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            rpc.LeaseKeepAliveRequest.SerializeToString,
            rpc.LeaseKeepAliveResponse.FromString,
        )
        requests = iter([rpc.LeaseKeepAliveRequest(ID=lease_id) for lease_id in ids])
        return [plain(response) for response in method(requests, timeout=10)]

    def kv(self, name, request):
        return self.call(f"/etcdserverpb.KV/{name}", request, getattr(rpc, f"{name}Response"))

    def json(self, path, body):
        request = urllib.request.Request(f"http://{self.address}{path}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                status, text = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        answer = json.loads(text)
        header = answer.get("result", answer).get("header", {})
        for name in ("cluster_id", "member_id", "raft_term"):
            header.pop(name, None)
        answer.pop("error", None)  # up to 3.5 the gateway's errors had it; ours have both
        return status, answer


def plain(response):
    """The response without the identity of who answered."""
    response.header.cluster_id = response.header.member_id = response.header.raft_term = 0
    if isinstance(response, rpc.LeaseTimeToLiveResponse):
        response.keys[:] = sorted(response.keys)
        response.TTL += response.grantedTTL > 0 and response.grantedTTL > response.TTL
    return response


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with (
        running_etcd(tmp_path_factory.mktemp("real"), *QUICK) as real,
        running_server(tmp_path_factory.mktemp("ours"), *QUICK, program=MINIRAFT) as ours,
    ):
        # Ours notes its version in the log too, which is no write either.
        yield Asked(real), Asked(ours)


def same(servers, method, *arguments):
    """Both answer the same; returns it."""
    real, ours = (getattr(server, method)(*arguments) for server in servers)
    assert ours == real, f"{method} {arguments}\nreal: {real}\nours: {ours}"
    return ours


@pytest.fixture
def empty(servers):
    """No keys and no leases."""
    same(servers, "kv", "DeleteRange", rpc.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
    for server in servers:
        for lease in server.lease("Leases", rpc.LeaseLeasesRequest()).leases:
            server.lease("Revoke", rpc.LeaseRevokeRequest(ID=lease.ID))
    return servers


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_requests(empty, seed):
    chance = random.Random(seed)

    def grant():
        lease_id = chance.choice(IDS)
        # A longer lease for each id, so that the order by what is left is the same everywhere.
        ttl = chance.choice([(IDS.index(lease_id) + 1) * 1_000_000, 9_000_000_001])
        same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=lease_id, TTL=ttl))

    def put():
        keep = chance.random() < 0.2
        lease = 0 if keep else chance.choice([0, *IDS])
        request = rpc.PutRequest(key=chance.choice(KEYS), value=b"v", lease=lease, ignore_lease=keep)
        same(empty, "kv", "Put", request)

    def txn():
        puts = [rpc.PutRequest(key=key, lease=chance.choice([0, *IDS])) for key in chance.sample(KEYS, 2)]
        delete = rpc.DeleteRangeRequest(
            key=chance.choice([key for key in KEYS if key not in [p.key for p in puts]])
        )
        compare = rpc.Compare(
            key=chance.choice(KEYS),
            target=rpc.Compare.LEASE,
            result=chance.choice([0, 3]),
            lease=chance.choice([0, *IDS]),
        )
        request = rpc.TxnRequest(
            compare=[compare],
            success=[rpc.RequestOp(request_put=puts[0]), rpc.RequestOp(request_delete_range=delete)],
            failure=[rpc.RequestOp(request_put=puts[1])],
        )
        same(empty, "kv", "Txn", request)

    def delete():
        same(empty, "kv", "DeleteRange", rpc.DeleteRangeRequest(key=b"a", range_end=b"c", prev_kv=True))

    def revoke():
        same(empty, "lease", "Revoke", rpc.LeaseRevokeRequest(ID=chance.choice([*IDS, 0, 99])))

    def look():
        same(
            empty, "lease", "TimeToLive", rpc.LeaseTimeToLiveRequest(ID=chance.choice([*IDS, 99]), keys=True)
        )
        same(empty, "lease", "Leases", rpc.LeaseLeasesRequest())
        same(empty, "kv", "Range", rpc.RangeRequest(key=b"\0", range_end=b"\0"))

    def renew():
        same(empty, "keep_alive", *chance.choices([*IDS, 99], k=3))

    for _ in range(60):
        chance.choice([grant, grant, put, put, put, txn, delete, revoke, look, renew])()
    look()


def test_short_and_long_times(empty):
    for lease_id, ttl in enumerate((-5, 0, 1, 2, 9_000_000_000, 9_000_000_001, (1 << 63) - 1), start=1):
        same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=lease_id, TTL=ttl))


def test_the_end_of_a_lease_is_one_revision(empty):
    """And is there on both within the time it may take."""
    same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=5, TTL=1))
    for key in KEYS:
        same(empty, "kv", "Put", rpc.PutRequest(key=key, lease=5))
    before = same(empty, "kv", "Range", rpc.RangeRequest(key=b"a")).header.revision
    deadline = time.monotonic() + 10
    for server in empty:
        while server.kv("Range", rpc.RangeRequest(key=b"a")).kvs:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    after = same(empty, "kv", "Range", rpc.RangeRequest(key=b"\0", range_end=b"\0"))
    assert (after.header.revision, after.count) == (before + 1, 0)
    same(empty, "keep_alive", 5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v3/lease/grant", {"ID": "7", "TTL": "1000000"}),
        ("/v3/lease/grant", {"ID": "9", "TTL": "9000000001"}),
        ("/v3/lease/keepalive", {"ID": "7"}),
        ("/v3/lease/keepalive", {"ID": "8"}),
        ("/v3/lease/leases", {}),
        ("/v3/kv/lease/leases", {}),
        ("/v3/lease/timetolive", {"ID": "8"}),
        ("/v3/kv/lease/timetolive", {"ID": "8", "keys": True}),
        ("/v3/lease/revoke", {"ID": "8"}),
        ("/v3/kv/lease/revoke", {"ID": "7"}),
    ],
)
def test_by_json(empty, path, body):
    if "grant" not in path:
        same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=7, TTL=1_000_000))
    same(empty, "json", path, body)


def test_locks(empty):
    def ask(name, request):
        return same(empty, "call", f"/v3lockpb.Lock/{name}", request, getattr(lock, f"{name}Response"))

    same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=0xAB, TTL=1_000_000))
    same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=-2, TTL=2_000_000))
    taken = ask("Lock", lock.LockRequest(name=b"l", lease=0xAB))
    ask("Lock", lock.LockRequest(name=b"l", lease=0xAB))
    ask("Lock", lock.LockRequest(name=b"", lease=-2))
    ask("Lock", lock.LockRequest(name=b"l", lease=0xCD))
    same(empty, "kv", "Range", rpc.RangeRequest(key=b"\0", range_end=b"\0"))
    ask("Unlock", lock.UnlockRequest(key=taken.key))
    ask("Unlock", lock.UnlockRequest(key=taken.key))
    ask("Unlock", lock.UnlockRequest())
    same(empty, "json", "/v3/lock/lock", {"name": base64.b64encode(b"j").decode(), "lease": "171"})


def test_elections(empty):
    def ask(name, request):
        response = getattr(election, f"{name}Response")
        return same(empty, "call", f"/v3electionpb.Election/{name}", request, response)

    same(empty, "lease", "Grant", rpc.LeaseGrantRequest(ID=0xAB, TTL=1_000_000))
    ask("Leader", election.LeaderRequest(name=b"e"))
    won = ask("Campaign", election.CampaignRequest(name=b"e", lease=0xAB, value=b"1"))
    ask("Campaign", election.CampaignRequest(name=b"e", lease=0xAB, value=b"1"))
    ask("Campaign", election.CampaignRequest(name=b"e", lease=0xAB, value=b"2"))
    ask("Campaign", election.CampaignRequest(name=b"e", lease=0xCD, value=b"2"))
    ask("Leader", election.LeaderRequest(name=b"e"))
    ask("Proclaim", election.ProclaimRequest(leader=won.leader, value=b"3"))
    ask("Leader", election.LeaderRequest(name=b"e"))
    ask("Resign", election.ResignRequest(leader=won.leader))
    ask("Proclaim", election.ProclaimRequest(leader=won.leader, value=b"4"))
    ask("Resign", election.ResignRequest(leader=won.leader))
    ask("Resign", election.ResignRequest())
    ask("Proclaim", election.ProclaimRequest())
    ask("Leader", election.LeaderRequest(name=b"e"))
    same(empty, "kv", "Range", rpc.RangeRequest(key=b"\0", range_end=b"\0"))
