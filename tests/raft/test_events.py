"""Raft's contract with its owner: Readys in flight, batching, bounds, and bad messages."""

from __future__ import annotations

import random

import pytest

from miniraft.raft import output
from miniraft.raft.config import RaftConfig
from miniraft.raft.entry import ENTRY_OVERHEAD_BYTES, Entry
from miniraft.raft.interface import ProposalDropped, RestoredState
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.raft import Raft
from miniraft.raft.ready import ReadState
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from tests.raft.harness import Cluster, entries_of
from tests.raft.single import K, ack, drain, lead, member, step


# Readys on their way to disk -----------------------------------------------------------------
def test_an_empty_ready_is_not_offered():
    raft = member()
    assert not raft.has_ready()
    assert not raft.ready().persists


def test_several_readys_may_be_under_way_and_become_durable_in_order():
    raft = lead(member())
    sequences = []
    for _ in range(3):
        raft.propose([b"x"])
        sequences.append(raft.ready().sequence)
    assert sequences == [sequences[0], sequences[0] + 1, sequences[0] + 2]
    assert raft.durable == 1
    raft.persisted(sequences[1])
    assert raft.durable == 3
    raft.persisted(sequences[0])
    assert raft.durable == 3
    raft.persisted(sequences[2])
    assert raft.durable == 4


def test_a_ready_that_writes_nothing_has_the_sequence_of_the_write_it_waits_for():
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1)))
    written = raft.ready()
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1)))
    repeated = raft.ready()
    assert not repeated.persists
    assert repeated.messages_after_persist
    assert repeated.sequence == written.sequence


def test_a_write_that_was_never_handed_out_cannot_be_durable():
    with pytest.raises(InvariantViolation, match="write 1 reported durable, the newest is 0"):
        member().persisted(1)


def test_a_late_report_does_not_vouch_for_entries_that_replaced_those_written():
    """ABA: the same indexes, first of one leader's entries, then of the next one's."""
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1, 1, 1)))
    first = raft.ready()
    raft.step(
        Message(K.APPEND, 3, 1, term=2, index=1, log_term=1, entries=entries_of(2, 2, first=2), commit=3)
    )
    second = raft.ready()
    assert [(entry.index, entry.term) for entry in second.entries] == [(2, 2), (3, 2)]
    raft.persisted(first.sequence)
    assert raft.durable == 1
    assert [entry.index for entry in raft.ready().committed] == [1]
    raft.persisted(second.sequence)
    assert raft.durable == 3
    assert [(entry.index, entry.term) for entry in raft.ready().committed] == [(2, 2), (3, 2)]


def test_truncation_takes_the_durable_index_back():
    raft = member(entries_of(1, 1, 1), term=1)
    assert raft.durable == 3
    raft.step(Message(K.APPEND, 2, 1, term=2, index=1, log_term=1, entries=entries_of(2, first=2)))
    assert (raft.durable, raft.last_index) == (1, 2)


def test_nothing_is_applied_before_it_is_durable_here():
    raft = lead(member())
    raft.propose([b"a"])
    writing = raft.ready()
    for follower in (2, 3):
        raft.step(Message(K.APPEND_RESPONSE, follower, 1, term=1, index=2))
    assert raft.committed == 2
    assert [entry.index for entry in raft.ready().committed] == [1]
    raft.persisted(writing.sequence)
    assert [entry.index for entry in raft.ready().committed] == [2]


def test_a_leader_counts_itself_only_once_its_write_is_durable():
    raft = lead(member())
    raft.propose([b"a"])
    writing = raft.ready()
    raft.step(Message(K.APPEND_RESPONSE, 2, 1, term=1, index=2))
    assert raft.committed == 1
    raft.persisted(writing.sequence)
    assert raft.committed == 2


