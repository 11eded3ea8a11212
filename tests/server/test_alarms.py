"""Alarms and the quota: what they refuse, how they are kept, who raises them."""

import pytest

from miniraft import errors
from miniraft.mvcc.store import Bucket
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.pb.rpc_pb2 import (
    AlarmMember,
    AlarmRequest,
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    PutRequest,
    RequestOp,
    TxnRequest,
)
from miniraft.server.alarms import CORRUPT, NOSPACE, Alarm, Alarms, space_cost
from miniraft.server.limits import Limits
from miniraft.server.notes import AlarmChanged, MembersChanged
from miniraft.server.proposal import RequestKind
from tests.server.harness import Wired, put
from tests.support.dict_store import DictStore

PUT_TXN = TxnRequest(failure=[RequestOp(request_put=PutRequest(key=b"k"))]).SerializeToString()
DELETE = DeleteRangeRequest(key=b"k").SerializeToString()
DELETE_TXN = TxnRequest(
    success=[RequestOp(request_delete_range=DeleteRangeRequest(key=b"k"))]
).SerializeToString()
COMPACT = CompactionRequest(revision=2).SerializeToString()
GRANT = LeaseGrantRequest(ID=5, TTL=10).SerializeToString()


def request(action, member_id=7, alarm=NOSPACE):
    return AlarmRequest(action=action, memberID=member_id, alarm=alarm)


def test_alarms_are_kept_in_etcds_form_and_read_back():
    store = DictStore()
    alarms = Alarms(store)
    assert alarms.apply(store, request(AlarmRequest.ACTIVATE)) == [Alarm(7, NOSPACE)]
    assert alarms.apply(store, request(AlarmRequest.ACTIVATE, 9, CORRUPT)) == [Alarm(9, CORRUPT)]
    stored = dict(store.scan(Bucket.ALARM))
    assert stored == {
        AlarmMember(memberID=7, alarm=1).SerializeToString(): b"",
        AlarmMember(memberID=9, alarm=2).SerializeToString(): b"",
    }
    assert Alarms(store).all() == (Alarm(7, NOSPACE), Alarm(9, CORRUPT))


def test_get_filters_by_type_and_not_by_member():
    store = DictStore()
    alarms = Alarms(store)
    alarms.apply(store, request(AlarmRequest.ACTIVATE))
    alarms.apply(store, request(AlarmRequest.ACTIVATE, 9, CORRUPT))
    assert len(alarms.apply(store, request(AlarmRequest.GET, 1234, 0))) == 2
    assert alarms.apply(store, request(AlarmRequest.GET, 1234, CORRUPT)) == [Alarm(9, CORRUPT)]


def test_disarming_needs_member_and_type_and_raising_none_does_nothing():
    store = DictStore()
    alarms = Alarms(store)
    assert alarms.apply(store, request(AlarmRequest.ACTIVATE, 7, 0)) == []
    alarms.apply(store, request(AlarmRequest.ACTIVATE))
    assert alarms.apply(store, request(AlarmRequest.DEACTIVATE, 8)) == []
    assert alarms.apply(store, request(AlarmRequest.DEACTIVATE, 7, CORRUPT)) == []
    assert alarms.any
    assert alarms.apply(store, request(AlarmRequest.DEACTIVATE)) == [Alarm(7, NOSPACE)]
    assert not alarms.any
    assert list(store.scan(Bucket.ALARM)) == []


def test_an_alarm_that_cannot_be_read_is_named():
    store = DictStore()
    store.put(Bucket.ALARM, b"\xff\xff", b"")
    with pytest.raises(ValueError, match="an alarm in the store cannot be read"):
        Alarms(store)


@pytest.mark.parametrize(
    ("kind", "raw", "cost"),
    [
        (RequestKind.PUT, put(b"key", b"value"), 256 + 8),
        (RequestKind.TXN, PUT_TXN, 257),
        (RequestKind.TXN, DELETE_TXN, 0),
        (RequestKind.DELETE_RANGE, DELETE, 0),
        (RequestKind.LEASE_GRANT, GRANT, 64),
        (RequestKind.COMPACT, COMPACT, 0),
    ],
)
def test_what_takes_space(kind, raw, cost):
    assert space_cost(kind, raw) == cost


class Proposing:
    """A cluster of one whose proposals are answered at once."""

    def __init__(self, **settings):
        self.cluster = Wired(1, **settings)
        self.node = self.cluster.elect()
        self.count = 0

    def __call__(self, kind, raw):
        """Returns the error, or None."""
        self.count += 1
        self.node.member.propose(self.count, kind, raw, b"", self.cluster.now_ms)
        self.cluster.pump()
        return self.node.answers.error(self.count)

    def alarm(self, action, alarm):
        raw = request(action, self.node.member.member_id, alarm).SerializeToString()
        assert self(RequestKind.ALARM, raw) is None


