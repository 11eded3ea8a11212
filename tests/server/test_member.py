from random import Random

import pytest

from miniraft import errors
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.pb.rpc_pb2 import CompactionRequest, LeaseRevokeRequest, PutRequest, RangeRequest, TxnRequest
from miniraft.raft.interface import ProposalDropped
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.state import HardState
from miniraft.server.limits import Limits
from miniraft.server.member import REMOVED
from miniraft.server.metastate import load_position
from miniraft.server.proposal import RequestKind, encode_proposal
from miniraft.server.restore import restore_member
from miniraft.version import CLUSTER_VERSION
from miniraft.wal.interface import RecoveredLog, WalMetadata
from tests.server.harness import TICK_MS, Wired, put

TIMEOUT_MS = 5000 + 2 * 1000
TICKS_TO_TIMEOUT = TIMEOUT_MS // TICK_MS


def value_of(node, key=b"k"):
    kvs = node.member.keyspace.range(RangeRequest(key=key)).kvs
    return kvs[0] if kvs else None


# Writes ------------------------------------------------------------------------------------
def test_single_member_leads_at_once_and_answers_a_put():
    cluster = Wired(1)
    node = cluster.nodes[0]
    node.put("a")
    cluster.pump()
    assert node.member.raft.role == "leader"
    assert node.answers.result("a").revision == 2


def test_put_at_a_follower_is_forwarded_and_answered_there_only():
    cluster = Wired(3)
    cluster.elect()
    follower = cluster.nodes[1]
    follower.put("a")
    cluster.pump()
    assert follower.answers.result("a").revision == 2
    assert all("a" not in node.answers.replies for node in cluster.nodes if node is not follower)
    cluster.tick()  # the others learn the commit
    assert {node.member.keyspace.revision for node in cluster.nodes} == {2}


def test_put_is_not_answered_before_it_is_durable_on_a_majority():
    cluster = Wired(3)
    leader = cluster.elect()
    for node in cluster.nodes[1:]:
        node.hold_log = True
    leader.put("a")
    cluster.pump()
    cluster.tick(3)
    assert "a" not in leader.answers.replies
    cluster.release(cluster.nodes[2])
    assert leader.answers.result("a").revision == 2


def test_committed_put_is_not_applied_before_the_own_disk_has_it():
    cluster = Wired(3)
    leader = cluster.elect()
    leader.hold_log = True
    leader.put("a")
    cluster.pump()
    assert leader.member.raft.committed > leader.member.raft.applied
    assert "a" not in leader.answers.replies
    cluster.release(leader)
    assert leader.answers.result("a").revision == 2


def test_put_waits_for_an_election_and_is_then_taken():
    cluster = Wired(3)
    node = cluster.nodes[2]
    node.put("a")
    cluster.pump()
    assert "a" not in node.answers.replies
    cluster.elect()
    assert node.answers.result("a").revision == 2


def test_all_writes_of_one_drain_make_one_record():
    cluster = Wired(1)
    cluster.pump()
    node = cluster.nodes[0]
    for number in range(100):
        node.put(number)
    node.effects.clear()
    cluster.pump()
    records = [effects.persist for effects in node.effects if effects.persist is not None]
    assert [len(record.entries) for record in records] == [100]
    assert [node.answers.result(number).revision for number in range(100)] == list(range(2, 102))


def test_without_a_leader_a_put_ends_with_deadline_exceeded():
    cluster = Wired(3)
    cluster.down.update(cluster.nodes)
    node = cluster.nodes[0]
    node.put("a")
    cluster.tick(TICKS_TO_TIMEOUT - 1)
    assert "a" not in node.answers.replies
    cluster.tick(1)
    assert node.answers.error("a") == errors.DEADLINE_EXCEEDED


