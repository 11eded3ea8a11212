"""What a member counts: slow and failed reads, requests given up, slow applies, compactions."""

import pytest

from miniraft import errors
from miniraft.histogram import Histogram, exponential
from miniraft.pb.rpc_pb2 import CompactionRequest
from miniraft.raft.ready import ReadState
from miniraft.server.member_figures import OPERATION_NAMES, ApplyFigures, CompactionFigures, MemberFigures
from miniraft.server.notes import CompactionFinished
from miniraft.server.proposal import RequestKind
from miniraft.server.reads import ReadRequests
from tests.server.harness import Wired
from tests.server.test_waiting import RaftEar


class Clock:
    """Seconds, as far as they are told."""

    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


# Histograms ----------------------------------------------------------------------------------
def test_a_value_at_a_bound_counts_below_it():
    histogram = Histogram(exponential(1.0, 2, 3))
    for value in (0, 1, 1.5, 2, 4, 4.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1, 1]
    assert (histogram.count, histogram.sum) == (6, 13.0)
    histogram.add(histogram)
    assert (histogram.counts, histogram.sum) == ([4, 4, 2, 2], 26.0)


# Applies -------------------------------------------------------------------------------------
def test_every_kind_of_entry_has_etcds_name():
    assert set(OPERATION_NAMES) == set(RequestKind)
    assert len(set(OPERATION_NAMES.values())) == len(OPERATION_NAMES)


def test_each_request_has_the_time_since_the_one_before():
    clock, slow = Clock(), []
    figures = ApplyFigures(clock, slow_seconds=0.1)
    figures.on_slow = lambda operation, seconds: slow.append((operation, round(seconds, 3)))
    figures.begin()
    for took, kind, error in (
        (0.001, RequestKind.PUT, None),
        (0.09, RequestKind.PUT, errors.LEASE_NOT_FOUND),
        (0.15, RequestKind.TXN, None),
        (0.01, RequestKind.COMPACT, errors.COMPACTED),
    ):
        clock.now += took
        figures.applied(kind, error)
    clock.now += 1000.0
    figures.begin()
    clock.now += 0.002
    figures.applied(RequestKind.PUT, None)
    assert figures.succeeded[RequestKind.PUT].sum == pytest.approx(0.003)
    assert figures.failed[RequestKind.PUT].count == 1
    assert figures.succeeded[RequestKind.COMPACT].count == 1, "as in etcd"
    assert set(figures.failed) == {RequestKind.PUT}
    assert slow == [("Txn", 0.15)]
    assert figures.slow_count == 1


def test_all_members_count_what_they_apply():
    cluster = Wired(3)
    leader = cluster.elect()
    for number in range(5):
        leader.put(number)
    cluster.pump()
    cluster.tick()
    for node in cluster.nodes:
        figures = node.member.figures
        assert figures.applies.succeeded[RequestKind.PUT].count == 5
        assert figures.operations.puts == 5
        assert figures.leader_changes == 1


# Waiting -------------------------------------------------------------------------------------
def test_a_request_given_up_is_a_proposal_that_failed():
    cluster = Wired(3)
    leader = cluster.elect()
    cluster.down = set(cluster.nodes[1:])
    leader.put("lost", now_ms=cluster.now_ms)
    cluster.pump()
    cluster.tick(leader.config.request_timeout_ms // 100 + 1, [leader])
    assert leader.answers.error("lost") is not None
    assert leader.member.figures.proposals_failed == 1


@pytest.fixture
def figures():
    return MemberFigures()


@pytest.fixture
def reads(figures):
    return ReadRequests(iter(range(1, 1000)).__next__, 100, 20, figures)


def test_a_round_without_an_answer_is_slow_once(reads, figures):
    for started in (0, 10, 20):
        reads.add(started, started)
        reads.ask(RaftEar(), started)
    for now_ms in range(90, 130, 5):
        reads.expire(now_ms, [])
    assert figures.read_rounds_slow == 1, "however many reads there were in it"
    reads.add("later", 130)
    reads.expire(231, [])
    assert figures.read_rounds_slow == 2


def test_a_read_that_waits_for_apply_is_no_slow_round(reads, figures):
    reads.add("a", 0)
    reads.ask(RaftEar(), 0)
    reads.answered([ReadState(1, 50)], 0)
    replies = []
    reads.expire(100, replies)
    assert len(replies) == 1
    assert figures.read_rounds_slow == 0


def test_a_round_asked_of_a_leader_that_is_gone_fails(reads, figures):
    reads.add("a", 0)
    reads.ask(RaftEar(), 0)
    reads.leader_changed(2, [])
    reads.leader_changed(3, [])
    assert figures.read_rounds_failed == 1


def test_reads_of_a_member_are_counted():
    cluster = Wired(3)
    leader = cluster.elect()
    cluster.down = set(cluster.nodes[1:])
    leader.member.read_index("lost", cluster.now_ms)
    cluster.pump()
    cluster.tick(leader.config.request_timeout_ms // 100 + 1, [leader])
    assert leader.answers.error("lost") == errors.TIMED_OUT
    assert leader.member.figures.read_rounds_slow == 1


# Compactions ---------------------------------------------------------------------------------
def test_a_compaction_is_timed_slice_by_slice():
    clock = Clock()
    figures = CompactionFigures(clock)
    left = [True, True, False]

    def step(limit):
        clock.now += 0.003
        return left.pop(0)

    while figures.time(step, 10):
        clock.now += 0.5  # others work
    assert figures.pause_ms.count == 3
    assert figures.pause_ms.sum == pytest.approx(9)
    assert figures.total_ms.count == 1
    assert figures.total_ms.sum == pytest.approx(1009)


def test_the_end_of_a_compaction_is_told_with_its_hash():
    cluster = Wired(1)
    cluster.pump()
    leader = cluster.elect()
    for number in range(9):
        leader.put(number)
    cluster.pump()
    keyspace = leader.member.keyspace
    expected = keyspace.hash_kv(8)[0]
    request = CompactionRequest(revision=8).SerializeToString()
    leader.member.propose("compact", RequestKind.COMPACT, request, b"", cluster.now_ms)
    cluster.pump()
    cluster.tick(3)
    told = [note for effects in leader.effects for note in effects.notes]
    (finished,) = [note for note in told if isinstance(note, CompactionFinished)]
    assert (finished.revision, finished.taken.hash) == (8, expected)
    assert leader.member.figures.operations.compacted_revisions == 6
    assert leader.member.figures.compactions.total_ms.count == 1