def test_a_leader_of_one_voter_sends_nothing_before_its_term_is_durable():
    """Else a learner could get entries of a term that is led again, with others, after a crash."""
    config = ConfigState((1,), (2,))
    restored = RestoredState(HardState(0, 0, 0), SnapshotMetadata(0, 0, config), (), 0, config)
    raft = Raft(RaftConfig(1), restored, random.Random(1))
    raft.campaign()
    assert raft.role == "leader"
    ready = raft.ready()
    assert not ready.messages
    assert [message.kind for message in ready.messages_after_persist] == [K.APPEND]
    raft.persisted(ready.sequence)
    assert raft.committed == 1


def test_heartbeats_are_answered_while_entries_are_being_written():
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1)))
    raft.ready()
    raft.step(Message(K.HEARTBEAT, 2, 1, term=1, context=5))
    assert [(message.kind, message.context) for message in raft.ready().messages] == [
        (K.HEARTBEAT_RESPONSE, 5)
    ]


def test_heartbeats_are_not_answered_before_their_term_is_durable():
    raft = member(term=1)
    raft.step(Message(K.HEARTBEAT, 2, 1, term=2))
    ready = raft.ready()
    assert not ready.messages
    assert [message.kind for message in ready.messages_after_persist] == [K.HEARTBEAT_RESPONSE]


def test_the_commit_index_is_written_along_but_never_alone():
    raft = lead(member())
    ack(raft, 2, 1)
    assert raft.committed == 1
    assert not raft.ready().persists
    raft.propose([b"a"])
    assert raft.ready().hard_state == HardState(1, 1, 1)


def test_the_commit_index_on_disk_never_runs_ahead_of_the_entries_there():
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1, 1), commit=2))
    ready = raft.ready()
    assert (ready.hard_state, len(ready.entries)) == (None, 2)
    assert raft.committed == 2


def test_applied_may_not_pass_what_was_handed_out():
    raft = lead(member())
    with pytest.raises(InvariantViolation, match="applied 1, but only entries up to 0"):
        raft.advance_applied(1)


def test_compaction_stops_at_applied():
    raft = member(entries_of(1, 1), term=1, commit=2)
    raft.ready()
    raft.advance_applied(1)
    with pytest.raises(InvariantViolation, match="compacted at 2, applied is 1"):
        raft.compact(2)
    raft.compact(1)
    raft.compact(1)
    assert raft.first_index == 2


# Restarting ----------------------------------------------------------------------------------
CONFIG = ConfigState((1, 2, 3))


@pytest.mark.parametrize(
    ("hard_state", "snapshot_index", "terms", "applied", "message"),
    [
        (HardState(1, 0, 3), 0, (1, 1), 0, "the log ends at 2, but 3 is committed"),
        (HardState(1, 0, 0), 0, (1, 1), 3, "the log ends at 2, but 0 is committed and 3 applied"),
        (HardState(1, 0, 0), 5, (), 3, "the state machine ends at 3, the log begins behind 5"),
        (HardState(1, 0, 0), 0, (1, 2), 0, "the log ends in term 2, but the term on disk is 1"),
    ],
)
def test_a_disk_that_lost_something_is_refused(hard_state, snapshot_index, terms, applied, message):
    snapshot = SnapshotMetadata(snapshot_index, min(snapshot_index, 1), CONFIG)
    restored = RestoredState(
        hard_state, snapshot, entries_of(*terms, first=snapshot_index + 1), applied, CONFIG
    )
    with pytest.raises(InvariantViolation, match=message):
        Raft(RaftConfig(1), restored, random.Random(1))


def test_a_hole_in_the_restored_entries_is_refused():
    entries = [Entry(1, 1, 0, b""), Entry(1, 3, 0, b"")]
    with pytest.raises(InvariantViolation, match="not consecutive"):
        member(entries, term=1)


def test_what_a_snapshot_replaced_does_not_come_back():
    """Uncommitted entries of an older leader may still lie behind the snapshot on disk."""
    snapshot = SnapshotMetadata(2, 3, CONFIG)
    restored = RestoredState(HardState(3, 0, 0), snapshot, entries_of(1, 1, first=3), 2, CONFIG)
    raft = Raft(RaftConfig(1), restored, random.Random(1))
    assert (raft.last_index, raft.first_index, raft.committed) == (2, 3, 2)


