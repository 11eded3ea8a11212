from random import Random

import pytest

from miniraft.mvcc.memory_store import MemoryStore
from miniraft.mvcc.store import Bucket
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.raft.config import RaftConfig
from miniraft.raft.entry import Entry
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from miniraft.server.config import MemberConfig
from miniraft.server.metastate import load_position, store_config, store_position
from miniraft.server.proposal import RequestKind, encode_proposal
from miniraft.server.restore import RestoreError, needs_received_snapshot, restore_member
from miniraft.wal.interface import RecoveredLog, WalMetadata
from tests.server.harness import Node, Wired, joiner_log, make_config, put

CONFIG = ConfigState((1, 2, 3))
MEMBER = MemberConfig(cluster_id=9, raft=RaftConfig(1))


def log_of(start, last, commit=None):
    entries = [
        Entry(2, index, 0, encode_proposal(index, RequestKind.PUT, put(b"k%d" % index)))
        for index in range(start + 1, last + 1)
    ]
    hard_state = HardState(2, 1, start if commit is None else commit)
    return RecoveredLog(WalMetadata(9, 1), hard_state, SnapshotMetadata(start, 2, CONFIG), entries)


def store_at(applied):
    store = MemoryStore()
    store_config(store, CONFIG)
    store_position(store, applied, 2)
    return store


def restore(log, store, config=MEMBER):
    return restore_member(config, log, store, Random(1), 1, 0)


@pytest.mark.parametrize("applied", [10, 15, 20])
def test_a_store_within_the_log_is_taken_up(applied):
    member = restore(log_of(10, 20, commit=applied), store_at(applied))
    assert member.applied_snapshot == SnapshotMetadata(applied, 2, CONFIG)
    assert (member.raft.first_index, member.raft.last_index) == (11, 20)
    assert member.raft.config == CONFIG


def test_what_is_committed_and_not_applied_is_applied():
    member = restore(log_of(10, 20, commit=18), store_at(15))
    member.drain()
    assert member.applied_snapshot.index == 18
    assert member.keyspace.revision == 4
    assert load_position(member.store).index == 18


def test_store_behind_the_log_is_refused():
    with pytest.raises(RestoreError) as caught:
        restore(log_of(10, 20), store_at(9))
    text = str(caught.value)
    assert "the keyspace ends at log entry 9" in text
    assert "begins only after entry 10" in text
    assert "etcdctl member remove" in text
    assert needs_received_snapshot(log_of(10, 20), store_at(9))
    assert not needs_received_snapshot(log_of(10, 20), store_at(10))


def test_store_ahead_of_the_log_is_refused():
    with pytest.raises(RestoreError) as caught:
        restore(log_of(10, 20), store_at(21))
    text = str(caught.value)
    assert "holds log entry 21" in text
    assert "ends at entry 20" in text
    assert "must not take part" in text


def test_another_members_log_is_refused():
    other = MemberConfig(cluster_id=9, raft=RaftConfig(0xAB))
    with pytest.raises(RestoreError, match="belongs to member 1 of cluster 9, not to member ab of cluster 9"):
        restore(log_of(10, 20), store_at(10), other)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [(b"consistent_index", b"x", "consistent_index"), (b"confState", b"{]", "confState")],
)
def test_damaged_position_is_named(key, value, said):
    store = store_at(10)
    store.put(Bucket.META, key, value)
    with pytest.raises(ValueError, match=said):
        load_position(store)


def test_position_is_kept_under_etcds_names():
    store = store_at(258)
    assert store.get(Bucket.META, b"consistent_index") == bytes.fromhex("0000000000000102")
    assert store.get(Bucket.META, b"term") == bytes.fromhex("0000000000000002")
    assert store.get(Bucket.META, b"confState") == b'{"voters":[1,2,3],"auto_leave":false}'


def test_a_member_that_joins_gets_everything_by_a_snapshot():
    cluster = Wired(3)
    leader = cluster.elect()
    leader.put("before", value=b"old")
    cluster.pump()
    change = ConfigChange(kind=ConfigChange.ADD_LEARNER, member_id=77, peer_urls=["http://new:2380"])
    leader.member.propose_config_change("add", change.SerializeToString(), cluster.now_ms)
    cluster.pump()
    leader.commit_store()
    joiner = join(cluster, leader)
    cluster.tick(15)
    assert any(effects.install_snapshot for effects in joiner.effects)
    assert joiner.member.is_learner
    cluster.tick(5)  # it publishes itself
    assert [member.name for member in leader.member.members() if member.id == 77] == ["new"]
    assert joiner.member.applied_snapshot == leader.member.applied_snapshot
    assert joiner.member.keyspace.hash_kv(0) == leader.member.keyspace.hash_kv(0)
    assert joiner.member.members() == leader.member.members()


def join(cluster, leader):
    first = leader.first._replace(member_id=77)
    joiner = Node(first, "new", 9)
    joiner.store = MemoryStore()
    config = make_config(first, "new")
    joiner.member = restore_member(config, joiner_log(first), joiner.store, Random(9), 9 << 48, 0)
    joiner.member.cluster.assume(leader.member.members())
    cluster.nodes.append(joiner)
    cluster.by_id[77] = joiner
    return joiner
