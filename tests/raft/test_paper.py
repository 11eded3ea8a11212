"""One test for each claim of the paper, named by where it stands. Figures 7 and 8 are scripts."""

from __future__ import annotations

import pytest

from miniraft.raft.config import RaftConfig
from miniraft.raft.entry import Entry
from miniraft.raft.interface import ProposalDropped
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.message import Message, RejectReason
from miniraft.raft.state import ConfigChangeKind, ConfigState, HardState, SnapshotMetadata
from tests.raft.harness import Cluster, entries_of
from tests.raft.single import PLAIN, K, ack, drain, lead, member, step


# Figure 2: AppendEntries ---------------------------------------------------------------------
def test_figure_2_append_1_replies_false_to_a_lower_term():
    raft = member(term=5)
    [answer] = step(raft, K.APPEND, term=4, entries=entries_of(4))
    assert (answer.kind, answer.reject, answer.term) == (K.APPEND_RESPONSE, True, 5)
    assert answer.reject_reason == RejectReason.TERM_BEHIND
    assert raft.last_index == 0


@pytest.mark.parametrize(("index", "log_term"), [(3, 1), (2, 2)], ids=["missing", "other term"])
def test_figure_2_append_2_replies_false_without_a_matching_previous_entry(index, log_term):
    raft = member(entries_of(1, 1), term=1)
    [answer] = step(
        raft, K.APPEND, term=2, index=index, log_term=log_term, entries=entries_of(2, first=index + 1)
    )
    assert answer.reject
    assert answer.reject_reason == RejectReason.LOG_MISMATCH
    assert raft.last_index == 2


def test_figure_2_append_3_deletes_a_conflicting_entry_and_all_that_follow():
    raft = member(entries_of(1, 1, 1, 1), term=1)
    [answer] = step(raft, K.APPEND, term=2, index=1, log_term=1, entries=entries_of(2, first=2))
    assert (answer.reject, answer.index) == (False, 2)
    assert raft.last_index == 2


def test_figure_2_append_3_deletes_nothing_that_agrees():
    raft = member(entries_of(1, 1, 1, 1), term=1)
    [answer] = step(raft, K.APPEND, term=1, index=0, entries=entries_of(1, 1))
    assert (answer.reject, answer.index) == (False, 2)
    assert raft.last_index == 4


def test_figure_2_append_4_appends_what_is_not_there_yet():
    raft = member(entries_of(1, 1), term=1)
    [answer] = step(raft, K.APPEND, term=1, index=1, log_term=1, entries=entries_of(1, 1, 1, first=2))
    assert answer.index == raft.last_index == 4


@pytest.mark.parametrize(("commit", "expected"), [(1, 1), (3, 3), (4, 3)])
def test_figure_2_append_5_commits_up_to_the_leaders_index_or_the_last_new_entry(commit, expected):
    """The entry behind the last new one may be the old leader's, to be replaced."""
    raft = member(entries_of(1, 1, 1, 1), term=1)
    step(raft, K.APPEND, term=2, index=2, log_term=1, entries=entries_of(1, first=3), commit=commit)
    assert raft.committed == expected


def test_figure_2_append_5_never_moves_the_commit_index_back():
    raft = member(entries_of(1, 1), term=1, commit=2)
    step(raft, K.APPEND, term=1, index=2, log_term=1, commit=1)
    assert raft.committed == 2


# Figure 2: RequestVote -----------------------------------------------------------------------
def test_figure_2_vote_1_replies_false_to_a_lower_term():
    [answer] = step(member(term=5), K.VOTE, term=4, index=9, log_term=4)
    assert (answer.reject, answer.term, answer.reject_reason) == (True, 5, RejectReason.TERM_BEHIND)


def test_figure_2_vote_2_grants_one_vote_in_a_term_first_come_first_served():
    raft = member()
    [first] = step(raft, K.VOTE, 2, term=1)
    [second] = step(raft, K.VOTE, 3, term=1)
    [again] = step(raft, K.VOTE, 2, term=1)
    assert [first.reject, second.reject, again.reject] == [False, True, False]
    assert second.reject_reason == RejectReason.ALREADY_VOTED