def test_a_snapshot_written_before_its_term_takes_the_term_along():
    snapshot = SnapshotMetadata(2, 3, CONFIG)
    raft = Raft(RaftConfig(1), RestoredState(HardState(1, 2, 0), snapshot, (), 2, CONFIG), random.Random(1))
    assert raft.term == 3
    assert raft.ready().hard_state == HardState(3, 0, 2)


def test_what_was_applied_is_not_applied_again():
    restored = RestoredState(
        HardState(1, 0, 1), SnapshotMetadata(0, 0, CONFIG), entries_of(1, 1, 1), 2, CONFIG
    )
    raft = Raft(RaftConfig(1), restored, random.Random(1))
    assert (raft.committed, raft.applied) == (2, 2)
    step(raft, K.HEARTBEAT, term=1, commit=2)
    raft.step(Message(K.HEARTBEAT, 2, 1, term=1, commit=3))
    assert [entry.index for entry in raft.ready().committed] == [3]


def test_a_member_that_lost_its_log_is_told_so():
    raft = member()
    with pytest.raises(InvariantViolation, match="knows entries up to 5 to be on this member's disk"):
        step(raft, K.HEARTBEAT, term=1, commit=5)


# Batching and bounds -------------------------------------------------------------------------
def appends(messages):
    return [message for message in messages if message.kind == K.APPEND]


def test_many_proposals_make_one_append_for_each_follower():
    raft = lead(member())
    for follower in (2, 3):
        ack(raft, follower, 1)
    for _ in range(50):
        raft.propose([b"a", b"b"])
    sent = appends(raft.ready().messages)
    assert [(message.receiver, len(message.entries)) for message in sent] == [(2, 100), (3, 100)]
    assert sent[0].entries is sent[1].entries


def test_many_answers_make_one_commit_message_that_asks_for_no_answer():
    raft = lead(member())
    for follower in (2, 3):
        ack(raft, follower, 1)
    for _ in range(5):
        raft.propose([b"a"])
        raft.persisted(raft.ready().sequence)
    for index in range(2, 7):
        for follower in (2, 3):
            raft.step(Message(K.APPEND_RESPONSE, follower, 1, term=1, index=index))
    sent = raft.ready().messages
    assert [(m.receiver, m.commit, len(m.entries)) for m in sent] == [(2, 6, 0), (3, 6, 0)]
    cluster = Cluster()
    cluster.elect(1)
    cluster.hosts[2].raft.step(Message(K.APPEND, 1, 2, term=1, index=1, log_term=1, commit=1, context=1))
    cluster.run()
    assert not cluster.queue


def test_many_appends_get_one_answer():
    raft = member(term=1)
    for index in range(1, 6):
        raft.step(
            Message(
                K.APPEND,
                2,
                1,
                term=1,
                index=index - 1,
                log_term=min(1, index - 1),
                entries=entries_of(1, first=index),
            )
        )
    assert [message.index for message in raft.ready().messages_after_persist] == [5]


def test_many_reads_share_a_round():
    raft = lead(member())
    for follower in (2, 3):
        ack(raft, follower, 1)
    for context in range(1, 50):
        raft.read_index(context)
    assert len(raft.ready().messages) == 1  # as many followers as a majority needs
    raft.step(Message(K.HEARTBEAT_RESPONSE, 2, 1, term=1, context=1))
    assert raft.ready().read_states == [(context, 1) for context in range(1, 50)]


def test_a_single_voter_reads_at_once():
    raft = member(voters=(1,))
    raft.campaign()
    drain(raft)
    raft.read_index(3)
    assert raft.has_ready()
    ready = raft.ready()
    assert ready.read_states == [(3, 1)]
    assert not ready.messages