def test_put_that_ended_without_leader_is_not_proposed_later():
    cluster = Wired(3)
    cluster.down.update(cluster.nodes)
    node = cluster.nodes[0]
    node.put("a")
    cluster.tick(TICKS_TO_TIMEOUT)
    cluster.down.clear()
    cluster.elect()
    cluster.tick(3)
    assert value_of(node) is None


def test_forwarded_put_that_is_lost_times_out_and_is_never_proposed_again():
    cluster = Wired(3)
    cluster.elect()
    follower = cluster.nodes[1]
    cluster.tick(30)  # so that the election is not to blame
    lost = []
    cluster.lose = lambda message: message.kind == MessageKind.PROPOSE and not lost.append(message)
    follower.put("a", now_ms=cluster.now_ms)
    cluster.tick(TICKS_TO_TIMEOUT)
    assert len(lost) == 1
    assert follower.answers.error("a") == errors.TIMED_OUT


def test_timeout_around_a_change_of_leader_names_it():
    cluster = Wired(3)
    leader = cluster.elect()
    follower, successor = cluster.nodes[1:]
    cluster.tick(30)
    cluster.lose = lambda message: message.kind == MessageKind.PROPOSE
    follower.put("a", now_ms=cluster.now_ms)
    cluster.tick(5)
    leader.member.raft.transfer_leadership(successor.member.member_id)
    cluster.tick(TICKS_TO_TIMEOUT)
    assert successor.member.raft.role == "leader"
    assert follower.answers.error("a") == errors.TIMED_OUT_LEADER_FAILURE


def test_timeout_after_messages_to_the_leader_were_lost():
    cluster = Wired(3)
    leader = cluster.elect()
    cluster.tick(30)
    follower = cluster.nodes[1]
    cluster.lose = lambda message: message.kind == MessageKind.PROPOSE
    follower.put("a", now_ms=cluster.now_ms)
    cluster.pump()
    follower.member.report_unreachable(leader.member.member_id)
    cluster.tick(TICKS_TO_TIMEOUT)
    assert follower.answers.error("a") == errors.TIMED_OUT_CONNECTION_LOST


def test_too_large_and_too_many():
    cluster = Wired(3, limits=Limits(max_request_bytes=100, max_unapplied_entries=2))
    leader = cluster.elect()
    leader.put("large", value=b"x" * 100)
    cluster.pump()
    assert leader.answers.error("large") == errors.REQUEST_TOO_LARGE
    leader.hold_log = True  # the others commit what this one may not apply yet
    for number in range(4):
        leader.put(number)
    cluster.pump()
    assert leader.member.raft.committed - leader.member.raft.applied > 2
    leader.put("many")
    cluster.pump()
    assert leader.answers.error("many") == errors.TOO_MANY_REQUESTS


@pytest.mark.parametrize("prefers", [False, True])
def test_revocations_may_come_where_other_requests_are_too_many(prefers):
    """Feature gate PriorityRequest. A change of membership may always come."""
    cluster = Wired(3, limits=Limits(max_unapplied_entries=2), prefers_revocations=prefers)
    leader = cluster.elect()
    leader.hold_log = True
    revoke = LeaseRevokeRequest(ID=7).SerializeToString()
    for number in range(3):
        leader.put(number)
    cluster.pump()
    assert leader.member.raft.committed - leader.member.raft.applied == 3

    leader.put("put")
    leader.member.propose("revoke", RequestKind.LEASE_REVOKE, revoke, b"", cluster.now_ms)
    cluster.pump()
    assert leader.answers.error("put") == errors.TOO_MANY_REQUESTS
    assert ("revoke" in leader.answers.replies) is not prefers
    change = ConfigChange(kind=ConfigChange.UPDATE, member_id=77).SerializeToString()
    leader.member.propose_config_change("change", change, cluster.now_ms)
    cluster.pump()
    assert "change" not in leader.answers.replies
    leader.member.propose("too late", RequestKind.LEASE_REVOKE, revoke, b"", cluster.now_ms)
    cluster.pump()
    assert leader.answers.error("too late") == errors.TOO_MANY_REQUESTS, "twice as much is the limit"

    cluster.release(leader)
    cluster.tick()
    assert leader.answers.error("change").message == errors.MEMBER_NOT_FOUND.message
    expected = errors.LEASE_NOT_FOUND if prefers else errors.TOO_MANY_REQUESTS
    assert leader.answers.error("revoke").message == expected.message


