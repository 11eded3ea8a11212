"""Leases over real members: who keeps their time, and what a change of leader does to it."""

import pytest

from miniraft.errors import NOT_PRIMARY_LESSOR
from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.log_pb2 import ProposalHeader
from miniraft.pb.rpc_pb2 import (
    LeaseCheckpointRequest,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
)
from miniraft.raft.config import RaftConfig
from miniraft.raft.entry import Entry, EntryKind
from miniraft.server.config import MemberConfig
from miniraft.server.proposal import RequestKind, decode_proposal, encode_proposal
from tests.server.harness import TICK_MS, Wired

ELECTION_MS = 1000
PASS_MS = 500


@pytest.fixture
def cluster():
    wired = Wired()
    wired.elect()
    return wired


def ticks(milliseconds):
    return -(-milliseconds // TICK_MS)


def grant(cluster, lease_id, ttl, node=None):
    node = node or cluster.nodes[0]
    handle = f"grant {lease_id} {cluster.now_ms} {len(node.answers.replies)}"
    node.member.grant_lease(handle, lease_id, ttl, b"", cluster.now_ms)
    cluster.pump()
    return node.answers.result(handle)


def put(cluster, key, lease, node=None):
    request = PutRequest(key=key, lease=lease).SerializeToString()
    propose(cluster, node or cluster.nodes[0], RequestKind.PUT, request)


def propose(cluster, node, kind, request, header=b""):
    handle = f"{kind} {len(node.answers.replies)} {cluster.now_ms}"
    node.member.propose(handle, kind, request, header, cluster.now_ms)
    cluster.pump()
    return handle


def renew(cluster, lease_id, node=None):
    node = node or cluster.nodes[0]
    handle = f"renewal {lease_id} {cluster.now_ms} {len(node.answers.replies)}"
    node.member.renew_lease(handle, lease_id, cluster.now_ms)
    cluster.pump()
    return handle


def time_left(cluster, lease_id, node=None):
    node = node or cluster.nodes[0]
    handle = f"time of {lease_id} {cluster.now_ms} {len(node.answers.replies)}"
    node.member.lease_time_to_live(handle, lease_id, True, cluster.now_ms)
    cluster.pump()
    return node.answers.result(handle)


def lives(cluster, lease_id):
    """Whether the lease exists: the same on every member that is up."""
    answers = {
        node.member.keyspace.leases.exists(lease_id) for node in cluster.nodes if node not in cluster.down
    }
    assert len(answers) == 1
    return answers.pop()


def keys(node):
    result = node.member.keyspace.range(RangeRequest(key=b"\0", range_end=b"\0"))
    return [KeyValue.FromString(pair).key for pair in result.kvs]


def checkpoints(node):
    """All checkpoints in a node's log, as (lease, seconds)."""
    found = []
    for effects in node.effects:
        for entry in effects.persist.entries if effects.persist else ():
            if entry.kind == EntryKind.NORMAL and entry.data:
                _, kind, _, request = decode_proposal(entry.data)
                if kind == RequestKind.LEASE_CHECKPOINT:
                    noted = LeaseCheckpointRequest.FromString(request).checkpoints
                    found.append([(one.ID, one.remaining_TTL) for one in noted])
    return found


# Granting --------------------------------------------------------------------------------------
def test_a_lease_is_granted_through_any_member_and_exists_on_all(cluster):
    granted = grant(cluster, 7, 60, cluster.nodes[1])
    assert (granted.lease_id, granted.ttl_seconds, granted.revision) == (7, 60, 1)
    assert lives(cluster, 7)


def test_a_short_lease_gets_etcds_shortest_time(cluster):
    assert grant(cluster, 1, 1).ttl_seconds == 2  # an election timeout and a half, in whole seconds
    assert grant(cluster, 2, 0).ttl_seconds == 2
    assert grant(cluster, 3, -5).ttl_seconds == 2
    slow = MemberConfig(cluster_id=1, raft=RaftConfig(1, election_ticks=10), tick_ms=500)
    assert slow.min_lease_ttl_seconds == 8


def test_ids_are_chosen_positive_and_different_on_different_members(cluster):
    chosen = [grant(cluster, 0, 60, node).lease_id for node in cluster.nodes for _ in range(2)]
    assert len(set(chosen)) == 6
    assert all(0 < lease_id < 1 << 63 for lease_id in chosen)


# Ending ----------------------------------------------------------------------------------------
def test_a_lease_ends_after_its_time_and_all_its_keys_go_in_one_revision(cluster):
    grant(cluster, 7, 5)
    for key in (b"b", b"a", b"c"):
        put(cluster, key, 7)
    put(cluster, b"other", 0)
    before = cluster.nodes[0].member.keyspace.revision
    started = cluster.now_ms
    while cluster.now_ms + TICK_MS < started + 5000:
        cluster.tick()
        assert lives(cluster, 7)
    cluster.tick(ticks(PASS_MS) + 2)
    assert not lives(cluster, 7)
    for node in cluster.nodes:
        assert keys(node) == [b"other"]
        assert node.member.keyspace.revision == before + 1
    counters = cluster.nodes[0].member.lease_counters
    assert (counters.granted, counters.revoked, counters.expired) == (1, 1, 1)
    assert cluster.nodes[1].member.lease_counters.expired == 0


def test_a_renewed_lease_lives_on(cluster):
    grant(cluster, 7, 3)
    for _ in range(10):
        cluster.tick(ticks(2000))
        handle = renew(cluster, 7)
        assert cluster.nodes[0].answers.result(handle).granted_ttl_seconds == 3
    cluster.tick(ticks(3000 + PASS_MS) + 2)
    assert not lives(cluster, 7)


def test_renewals_of_a_session_stay_out_of_the_log(cluster):
    grant(cluster, 7, 30)
    renew(cluster, 7)
    cluster.tick(ticks(1000))
    before = cluster.nodes[0].member.raft.last_index
    for _ in range(12):
        cluster.tick(ticks(10_000))
        renew(cluster, 7)
    assert cluster.nodes[0].member.raft.last_index - before <= 10  # of the first interval


def test_an_unknown_lease_is_answered_with_nothing(cluster):
    assert cluster.nodes[0].answers.result(renew(cluster, 99)) is None
    assert time_left(cluster, 99) is None


def test_a_renewal_that_comes_too_late_waits_for_the_end(cluster):
    grant(cluster, 7, 2)
    cluster.tick(ticks(2000) + 1)
    leader = cluster.nodes[0]
    cluster.tick(0)
    assert lives(cluster, 7)  # has ended, but the next pass is still to come
    handle = renew(cluster, 7)
    assert handle not in leader.answers.replies
    cluster.tick(ticks(PASS_MS))
    assert leader.answers.result(handle) is None
    assert not lives(cluster, 7)


def test_time_to_live_tells_whole_seconds_and_keys(cluster):
    grant(cluster, 7, 10)
    put(cluster, b"b", 7)
    put(cluster, b"a", 7)
    cluster.tick(ticks(2500))
    times = time_left(cluster, 7)
    assert (times.granted_ttl_seconds, times.remaining_ttl_seconds, list(times.keys)) == (10, 7, [b"a", b"b"])


def test_a_member_that_does_not_lead_says_so(cluster):
    grant(cluster, 7, 10)
    follower = cluster.nodes[1]
    assert follower.answers.error(renew(cluster, 7, follower)) == NOT_PRIMARY_LESSOR


def test_the_list_is_ordered_by_what_is_left(cluster):
    for lease_id, ttl in ((1, 30), (2, 10), (3, 20)):
        grant(cluster, lease_id, ttl)
    assert [list(node.member.leases()) for node in cluster.nodes] == [[2, 3, 1]] * 3
    cluster.tick(ticks(5000))
    renew(cluster, 2)
    renew(cluster, 3)
    cluster.tick()
    assert list(cluster.nodes[0].member.leases()) == [2, 3, 1]


def test_many_ends_at_once_do_not_hold_up_a_write(cluster):
    leader = cluster.nodes[0]
    for number in range(1, 2001):
        leader.member.grant_lease(("grant", number), number, 2, b"", cluster.now_ms)
    cluster.pump()
    cluster.tick(ticks(2000))
    worst = 0
    for _ in range(60):
        before, seen = leader.member.raft.last_index, len(leader.effects)
        cluster.tick()
        leader.put(f"w{cluster.now_ms}", now_ms=cluster.now_ms)
        cluster.pump()
        assert leader.answers.result(f"w{cluster.now_ms}").revision
        for effects in leader.effects[seen:]:
            if effects.persist is not None:
                worst = max(worst, len(effects.persist.entries))
        assert leader.member.raft.last_index - before <= 500 + 10  # one pass at most
    assert worst <= 64 + 1
    assert not list(leader.member.keyspace.leases)


def test_what_is_granted_between_two_ticks_of_the_leader_does_not_end_early(cluster):
    """The leader looks at its clock only when it ticks; a grant through a follower comes later."""
    follower = cluster.nodes[1]
    granted_ms = {}
    for lease_id in range(1, 7):
        cluster.tick()
        granted_ms[lease_id] = cluster.now_ms + TICK_MS - 1
        follower.member.grant_lease(lease_id, lease_id, 3, b"", granted_ms[lease_id])
        cluster.pump()
    while granted_ms:
        cluster.tick()
        for lease_id in [one for one in granted_ms if not lives(cluster, one)]:
            assert cluster.now_ms >= granted_ms.pop(lease_id) + 3000


# Another leader --------------------------------------------------------------------------------
def change_leader(cluster, new):
    """The first node is cut off; `new` takes over."""
    old = cluster.nodes[0]
    cluster.down.add(old)
    others = [node for node in cluster.nodes if node is not old]
    for _ in range(100):
        cluster.tick(nodes=others)
        if new.member.raft.role == "leader":
            return
        if any(node.member.raft.role == "leader" for node in others):
            leader = next(node for node in others if node.member.raft.role == "leader")
            leader.member.transfer_leadership(f"to {cluster.now_ms}", new.member.member_id, cluster.now_ms)
            cluster.pump()
    raise AssertionError("no new leader")


def test_a_change_of_leader_neither_shortens_nor_restarts_what_is_left(cluster):
    grant(cluster, 7, 60)
    granted = cluster.now_ms
    cluster.tick(ticks(30_000))
    new = cluster.nodes[1]
    change_leader(cluster, new)
    left = time_left(cluster, 7, new).remaining_ttl_seconds
    exactly = 60 - (cluster.now_ms - granted) / 1000
    assert exactly - 1 <= left <= exactly + 60 / 20 + 2 * ELECTION_MS / 1000 + 2


def test_a_chain_of_leaders_does_not_keep_a_lease_alive():
    cluster = Wired(5)
    cluster.elect()
    grant(cluster, 7, 20)
    granted = cluster.now_ms
    leader = cluster.nodes[0]
    for new in (cluster.nodes[1], cluster.nodes[2], cluster.nodes[1], cluster.nodes[2]):
        cluster.tick(ticks(3000))
        leader.member.transfer_leadership(f"to {cluster.now_ms}", new.member.member_id, cluster.now_ms)
        cluster.tick(2)
        leader = new
        assert leader.member.raft.role == "leader"
    cluster.tick(ticks(20_000 + 4 * (ELECTION_MS + 1000 + 1000) + PASS_MS - (cluster.now_ms - granted)))
    assert not lives(cluster, 7)


def test_a_renewal_counts_for_the_next_leader_even_behind_a_checkpoint(cluster):
    grant(cluster, 7, 20)
    cluster.tick(ticks(15_000))
    assert cluster.nodes[1].member.keyspace.leases.find(7).seconds_left < 10
    handle = renew(cluster, 7)
    renewed = cluster.now_ms
    assert cluster.nodes[0].answers.result(handle).granted_ttl_seconds == 20
    change_leader(cluster, cluster.nodes[1])
    while cluster.now_ms < renewed + 20_000:
        cluster.tick(nodes=cluster.nodes[1:])
        assert lives(cluster, 7)
    cluster.tick(ticks(10_000), nodes=cluster.nodes[1:])
    assert not lives(cluster, 7)


def test_a_new_leader_first_applies_all_that_the_old_one_decided(cluster):
    """The next leader has the renewal in its log, but has not been told that it is committed."""
    old, new = cluster.nodes[0], cluster.nodes[1]
    grant(cluster, 7, 20)
    cluster.tick(ticks(15_000))
    renewal = old.member.raft.last_index + 1
    cluster.lose = lambda message: message.sender == old.member.member_id and message.commit >= renewal
    handle = renew(cluster, 7)
    renewed = cluster.now_ms
    assert old.answers.result(handle).granted_ttl_seconds == 20
    assert new.member.raft.last_index == renewal > new.member.raft.committed
    change_leader(cluster, new)
    while cluster.now_ms < renewed + 20_000:
        cluster.tick(nodes=cluster.nodes[1:])
        assert lives(cluster, 7)


def test_a_renewal_is_answered_only_when_the_checkpoint_is_out_of_force(cluster):
    grant(cluster, 7, 20)
    cluster.tick(ticks(15_000))
    leader = cluster.nodes[0]
    cluster.lose = lambda message: message.kind.name == "APPEND" and bool(message.entries)
    handle = renew(cluster, 7)
    assert handle not in leader.answers.replies
    cluster.lose = lambda message: False
    cluster.tick(2)
    assert leader.answers.result(handle).granted_ttl_seconds == 20
    assert cluster.nodes[1].member.keyspace.leases.find(7).seconds_left == 20


def test_a_checkpoint_on_its_way_is_put_out_of_force_too(cluster):
    """The renewal comes when the checkpoint is in the leader's log, and nowhere else yet."""
    grant(cluster, 7, 20)
    cluster.tick(ticks(900))
    leader = cluster.nodes[0]
    cluster.lose = lambda message: message.kind.name == "APPEND" and bool(message.entries)
    cluster.tick(ticks(600))
    assert checkpoints(leader), "it should be in the leader's log by now"
    assert leader.member.keyspace.leases.find(7).seconds_left == 20
    handle = renew(cluster, 7)
    cluster.lose = lambda message: False
    cluster.tick(3)
    assert leader.answers.result(handle).granted_ttl_seconds == 20
    assert cluster.nodes[1].member.keyspace.leases.find(7).seconds_left == 20


def test_a_leader_that_was_cut_off_renews_nothing(cluster):
    grant(cluster, 7, 20)
    leader = cluster.nodes[0]
    cluster.down.add(leader)
    handle = renew(cluster, 7)
    cluster.tick(ticks(3 * ELECTION_MS))
    assert leader.answers.error(handle) == NOT_PRIMARY_LESSOR


def test_a_paused_leader_that_wakes_ends_nothing_that_its_successor_has_renewed(cluster):
    old, new = cluster.nodes[0], cluster.nodes[1]
    grant(cluster, 7, 3)
    change_leader(cluster, new)  # `old` stands still: it neither ticks nor hears anything
    for _ in range(4):
        cluster.tick(ticks(2000), nodes=cluster.nodes[1:])
        assert new.answers.result(renew(cluster, 7, new)).granted_ttl_seconds == 3
    # It wakes with its clock far ahead, and for some ticks still believes that it leads.
    for _ in range(8):
        old.member.tick(cluster.now_ms)
        cluster.step(old)
    assert old.member.raft.role == "leader"
    cluster.down.clear()
    cluster.tick(ticks(1000))
    assert old.member.raft.leader == new.member.member_id
    new.answers.result(renew(cluster, 7, new))
    cluster.tick(ticks(1000))
    assert lives(cluster, 7)


def test_what_a_deposed_leader_decided_has_no_effect_in_a_later_term(cluster):
    """Its revocation reaches the successor's log after all, passed on as a follower's proposal."""
    grant(cluster, 7, 60)
    term = cluster.nodes[0].member.raft.term
    stale = ProposalHeader(leader_term=term - 1).SerializeToString()
    revoke = LeaseRevokeRequest(ID=7).SerializeToString()
    propose(cluster, cluster.nodes[1], RequestKind.LEASE_REVOKE, revoke, stale)
    request = LeaseCheckpointRequest()
    request.checkpoints.add(ID=7, remaining_TTL=1)
    propose(cluster, cluster.nodes[1], RequestKind.LEASE_CHECKPOINT, request.SerializeToString(), stale)
    assert lives(cluster, 7)
    assert cluster.nodes[0].member.keyspace.leases.find(7).seconds_left == 60
    valid = ProposalHeader(leader_term=term).SerializeToString()
    propose(cluster, cluster.nodes[1], RequestKind.LEASE_REVOKE, revoke, valid)
    assert not lives(cluster, 7)


def test_a_pause_of_the_leader_does_not_count_against_leases():
    cluster = Wired(1)
    leader = cluster.nodes[0]
    cluster.tick(2)
    grant(cluster, 7, 10)
    cluster.tick(ticks(5000))
    cluster.now_ms += 60_000  # suspended
    cluster.tick(2)
    assert lives(cluster, 7)
    assert leader.answers.result(renew(cluster, 7)).granted_ttl_seconds == 10
    cluster.tick(ticks(10_000 + PASS_MS) + 2)
    assert not lives(cluster, 7)


def test_stopping_answers_who_waits(cluster):
    grant(cluster, 7, 2)
    cluster.tick(ticks(2000) + 1)
    leader = cluster.nodes[0]
    late = renew(cluster, 7)
    leader.member.renew_lease("unconfirmed", 7, cluster.now_ms)
    leader.member.stop()
    leader.answers.take(leader.member.drain().replies)
    assert {leader.answers.error(handle).message for handle in (late, "unconfirmed")} == {
        "etcdserver: server stopped"
    }


def test_a_renewal_that_nobody_confirms_times_out(cluster):
    grant(cluster, 7, 60)
    leader = cluster.nodes[0]
    cluster.lose = lambda message: message.kind.name == "HEARTBEAT_RESPONSE"
    handle = renew(cluster, 7)
    cluster.tick(ticks(8000), nodes=[leader])
    assert leader.answers.error(handle) is not None


def test_an_entry_of_the_log_is_what_it_was(cluster):
    """The format of the log: a revocation that the leader decided carries its term."""
    grant(cluster, 7, 2)
    cluster.tick(ticks(2000 + PASS_MS) + 2)
    term = cluster.nodes[0].member.raft.term
    revocations = [
        decode_proposal(entry.data)
        for effects in cluster.nodes[0].effects
        if effects.persist
        for entry in effects.persist.entries
        if entry.kind == EntryKind.NORMAL
        and entry.data
        and decode_proposal(entry.data).kind == RequestKind.LEASE_REVOKE
    ]
    (revocation,) = revocations
    assert ProposalHeader.FromString(revocation.header).leader_term == term
    assert LeaseRevokeRequest.FromString(revocation.request).ID == 7
    again = encode_proposal(
        revocation.request_id, RequestKind.LEASE_REVOKE, revocation.request, revocation.header
    )
    assert decode_proposal(Entry(1, 1, 0, again).data) == revocation