def test_forwarded_reads_fail_when_the_leader_is_gone_and_never_wait_for_ever():
    raft = member(check_quorum=True)
    raft.read_index(1)
    assert raft.ready().read_states == [ReadState(1, -1)]
    step(raft, K.HEARTBEAT, 2, term=1)
    raft.read_index(2)
    assert [(m.kind, m.receiver, m.context) for m in drain(raft)] == [(K.READ_INDEX, 2, 2)]
    raft.step(Message(K.HEARTBEAT, 3, 1, term=2))
    assert raft.ready().read_states == [ReadState(2, -1)]
    raft.read_index(3)
    raft.report_unreachable(3)
    assert raft.ready().read_states == [ReadState(3, -1)]
    raft.read_index(4)
    states = []
    for _ in range(20):
        raft.tick()
        raft.step(Message(K.HEARTBEAT, 3, 1, term=2))
        states += raft.ready().read_states
    assert states == [ReadState(4, -1)]


def test_a_deposed_leader_fails_its_own_and_its_followers_reads():
    raft = lead(member())
    ack(raft, 2, 1)
    raft.read_index(7)
    raft.step(Message(K.READ_INDEX, 3, 1, term=1, context=8))
    raft.ready()
    raft.step(Message(K.HEARTBEAT, 2, 1, term=2))
    ready = raft.ready()
    assert ready.read_states == [ReadState(7, -1)]
    refused = [m for m in ready.messages_after_persist if m.kind == K.READ_INDEX_RESPONSE]
    assert [(m.receiver, m.context, m.reject) for m in refused] == [(3, 8, True)]


def test_uncommitted_proposals_are_bounded():
    raft = lead(member(max_uncommitted_bytes=1000))
    ack(raft, 2, 1)
    raft.propose([bytes(900)])
    with pytest.raises(ProposalDropped, match="wait for a majority"):
        raft.propose([bytes(100)])
    assert raft.last_index == 2
    drain(raft)
    ack(raft, 2, 2)
    raft.propose([bytes(5000)])
    assert raft.last_index == 3


def test_appends_in_flight_are_bounded_in_number():
    raft = lead(member(max_inflight_appends=3))
    ack(raft, 2, 1)
    sent = []
    for _ in range(10):
        raft.propose([b"a"])
        sent += appends(drain(raft))
    assert [message.index for message in sent if message.receiver == 2] == [1, 2, 3]
    sent = appends(ack(raft, 2, 2))
    assert [[entry.index for entry in message.entries] for message in sent if message.entries] == [
        [5, 6, 7, 8, 9, 10, 11]
    ]


def test_appends_in_flight_are_bounded_in_bytes():
    size = 1000
    raft = lead(member(max_append_bytes=size))
    raft.propose([bytes(size)] * 20)
    drain(raft)
    sent = appends(ack(raft, 2, 1))
    assert [len(message.entries) for message in sent] == [1] * 8
    assert all(len(m.entries[0].data) + ENTRY_OVERHEAD_BYTES > size for m in sent)


def test_appends_are_cut_at_max_append_bytes():
    each = 100 + ENTRY_OVERHEAD_BYTES
    raft = lead(member(max_append_bytes=3 * each))
    ack(raft, 2, 1)
    raft.propose([bytes(100)] * 7)
    sent = [message for message in appends(drain(raft)) if message.receiver == 2]
    assert [len(message.entries) for message in sent] == [3, 3, 1]
    assert [message.index for message in sent] == [1, 4, 7]


def test_committed_entries_are_handed_out_in_bounded_parts(monkeypatch):
    monkeypatch.setattr(output, "MAX_COMMITTED_BYTES", 3 * (1 + ENTRY_OVERHEAD_BYTES))
    raft = member(voters=(1,))
    raft.campaign()
    drain(raft)
    raft.propose([b"x"] * 7)
    raft.persisted(raft.ready().sequence)
    parts = []
    while raft.has_ready():
        parts.append([entry.index for entry in raft.ready().committed])
    assert parts == [[2, 3, 4], [5, 6, 7], [8]]