def test_nospace_refuses_what_takes_space_and_nothing_else():
    propose = Proposing()
    propose(RequestKind.PUT, put(b"k"))
    propose.alarm(AlarmRequest.ACTIVATE, NOSPACE)
    for kind, raw in (
        (RequestKind.PUT, put(b"k")),
        (RequestKind.TXN, PUT_TXN),
        (RequestKind.LEASE_GRANT, GRANT),
    ):
        assert propose(kind, raw).message == errors.NO_SPACE.message
    for kind, raw in (
        (RequestKind.TXN, DELETE_TXN),
        (RequestKind.DELETE_RANGE, DELETE),
        (RequestKind.COMPACT, COMPACT),
    ):
        assert propose(kind, raw) is None
    propose.alarm(AlarmRequest.DEACTIVATE, NOSPACE)
    assert propose(RequestKind.PUT, put(b"k")) is None


def test_corrupt_refuses_every_write_and_comes_before_nospace():
    propose = Proposing()
    propose.alarm(AlarmRequest.ACTIVATE, NOSPACE)
    propose.alarm(AlarmRequest.ACTIVATE, CORRUPT)
    for kind, raw in (
        (RequestKind.PUT, put(b"k")),
        (RequestKind.TXN, DELETE_TXN),
        (RequestKind.DELETE_RANGE, DELETE),
        (RequestKind.COMPACT, COMPACT),
        (RequestKind.LEASE_GRANT, GRANT),
    ):
        assert propose(kind, raw).message == errors.CORRUPT_CLUSTER.message
    propose.alarm(AlarmRequest.DEACTIVATE, CORRUPT)
    assert propose(RequestKind.PUT, put(b"k")).message == errors.NO_SPACE.message


def test_status_names_the_alarms():
    propose = Proposing()
    propose.alarm(AlarmRequest.ACTIVATE, NOSPACE)
    own_id = propose.node.member.member_id
    assert propose.node.member.status().errors == (f"memberID:{own_id} alarm:NOSPACE",)


def test_a_write_beyond_the_quota_at_apply_stands_and_raises_the_alarm():
    """The check before the proposal is the API's; entries under way when the store fills up come here."""
    propose = Proposing(limits=Limits(quota_backend_bytes=2000))
    while propose(RequestKind.PUT, put(b"k%d" % propose.count, b"v" * 100)) is None:
        propose.node.commit_store()
    refused = propose.count
    found = propose.node.member.keyspace.key_count
    assert propose.node.answers.error(refused).message == errors.NO_SPACE.message
    assert found == refused, "the write that was answered with an error was not kept"
    propose.cluster.tick()
    own = Alarm(propose.node.member.member_id, NOSPACE)
    assert propose.node.member.alarms.all() == (own,)
    notes = [note for effects in propose.node.effects for note in effects.notes]
    assert AlarmChanged(own, is_raised=True) in notes
    # Raised again after it was disarmed without making room.
    propose.alarm(AlarmRequest.DEACTIVATE, NOSPACE)
    propose.cluster.tick()
    assert not propose.node.member.alarms.any
    assert propose(RequestKind.PUT, put(b"again")).message == errors.NO_SPACE.message
    propose.cluster.tick()
    assert propose.node.member.alarms.any


def test_alarms_reach_every_member_and_survive_a_snapshot():
    cluster = Wired(3, snapshot_count=5, catchup_entries=1)
    leader = cluster.elect()
    late = cluster.nodes[2]
    cluster.down.add(late)
    raised = request(AlarmRequest.ACTIVATE, 7).SerializeToString()
    leader.member.propose("alarm", RequestKind.ALARM, raised, b"", cluster.now_ms)
    cluster.pump()
    for number in range(20):
        leader.member.propose(number, RequestKind.DELETE_RANGE, DELETE, b"", cluster.now_ms)
        cluster.pump()
        leader.commit_store()
    cluster.down.clear()
    cluster.tick(5)
    assert late.member.alarms.all() == (Alarm(7, NOSPACE),)
    late.put("refused", now_ms=cluster.now_ms)
    cluster.tick(2)
    assert late.answers.error("refused").message == errors.NO_SPACE.message


def test_a_change_of_members_is_noted_with_before_and_after():
    cluster = Wired(3)
    leader = cluster.elect()
    change = ConfigChange(kind=ConfigChange.ADD_VOTER, member_id=77, peer_urls=["http://n4:2380"])
    leader.member.propose_config_change("add", change.SerializeToString(), cluster.now_ms)
    cluster.pump()
    (note,) = [
        note for effects in leader.effects for note in effects.notes if isinstance(note, MembersChanged)
    ]
    assert (len(note.before), len(note.after), note.member.id) == (3, 4, 77)
