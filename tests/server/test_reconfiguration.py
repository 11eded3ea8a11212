"""Strict checks of membership changes, URLs, and changes that get lost."""

import pytest

from miniraft import errors
from miniraft.errors import EtcdError
from miniraft.pb.log_pb2 import ConfigChange
from miniraft.raft.message import MessageKind
from miniraft.server.peer_urls import parse_peer_urls
from miniraft.server.reconfiguration import (
    Links,
    check_addition,
    check_learner_ready,
    check_promotion,
    check_removal,
)
from miniraft.server.service import MemberInfo
from tests.server.harness import Wired

WELL = 5000


def members(*, started, waiting=0, learners=0):
    """Ids count from 1 on: started voters, voters that wait to be started, learners."""
    voters = [MemberInfo(n, f"n{n}", (), (), False) for n in range(1, started + 1)]
    voters += [MemberInfo(n, "", (), (), False) for n in range(started + 1, started + waiting + 1)]
    return voters + [MemberInfo(n, f"l{n}", (), (), True) for n in range(50, 50 + learners)]


def links(**connected_ms):
    """Member 1's links: `n2=5000` has been up for so long."""
    known = {int(name[1:]): ms for name, ms in connected_ms.items()}
    return Links(1, known.get)


def verdict(check, *arguments):
    try:
        check(*arguments)
    except EtcdError as error:
        return error.message.removeprefix("etcdserver: ")
    return "taken"


NOT_STARTED = errors.NOT_ENOUGH_STARTED.message.removeprefix("etcdserver: ")
UNHEALTHY = errors.UNHEALTHY_CLUSTER.message.removeprefix("etcdserver: ")


@pytest.mark.parametrize(
    ("listed", "is_learner", "connected", "expected"),
    [
        (members(started=1), False, links(), "taken"),  # the way from one to two
        (members(started=1), True, links(), "taken"),
        (members(started=1, waiting=1), False, links(), NOT_STARTED),
        (members(started=1, waiting=1), True, links(), UNHEALTHY),  # learners skip the first check
        (members(started=2), False, links(n2=WELL - 1), UNHEALTHY),  # not for long enough
        (members(started=2), False, links(n2=WELL), "taken"),
        (members(started=3), False, links(n2=WELL, n3=WELL), "taken"),
        (members(started=3), False, links(n2=WELL), UNHEALTHY),  # two of four would be no majority
        (members(started=3, waiting=1), False, links(n2=WELL, n3=WELL), "taken"),
        (members(started=2, waiting=2), False, links(n2=WELL), NOT_STARTED),
        (members(started=3, learners=1), False, links(n2=WELL, n3=WELL, n50=WELL), "taken"),
        (members(started=2, learners=1), False, links(n50=WELL), UNHEALTHY),  # a learner counts for nothing
    ],
)
def test_addition(listed, is_learner, connected, expected):
    assert verdict(check_addition, listed, is_learner, connected) == expected


@pytest.mark.parametrize(
    ("listed", "member_id", "connected", "expected"),
    [
        (members(started=1), 1, links(), NOT_STARTED),  # nobody would be left
        (members(started=1), 99, links(), "taken"),  # for the log to refuse: not found
        (members(started=1, waiting=1), 99, links(), NOT_STARTED),  # etcd's order: this comes first
        (members(started=1, waiting=1), 2, links(), "taken"),  # it never came
        (members(started=2), 1, links(n2=WELL), "taken"),
        (members(started=2), 2, links(), "taken"),  # down: it is not part of the working majority
        (members(started=3), 2, links(n2=WELL), UNHEALTHY),  # n3 is down: two of three work
        (members(started=3), 3, links(n2=WELL), "taken"),
        (members(started=3), 2, links(n2=10, n3=WELL), UNHEALTHY),  # connected, and not for long enough
        (members(started=2, waiting=1), 2, links(n2=WELL), NOT_STARTED),
        (members(started=1, learners=1), 50, links(), "taken"),
    ],
)
def test_removal(listed, member_id, connected, expected):
    assert verdict(check_removal, listed, member_id, connected) == expected


@pytest.mark.parametrize(
    ("listed", "connected", "expected"),
    [
        (members(started=1, learners=1), links(n50=1), "taken"),
        (members(started=1, learners=1), links(), UNHEALTHY),  # one of two would be left
        (members(started=2, waiting=2, learners=1), links(n2=1, n50=1), "taken"),
        (members(started=1, waiting=2, learners=1), links(n50=1), NOT_STARTED),
        (members(started=3, learners=1), links(n2=1, n50=1), "taken"),  # n3 is down, the learner is there
        (members(started=3, learners=1), links(n2=1), UNHEALTHY),  # neither is: two of four would be left
        (members(started=3, learners=1), links(n2=1, n3=1), "taken"),  # three of four, as in etcd
    ],
)
def test_promotion(listed, connected, expected):
    assert verdict(check_promotion, listed, 50, connected) == expected