def test_a_silent_follower_is_probed_once_and_after_heartbeats_it_answers():
    raft = lead(member())
    ack(raft, 2, 1)
    for _ in range(5):
        raft.propose([b"a"])
        assert not [m for m in appends(drain(raft)) if m.receiver == 3]
    raft.tick()
    drain(raft)
    for _ in range(3):
        raft.step(Message(K.HEARTBEAT_RESPONSE, 3, 1, term=1))
    sent = [message for message in appends(drain(raft)) if message.receiver == 3]
    assert [message.index for message in sent] == [0]


# Snapshots for followers ---------------------------------------------------------------------
def leader_with_compacted_log(**settings):
    raft = lead(member(**settings))
    ack(raft, 2, 1)
    raft.propose([b"a", b"b", b"c"])
    drain(raft)
    ack(raft, 2, 4)
    raft.compact(4)
    return raft


def behind(raft, index=1, previous=0):
    return step(
        raft, K.APPEND_RESPONSE, 3, term=1, index=previous, reject=True, reject_hint=index, reject_hint_term=0
    )


def state_of(raft, member_id):
    return next(view for view in raft.progress() if view.member_id == member_id)


def test_a_snapshot_is_sent_only_when_there_is_one_that_helps():
    raft = leader_with_compacted_log()
    assert not [m for m in behind(raft, 0) if m.kind == K.SNAPSHOT]
    raft.snapshot_available(SnapshotMetadata(2, 1, CONFIG))
    raft.tick()
    assert not [m for m in step(raft, K.HEARTBEAT_RESPONSE, 3, term=1) if m.kind == K.SNAPSHOT]
    raft.snapshot_available(SnapshotMetadata(4, 1, CONFIG))
    raft.tick()
    [sent] = [m for m in step(raft, K.HEARTBEAT_RESPONSE, 3, term=1) if m.kind == K.SNAPSHOT]
    assert sent.snapshot.index == 4
    assert state_of(raft, 3).state == "snapshot"


def test_a_follower_that_gets_a_snapshot_gets_nothing_else_until_it_has_it():
    raft = leader_with_compacted_log()
    raft.snapshot_available(SnapshotMetadata(4, 1, CONFIG))
    behind(raft, 0)
    raft.propose([b"d"])
    assert {m.receiver for m in appends(drain(raft))} == {2}
    sent = ack(raft, 3, 4)
    assert [[entry.data for entry in m.entries] for m in appends(sent) if m.receiver == 3] == [[b"d"]]
    assert state_of(raft, 3).state == "replicate"


@pytest.mark.parametrize(("succeeded", "following"), [(True, 5), (False, 1)])
def test_the_end_of_a_transfer_makes_the_follower_probed(succeeded, following):
    raft = leader_with_compacted_log()
    raft.snapshot_available(SnapshotMetadata(4, 1, CONFIG))
    behind(raft, 0)
    raft.report_snapshot(3, succeeded)
    assert (state_of(raft, 3).state, state_of(raft, 3).next) == ("probe", following)
    raft.report_snapshot(3, succeeded)
    raft.report_snapshot(99, True)


def test_a_dead_follower_gets_no_snapshot():
    raft = lead(member(max_inflight_appends=1))
    ack(raft, 2, 1)
    raft.propose([b"a"])
    drain(raft)
    ack(raft, 2, 2)
    raft.compact(2)
    raft.snapshot_available(SnapshotMetadata(2, 1, CONFIG))
    raft.report_unreachable(3)
    for _ in range(5):
        raft.tick()
        assert not [m for m in drain(raft) if m.kind == K.SNAPSHOT]