def test_what_waits_for_a_leader_is_bounded():
    cluster = Wired(3, max_buffered_bytes=1000)
    node = cluster.nodes[0]
    for number in range(20):
        node.put(number, value=b"x" * 100)
    cluster.pump()
    refused = [number for number in range(20) if number in node.answers.replies]
    assert 0 < len(refused) < 20
    assert {node.answers.error(number) for number in refused} == {errors.TOO_MANY_REQUESTS}


def test_a_put_that_raft_drops_during_a_transfer_is_offered_again():
    cluster = Wired(3)
    leader, target = cluster.elect(), cluster.nodes[1]
    cluster.lose = lambda message: message.kind == MessageKind.TIMEOUT_NOW
    leader.member.transfer_leadership("move", target.member.member_id, cluster.now_ms)
    with pytest.raises(ProposalDropped):
        leader.member.raft.propose([b""])
    leader.put("a", now_ms=cluster.now_ms)
    cluster.pump()
    assert "a" not in leader.answers.replies
    cluster.tick(15)  # the transfer is given up
    assert leader.answers.result("a").revision == 2


def test_errors_of_apply_are_answers():
    cluster = Wired(1)
    node = cluster.nodes[0]
    request = PutRequest(key=b"missing", ignore_value=True).SerializeToString()
    node.member.propose("a", RequestKind.PUT, request, b"", 0)
    node.member.propose("b", RequestKind.TXN, TxnRequest().SerializeToString(), b"", 0)
    cluster.pump()
    assert node.answers.error("a").message == errors.KEY_NOT_FOUND.message
    assert node.answers.result("b").succeeded
    assert node.member.keyspace.revision == 1


# Reads -------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [0, 1])
def test_linearizable_read_sees_what_was_acknowledged_elsewhere(number):
    cluster = Wired(3)
    leader = cluster.elect()
    reader = cluster.nodes[number]
    cluster.lose = lambda message: message.receiver == reader.member.member_id
    leader.put("a", value=b"new")
    if reader is not leader:
        cluster.pump()
        assert leader.answers.result("a").revision == 2
        assert reader.member.keyspace.revision == 1
    reader.member.read_index("read", cluster.now_ms)
    cluster.pump()
    assert "read" not in reader.answers.replies
    cluster.lose = lambda message: False
    cluster.tick(8)
    assert reader.answers.result("read") is None
    assert reader.member.keyspace.revision == 2


def test_many_reads_share_one_round():
    cluster = Wired(3)
    cluster.elect()
    follower = cluster.nodes[1]
    asked = []
    cluster.lose = lambda message: message.kind == MessageKind.READ_INDEX and bool(asked.append(message))
    for number in range(50):
        follower.member.read_index(number, cluster.now_ms)
    cluster.pump()
    assert len(asked) == 1
    assert all(follower.answers.error(number) is None for number in range(50))


def test_read_whose_question_is_lost_is_asked_again():
    cluster = Wired(3)
    cluster.elect()
    follower = cluster.nodes[1]
    cluster.lose = lambda message: message.kind == MessageKind.READ_INDEX
    follower.member.read_index("a", cluster.now_ms)
    cluster.pump()
    cluster.lose = lambda message: False
    cluster.tick(4)
    assert "a" not in follower.answers.replies
    cluster.tick(8)
    assert follower.answers.error("a") is None


def test_read_without_leader_times_out():
    cluster = Wired(3)
    cluster.down.update(cluster.nodes)
    node = cluster.nodes[0]
    node.member.read_index("a", 0)
    cluster.tick(TICKS_TO_TIMEOUT)
    assert node.answers.error("a") == errors.TIMED_OUT