def test_the_learner_itself_may_be_asked_for_its_promotion():
    listed = [MemberInfo(2, "n2", (), (), False), MemberInfo(1, "n1", (), (), True)]
    assert verdict(check_promotion, listed, 1, links(n2=1)) == "taken"
    assert verdict(check_promotion, listed, 1, links()) == UNHEALTHY


class RaftWithProgress:
    member_id = 1

    def __init__(self, **match):
        self._match = match

    def progress(self):
        from miniraft.raft.interface import ProgressView

        return [
            ProgressView(int(name[1:]), match, match + 1, "replicate", 0, True, False)
            for name, match in self._match.items()
        ]


@pytest.mark.parametrize(
    ("raft", "expected"),
    [
        (RaftWithProgress(), "not leader"),
        (RaftWithProgress(n1=100), "member not found"),
        (RaftWithProgress(n1=100, n7=89), "can only promote a learner member which is in sync with leader"),
        (RaftWithProgress(n1=100, n7=90), "taken"),
    ],
)
def test_a_learner_is_ready_at_nine_tenths(raft, expected):
    assert verdict(check_learner_ready, raft, 7) == expected


@pytest.mark.parametrize(
    "urls",
    [
        [],
        [""],
        ["127.0.0.1:2380"],
        ["ftp://127.0.0.1:2380"],
        ["http://127.0.0.1"],
        ["http://127.0.0.1:port"],
        ["http://127.0.0.1:2380/"],
        ["http://127.0.0.1:2380/path"],
        ["http://127.0.0.1:99999"],
        ["http://:2380"],
        ["unix:///a/socket"],
        ["http://127.0.0.1:2380", "nonsense"],
        ["http://[::1:2380"],
    ],
)
def test_urls_that_cannot_be_a_members(urls):
    with pytest.raises(EtcdError, match="given member URLs are invalid"):
        parse_peer_urls(urls)


def test_urls_are_trimmed_and_sorted():
    assert parse_peer_urls([" http://b:2380 ", "https://a:1", "http://[::1]:2380"]) == (
        "http://[::1]:2380",
        "http://b:2380",
        "https://a:1",
    )


def test_a_change_that_the_leader_dropped_is_proposed_again():
    cluster = Wired(3)
    cluster.elect()
    follower = cluster.nodes[1]
    cluster.lose = lambda message: message.kind == MessageKind.PROPOSE
    add = ConfigChange(kind=ConfigChange.ADD_VOTER, member_id=77, peer_urls=["http://n4:2380"])
    follower.member.propose_config_change("add", add.SerializeToString(), cluster.now_ms)
    cluster.pump()
    assert "add" not in follower.answers.replies
    cluster.lose = lambda message: False
    cluster.tick(6)
    assert len(follower.answers.result("add")) == 4
    assert len(follower.member.members()) == 4


def test_a_change_that_was_taken_twice_is_answered_once_and_done_once():
    cluster = Wired(3)
    leader = cluster.elect()
    follower = cluster.nodes[1]
    # The leader has it, and nobody hears of that for a while.
    cluster.lose = lambda message: message.kind == MessageKind.APPEND
    add = ConfigChange(kind=ConfigChange.ADD_VOTER, member_id=77, peer_urls=["http://n4:2380"])
    follower.member.propose_config_change("add", add.SerializeToString(), cluster.now_ms)
    cluster.tick(7)
    cluster.lose = lambda message: False
    cluster.tick(20)
    assert follower.answers.error("add") is None
    assert len(leader.member.members()) == 4


def test_the_last_voter_stays_whatever_is_asked():
    cluster = Wired(1)
    only = cluster.elect()
    remove = ConfigChange(kind=ConfigChange.REMOVE, member_id=only.member.member_id)
    only.member.propose_config_change("remove", remove.SerializeToString(), cluster.now_ms)
    cluster.pump()
    assert only.answers.error("remove").message == errors.NOT_ENOUGH_STARTED.message
    assert len(only.member.members()) == 1


def test_of_two_the_one_that_stays_is_elected_although_it_missed_the_removal():
    """The leader leaves, and the news that its removal is committed is lost: it must stay for the vote."""
    cluster = Wired(2)
    leader = cluster.elect()
    other = cluster.nodes[1]
    remove = ConfigChange(kind=ConfigChange.REMOVE, member_id=leader.member.member_id)
    leader.member.propose_config_change("remove", remove.SerializeToString(), cluster.now_ms)
    index = leader.member.raft.committed + 1
    cluster.lose = lambda message: message.kind == MessageKind.APPEND and message.commit >= index
    cluster.pump()
    assert leader.answers.error("remove") is None
    assert len(other.member.members()) == 2
    cluster.lose = lambda message: False
    cluster.tick(60)
    assert other.member.raft.role == "leader"
    assert [member.id for member in other.member.members()] == [other.member.member_id]
    assert leader.stopped
