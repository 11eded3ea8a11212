"""Members, alarms, quota, maintenance: the same sequence to the real etcd and to a member of ours,
by gRPC and by JSON."""

import time

import pytest

from miniraft.errors import Code
from miniraft.pb import rpc_pb2 as rpc
from tests.conformance.server import GRPC, JSON, both_running
from tests.support.auth_client import Failure
from tests.support.etcdctl import until

QUOTA_BYTES = 2_000_000
FLAGS = ("--quota-backend-bytes", str(QUOTA_BYTES))
THIS = "THIS MEMBER"  # stands for the member's own id, which the two servers have different ones of


class Member:
    """One of the two servers. Its answers are such as can be compared: ids, sizes, times taken out."""

    def __init__(self, server, way):
        self._server = server
        self._way = way
        self.own_id = self.raw(rpc.StatusRequest()).header.member_id
        self.added = []

    def raw(self, request):
        return self._server.call(request, self._way)

    def ask(self, request):
        answer = self.raw(request)
        return answer if isinstance(answer, Failure) else self._comparable(answer)

    def _comparable(self, answer):
        shown = {field.name: value for field, value in answer.ListFields() if field.name != "header"}
        shown["has_header"] = answer.HasField("header")
        if answer.HasField("header"):
            shown["has_revision"] = answer.header.revision != 0
            assert answer.header.member_id == self.own_id
            assert answer.header.cluster_id
            assert answer.header.raft_term
        if "member" in shown:
            self.added.append(shown["member"].ID)  # before it is named: ids hold the time of adding
            shown["member"] = self._shown(shown["member"])
        for name in ("members", "alarms"):
            if name in shown:
                shown[name] = sorted(map(self._shown, shown[name]))
        return shown

    def _shown(self, one):
        if isinstance(one, rpc.AlarmMember):
            return (self._name_of(one.memberID), one.alarm)
        urls = [url for url in one.peerURLs if "added" in url]
        return (self._name_of(one.ID), bool(one.name), urls, bool(one.clientURLs), one.isLearner)

    def _name_of(self, member_id):
        return THIS if member_id == self.own_id else f"another {member_id in self.added or member_id}"


@pytest.fixture(scope="module", params=[GRPC, JSON])
def servers(request, tmp_path_factory):
    """The real etcd and ours, each a cluster of one with a small quota."""
    with both_running(tmp_path_factory.mktemp("administration"), *FLAGS) as pair:
        yield [Member(server, request.param) for server in pair]


def same(servers, request):
    """Asks both; the answers must be equal. `request` may be made for each server. Returns the answer."""
    real, ours = (server.ask(request(server) if callable(request) else request) for server in servers)
    assert ours == real
    return ours


