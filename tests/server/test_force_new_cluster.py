"""--force-new-cluster: from the log and store of one member of three to a cluster of one."""

from random import Random

import pytest

from miniraft.mvcc.memory_store import MemoryStore
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.pb.rpc_pb2 import RangeRequest
from miniraft.raft.config import RaftConfig
from miniraft.raft.entry import Entry, EntryKind
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.config import MemberConfig
from miniraft.server.force_new_cluster import plan_new_cluster
from miniraft.server.membership import config_of, write_member
from miniraft.server.metastate import store_config, store_position
from miniraft.server.proposal import RequestKind, encode_proposal
from miniraft.server.restore import RestoreError, restore_member
from miniraft.server.service import MemberInfo
from miniraft.wal.interface import RecoveredLog, WalMetadata
from tests.server.harness import put

TERM = 4
START, APPLIED, COMMITTED = 10, 12, 14


def info(member_id, **changes):
    member = MemberInfo(member_id, f"n{member_id}", (f"http://n{member_id}:2380",), ("http://c:1",), False)
    return member._replace(**changes)


THREE = (info(1), info(2), info(3))


def store_of(members, applied=APPLIED):
    store = MemoryStore()
    for member in members:
        write_member(store, member)
    store_config(store, config_of(members))
    store_position(store, applied, TERM)
    return store


def key(index, term=TERM):
    data = encode_proposal(index, RequestKind.PUT, put(b"k%d" % index))
    return Entry(term, index, EntryKind.NORMAL, data)


def change(index, kind, member_id, **fields):
    data = ConfigChange(kind=kind, member_id=member_id, **fields).SerializeToString()
    return Entry(TERM, index, EntryKind.CONFIG_CHANGE, data)


def log_of(*entries, commit=COMMITTED, members=THREE, term=TERM):
    """The log of member 1, with keys where nothing else is given, up to entry 16."""
    given = {entry.index: entry for entry in entries}
    listed = [given.get(index) or key(index) for index in range(START + 1, max([16, *given]) + 1)]
    snapshot = SnapshotMetadata(START, TERM, config_of(members))
    return RecoveredLog(WalMetadata(9, 1), HardState(term, 3, commit), snapshot, listed)


def kinds(plan):
    changes = [ConfigChange.FromString(entry.data) for entry in plan.changes]
    return [(ConfigChange.Kind.Name(change.kind), change.member_id) for change in changes]


def carried_out(recovered, plan, store):
    """The member that starts with what was planned, its log replayed and itself elected."""
    last = plan.hard_state.commit + len(plan.changes)
    entries = [entry for entry in recovered.entries if entry.index <= plan.hard_state.commit]
    log = RecoveredLog(
        recovered.metadata,
        plan.hard_state._replace(commit=last),
        recovered.snapshot,
        [*entries, *plan.changes],
    )
    member = restore_member(MemberConfig(cluster_id=9, raft=RaftConfig(1)), log, store, Random(1), 1 << 40, 0)
    drain(member)
    assert member.applied_snapshot.index == last
    assert member.applied_snapshot.config == ConfigState((1,))
    member.raft.campaign()
    drain(member)
    assert member.raft.role == "leader"
    return member


def drain(member):
    """Everything is durable at once; nothing goes to anybody else."""
    replies = []
    while True:
        effects = member.drain()
        assert not effects.stop_reason
        replies += effects.replies
        if effects.persist is None:
            return replies
        member.persisted(effects.persist.sequence)


def key_count(member):
    return member.keyspace.range(RangeRequest(key=b"\0", range_end=b"\0")).count


def test_the_others_leave_and_the_end_of_the_log_stays():
    recovered, store = log_of(), store_of(THREE)
    plan = plan_new_cluster(recovered, store, 1)
    assert plan.hard_state == HardState(TERM + 1, 1, 16), "all 16 count as committed, 15 and 16 too"
    assert kinds(plan) == [("REMOVE", 2), ("REMOVE", 3)]
    assert [(entry.term, entry.index) for entry in plan.changes] == [(TERM + 1, 17), (TERM + 1, 18)]
    assert plan.others == THREE[1:]
    member = carried_out(recovered, plan, store)
    assert [(one.id, one.name, one.peer_urls) for one in member.members()] == [(1, "n1", ("http://n1:2380",))]
    assert key_count(member) == 4, "the entries from 13 to 16 were applied"
    assert member.cluster.is_removed(2)
    assert member.cluster.is_removed(3)
    member.propose("write", RequestKind.PUT, put(b"alone"), b"", 0)
    assert [reply.error for reply in drain(member)] == [None]