@pytest.mark.parametrize(
    ("index", "log_term", "granted"),
    [(2, 3, True), (3, 3, True), (1, 4, True), (1, 3, False), (9, 2, False)],
    ids=["same", "longer", "later term", "shorter", "longer of an earlier term"],
)
def test_figure_2_vote_2_and_5_4_1_grants_only_to_a_log_at_least_as_up_to_date(index, log_term, granted):
    raft = member(entries_of(2, 3), term=3)
    [answer] = step(raft, K.VOTE, term=9, index=index, log_term=log_term)
    assert answer.reject is not granted
    assert answer.reject_reason == (RejectReason.NONE if granted else RejectReason.LOG_BEHIND)


# Figure 2: persistent state ------------------------------------------------------------------
def test_figure_2_state_a_vote_is_durable_before_it_is_told():
    raft = member()
    raft.step(Message(K.VOTE, 2, 1, term=3))
    ready = raft.ready()
    assert ready.hard_state == HardState(3, 2, 0)
    assert ready.must_sync
    assert not ready.messages
    assert [message.kind for message in ready.messages_after_persist] == [K.VOTE_RESPONSE]


def test_figure_2_state_entries_are_durable_before_they_are_acknowledged():
    raft = member(term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, entries=entries_of(1, 1)))
    ready = raft.ready()
    assert [entry.index for entry in ready.entries] == [1, 2]
    assert not ready.messages
    assert [message.index for message in ready.messages_after_persist] == [2]


def test_figure_2_state_a_candidates_term_and_own_vote_are_durable_before_it_asks():
    raft = member()
    raft.campaign()
    ready = raft.ready()
    assert ready.hard_state == HardState(1, 1, 0)
    assert not ready.messages
    assert {message.kind for message in ready.messages_after_persist} == {K.VOTE}


def test_figure_2_state_survives_a_restart():
    raft = member(entries_of(1, 1), term=7, vote=3, commit=1)
    assert (raft.term, raft.last_index, raft.committed) == (7, 2, 1)
    [answer] = step(raft, K.VOTE, 2, term=7, index=9, log_term=7)
    assert answer.reject_reason == RejectReason.ALREADY_VOTED


# Figure 2: rules for servers -----------------------------------------------------------------
def test_figure_2_all_1_applies_committed_entries_in_order_and_once():
    raft = member(entries_of(1, 1, 1), term=1)
    raft.step(Message(K.APPEND, 2, 1, term=1, index=3, log_term=1, commit=2))
    ready = raft.ready()
    assert [entry.index for entry in ready.committed] == [1, 2]
    raft.step(Message(K.APPEND, 2, 1, term=1, index=3, log_term=1, commit=3))
    assert [entry.index for entry in raft.ready().committed] == [3]


@pytest.mark.parametrize("kind", [K.APPEND, K.HEARTBEAT, K.VOTE, K.APPEND_RESPONSE, K.VOTE_RESPONSE])
def test_figure_2_all_2_a_higher_term_makes_a_follower(kind):
    raft = lead(member())
    step(raft, kind, term=9)
    assert (raft.role, raft.term) == ("follower", 9)


def test_figure_2_followers_2_starts_an_election_only_without_leader_and_vote():
    raft = member()
    for _ in range(100):
        raft.tick()
        step(raft, K.HEARTBEAT, term=1)
    assert (raft.role, raft.term) == ("follower", 1)
    for _ in range(20):
        raft.tick()
    assert raft.role == "candidate"


def test_figure_2_followers_2_granting_a_vote_restarts_the_timeout_refusing_does_not():
    for log_term, role in ((1, "follower"), (0, "candidate")):
        raft = member(entries_of(1), term=1)
        elapsed = raft._node.election_timeout - 1
        for _ in range(elapsed):
            raft.tick()
        step(raft, K.VOTE, term=2, index=1, log_term=log_term)
        raft.tick()
        assert raft.role == role


def test_figure_2_candidates_1_increments_the_term_votes_for_itself_and_asks_everybody():
    raft = member(entries_of(1, 2), term=4, voters=(1, 2, 3, 4))
    raft.campaign()
    asked = drain(raft)
    assert raft.term == 5
    assert sorted(message.receiver for message in asked) == [2, 3, 4]
    assert {(message.term, message.index, message.log_term) for message in asked} == {(5, 2, 2)}


def test_figure_2_candidates_2_leads_with_a_majority_each_voter_counted_once():
    raft = member(voters=(1, 2, 3, 4, 5))
    raft.campaign()
    for _ in range(5):
        step(raft, K.VOTE_RESPONSE, 2, term=1, context=1)
    assert raft.role == "candidate"
    step(raft, K.VOTE_RESPONSE, 3, term=1, context=1)
    assert raft.role == "leader"