def test_the_log_stands_still_while_a_snapshot_is_being_installed():
    raft = member(entries_of(1), term=1)
    raft.step(Message(K.SNAPSHOT, 2, 1, term=2, snapshot=SnapshotMetadata(5, 2, CONFIG)))
    ready = raft.ready()
    raft.persisted(ready.sequence)
    raft.step(Message(K.APPEND, 2, 1, term=2, index=1, log_term=1, entries=entries_of(2, first=2), commit=2))
    assert raft.last_index == 1
    assert not drain(raft)
    assert [m.kind for m in step(raft, K.HEARTBEAT, term=2)] == [K.HEARTBEAT_RESPONSE]
    raft.campaign()
    assert raft.role == "follower"
    raft.step(Message(K.HEARTBEAT, 2, 1, term=2))
    raft.restore_snapshot(ready.snapshot)
    [answer] = [m for m in drain(raft) if m.kind == K.APPEND_RESPONSE]
    assert (answer.index, answer.term) == (5, 2)


def test_entries_not_written_yet_are_not_written_behind_a_snapshot():
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1, 1)))
    raft.step(Message(K.SNAPSHOT, 3, 1, term=2, snapshot=SnapshotMetadata(9, 2, CONFIG)))
    ready = raft.ready()
    assert (ready.snapshot.index, list(ready.entries), ready.messages_after_persist) == (9, [], [])
    raft.restore_snapshot(ready.snapshot)
    raft.persisted(ready.sequence)
    assert (raft.durable, raft.last_index) == (9, 9)
    assert [message.index for message in drain(raft)] == [9]


def test_appends_before_a_snapshot_in_the_same_batch_are_not_acknowledged():
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1, 1)))
    raft.step(Message(K.SNAPSHOT, 2, 1, term=1, snapshot=SnapshotMetadata(9, 1, CONFIG)))
    assert not raft.ready().messages_after_persist


def test_a_second_snapshot_waits_until_the_first_is_installed():
    raft = member(term=1)
    raft.step(Message(K.SNAPSHOT, 2, 1, term=1, snapshot=SnapshotMetadata(5, 1, CONFIG)))
    first = raft.ready().snapshot
    raft.step(Message(K.SNAPSHOT, 2, 1, term=1, snapshot=SnapshotMetadata(9, 1, CONFIG)))
    assert raft.ready().snapshot is None
    raft.restore_snapshot(first)
    assert raft.last_index == 5


def test_a_late_rejection_does_not_stop_the_stream():
    raft = lead(member())
    raft.propose([b"a"])
    drain(raft)
    ack(raft, 2, 2)
    reject = {"term": 1, "reject": True, "reject_hint": 0, "reject_hint_term": 0}
    step(raft, K.APPEND_RESPONSE, 2, index=1, **reject)
    assert state_of(raft, 2)[1:4] == (2, 3, "replicate")
    raft.propose([b"b"])
    drain(raft)
    step(raft, K.APPEND_RESPONSE, 2, index=3, **reject)
    assert state_of(raft, 2)[1:4] == (2, 3, "probe")


def test_a_late_rejection_does_not_move_a_probe():
    raft = lead(member(entries_of(1, 1, 1), term=1))
    reject = {"term": 2, "reject": True, "reject_hint_term": 1}
    step(raft, K.APPEND_RESPONSE, 2, index=3, reject_hint=2, **reject)
    assert state_of(raft, 2).next == 3
    step(raft, K.APPEND_RESPONSE, 2, index=3, reject_hint=0, **reject)
    assert state_of(raft, 2).next == 3


# Messages that make no sense -----------------------------------------------------------------
GAP = [Entry(1, 2, 0, b""), Entry(1, 4, 0, b"")]
BAD_APPENDS = {
    "gap": {"index": 1, "log_term": 1, "entries": GAP},
    "not behind the previous": {"index": 1, "log_term": 1, "entries": entries_of(1, first=3)},
    "falling terms": {
        "index": 1,
        "log_term": 1,
        "entries": [*entries_of(2, first=2), *entries_of(1, first=3)],
    },
    "term before the previous": {"index": 1, "log_term": 2, "entries": entries_of(1, first=2)},
    "term above the leader's": {"index": 1, "log_term": 1, "entries": entries_of(9, first=2)},
}


