"""The parts in which requests wait: pending, buffer, reads, log cuts."""

import pytest

from miniraft import errors
from miniraft.raft.interface import ProposalDropped
from miniraft.raft.ready import ReadState
from miniraft.raft.state import ConfigState, SnapshotMetadata
from miniraft.server.buffer import ProposalBuffer
from miniraft.server.log_cut import LogCutter
from miniraft.server.pending import NOBODY, PendingRequests
from miniraft.server.reads import ReadRequests


class RaftEar:
    """Notes what it is asked; takes proposals while `room` lasts."""

    leader = 1

    def __init__(self, room=1000):
        self.room = room
        self.taken = []
        self.asked = []

    def propose(self, payloads):
        if len(payloads) > self.room:
            raise ProposalDropped("no room")
        self.room -= len(payloads)
        self.taken.append(list(payloads))

    def propose_config_change(self, payload):
        self.propose([payload])

    def read_index(self, context):
        self.asked.append(context)


# Pending -----------------------------------------------------------------------------------
def test_everybody_is_taken_out_once():
    pending = PendingRequests(100, timeout_ms=10)
    first, second = pending.add("a", 0), pending.add("b", 5)
    assert (first, second) == (100, 101)
    assert pending.take(first) == "a"
    assert pending.take(first) is NOBODY
    assert [expired[:2] for expired in pending.expired(15)] == [(second, "b")]
    assert pending.take(second) is NOBODY
    assert len(pending) == 0


def test_requests_expire_after_the_whole_timeout_and_not_before():
    pending = PendingRequests(1, timeout_ms=10)
    pending.add("a", 3)
    assert list(pending.expired(12)) == []
    assert [expired.handle for expired in pending.expired(13)] == ["a"]


def test_ids_go_on_behind_the_largest():
    pending = PendingRequests((1 << 64) - 1, timeout_ms=10)
    assert [pending.next_id(), pending.next_id()] == [(1 << 64) - 1, 1]
    assert PendingRequests(0, 10).next_id() == 1


def test_a_handle_may_be_anything():
    pending = PendingRequests(1, timeout_ms=10)
    assert pending.take(pending.add(None, 0)) is None


# Buffer ------------------------------------------------------------------------------------
def test_what_raft_takes_is_never_offered_again():
    buffer, raft = ProposalBuffer(), RaftEar()
    for number in range(3):
        buffer.add(number, b"%d" % number)
    buffer.offer(raft)
    buffer.offer(raft)
    assert raft.taken == [[b"0", b"1", b"2"]]
    assert not buffer
    assert buffer.size_bytes == 0


def test_what_raft_drops_stays():
    buffer, raft = ProposalBuffer(), RaftEar(room=0)
    buffer.add(1, b"one")
    with pytest.raises(ProposalDropped):
        buffer.offer(raft)
    raft.room = 1
    buffer.offer(raft)
    assert raft.taken == [[b"one"]]


def test_a_large_buffer_goes_in_several_batches_and_only_the_rest_stays():
    buffer, raft = ProposalBuffer(), RaftEar(room=5)
    for number in range(8):
        buffer.add(number, bytes(400 * 1024))
    with pytest.raises(ProposalDropped):
        buffer.offer(raft)
    assert [len(batch) for batch in raft.taken] == [2, 2]
    assert buffer.size_bytes == 4 * 400 * 1024
    assert not buffer.discard(3)
    assert buffer.discard(4)


def test_a_single_entry_may_exceed_the_batch():
    buffer, raft = ProposalBuffer(), RaftEar()
    buffer.add(1, bytes(3 * 1024 * 1024))
    buffer.add(2, b"x")
    buffer.offer(raft)
    assert [len(batch) for batch in raft.taken] == [1, 1]


def test_membership_changes_go_one_by_one_behind_the_rest():
    buffer, raft = ProposalBuffer(), RaftEar(room=2)
    buffer.add_change(1, b"first change")
    buffer.add_change(2, b"second change")
    buffer.add(3, b"put")
    with pytest.raises(ProposalDropped):
        buffer.offer(raft)
    assert raft.taken == [[b"put"], [b"first change"]]
    assert buffer.discard(2)
    assert not buffer


# Reads -------------------------------------------------------------------------------------
@pytest.fixture
def reads():
    contexts = iter(range(1, 1000))
    return ReadRequests(contexts.__next__, timeout_ms=100, retry_ms=20)