def test_figure_2_candidates_2_votes_of_an_earlier_term_do_not_count():
    raft = member()
    raft.campaign()
    raft.campaign()
    assert raft.term == 2
    step(raft, K.VOTE_RESPONSE, 2, term=1, context=1)
    assert raft.role == "candidate"


@pytest.mark.parametrize("kind", [K.APPEND, K.HEARTBEAT])
def test_figure_2_candidates_3_gives_way_to_a_leader_of_its_term(kind):
    raft = member()
    raft.campaign()
    step(raft, kind, 3, term=1)
    assert (raft.role, raft.leader, raft.term) == ("follower", 3, 1)


def test_figure_2_candidates_4_starts_over_after_another_timeout():
    raft = member()
    raft.campaign()
    for _ in range(20):
        raft.tick()
    assert (raft.role, raft.term) == ("candidate", 2)


def test_figure_2_leaders_1_asserts_itself_at_once_and_with_heartbeats():
    raft = member()
    raft.campaign()
    drain(raft)
    sent = step(raft, K.VOTE_RESPONSE, 2, term=1, context=1)
    assert sorted(message.receiver for message in sent if message.kind == K.APPEND) == [2, 3]
    raft.tick()
    assert sorted(message.receiver for message in drain(raft) if message.kind == K.HEARTBEAT) == [2, 3]


def test_figure_2_leaders_2_answers_only_when_applied():
    cluster = Cluster()
    cluster.elect(1)
    cluster.hosts[2].auto_sync = cluster.hosts[3].auto_sync = False
    cluster.propose(1, "a")
    assert b"a" not in cluster.hosts[1].store.data
    cluster.hosts[2].sync()
    cluster.settle()
    assert b"a" in cluster.hosts[1].store.data


def test_figure_2_leaders_3_sends_from_next_index_and_moves_match_index_with_success():
    raft = lead(member())
    raft.propose([b"a", b"b"])
    drain(raft)
    sent = ack(raft, 2, 1)
    assert [(m.receiver, [e.index for e in m.entries]) for m in sent if m.entries] == [(2, [2, 3])]
    ack(raft, 2, 3)
    assert next(view for view in raft.progress() if view.member_id == 2).match == 3


def test_figure_2_leaders_3_steps_next_index_back_after_a_rejection():
    raft = lead(member(entries_of(1, 1, 1), term=1))
    sent = step(
        raft, K.APPEND_RESPONSE, 2, term=raft.term, index=3, reject=True, reject_hint=1, reject_hint_term=1
    )
    assert [(m.receiver, m.index, m.log_term) for m in sent] == [(2, 1, 1)]


def test_figure_2_leaders_4_and_5_4_2_counts_only_entries_of_its_own_term():
    raft = lead(member(entries_of(1, 1), term=1, voters=(1, 2, 3, 4, 5)))
    ack(raft, 2, 2)
    ack(raft, 3, 2)
    assert raft.committed == 0
    ack(raft, 2, 3)
    assert raft.committed == 0
    ack(raft, 3, 3)
    assert raft.committed == 3


# Section 5 -----------------------------------------------------------------------------------
def test_5_1_the_term_never_decreases():
    raft = member(term=5)
    for kind in K:
        step(raft, kind, term=3)
    assert raft.term == 5


def test_5_2_timeouts_are_drawn_from_the_interval_anew_for_each_election():
    raft = member(election_ticks=10)
    drawn = set()
    for _ in range(300):
        before = raft.term
        ticks = 0
        while raft.term == before:
            raft.tick()
            ticks += 1
        drawn.add(ticks)
    assert drawn == set(range(10, 20))


def test_5_2_a_candidate_that_cannot_win_any_more_waits_as_a_follower():
    raft = member()
    raft.campaign()
    for voter in (2, 3):
        step(raft, K.VOTE_RESPONSE, voter, term=1, context=1, reject=True)
    assert (raft.role, raft.term) == ("follower", 1)


def test_5_3_a_follower_is_retried_until_it_has_everything():
    cluster = Cluster()
    cluster.elect(1)
    cluster.cut(3)
    cluster.propose(1, "a")
    cluster.propose(1, "b")
    cluster.tick(5, [1, 2])
    cluster.heal()
    cluster.tick(3, [1, 2])
    assert cluster.hosts[3].store.data == (b"a", b"b")