@pytest.mark.parametrize("bad", BAD_APPENDS.values(), ids=BAD_APPENDS.keys())
def test_a_malformed_append_is_ignored(bad):
    raft = member(entries_of(1), term=2)
    assert not step(raft, K.APPEND, term=2, **bad)
    assert raft.last_index == 1


def test_messages_for_somebody_else_or_from_itself_are_ignored():
    raft = member()
    raft.step(Message(K.VOTE, 2, 3, term=9))
    raft.step(Message(K.VOTE, 1, 1, term=9))
    raft.step(Message(K.VOTE, 0, 1, term=9))
    assert raft.term == 0
    assert not raft.has_ready()


@pytest.mark.parametrize("role", ["follower", "candidate", "leader"])
def test_every_kind_of_message_in_every_role_is_survived(role):
    for kind in K:
        for sender in (2, 9):
            raft = member(entries_of(1), term=1)
            if role != "follower":
                raft.campaign()
                drain(raft)
            if role == "leader":
                lead(raft)
            if role == "leader" and kind in (K.APPEND, K.HEARTBEAT, K.SNAPSHOT):
                continue
            before = raft._node.log.slice(1, 1)
            step(raft, kind, sender, term=raft.term)
            assert raft._node.log.slice(1, 1) == before


def test_an_answer_beyond_the_leaders_log_is_ignored():
    raft = lead(member())
    ack(raft, 2, 99)
    assert (state_of(raft, 2).match, raft.committed) == (0, 0)


def test_an_unknown_kind_is_ignored():
    raft = member(term=1)
    raft.step(Message(77, 2, 1, term=1))
    assert not raft.has_ready()


# Proposals -----------------------------------------------------------------------------------
def test_a_proposal_without_a_leader_is_refused():
    with pytest.raises(ProposalDropped, match="no leader"):
        member().propose([b"a"])


def test_a_follower_passes_all_payloads_on_in_one_message():
    raft = member()
    step(raft, K.HEARTBEAT, 2, term=1)
    raft.propose([b"a", b"b"])
    [sent] = raft.ready().messages
    assert (sent.kind, sent.receiver, [entry.data for entry in sent.entries]) == (K.PROPOSE, 2, [b"a", b"b"])
    leader = lead(member())
    step(leader, K.PROPOSE, 3, term=1, entries=sent.entries)
    assert leader.last_index == 3


def test_a_follower_passes_a_membership_change_on():
    cluster = Cluster()
    cluster.elect(1)
    cluster[2].propose_config_change(b"1 9")
    cluster.settle()
    assert cluster[3].config.learners == (9,)


def test_proposing_nothing_does_nothing():
    raft = lead(member())
    raft.propose([])
    assert raft.last_index == 1


# Membership ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        (0, 4, ((1, 2, 4), (3,))),
        (0, 2, ((1, 2), (3,))),
        (0, 3, ((1, 2), (3,))),
        (1, 4, ((1, 2), (3, 4))),
        (1, 1, ((1, 2), (3,))),
        (2, 2, ((1,), (3,))),
        (2, 3, ((1, 2), ())),
        (2, 9, ((1, 2), (3,))),
        (3, 2, ((1, 2), (3,))),
        (4, 3, ((1, 2, 3), ())),
        (4, 2, ((1, 2), (3,))),
    ],
)
def test_a_change_makes_this_membership(kind, target, expected):
    cluster = Cluster((1, 2), (3,))
    assert cluster[1].apply_config_change(kind, target) == ConfigState(*expected)


def test_the_last_voter_stays():
    raft = member(voters=(1,))
    assert raft.apply_config_change(2, 1).voters == (1,)


def test_removing_a_member_may_commit_what_waited_for_it():
    cluster = Cluster((1, 2, 3, 4))
    cluster.elect(1)
    cluster.propose(1, "a")
    cluster.cut(4)
    cluster[1].propose_config_change(b"2 4")
    cluster[1].propose([b"b"])
    cluster.cut(3)
    cluster.run()
    cluster.hosts[1].raft.step(Message(K.APPEND_RESPONSE, 2, 1, term=1, index=4))
    cluster.hosts[1].raft.step(Message(K.APPEND_RESPONSE, 3, 1, term=1, index=3))
    cluster.hosts[1].run()
    assert cluster[1].config.voters == (1, 2, 3)
    assert cluster[1].committed == 4