def handles(replies):
    return [(reply.handle, reply.error) for reply in replies]


def test_a_read_does_not_join_a_round_that_began_before_it(reads):
    raft, replies = RaftEar(), []
    reads.add("a", 0)
    reads.ask(raft, 0)
    reads.add("b", 1)
    reads.ask(raft, 1)
    assert raft.asked == [1]
    reads.answered([ReadState(1, 5)], 2)
    reads.applied(5, replies)
    assert handles(replies) == [("a", None)]
    reads.ask(raft, 2)
    reads.answered([ReadState(2, 5)], 3)
    reads.applied(5, replies)
    assert handles(replies) == [("a", None), ("b", None)]


def test_a_confirmed_read_waits_until_the_index_is_applied(reads):
    raft, replies = RaftEar(), []
    reads.add("a", 0)
    reads.ask(raft, 0)
    reads.answered([ReadState(1, 5)], 0)
    reads.applied(4, replies)
    assert replies == []
    reads.applied(5, replies)
    assert handles(replies) == [("a", None)]


def test_any_answer_to_a_repeated_question_will_do_and_none_from_before(reads):
    raft, replies = RaftEar(), []
    reads.add("a", 0)
    reads.ask(raft, 0)
    reads.ask(raft, 19)
    reads.ask(raft, 20)
    assert raft.asked == [1, 2]
    reads.answered([ReadState(1, 5)], 21)
    reads.add("b", 22)
    reads.ask(raft, 22)
    reads.answered([ReadState(2, 5)], 23)  # late, and asked before b came
    reads.applied(9, replies)
    assert handles(replies) == [("a", None)]


def test_a_failed_round_is_asked_again_after_a_moment(reads):
    raft = RaftEar()
    reads.add("a", 0)
    reads.ask(raft, 0)
    reads.answered([ReadState(1, -1)], 0)
    reads.ask(raft, 1)
    assert raft.asked == [1]
    reads.ask(raft, 60)
    assert raft.asked == [1, 2]


def test_reads_expire_wherever_they_wait(reads):
    raft, replies = RaftEar(), []
    reads.add("confirmed", 0)
    reads.ask(raft, 0)
    reads.answered([ReadState(1, 50)], 0)
    reads.add("asked", 10)
    reads.ask(raft, 10)
    reads.add("waiting", 20)
    for now_ms, count in ((99, 0), (100, 1), (110, 2), (119, 2), (120, 3)):
        reads.expire(now_ms, replies)
        assert len(replies) == count
    assert {reply.error for reply in replies} == {errors.TIMED_OUT}
    reads.applied(50, replies)
    assert len(replies) == 3


def test_the_same_leader_again_fails_no_round(reads):
    raft, replies = RaftEar(), []
    reads.add("a", 0)
    reads.ask(raft, 0)
    reads.leader_changed(0, replies)
    reads.leader_changed(1, replies)
    assert replies == []
    reads.leader_changed(2, replies)
    assert handles(replies) == [("a", errors.LEADER_CHANGED)]


# Log cuts ----------------------------------------------------------------------------------
OLD, NEW = ConfigState((1,)), ConfigState((1, 2))


def test_cuts_come_every_snapshot_count_and_know_their_term_and_members():
    cutter = LogCutter(100, 10, log_start=1, applied=SnapshotMetadata(1, 1, OLD))
    cutter.applied(50, 2, OLD)
    cutter.applied(95, 2, NEW)
    cutter.applied(105, 3, NEW)
    assert cutter.committed(100) is None
    cut = cutter.committed(104)
    assert cut.first == SnapshotMetadata(94, 2, OLD)
    assert cut.available == SnapshotMetadata(104, 2, NEW)
    assert cutter.committed(203) is None
    assert cutter.committed(210).first == SnapshotMetadata(200, 3, NEW)


def test_no_cut_where_the_membership_is_not_known_any_more():
    cutter = LogCutter(100, 50, log_start=1, applied=SnapshotMetadata(120, 2, NEW))
    assert cutter.committed(165) is None
    assert cutter.committed(170).first.index == 120


def test_a_snapshot_begins_anew():
    cutter = LogCutter(100, 0, log_start=1, applied=SnapshotMetadata(1, 1, OLD))
    cutter.restarted(SnapshotMetadata(500, 7, NEW))
    assert cutter.committed(599) is None
    assert cutter.committed(600).first == SnapshotMetadata(600, 7, NEW)
