"""Leases, locks and elections asked of the real etcd and of us: the same answers, errors, revisions."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniraft.pb import election_pb2 as election
from miniraft.pb import lock_pb2 as lock
from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.examples import examples
from tests.conformance.server import WAYS, both_running, same, ways
from tests.support.http_client import post

QUICK = ("--heartbeat-interval", "10", "--election-timeout", "50")
IDS = [1, 2, 7, 0x7FFFFFFFFFFFFFFF, -1, -(1 << 63)]
UNKNOWN_ID = 99
KEYS = [b"a", b"b", b"c", b"lease/d"]
_ALL = {"key": b"\0", "range_end": b"\0"}


def comparable(answer):
    """The answer without the second that may have passed on one of the servers."""
    for response in answer if isinstance(answer, list) else [answer]:
        if isinstance(response, rpc.LeaseTimeToLiveResponse):
            response.keys[:] = sorted(response.keys)
            response.TTL += response.grantedTTL > response.TTL
    return answer


def same_lease(servers, request, way):
    return same(servers, request, way, comparable=comparable)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with both_running(tmp_path_factory.mktemp("lease"), *QUICK) as pair:
        yield pair


@pytest.fixture
def empty(servers):
    return emptied(servers)


def emptied(servers):
    """No keys and no leases."""
    for server in servers:
        for lease in server.call(rpc.LeaseLeasesRequest()).leases:
            server.call(rpc.LeaseRevokeRequest(ID=lease.ID))
        server.call(rpc.DeleteRangeRequest(**_ALL))
    revisions = [server.call(rpc.RangeRequest(**_ALL)).header.revision for server in servers]
    for server, revision in zip(servers, revisions, strict=True):
        for _ in range(max(revisions) - revision):  # an example that failed may leave one behind
            server.call(rpc.PutRequest(key=KEYS[0]))
    return servers


# A longer lease for each id, so that the order by what is left is the same everywhere.
_grants = st.builds(
    lambda lease, too_long: rpc.LeaseGrantRequest(
        ID=lease, TTL=9_000_000_001 if too_long else (IDS.index(lease) + 1) * 1_000_000
    ),
    st.sampled_from(IDS),
    st.sampled_from([False] * 5 + [True]),
)
_any_id = st.sampled_from([*IDS, UNKNOWN_ID])
_lease_or_none = st.sampled_from([0, *IDS])
_puts = st.builds(rpc.PutRequest, key=st.sampled_from(KEYS), value=st.just(b"v"), lease=_lease_or_none)
_keeping_puts = st.builds(rpc.PutRequest, key=st.sampled_from(KEYS), ignore_lease=st.just(True))
_txns = st.builds(
    lambda compare, keys, leases: rpc.TxnRequest(
        compare=[compare],
        success=[
            rpc.RequestOp(request_put=rpc.PutRequest(key=keys[0], lease=leases[0])),
            rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=keys[1])),
        ],
        failure=[rpc.RequestOp(request_put=rpc.PutRequest(key=keys[2], lease=leases[1]))],
    ),
    st.builds(
        rpc.Compare,
        key=st.sampled_from(KEYS),
        target=st.just(rpc.Compare.LEASE),
        result=st.sampled_from([rpc.Compare.EQUAL, rpc.Compare.NOT_EQUAL]),
        lease=_lease_or_none,
    ),
    st.permutations(KEYS),
    st.tuples(_lease_or_none, _lease_or_none),
)
_requests = st.one_of(
    _grants,
    _grants,
    _puts,
    _puts,
    _puts,
    _keeping_puts,
    _txns,
    st.just(rpc.DeleteRangeRequest(key=b"a", range_end=b"c", prev_kv=True)),
    st.builds(rpc.LeaseRevokeRequest, ID=st.one_of(_any_id, st.just(0))),
    st.builds(rpc.LeaseTimeToLiveRequest, ID=_any_id, keys=st.booleans()),
    st.just(rpc.LeaseLeasesRequest()),
    st.just(rpc.RangeRequest(**_ALL)),
    st.lists(st.builds(rpc.LeaseKeepAliveRequest, ID=_any_id), min_size=1, max_size=4),
)


@examples(60)
@given(st.lists(st.tuples(_requests, ways), min_size=15, max_size=40))
def test_any_sequence_of_requests(servers, requests):
    emptied(servers)
    for request, way in requests:
        same_lease(servers, request, way)
    for way in WAYS:
        same_lease(servers, rpc.LeaseLeasesRequest(), way)
        for lease in IDS:
            same_lease(servers, rpc.LeaseTimeToLiveRequest(ID=lease, keys=True), way)


@pytest.mark.parametrize("way", WAYS)
def test_short_and_long_times(empty, way):
    for lease, ttl in enumerate((-5, 0, 1, 2, 9_000_000_000, 9_000_000_001, (1 << 63) - 1), start=1):
        same_lease(empty, rpc.LeaseGrantRequest(ID=lease, TTL=ttl), way)


def test_the_end_of_a_lease_is_one_revision(empty):
    """And is there on both within the time it may take."""
    same(empty, rpc.LeaseGrantRequest(ID=5, TTL=1))
    for key in KEYS:
        same(empty, rpc.PutRequest(key=key, lease=5))
    before = same(empty, rpc.RangeRequest(key=b"a")).header.revision
    deadline = time.monotonic() + 10
    for server in empty:
        while server.call(rpc.RangeRequest(key=b"a")).kvs:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for way in WAYS:
        after = same(empty, rpc.RangeRequest(**_ALL), way)
        assert (after.header.revision, after.count) == (before + 1, 0)
        same(empty, [rpc.LeaseKeepAliveRequest(ID=5)], way)


@pytest.mark.parametrize("name", ["leases", "timetolive", "revoke"])
def test_the_paths_of_before_etcd_3_4(empty, name):
    same(empty, rpc.LeaseGrantRequest(ID=7, TTL=1_000_000))
    for server in empty:
        assert post(server.address, f"/v3/kv/lease/{name}", {"ID": "7"}).status == 200
        assert len(server.call(rpc.LeaseLeasesRequest()).leases) == (name != "revoke")


@pytest.mark.parametrize("way", WAYS)
def test_locks(empty, way):
    def ask(request):
        return same(empty, request, way)

    ask(rpc.LeaseGrantRequest(ID=0xAB, TTL=1_000_000))
    ask(rpc.LeaseGrantRequest(ID=-2, TTL=2_000_000))
    taken = ask(lock.LockRequest(name=b"l", lease=0xAB))
    ask(lock.LockRequest(name=b"l", lease=0xAB))
    ask(lock.LockRequest(name=b"", lease=-2))
    ask(lock.LockRequest(name=b"l", lease=0xCD))
    ask(rpc.RangeRequest(**_ALL))
    ask(lock.UnlockRequest(key=taken.key))
    ask(lock.UnlockRequest(key=taken.key))
    ask(lock.UnlockRequest())


@pytest.mark.parametrize("way", WAYS)
def test_elections(empty, way):
    def ask(request):
        return same(empty, request, way)

    ask(rpc.LeaseGrantRequest(ID=0xAB, TTL=1_000_000))
    ask(election.LeaderRequest(name=b"e"))
    won = ask(election.CampaignRequest(name=b"e", lease=0xAB, value=b"1"))
    ask(election.CampaignRequest(name=b"e", lease=0xAB, value=b"1"))
    ask(election.CampaignRequest(name=b"e", lease=0xAB, value=b"2"))
    ask(election.CampaignRequest(name=b"e", lease=0xCD, value=b"2"))
    ask(election.LeaderRequest(name=b"e"))
    ask(election.ProclaimRequest(leader=won.leader, value=b"3"))
    ask(election.LeaderRequest(name=b"e"))
    ask(election.ResignRequest(leader=won.leader))
    ask(election.ProclaimRequest(leader=won.leader, value=b"4"))
    ask(election.ResignRequest(leader=won.leader))
    ask(election.ResignRequest())
    ask(election.ProclaimRequest())
    ask(election.LeaderRequest(name=b"e"))
    ask(rpc.RangeRequest(**_ALL))