def test_a_removed_follower_counts_no_more():
    cluster = Cluster((1, 2, 3))
    cluster.elect(1)
    cluster.change(1, 2, 3)
    cluster.cut(2)
    cluster.propose(1, "a")
    assert cluster[1].committed == 2
    assert [view.member_id for view in cluster[1].progress()] == [1, 2]


def test_a_vote_of_a_member_that_is_no_voter_does_not_count():
    raft = member(voters=(1, 2, 3))
    raft.apply_config_change(1, 4)
    raft.campaign()
    for sender in (4, 5):
        step(raft, K.VOTE_RESPONSE, sender, term=1, context=1)
    assert raft.role == "candidate"


# Transfer ------------------------------------------------------------------------------------
def test_a_transfer_is_for_voters_only():
    cluster = Cluster((1, 2), (3,))
    cluster.elect(1)
    for target in (1, 3, 9):
        cluster[1].transfer_leadership(target)
        cluster.settle()
        cluster.propose(1, "a")
    assert cluster[1].role == "leader"


def test_a_learner_that_is_told_to_stand_goes_on_following():
    raft = member(voters=(2, 3))
    step(raft, K.HEARTBEAT, 2, term=1)
    step(raft, K.TIMEOUT_NOW, 2, term=1)
    assert (raft.role, raft.leader, raft.term) == ("follower", 2, 1)


def test_a_transfer_waits_for_the_target_and_drops_proposals_meanwhile():
    raft = lead(member())
    ack(raft, 2, 1)
    raft.propose([b"a"])
    drain(raft)
    raft.transfer_leadership(2)
    assert not [m for m in drain(raft) if m.kind == K.TIMEOUT_NOW]
    with pytest.raises(ProposalDropped, match="handed over"):
        raft.propose([b"b"])
    sent = ack(raft, 2, 2)
    assert [m.receiver for m in sent if m.kind == K.TIMEOUT_NOW] == [2]
    for _ in range(10):
        raft.tick()
    raft.propose([b"b"])


def test_a_transfer_election_is_not_held_up_by_those_who_hear_the_leader():
    cluster = Cluster()
    cluster.elect(1)
    cluster.tick(3)
    cluster[1].transfer_leadership(3)
    cluster.settle()
    assert (cluster.leader(), cluster[3].term) == (3, 2)


def test_a_candidate_that_learns_of_its_own_removal_stands_no_more():
    """A refusal tells what is committed: here that the candidate has left, so no vote counts any more."""
    removal = Entry(1, 2, 1, b"2 1")
    raft = member(log=[*entries_of(1), removal], term=1, voters=(1, 2, 3, 4))
    raft.campaign()
    drain(raft)
    assert raft.role == "candidate"
    step(raft, K.VOTE_RESPONSE, 2, term=2, context=2, reject=True, commit=2, log_term=1)
    assert raft.committed == 2
    for voter in (3, 4):
        step(raft, K.VOTE_RESPONSE, voter, term=2, context=2)
    assert raft.role == "follower"


def test_a_refusal_tells_a_candidate_nothing_of_another_history():
    raft = member(log=entries_of(1, 1), term=1)
    raft.campaign()
    drain(raft)
    step(raft, K.VOTE_RESPONSE, 2, term=2, context=2, reject=True, commit=2, log_term=2)
    step(raft, K.VOTE_RESPONSE, 2, term=2, context=2, reject=True, commit=9, log_term=1)
    assert raft.committed == 0


def test_message_kinds_are_stable():
    assert [(kind.name, kind.value) for kind in MessageKind][:4] == [
        ("APPEND", 1),
        ("APPEND_RESPONSE", 2),
        ("HEARTBEAT", 3),
        ("HEARTBEAT_RESPONSE", 4),
    ]
