"""An election told line by line."""

import pytest

from miniraft.raft import observation
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

NAMES = {1: "m1", 2: "m2", 3: "m3"}


def narrator():
    return Narrator(1, 100, lambda member_id: NAMES.get(member_id, f"{member_id:x}"))


def messages(*observations):
    telling = narrator()
    return [telling.tell(seen, 1000 + 50 * number).message for number, seen in enumerate(observations)]


def test_an_election_won():
    assert messages(
        LeaderChanged(2, 0, 3),
        ElectionStarted(3, True, 12, "timeout"),
        VoteReceived(3, 1, True, True, 0, 1, 0, 2),
        VoteReceived(3, 2, True, True, 0, 2, 0, 2),
        ElectionStarted(3, False, 12, "timeout"),
        VoteReceived(3, 3, False, False, RejectReason.LEADER_ALIVE, 1, 1, 2),
        VoteReceived(3, 2, True, False, 0, 2, 1, 2),
        LeaderElected(3, 1),
    ) == [
        "lost its leader m3: none in term 2 yet",
        "heard from no leader for 1200 ms: asking the others for pre-votes",
        "gave itself its pre-vote (1 of 2 needed)",
        "received the pre-vote of m2 (2 of 2 needed)",
        "standing for election in term 3",
        "m3 refused its vote (1 of 2 needed): it has heard from a leader lately",
        "received the vote of m2 (2 of 2 needed)",
        "elected: leads in term 3, 300 ms after the election began"
        " and 350 ms after the last leader fell silent",
    ]


def test_a_voter_tells_for_whom_and_why_not():
    assert messages(
        VoteCast(3, 2, True, False, 0),
        VoteCast(3, 3, False, False, RejectReason.ALREADY_VOTED),
        VoteCast(4, 3, False, True, RejectReason.LOG_BEHIND),
        LeaderChanged(3, 2, 0),
    ) == [
        "gave its vote to m2 for term 3",
        "refused its vote to m3 for term 3: it voted for another member in this term",
        "refused its pre-vote to m3 for term 4: the candidate's log lacks entries that the voter has",
        "follows m2, leader of term 3",
    ]


def test_the_rest_is_told_too():
    assert messages(
        SteppedDown(3, "leader", "quorum lost"),
        LogTruncated(4, 10, 12),
        SnapshotNeeded(2, 5, 100),
        TransferStarted(4, 0xAB),
        TransferAborted(4, 2),
        ElectionStarted(5, False, 3, "transfer"),
    ) == [
        "steps down as leader in term 3: quorum lost",
        "dropped entries 10 to 12, never committed, for the leader's",
        "m2 needs entry 5, the log begins at 100: sending it a snapshot",
        "hands leadership over to ab",
        "m2 did not take leadership over in time: leading on",
        "the leader asked it to take over: starting an election",
    ]


def test_fields_carry_the_figures():
    event = narrator().tell(VoteReceived(3, 2, False, False, RejectReason.LOG_BEHIND, 1, 1, 2), 0)
    assert event.fields["voter"] == "m2"
    assert (event.fields["granted_count"], event.fields["rejected_count"], event.fields["quorum"]) == (
        1,
        1,
        2,
    )
    assert event.level == "info"


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(observation).values() if hasattr(kind, "_fields")],
    ids=lambda kind: kind.__name__,
)
def test_nothing_that_raft_tells_is_left_out(kind):
    values = ["x" if hint == "str" else 1 for hint in kind.__annotations__.values()]
    assert narrator().tell(kind(*values), 0).message


def test_a_reason_of_a_newer_version_is_told_as_a_number():
    assert messages(VoteCast(3, 2, False, False, 99)) == ["refused its vote to m2 for term 3: reason 99"]