def test_read_that_waited_for_an_election_is_served_by_the_new_leader():
    cluster = Wired(3)
    node = cluster.nodes[1]
    node.member.read_index("a", 0)
    cluster.pump()
    cluster.elect()
    assert node.answers.result("a") is None


def test_read_asked_of_a_leader_that_is_replaced_fails():
    cluster = Wired(3)
    leader = cluster.elect()
    other = cluster.nodes[1]
    cluster.lose = lambda message: message.kind == MessageKind.READ_INDEX
    other.member.read_index("a", cluster.now_ms)
    cluster.pump()
    cluster.down.add(leader)
    for _ in range(60):
        cluster.tick(1)
        if "a" in other.answers.replies:
            break
    assert other.answers.error("a") == errors.LEADER_CHANGED


# Leadership --------------------------------------------------------------------------------
def test_leadership_moves_and_the_request_is_answered():
    cluster = Wired(3)
    leader, target = cluster.elect(), cluster.nodes[2]
    leader.member.transfer_leadership("move", target.member.member_id, cluster.now_ms)
    cluster.pump()
    assert target.member.raft.role == "leader"
    assert leader.answers.result("move") is None


def test_leadership_transfer_refusals():
    cluster = Wired(3)
    leader = cluster.elect()
    own = leader.member.member_id
    cluster.nodes[1].member.transfer_leadership("not here", own, 0)
    leader.member.transfer_leadership("unknown", 12345, 0)
    leader.member.transfer_leadership("itself", own, 0)
    cluster.pump()
    assert cluster.nodes[1].answers.error("not here") == errors.NOT_LEADER
    assert leader.answers.error("unknown") == errors.BAD_LEADER_TRANSFEREE
    assert leader.answers.error("itself") is None


def test_leadership_transfer_times_out():
    cluster = Wired(3)
    leader = cluster.elect()
    cluster.lose = lambda message: message.kind == MessageKind.TIMEOUT_NOW
    leader.member.transfer_leadership("move", cluster.nodes[1].member.member_id, cluster.now_ms)
    cluster.tick(TICKS_TO_TIMEOUT)
    assert leader.answers.error("move") == errors.TRANSFER_TIMED_OUT


# Membership and housekeeping ---------------------------------------------------------------
def test_members_publish_themselves_and_agree_on_a_version():
    cluster = Wired(3)
    cluster.elect()
    cluster.tick(3)
    for node in cluster.nodes:
        assert node.member.cluster_version == CLUSTER_VERSION
        assert [member.client_urls for member in node.member.members()] == [
            (f"http://{member.name}:2379",) for member in node.member.members()
        ]


def add_learner(cluster, leader, member_id=77):
    change = ConfigChange(
        kind=ConfigChange.ADD_LEARNER, member_id=member_id, peer_urls=[f"http://x{member_id}:2380"]
    )
    leader.member.propose_config_change(f"add {member_id}", change.SerializeToString(), cluster.now_ms)
    cluster.pump()
    return f"add {member_id}"


def test_membership_change_is_answered_with_the_members():
    cluster = Wired(3)
    leader = cluster.elect()
    handle = add_learner(cluster, leader)
    members = leader.answers.result(handle)
    assert [member.id for member in members] == sorted([77, *cluster.by_id])
    assert leader.member.raft.config.learners == (77,)
    assert any(effects.membership_changed for effects in leader.effects)
    assert load_position(leader.store).config.learners == (77,)


