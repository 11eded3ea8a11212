"""Seeded storms over a whole cluster; and each checker shown to catch a bug planted for it."""

from __future__ import annotations

import re

import pytest

from miniraft.raft import election, following, membership, output, read_index, replication
from miniraft.raft.durability import Durability
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.log import RaftLog
from miniraft.raft.message import RejectReason
from miniraft.raft.node import Node
from miniraft.raft.quorum import agreed
from tests.raft.chaos import Storm
from tests.raft.checkers import Violation

SEEDS = 60


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_every_property_holds_in_a_storm(first):
    for seed in range(first, first + 10):
        try:
            Storm(seed).run()
        except (Violation, InvariantViolation) as error:
            raise AssertionError(f"seed {seed}: {error}") from error


# Planted bugs --------------------------------------------------------------------------------
def vote_for_everybody(monkeypatch):
    monkeypatch.setattr(election, "_refusal", lambda node, message: RejectReason.NONE)


def vote_for_any_log(monkeypatch):
    monkeypatch.setattr(RaftLog, "is_up_to_date", lambda self, index, term: True)


def vote_before_it_is_durable(monkeypatch):
    monkeypatch.setattr(Node, "send_after_persist", Node.send)
    monkeypatch.setattr(output, "_take_messages", take_all_messages)


def acknowledge_before_it_is_durable(monkeypatch):
    monkeypatch.setattr(output, "_take_messages", take_all_messages)


def take_all_messages(node, ready):
    ready.messages = node.messages + node.messages_after_persist
    node.messages, node.messages_after_persist = [], []


def append_without_looking_at_the_previous_entry(monkeypatch):
    monkeypatch.setattr(following, "_reject_mismatch", accept_blindly)


def accept_blindly(node, message):
    if message.index > node.log.last_index:
        node.reject(
            message.sender, message.index, RejectReason.LOG_MISMATCH, node.log.last_index, message.log_term
        )
        return
    last = message.index + len(message.entries)
    if message.entries:
        following._store(node, message.index, message.entries)
    node.log.commit_to(min(message.commit, last))
    node.acknowledge(last)


def commit_what_one_member_has(monkeypatch):
    monkeypatch.setattr(replication, "agreed", max)


def read_without_asking_anybody(monkeypatch):
    monkeypatch.setattr(read_index, "agreed", max)


def read_before_the_term_has_a_commit(monkeypatch):
    monkeypatch.setattr(Node, "has_committed_in_term", lambda self: True)


def durable_by_a_late_report(monkeypatch):
    """The ABA problem: writes under way are not cut back by truncation."""

    def truncate(self, last_index):
        self.index = min(self.index, last_index)
        self.written = min(self.written, last_index)

    monkeypatch.setattr(Durability, "truncate", truncate)


def replace_all_members_at_once(monkeypatch):
    monkeypatch.setattr(
        membership, "changed", lambda config, kind, member_id: config._replace(voters=(member_id,))
    )


def never_stand(monkeypatch):
    monkeypatch.setattr(election, "may_stand", lambda node: False)


PLANTED = {
    vote_for_everybody: "votes twice|lead term|two leaders",
    vote_for_any_log: "leader completeness|is committed with term|state machine safety|on this member's disk",
    vote_before_it_is_durable: "votes twice|falls from|acknowledges|lead term|two leaders",
    acknowledge_before_it_is_durable: "acknowledges|votes twice|falls from",
    append_without_looking_at_the_previous_entry: "log matching|state machine safety|is committed with term",
    commit_what_one_member_has: "leader completeness|state machine safety|is committed with term",
    read_without_asking_anybody: "stale read",
    read_before_the_term_has_a_commit: "stale read",
    durable_by_a_late_report: "applies .* before it is on its disk",
    replace_all_members_at_once: "lead term|two leaders|leader completeness|state machine|is committed with",
    never_stand: "liveness",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_caught(plant, monkeypatch):
    plant(monkeypatch)
    found = []
    for seed in range(300):
        try:
            Storm(seed).run()
        except (Violation, InvariantViolation) as error:
            found.append(str(error))
            if re.search(PLANTED[plant], str(error)):
                return
    raise AssertionError(f"of 300 seeds none shows {PLANTED[plant]!r}, but {found}")


def test_agreed_is_the_majoritys():
    assert [agreed(values) for values in ([], [5], [5, 3], [1, 9, 4], [1, 2, 3, 4])] == [0, 5, 3, 4, 2]
