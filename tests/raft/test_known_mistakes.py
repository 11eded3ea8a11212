"""Mistakes that other implementations are known for, each made on purpose beside the right way.

The cluster is this one; the mistake is made around it (a disk that forgets, a host that
answers early) or planted in it.
"""

from __future__ import annotations

import pytest

from miniraft.raft import following, replication
from miniraft.raft.message import Message
from miniraft.raft.quorum import tally
from miniraft.raft.state import HardState
from tests.raft.harness import Cluster, entries_of
from tests.raft.single import PLAIN, K, drain, member, step


def vote_restart_vote(forget):
    """Member 1 votes for 2 in term 1, restarts, and is asked by 3 in term 1."""
    cluster = Cluster(**PLAIN)
    host = cluster.hosts[1]
    answers = []
    for candidate in (2, 3):
        host.raft.step(Message(K.VOTE, candidate, 1, term=1))
        host.run()
        answers += [not message.reject for message in host.sent]
        host.crash()
        if forget:
            host.disk.hard_state = HardState(0, 0, 0)
        host.start()
    return answers


def test_term_and_vote_survive_a_restart():
    assert vote_restart_vote(forget=False) == [True, False]


def test_contrast_a_member_that_keeps_term_and_vote_in_memory_only_votes_twice():
    assert vote_restart_vote(forget=True) == [True, True]


def test_a_vote_counts_once_however_often_it_arrives():
    raft = member(voters=(1, 2, 3, 4, 5))
    raft.campaign()
    drain(raft)
    for _ in range(4):
        step(raft, K.VOTE_RESPONSE, 2, term=1, context=1)
    assert raft.role == "candidate"


def test_a_member_that_changes_its_mind_is_counted_by_its_first_answer():
    raft = member()
    raft.campaign()
    drain(raft)
    step(raft, K.VOTE_RESPONSE, 2, term=1, context=1, reject=True)
    step(raft, K.VOTE_RESPONSE, 2, term=1, context=1)
    assert raft.role == "candidate"


def test_contrast_a_counter_of_answers_would_have_elected():
    """What a plain counter sees after one voter's answer came in twice."""
    answers = [1, 2, 2]
    assert len(answers) >= 3
    assert not tally(dict.fromkeys(answers, True), (1, 2, 3, 4, 5)).won


def overtaken_append(monkeypatch=None):
    """A short APPEND arrives again after a longer one; returns the log's end and what is durable."""
    if monkeypatch:

        def store(node, previous, entries):
            node.log.truncate(previous)
            node.durability.truncate(previous)
            node.log.append(entries)

        monkeypatch.setattr(following, "_store", store)
    raft = member(term=1)
    step(raft, K.APPEND, term=1, entries=entries_of(1))
    step(raft, K.APPEND, term=1, index=1, log_term=1, entries=entries_of(1, 1, first=2))
    assert raft.durable == 3  # and acknowledged: the leader may have committed it
    step(raft, K.APPEND, term=1, entries=entries_of(1))
    return raft.last_index


def test_entries_that_match_are_not_truncated():
    assert overtaken_append() == 3


def test_contrast_truncating_behind_every_append_loses_acknowledged_entries(monkeypatch):
    assert overtaken_append(monkeypatch) == 1


def acknowledge_crash_elect(early):
    """Everybody acknowledges an entry, then all members crash at once with their writes under way."""
    cluster = Cluster(**PLAIN)
    cluster.elect(1)
    for host in cluster.hosts.values():
        host.auto_sync = False
    cluster[1].propose([b"a"])
    acknowledged = []
    for _ in range(3):
        cluster.run()
        for host in cluster.hosts.values():
            if early:
                host.durable_sequence = 99  # as if fsync had been called
                host.raft.persisted(host.raft._node.durability.sequence)
                host._release()
                host.run()
                cluster.collect(host)
        while cluster.queue:
            cluster.deliver_one()
        acknowledged.append(b"a" in cluster.hosts[1].store.data)
    for host in cluster.hosts.values():
        host.crash()
        host.auto_sync = True
        host.start()
    cluster.queue.clear()
    cluster.elect(2)
    return any(acknowledged), b"a" in cluster.hosts[2].store.data


def test_nothing_is_acknowledged_before_fsync():
    assert acknowledge_crash_elect(early=False) == (False, False)


def test_contrast_acknowledging_before_fsync_loses_what_was_applied():
    assert acknowledge_crash_elect(early=True) == (True, False)


@pytest.mark.parametrize("own_term_only", [True, False])
def test_contrast_counting_entries_of_earlier_terms_commits_what_may_be_replaced(own_term_only, monkeypatch):
    """Figure 8 (c): entry 2 of term 2 on three of five, under a leader of term 4."""
    if not own_term_only:
        monkeypatch.setattr(replication, "advance_commit", commit_by_counting)
    raft = member(entries_of(1, 2), term=3, voters=(1, 2, 3, 4, 5))
    raft.campaign()
    drain(raft)
    for voter in (2, 3):
        step(raft, K.VOTE_RESPONSE, voter, term=4, context=4)
    for follower in (2, 3):
        step(raft, K.APPEND_RESPONSE, follower, term=4, index=2)
    assert raft.committed == (0 if own_term_only else 2)


def commit_by_counting(node):
    matches = sorted([node.durability.index, *(progress.match for progress in node.progress.values())])
    node.log.commit_to(matches[2])