@pytest.mark.parametrize(
    "urls",
    [
        [],
        [""],
        ["added:2380"],
        ["tcp://added:2380"],
        ["http://added"],
        ["http://added:2380/"],
        ["http://added:2380/path"],
        ["http://added:2380", "bad"],
    ],
)
def test_urls(servers, urls):
    answer = same(servers, rpc.MemberAddRequest(peerURLs=urls))
    assert answer == Failure(Code.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")


def test_members_of_a_cluster_of_one(servers):
    """A learner comes and goes; a voter that never starts would end the cluster's majority."""
    same(servers, rpc.MemberListRequest())
    same(servers, rpc.MemberListRequest(linearizable=True))
    for request in (
        rpc.MemberRemoveRequest(ID=4711),
        rpc.MemberUpdateRequest(ID=4711, peerURLs=["http://added:1"]),
        rpc.MemberPromoteRequest(ID=4711),
    ):
        same(servers, request)
    same(servers, lambda server: rpc.MemberRemoveRequest(ID=server.own_id))
    same(servers, lambda server: rpc.MemberPromoteRequest(ID=server.own_id))
    learner = rpc.MemberAddRequest(peerURLs=["http://added-b:2380", "http://added-a:2380"], isLearner=True)
    answer = same(servers, learner)
    assert answer["member"][2] == ["http://added-a:2380", "http://added-b:2380"]
    same(servers, learner)
    another = rpc.MemberAddRequest(peerURLs=["http://added-c:2380"], isLearner=True)
    assert "too many learner" in same(servers, another).message
    same(servers, rpc.MemberListRequest())
    same(servers, lambda server: rpc.MemberPromoteRequest(ID=server.added[0]))
    # Not compared: etcd 3.5 takes a learner for a voter once its URLs were updated, and then forgets it.
    same(
        servers,
        lambda server: rpc.MemberUpdateRequest(ID=server.own_id, peerURLs=["http://added-d:2380"]),
    )
    same(servers, lambda server: rpc.MoveLeaderRequest(targetID=server.added[0]))
    same(servers, lambda server: rpc.MoveLeaderRequest(targetID=server.own_id))
    same(servers, lambda server: rpc.MemberRemoveRequest(ID=server.added[0]))
    same(servers, lambda server: rpc.MemberRemoveRequest(ID=server.added[0]))
    same(servers, lambda server: rpc.MemberPromoteRequest(ID=server.added[0]))
    same(servers, rpc.MemberListRequest(linearizable=True))


def test_alarms_by_hand(servers):
    def alarm(action, member_id=None, kind=0):
        def make(server):
            chosen = server.own_id if member_id is None else member_id
            return rpc.AlarmRequest(action=action, memberID=chosen, alarm=kind)

        return make

    get, activate, deactivate = range(3)
    put = rpc.PutRequest(key=b"k", value=b"v")
    delete = rpc.DeleteRangeRequest(key=b"nothing")
    compact = rpc.CompactionRequest(revision=1)
    for step in (
        alarm(get),
        alarm(activate, kind=0),
        alarm(deactivate, kind=1),
        alarm(activate, kind=1),
        alarm(activate, kind=1),
        alarm(activate, 99, 1),
        alarm(get, 12345),
        alarm(get, kind=2),
        alarm(deactivate, 98, 1),
        alarm(deactivate, 99, 1),
    ):
        same(servers, step)
    assert same(servers, put).message == "etcdserver: mvcc: database space exceeded"
    same(servers, rpc.LeaseGrantRequest(ID=7, TTL=100))
    same(servers, delete)
    txn = rpc.TxnRequest(failure=[rpc.RequestOp(request_put=put)])
    same(servers, txn)
    same(servers, rpc.TxnRequest(success=[rpc.RequestOp(request_delete_range=delete)]))
    same(servers, alarm(activate, kind=2))
    for request in (put, delete, txn, compact):
        assert same(servers, request).code == Code.DATA_LOSS
    same(servers, rpc.RangeRequest(key=b"nothing"))
    same(servers, rpc.LeaseRevokeRequest(ID=7))
    for kind in (1, 2):
        same(servers, alarm(deactivate, kind=kind))
    assert "alarms" not in same(servers, alarm(get))


def test_a_full_keyspace_and_the_way_out(servers):
    big = rpc.PutRequest(key=b"big", value=b"x" * 100_000)
    full = rpc.AlarmRequest(alarm=1)
    for server in servers:
        taken, answer = 0, server.ask(big)
        while isinstance(answer, dict):
            time.sleep(0.02)  # both learn their size when they commit, ten times a second
            taken, answer = taken + 1, server.ask(big)
        assert answer == Failure(Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")
        assert 5 < taken < 30
        # What turns out too large when it is applied is refused before the alarm is raised.
        until(lambda server=server: "alarms" in server.ask(full))
    assert same(servers, full)["alarms"] == [(THIS, 1)]
    for server in servers:
        status = server.raw(rpc.StatusRequest())
        assert [" ".join(error.split()) for error in status.errors] == [
            f"memberID:{server.own_id} alarm:NOSPACE"
        ]
        revision = status.header.revision
        compact = rpc.CompactionRequest(revision=revision, physical=True)
        assert "has_header" in server.ask(compact)
        assert server.ask(rpc.DefragmentRequest()) == {"has_header": False}
        after = server.raw(rpc.StatusRequest())
        assert after.dbSize < status.dbSize / 3
        assert after.errors, "compaction and defragmentation alone do not disarm"
    small = rpc.PutRequest(key=b"small")
    assert same(servers, small).code == Code.RESOURCE_EXHAUSTED
    same(
        servers,
        lambda server: rpc.AlarmRequest(action=2, memberID=server.own_id, alarm=1),
    )
    assert same(servers, small)["has_header"]


def test_hashes_and_downgrades(servers):
    same(servers, rpc.HashKVRequest(revision=1_000_000))
    for server in servers:
        hashed = server.raw(rpc.HashRequest())
        assert hashed.header.revision
    for version in ("", "three", "3.9.0", "1.0.0"):
        request = rpc.DowngradeRequest(action=0, version=version)
        same(servers, request)
    same(servers, rpc.DowngradeRequest(action=7))


def test_a_downgrade_is_refused_here_and_changes_nothing(servers):
    """etcd's waits for members of an older version, and lets none of the current one start meanwhile."""
    ours = servers[1]
    before = ours.raw(rpc.StatusRequest())
    for action in (rpc.DowngradeRequest.VALIDATE, rpc.DowngradeRequest.ENABLE):
        answer = ours.ask(rpc.DowngradeRequest(action=action, version="3.6.0"))
        assert answer.code == Code.FAILED_PRECONDITION
        assert "no older version to go back to: save a snapshot" in answer.message
    cancel = rpc.DowngradeRequest(action=rpc.DowngradeRequest.CANCEL)
    assert ours.ask(cancel)["version"] == "3.7"  # 3.5 has an error for it, etcd since 3.6 has not
    after = ours.raw(rpc.StatusRequest())
    assert after.raftIndex == before.raftIndex
    assert after.HasField("downgradeInfo")
    assert not after.downgradeInfo.enabled