def test_planning_changes_nothing():
    store = store_of(THREE)
    before = [list(store.scan(bucket)) for bucket in store._buckets]
    plan_new_cluster(log_of(change(15, ConfigChange.REMOVE, 2)), store, 1)
    assert [list(store.scan(bucket)) for bucket in store._buckets] == before


def test_changes_that_are_only_in_the_log_count():
    """Entry 13 adds a member, 15 removes one, 16 would add one that was removed and is refused."""
    recovered = log_of(
        change(13, ConfigChange.ADD_LEARNER, 4, peer_urls=["http://n4:2380"]),
        change(15, ConfigChange.REMOVE, 2),
        change(16, ConfigChange.ADD_VOTER, 2, peer_urls=["http://n2:2380"]),
    )
    store = store_of(THREE)
    plan = plan_new_cluster(recovered, store, 1)
    assert kinds(plan) == [("REMOVE", 3), ("REMOVE", 4)]
    carried_out(recovered, plan, store)


def test_changes_already_applied_are_not_judged_again():
    """Entry 11 was refused, for member 3 was a learner then; today it would be taken."""
    recovered = log_of(
        change(11, ConfigChange.ADD_LEARNER, 4, peer_urls=["http://n4:2380"]),
        change(12, ConfigChange.PROMOTE, 3),
    )
    assert kinds(plan_new_cluster(recovered, store_of(THREE), 1)) == [("REMOVE", 2), ("REMOVE", 3)]


def test_a_learner_that_is_left_becomes_a_voter():
    members = (info(1, is_learner=True), info(2))
    recovered, store = log_of(members=members), store_of(members)
    plan = plan_new_cluster(recovered, store, 1)
    assert kinds(plan) == [("PROMOTE", 1), ("REMOVE", 2)]
    carried_out(recovered, plan, store)


def test_one_that_is_alone_already_is_left_as_it_is():
    plan = plan_new_cluster(log_of(members=THREE[:1]), store_of(THREE[:1]), 1)
    assert not plan.is_needed
    assert not plan.others


def test_one_whose_others_left_at_the_end_of_the_log_has_that_committed():
    """As a crash leaves it that came before the last change was committed."""
    recovered = log_of(change(15, ConfigChange.REMOVE, 2), change(16, ConfigChange.REMOVE, 3), commit=15)
    store = store_of(THREE)
    plan = plan_new_cluster(recovered, store, 1)
    assert plan.is_needed
    assert (plan.hard_state.commit, plan.changes) == (16, ())
    carried_out(recovered, plan, store)


def test_the_term_goes_beyond_everything_on_disk():
    assert plan_new_cluster(log_of(term=7), store_of(THREE), 1).hard_state.term == 8
    empty = RecoveredLog(WalMetadata(9, 1), HardState(2, 0, 0), SnapshotMetadata(12, 5, ConfigState(())), [])
    plan = plan_new_cluster(empty, store_of(THREE), 1)
    assert plan.hard_state == HardState(6, 1, 12)
    assert plan.changes[0].index == 13


def test_entries_that_a_snapshot_has_voided_are_not_brought_back():
    recovered = log_of()
    recovered.snapshot = SnapshotMetadata(START, TERM + 1, ConfigState((1, 2, 3)))
    plan = plan_new_cluster(recovered, store_of(THREE, applied=START), 1)
    assert plan.hard_state.commit == START
    assert plan.changes[0].index == START + 1


@pytest.mark.parametrize(
    ("members", "entries", "applied", "words"),
    [
        (THREE, [change(15, ConfigChange.REMOVE, 1)], APPLIED, "has been removed from its cluster"),
        (THREE[1:], [], APPLIED, "etcdutl-py snapshot restore"),
        (THREE, [], 17, "the keyspace holds log entry 17, but the log ends at entry 16"),
    ],
)
def test_what_cannot_be_is_refused_in_words(members, entries, applied, words):
    with pytest.raises((BootstrapError, RestoreError), match=words):
        plan_new_cluster(log_of(*entries), store_of(members, applied), 1)


def test_a_member_that_never_got_data_is_refused():
    nothing = RecoveredLog(WalMetadata(9, 1), HardState(0, 0, 0), SnapshotMetadata(0, 0, ConfigState(())), [])
    with pytest.raises(BootstrapError, match="never got any data"):
        plan_new_cluster(nothing, MemoryStore(), 1)