def test_5_3_backs_off_by_whole_terms():
    """A hundred entries of one wrong term cost one round, not a hundred."""
    leader_log = entries_of(1, *[3] * 100)
    follower_log = entries_of(1, *[2] * 100)
    cluster = Cluster((1, 2), logs={1: leader_log, 2: follower_log}, terms={1: 3, 2: 3})
    appends = []
    cluster.on_deliver = lambda message: (
        appends.append(message) if message.kind == K.APPEND_RESPONSE else None
    )
    cluster.elect(1)
    assert sum(message.reject for message in appends) <= 2
    assert cluster.hosts[1].log_terms() == cluster.hosts[2].log_terms()


def test_5_4_1_a_member_without_a_committed_entry_cannot_win():
    cluster = Cluster(**PLAIN)
    cluster.elect(1)
    cluster.cut(3)
    cluster.propose(1, "a")
    cluster.heal()
    cluster.hosts[1].crash()
    cluster[3].campaign()
    cluster.settle()
    assert cluster[3].role == "candidate"
    cluster.elect(2)
    assert cluster[3].role == "follower"


def test_5_5_repeated_messages_change_nothing():
    raft = member(term=1)
    append = {"term": 1, "entries": entries_of(1, 1), "commit": 1}
    step(raft, K.APPEND, **append)
    step(raft, K.APPEND, **append)
    assert (raft.last_index, raft.committed) == (2, 1)
    raft = lead(member())
    raft.propose([b"a"])
    for _ in range(3):
        ack(raft, 2, 1)
    assert raft.committed == 1


def test_5_5_a_crashed_member_is_brought_up_to_date():
    cluster = Cluster()
    cluster.elect(1)
    cluster.hosts[2].crash()
    cluster.propose(1, "a")
    cluster.hosts[2].start()
    cluster.tick(3)
    assert cluster.hosts[2].store.data == (b"a",)


def test_5_6_a_heartbeat_interval_is_shorter_than_the_election_timeout():
    with pytest.raises(ValueError, match="election_ticks 3 must exceed heartbeat_ticks 3"):
        RaftConfig(1, election_ticks=3, heartbeat_ticks=3)


# Section 6 and the thesis --------------------------------------------------------------------
def test_6_votes_are_refused_while_a_leader_is_heard_from():
    raft = member(check_quorum=True)
    step(raft, K.HEARTBEAT, 2, term=1)
    [answer] = step(raft, K.VOTE, 3, term=5)
    assert (answer.reject_reason, raft.term) == (RejectReason.LEADER_ALIVE, 1)
    for _ in range(10):
        raft.tick()
    step(raft, K.VOTE, 3, term=5)
    assert raft.term == 5


def test_6_a_removed_member_does_not_disturb():
    cluster = Cluster((1, 2, 3))
    cluster.elect(1)
    cluster.change(1, ConfigChangeKind.REMOVE, 3)
    cluster.tick(12, [1, 2])
    for kind in (K.VOTE, K.PRE_VOTE, K.APPEND_RESPONSE, K.HEARTBEAT_RESPONSE, K.PROPOSE, K.READ_INDEX):
        cluster[1].step(Message(kind, 3, 1, term=50, index=99, log_term=50, entries=entries_of(50)))
        cluster.settle()
    assert (cluster[1].role, cluster[1].term) == ("leader", 1)


def test_thesis_4_1_quorums_of_one_change_and_the_next_overlap():
    raft = lead(member())
    with pytest.raises(ProposalDropped, match="committed nothing"):
        raft.propose_config_change(b"0 4")
    ack(raft, 2, 1)
    raft.propose_config_change(b"0 4")
    with pytest.raises(ProposalDropped, match="another membership change"):
        raft.propose_config_change(b"0 5")
    ack(raft, 2, 2)
    raft.apply_config_change(ConfigChangeKind.ADD_VOTER, 4)
    raft.propose_config_change(b"0 5")
    assert raft.config.voters == (1, 2, 3, 4)