def test_refused_membership_change_does_not_block_the_next():
    cluster = Wired(3)
    leader = cluster.elect()
    add_learner(cluster, leader)
    refused = add_learner(cluster, leader, 78)
    assert leader.answers.error(refused).message == errors.TOO_MANY_LEARNERS.message
    assert 78 not in leader.member.raft.config.learners
    remove = ConfigChange(kind=ConfigChange.REMOVE, member_id=77).SerializeToString()
    leader.member.propose_config_change("remove", remove, cluster.now_ms)
    cluster.pump()
    assert leader.answers.error("remove") is None
    assert leader.member.raft.config.learners == ()


@pytest.mark.parametrize("number", [0, 1])
def test_removed_member_stops_after_the_others_know(number):
    cluster = Wired(3)
    leader = cluster.elect()
    gone = cluster.nodes[number]
    change = ConfigChange(kind=ConfigChange.REMOVE, member_id=gone.member.member_id)
    leader.member.propose_config_change("remove", change.SerializeToString(), cluster.now_ms)
    cluster.pump()
    assert leader.answers.error("remove") is None
    assert not gone.stopped
    cluster.tick(11 if number else 51)  # a leader stays longer: its successor may need its vote
    assert gone.stopped == REMOVED
    others = [node for node in cluster.nodes if node is not gone]
    assert all(len(node.member.members()) == 2 and not node.stopped for node in others)
    cluster.tick(40)
    others[0].put("after", now_ms=cluster.now_ms)
    cluster.tick(30)
    assert others[0].answers.result("after").revision == 2


def test_a_removed_member_that_is_started_again_stops_by_itself():
    """Whoever it knows may be gone as well: nobody would tell it."""
    cluster = Wired(3)
    leader = cluster.elect()
    gone = next(node for node in cluster.nodes if node is not leader)
    change = ConfigChange(kind=ConfigChange.REMOVE, member_id=gone.member.member_id)
    leader.member.propose_config_change("remove", change.SerializeToString(), cluster.now_ms)
    cluster.pump()
    position = gone.member.applied_snapshot
    log = RecoveredLog(
        WalMetadata(gone.first.cluster_id, gone.first.member_id),
        HardState(position.term, 0, position.index),
        position,
        [],
    )
    again = restore_member(gone.config, log, gone.store, Random(1), 1 << 50, 0)
    reasons = []
    for now_ms in range(0, 6000, 100):
        again.tick(now_ms)
        reasons.append(again.drain().stop_reason)
    assert reasons[0] == ""  # others, who do not know yet, may still need its vote
    assert REMOVED in reasons


# Compaction --------------------------------------------------------------------------------
def test_physical_compaction_is_answered_when_it_is_done():
    cluster = Wired(1)
    node = cluster.nodes[0]
    for number in range(3000):
        node.put(number)
    cluster.pump()
    for handle, physical in (("recorded", False), ("done", True)):
        request = CompactionRequest(revision=2000 + physical, physical=physical).SerializeToString()
        node.member.propose(handle, RequestKind.COMPACT, request, b"", 0)
        cluster.step(node)
        cluster.step(node)
        if handle == "recorded":
            assert node.answers.result(handle).revision == 3001
    assert "done" not in node.answers.replies
    cluster.tick(10)
    assert node.answers.result("done").revision == 3001


# The log -----------------------------------------------------------------------------------
def test_log_is_cut_behind_what_the_store_has_committed_only():
    cluster = Wired(1, snapshot_count=100, catchup_entries=30)
    cluster.tick(2)
    node = cluster.nodes[0]
    for number in range(150):
        node.put(number)
    cluster.pump()
    assert node.member.raft.first_index == 2
    node.commit_store()
    applied = node.member.applied_snapshot
    effects = node.member.drain()
    assert effects.compacted_index == applied.index - 30
    assert effects.compacted_snapshot == (applied.index - 30, applied.term, applied.config)
    assert node.member.raft.first_index == applied.index - 29
    node.commit_store()
    assert node.member.drain().compacted_index == 0


