"""What the log tells of elections, read back: the lines are the narrator's own."""

import json

import pytest

from miniraft.local_cluster.elections import RaftState, Round, Step, Vote, step_of
from miniraft.local_cluster.narrative import happening
from miniraft.raft.message import RejectReason
from miniraft.raft.observation import (
    ElectionStarted,
    LeaderChanged,
    LeaderElected,
    LogTruncated,
    SnapshotNeeded,
    SteppedDown,
    TransferAborted,
    TransferStarted,
    VoteCast,
    VoteReceived,
)
from miniraft.runtime.narration import Narrator

NONE, BEHIND = RejectReason.NONE, RejectReason.LOG_BEHIND
WHY_BEHIND = "the candidate's log lacks entries that the voter has"


def told(observation, own_id=1):
    """The step that a member's log line about an observation is read as."""
    event = Narrator(own_id, 100, lambda member: f"n{member}").tell(observation, 5000)
    fields = {key.replace("_", "-"): value for key, value in event.fields.items()}
    line = {"level": event.level, "ts": "2026-01-02T03:04:05.000006Z", "msg": event.message, "logger": "raft"}
    return happening(f"n{own_id}", json.dumps(line | fields).encode()).step


@pytest.mark.parametrize(
    ("observation", "step"),
    [
        (ElectionStarted(3, True, 12, "timeout"), Step("stands", 3, pre_vote=True)),
        (ElectionStarted(3, True, 0, "timeout"), Step("stands", 3, pre_vote=True)),
        (ElectionStarted(3, True, 1, "disconnected"), Step("stands", 3, pre_vote=True)),
        (ElectionStarted(3, False, 12, "timeout"), Step("stands", 3)),
        (ElectionStarted(3, False, 0, "transfer"), Step("stands", 3)),
        (VoteCast(3, 2, True, True, NONE), Step("cast", 3, True, "n2", True)),
        (VoteCast(3, 2, True, False, NONE), Step("cast", 3, False, "n2", True)),
        (VoteCast(3, 2, False, False, BEHIND), Step("cast", 3, False, "n2", False, WHY_BEHIND)),
        (VoteReceived(3, 1, True, True, NONE, 1, 0, 2), Step("received", 3, True, "n1", True, needed=2)),
        (VoteReceived(3, 2, True, False, NONE, 2, 0, 2), Step("received", 3, False, "n2", True, needed=2)),
        (
            VoteReceived(3, 2, False, False, BEHIND, 1, 1, 2),
            Step("received", 3, False, "n2", False, WHY_BEHIND, 2),
        ),
        (LeaderElected(3, 2), Step("elected", 3)),
        (LeaderChanged(3, 2, 0), Step("follows", 3, other="n2")),
        (LeaderChanged(3, 2, 3), Step("follows", 3, other="n2")),
        (LeaderChanged(3, 0, 2), Step("leaderless", 3, other="n2")),
        (SteppedDown(3, "leader", "quorum lost"), Step("steps-down", 3, reason="quorum lost")),
        (LogTruncated(3, 8, 9), None),
        (SnapshotNeeded(2, 5, 9), None),
        (TransferStarted(3, 2), None),
        (TransferAborted(3, 2), None),
    ],
)
def test_every_line_of_raft_is_understood(observation, step):
    assert told(observation) == step


def test_another_versions_words_are_told_without_being_understood():
    line = {"level": "info", "ts": "2026-01-02T03:04:05Z", "msg": "voted", "logger": "raft", "term": "soon"}
    assert happening("n1", json.dumps(line).encode())[1:5] == ("n1", "voted", "election", None)
    assert step_of("voted", {}) is None
    with pytest.raises(KeyError):
        step_of("received a vote", {"term": 1, "voter": "n2"})


def states(name, *steps):
    state, found = RaftState(), []
    for step in steps:
        state = state.after(step, name)
        found.append(state)
    return found


def test_a_member_that_wins():
    found = states(
        "n1",
        Step("follows", 2, other="n3"),
        Step("stands", 3, pre_vote=True),
        Step("leaderless", 2, other="n3"),
        Step("received", 3, True, "n1", True, needed=2),
        Step("received", 3, True, "n2", True, needed=2),
        Step("stands", 3),
        Step("received", 3, False, "n1", True, needed=2),
        Step("received", 3, False, "n2", True, needed=2),
        Step("elected", 3),
    )
    assert [(state.role, state.term, state.leader) for state in found] == [
        ("follower", 2, "n3"),
        ("pre-candidate", 2, ""),
        ("pre-candidate", 2, ""),
        ("pre-candidate", 2, ""),
        ("pre-candidate", 2, ""),
        ("candidate", 3, ""),
        ("candidate", 3, ""),
        ("candidate", 3, ""),
        ("leader", 3, "n1"),
    ]
    assert found[4].received == Round(3, True, (Vote("n1", True), Vote("n2", True)), 2)
    assert found[5].received == Round(3), "the votes of the pre-vote do not count"
    assert found[-1].received == Round(3, False, (Vote("n1", True), Vote("n2", True)), 2)


def test_a_member_that_votes():
    found = states(
        "n2",
        Step("follows", 2, other="n3"),
        Step("cast", 3, True, "n1", True),
        Step("leaderless", 3, other="n3"),
        Step("cast", 3, False, "n1", True),
        Step("cast", 3, False, "n4", False, "it voted for another member in this term"),
        Step("follows", 3, other="n1"),
    )
    assert [(state.role, state.term, state.leader) for state in found] == [
        ("follower", 2, "n3"),
        ("follower", 2, "n3"),  # a pre-vote moves nothing
        ("follower", 3, ""),
        ("follower", 3, ""),
        ("follower", 3, ""),
        ("follower", 3, "n1"),
    ]
    assert found[-1].cast.votes == (
        Vote("n1", True),
        Vote("n4", False, "it voted for another member in this term"),
    )


def test_a_leader_that_steps_down_and_a_candidate_that_loses():
    assert states("n1", Step("elected", 2), Step("steps-down", 3, reason="higher term"))[-1][:3] == (
        "follower",
        3,
        "",
    )
    lost = states("n1", Step("stands", 2), Step("steps-down", 2, reason="election lost"))[-1]
    assert lost[:3] == ("follower", 2, "")