def test_thesis_4_1_a_new_leader_waits_for_a_change_that_may_be_in_its_log():
    log = [*entries_of(1), Entry(1, 2, 1, b"0 4")]
    raft = lead(member(log, term=1))
    raft.step(Message(K.APPEND_RESPONSE, 2, 1, term=2, index=3))
    assert raft.committed == 3
    with pytest.raises(ProposalDropped, match="another membership change"):
        raft.propose_config_change(b"0 5")
    drain(raft)
    raft.propose_config_change(b"0 5")


def test_thesis_4_1_does_not_stand_with_a_committed_change_unapplied():
    raft = member([*entries_of(1), Entry(1, 2, 1, b"0 4")], term=1, commit=2)
    raft.campaign()
    assert raft.role == "follower"
    drain(raft)
    raft.campaign()
    assert raft.role == "candidate"


def test_thesis_4_1_never_stands_two_changes_behind_after_a_restart():
    """The commit index on disk lags, but a second change in the log proves that the first is committed."""
    log = [Entry(1, 1, 1, b"0 4"), *entries_of(1, first=2), Entry(1, 3, 1, b"0 5")]
    raft = member(log, term=1)
    assert raft.committed == 1
    raft.campaign()
    assert raft.role == "follower"


def test_thesis_4_2_1_learners_count_in_no_quorum():
    cluster = Cluster((1, 2), (3,))
    cluster.elect(1)
    cluster.cut(2)
    cluster.propose(1, "a")
    assert cluster[3].last_index == cluster[1].last_index
    assert b"a" not in cluster.hosts[1].store.data
    cluster.tick(25)
    assert cluster[1].role == "follower"
    assert cluster[3].role == "follower"


def test_thesis_4_2_1_a_learner_that_was_promoted_without_knowing_it_is_asked_and_votes():
    """Else one failure could stop a cluster of three: the promoted member would wait for word
    from a leader that cannot be elected without it."""
    cluster = Cluster((1, 2), (3,))
    cluster.elect(1)
    cluster.propose(1, "a")
    cluster.change(1, ConfigChangeKind.PROMOTE, 3)
    cluster.hosts[3].crash()
    cluster.hosts[3].start()  # it has the entry, but does not know that it is committed
    cluster[3].step(Message(K.VOTE, 2, 3, term=2, index=99, log_term=1))
    cluster.hosts[3].run()
    assert [message.reject for message in cluster.hosts[3].sent] == [False]


def test_thesis_6_2_a_leader_without_a_quorum_steps_down():
    cluster = Cluster()
    cluster.elect(1)
    cluster.cut(1)
    cluster.tick(21, [1])
    assert (cluster[1].role, cluster[1].leader) == ("follower", 0)


def test_thesis_9_6_a_pre_vote_changes_nobodys_term():
    raft = member(entries_of(1), term=1, pre_vote=True)
    raft.campaign()
    asked = drain(raft)
    assert {(m.kind, m.term) for m in asked} == {(K.PRE_VOTE, 2)}
    assert (raft.role, raft.term) == ("pre-candidate", 1)
    [answer] = step(raft, K.PRE_VOTE, 2, term=7, index=1, log_term=1)
    assert (answer.reject, answer.term, raft.term) == (False, 1, 1)


# Section 7 -----------------------------------------------------------------------------------
def test_7_a_snapshot_that_the_log_already_covers_keeps_what_follows():
    config = ConfigState((1, 2, 3))
    raft = member(entries_of(1, 1, 1, 1), term=1)
    [answer] = step(raft, K.SNAPSHOT, term=1, snapshot=SnapshotMetadata(2, 1, config))
    assert (raft.committed, raft.last_index, answer.index) == (2, 4, 2)


def test_7_a_snapshot_that_conflicts_discards_the_whole_log():
    config = ConfigState((1, 2, 3, 4))
    raft = member(entries_of(1, 1, 1, 1), term=1)
    raft.step(Message(K.SNAPSHOT, 2, 1, term=3, snapshot=SnapshotMetadata(2, 3, config)))
    ready = raft.ready()
    assert ready.snapshot == SnapshotMetadata(2, 3, config)
    assert not ready.entries
    raft.persisted(ready.sequence)
    raft.restore_snapshot(ready.snapshot)
    assert (raft.first_index, raft.last_index, raft.committed, raft.applied, raft.durable) == (3, 2, 2, 2, 2)
    assert raft.config == config
    assert [message.index for message in drain(raft)] == [2]