def test_follower_far_behind_installs_a_snapshot():
    cluster = Wired(3, snapshot_count=50, catchup_entries=5)
    leader = cluster.elect()
    away = cluster.nodes[2]
    cluster.down.add(away)
    for number in range(100):
        leader.put(number, key=b"k%d" % number)
    cluster.pump()
    for node in cluster.nodes[:2]:
        node.commit_store()
    cluster.down.clear()
    away.put("while away", now_ms=cluster.now_ms)
    cluster.tick(20)
    assert any(effects.install_snapshot for effects in away.effects)
    assert away.member.applied_snapshot == leader.member.applied_snapshot
    assert away.member.keyspace.hash_kv(0) == leader.member.keyspace.hash_kv(0)
    assert away.member.members() == leader.member.members()


# The end -----------------------------------------------------------------------------------
def test_stop_answers_everything_once():
    cluster = Wired(3)
    leader = cluster.elect()
    leader.hold_log = True
    cluster.down.update(cluster.nodes[1:])
    leader.put("write", now_ms=cluster.now_ms)
    leader.member.read_index("read", cluster.now_ms)
    leader.member.transfer_leadership("move", cluster.nodes[1].member.member_id, cluster.now_ms)
    cluster.pump()
    leader.put("buffered", now_ms=cluster.now_ms)
    leader.member.stop()
    leader.put("late")
    leader.member.read_index("late read", 0)
    leader.member.transfer_leadership("late move", 1, 0)
    cluster.pump()
    handles = ("write", "read", "move", "buffered", "late", "late read", "late move")
    assert {leader.answers.error(handle) for handle in handles} == {errors.SERVER_STOPPED}
    cluster.tick(TICKS_TO_TIMEOUT)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"short", "shorter than its prefix"),
        (encode_proposal(1, 4242, b""), "kind 4242"),
        (encode_proposal(1, RequestKind.PUT, b"\xff\xff\xff"), "could not be applied"),
    ],
)
def test_entry_that_cannot_be_applied_stops_the_member(data, said):
    cluster = Wired(1)
    cluster.pump()
    node = cluster.nodes[0]
    node.put("before")
    cluster.pump()
    node.member.raft.propose([data])
    node.put("behind")
    cluster.pump()
    assert said in node.stopped
    assert "log entry" in node.stopped
    assert node.answers.error("behind") == errors.SERVER_STOPPED
    node.put("late")
    cluster.pump()
    assert node.answers.error("late") == errors.SERVER_STOPPED


def test_a_contradiction_in_raft_stops_the_member():
    cluster = Wired(3)
    leader = cluster.elect()
    impostor = Message(
        MessageKind.APPEND,
        cluster.nodes[1].member.member_id,
        leader.member.member_id,
        leader.member.raft.term,
    )
    leader.put("a", now_ms=cluster.now_ms)
    leader.member.receive([impostor])
    cluster.pump()
    assert "two leaders" in leader.stopped
    assert leader.answers.error("a") == errors.SERVER_STOPPED


def test_entries_of_a_stopped_member_stay_unapplied():
    cluster = Wired(1)
    cluster.pump()
    node = cluster.nodes[0]
    before = load_position(node.store)
    node.member.raft.propose([b"x"])
    cluster.pump()
    assert load_position(node.store) == before


def test_bytes_of_a_put_reach_the_keyspace():
    cluster = Wired(1)
    node = cluster.nodes[0]
    node.member.propose("a", RequestKind.PUT, put(b"k", b"some value"), b"", 0)
    cluster.pump()
    assert b"some value" in value_of(node)


def test_status_tells_the_figures():
    cluster = Wired(3)
    node = cluster.nodes[0]
    node.put("a")
    status = node.member.status()
    assert (status.leader, status.errors, status.pending_proposals) == (0, ("etcdserver: no leader",), 1)
    leader = cluster.elect(cluster.nodes[1])
    status = node.member.status()
    assert status.leader == leader.member.member_id
    assert status.errors == ()
    assert status.pending_proposals == 0
    assert status.applied_index == status.commit_index > 1
