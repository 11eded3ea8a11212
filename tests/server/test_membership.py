import json

import pytest

from miniraft import errors
from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import Bucket
from miniraft.pb.log_pb2 import ConfigChange, PublishMember
from miniraft.server.membership import Cluster, config_of, decode_member, write_member
from miniraft.server.service import MemberInfo

ONE = MemberInfo(1, "one", ("http://one:2380",), ("http://one:2379",), False)
TWO = MemberInfo(2, "two", ("http://two:2380",), (), False)
LEARNER = MemberInfo(3, "", ("http://three:2380",), (), True)


def cluster_of(*members, max_learners=1):
    store = MemoryStore()
    for member in members:
        write_member(store, member)
    return Cluster(store, max_learners), store


def change(kind, member_id, *urls):
    return ConfigChange(kind=kind, member_id=member_id, peer_urls=urls)


def test_members_are_stored_as_etcd_stores_them():
    _, store = cluster_of(ONE, LEARNER)
    assert json.loads(store.get(Bucket.MEMBERS, b"1")) == {
        "id": 1,
        "peerURLs": ["http://one:2380"],
        "name": "one",
        "clientURLs": ["http://one:2379"],
    }
    assert json.loads(store.get(Bucket.MEMBERS, b"3")) == {
        "id": 3,
        "peerURLs": ["http://three:2380"],
        "isLearner": True,
    }


@pytest.mark.parametrize("member", [ONE, TWO, LEARNER, ONE._replace(id=(1 << 64) - 1, name="ünïcode")])
def test_members_come_back_as_they_were(member):
    cluster, _ = cluster_of(member)
    assert cluster.members() == (member,)


def test_changes_survive_a_restart():
    cluster, store = cluster_of(ONE, TWO)
    cluster.apply(store, change(ConfigChange.ADD_LEARNER, 3, "http://three:2380"))
    cluster.apply(store, change(ConfigChange.PROMOTE, 3))
    cluster.apply(store, change(ConfigChange.UPDATE, 1, "http://new:2380"))
    cluster.apply(store, change(ConfigChange.REMOVE, 2))
    cluster.publish(store, PublishMember(member_id=3, name="three", client_urls=["http://three:2379"]))
    cluster.set_version(store, "3.7.0")
    again = Cluster(store)
    for seen in (cluster, again):
        assert seen.members() == (
            ONE._replace(peer_urls=("http://new:2380",)),
            MemberInfo(3, "three", ("http://three:2380",), ("http://three:2379",), False),
        )
        assert seen.is_removed(2)
        assert seen.version == "3.7.0"
    assert store.get(Bucket.MEMBERS_REMOVED, b"2") == b"removed"
    assert store.get(Bucket.CLUSTER, b"clusterVersion") == b"3.7.0"


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (
            change(ConfigChange.ADD_VOTER, 9, "http://one:2380"),
            errors.MEMBER_NOT_FOUND,
        ),  # removed comes first
        (change(ConfigChange.REMOVE, 9), errors.MEMBER_NOT_FOUND),
        (change(ConfigChange.PROMOTE, 9), errors.MEMBER_NOT_FOUND),
        (change(ConfigChange.ADD_VOTER, 1, "http://one:2380"), errors.MEMBER_ID_EXISTS),
        (change(ConfigChange.ADD_VOTER, 7, "http://x:1", "http://two:2380"), errors.PEER_URLS_EXIST),
        (change(ConfigChange.ADD_LEARNER, 7, "http://one:2380"), errors.PEER_URLS_EXIST),
        (change(ConfigChange.ADD_LEARNER, 7, "http://x:1"), errors.TOO_MANY_LEARNERS),
        (change(ConfigChange.REMOVE, 7), errors.MEMBER_NOT_FOUND),
        (change(ConfigChange.UPDATE, 7, "http://x:1"), errors.MEMBER_NOT_FOUND),
        (change(ConfigChange.UPDATE, 1, "http://two:2380"), errors.PEER_URLS_EXIST),
        (change(ConfigChange.PROMOTE, 7), errors.MEMBER_NOT_FOUND),
        (change(ConfigChange.PROMOTE, 1), errors.LEARNERS_ONLY_PROMOTED),
    ],
)
def test_refused_changes_change_nothing(refused, error):
    cluster, store = cluster_of(ONE, TWO, LEARNER, MemberInfo(9, "", ("http://nine:1",), (), False))
    cluster.apply(store, change(ConfigChange.REMOVE, 9))
    before = cluster.members(), list(store.scan(Bucket.MEMBERS))
    with pytest.raises(errors.EtcdError) as caught:
        cluster.apply(store, refused)
    assert (caught.value.code, caught.value.message) == (error.code, error.message)
    assert (cluster.members(), list(store.scan(Bucket.MEMBERS))) == before


def test_own_urls_are_no_conflict():
    cluster, store = cluster_of(ONE, TWO)
    cluster.apply(store, change(ConfigChange.UPDATE, 1, "http://one:2380", "http://more:2380"))
    assert cluster.member(1).peer_urls == ("http://one:2380", "http://more:2380")


def test_more_learners_where_allowed():
    cluster, store = cluster_of(ONE, LEARNER, max_learners=2)
    cluster.apply(store, change(ConfigChange.ADD_LEARNER, 7, "http://x:1"))
    assert config_of(cluster.members()) == ((1,), (3, 7))


def test_publishing_again_or_for_a_stranger_is_no_news():
    cluster, store = cluster_of(ONE)
    same = PublishMember(member_id=1, name="one", client_urls=["http://one:2379"])
    assert not cluster.publish(store, same)
    assert not cluster.publish(store, PublishMember(member_id=5, name="five"))
    assert cluster.members() == (ONE,)


def test_a_joining_member_is_told_the_others_addresses_in_memory_only():
    cluster, store = cluster_of()
    cluster.assume([TWO, ONE])
    assert cluster.members() == (ONE, TWO)
    assert list(store.scan(Bucket.MEMBERS)) == []
    with pytest.raises(RuntimeError, match="only changes through the log"):
        cluster.assume([ONE])
    write_member(store, LEARNER)
    cluster.reload(store)
    assert cluster.members() == (LEARNER,)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"name":"x"}', b'{"id":"x"}'])
def test_a_damaged_member_is_named(value):
    with pytest.raises(ValueError, match="a member in the store cannot be read"):
        decode_member(value)