def test_7_an_old_snapshot_changes_nothing():
    raft = member(entries_of(1, 1, 1), term=1, commit=3)
    [answer] = step(raft, K.SNAPSHOT, term=1, snapshot=SnapshotMetadata(2, 1, ConfigState((1,))))
    assert (answer.index, raft.committed, raft.config.voters) == (3, 3, (1, 2, 3))


def test_7_compaction_keeps_the_term_that_the_next_append_names():
    raft = member(entries_of(1, 2, 2), term=2, commit=3)
    drain(raft)
    raft.compact(3)
    assert (raft.first_index, raft.last_index) == (4, 3)
    [answer] = step(raft, K.APPEND, term=2, index=3, log_term=2, entries=entries_of(2, first=4))
    assert (answer.reject, answer.index) == (False, 4)


# Section 8 -----------------------------------------------------------------------------------
def test_8_a_leader_opens_its_term_with_a_no_op():
    raft = lead(member(entries_of(1), term=1))
    assert raft.last_index == 2
    ack(raft, 2, 2)
    assert raft.committed == 2


def test_8_no_read_before_an_entry_of_the_own_term_is_committed():
    raft = lead(member())
    raft.read_index(7)
    assert not any(message.context for message in drain(raft))
    raft.step(Message(K.APPEND_RESPONSE, 2, 1, term=1, index=1))
    ready = raft.ready()
    assert {message.context for message in ready.messages if message.kind == K.HEARTBEAT} == {1}


def test_8_a_read_needs_a_majority_that_still_follows():
    raft = lead(member(voters=(1, 2, 3, 4, 5)))
    for follower in (2, 3):
        ack(raft, follower, 1)
    raft.read_index(7)
    drain(raft)
    for sender, context in ((2, 0), (2, 1), (2, 1)):
        raft.step(Message(K.HEARTBEAT_RESPONSE, sender, 1, term=1, context=context))
        assert not raft.ready().read_states
    raft.step(Message(K.HEARTBEAT_RESPONSE, 3, 1, term=1, context=1))
    assert raft.ready().read_states == [(7, 1)]


# Figure 3 ------------------------------------------------------------------------------------
def test_figure_3_election_safety_a_second_leader_of_a_term_is_a_violation():
    raft = lead(member())
    with pytest.raises(InvariantViolation, match="two leaders in term 1: 1 and 2"):
        step(raft, K.APPEND, term=1)
    raft = member()
    step(raft, K.HEARTBEAT, 2, term=1)
    with pytest.raises(InvariantViolation, match="two leaders in term 1: 2 and 3"):
        step(raft, K.HEARTBEAT, 3, term=1)


def test_figure_3_leader_append_only():
    raft = lead(member(entries_of(1, 1, 1), term=1))
    before = raft._node.log.slice(1, raft.last_index)
    for kind in K:
        if kind not in (K.APPEND, K.HEARTBEAT, K.SNAPSHOT):
            step(raft, kind, term=raft.term, reject=True, index=1)
    assert raft._node.log.slice(1, len(before)) == before
    assert raft.role == "leader"


def test_figure_3_log_matching_same_index_and_term_means_the_same_log():
    logs = {1: entries_of(1, 1, 2), 2: entries_of(1, 1, 1, 1), 3: entries_of(1)}
    cluster = Cluster((1, 2, 3), logs=logs, terms={1: 2, 2: 1, 3: 1})
    cluster.elect(1)
    logs = [cluster[number]._node.log for number in (1, 2, 3)]
    assert logs[0].last_index == 4
    assert len({tuple(log.slice(1, 4)) for log in logs}) == 1


def test_figure_3_leader_completeness_a_committed_entry_is_in_every_later_leaders_log():
    cluster = Cluster((1, 2, 3, 4, 5))
    cluster.elect(1)
    cluster.cut(4, 5)
    cluster.propose(1, "a")
    cluster.hosts[1].crash()
    cluster.heal()
    for _ in range(40):
        cluster.tick()
        if cluster.leader():
            break
    assert b"a" in [entry.data for entry in cluster[cluster.leader()]._node.log.slice(1, 2)]


def test_figure_3_state_machine_safety_an_entry_against_a_committed_one_is_a_violation():
    raft = member(entries_of(1, 1), term=1, commit=2)
    with pytest.raises(InvariantViolation, match="entry 2 is committed with term 1"):
        step(raft, K.APPEND, term=2, index=0, entries=entries_of(1, 2))
