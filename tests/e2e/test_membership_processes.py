"""Clusters that grow, shrink and replace members, as processes, with a client writing throughout."""

import shutil

import grpc
import pytest

from miniraft.pb.rpc_pb2 import (
    MemberAddRequest,
    MemberAddResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
)
from tests.support.member_processes import Processes, Writer, initial_cluster, until


@pytest.fixture
def processes(tmp_path):
    with Processes(tmp_path) as made:
        yield made


def once_healthy(call):
    """Repeats a change that is refused until the links have been up for five seconds."""

    def attempt():
        try:
            return call()
        except grpc.RpcError as error:
            if error.details() == "etcdserver: unhealthy cluster":
                return None
            raise AssertionError(error.details()) from error

    return until(attempt, "the change is taken")


def add(asked, joining, *, is_learner=False):
    request = MemberAddRequest(peerURLs=[joining.peer_url], isLearner=is_learner)
    return once_healthy(lambda: asked.call("Cluster/MemberAdd", request, MemberAddResponse))


def remove(asked, member_id):
    request = MemberRemoveRequest(ID=member_id)
    return once_healthy(lambda: asked.call("Cluster/MemberRemove", request, MemberRemoveResponse))


def join(asked, joining, others):
    add(asked, joining)
    joining.start(initial_cluster(*others, joining), "existing")
    until(lambda: all(member.name for member in asked.members()), f"{joining.name} has published itself")


def id_of(asked, wanted):
    return next(member.ID for member in asked.members() if list(member.peerURLs) == [wanted.peer_url])


def leader_among(members):
    for member in members:
        status = member.status()
        if status.leader == status.header.member_id:
            return member
    return None


def test_one_grows_to_five_and_shrinks_back_under_load(processes):
    members = [processes.new(f"n{number}") for number in range(1, 6)]
    n1, n2, n3, n4, n5 = members
    n1.start(initial_cluster(n1), "new", "--snapshot-count", "100", "--snapshot-catchup-entries", "50")
    until(n1.status, "n1 is up")
    with Writer([n1]) as writer:
        until(lambda: len(writer.acknowledged) > 200, "the log has been cut: joining takes a snapshot")
        join(n1, n2, [n1])
        writer.members.append(n2)
        join(n2, n3, [n1, n2])
        # The fourth comes as a learner and is promoted by way of a member that does not lead.
        added = add(n1, n4, is_learner=True).member
        assert added.isLearner
        assert not added.name
        n4.start(initial_cluster(n1, n2, n3, n4), "existing")
        until(lambda: id_of(n1, n4) and all(member.name for member in n1.members()), "the learner is up")
        leader = n1.status().leader
        follower = next(m for m in (n1, n2, n3) if m.status().header.member_id != leader)
        promote = MemberPromoteRequest(ID=added.ID)

        def promoted():
            return follower.call("Cluster/MemberPromote", promote, MemberPromoteResponse).members

        assert not any(member.isLearner for member in until(promoted, "the learner is in sync"))
        join(n3, n5, [n1, n2, n3, n4])
        writer.members += [n3, n4, n5]
        before = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > before + 200, "five take writes")
        assert len(n5.members()) == 5

        # Back again, the leader first.
        running = list(members)
        for _ in range(4):
            leaving = until(lambda: leader_among(running), "there is a leader")
            leader_id = leaving.status().header.member_id
            writer.members = [m for m in running if m is not leaving]
            asked = leaving if len(running) == 2 else writer.members[0]
            remove(asked, leader_id)
            running.remove(leaving)
            assert leaving.process.wait(20) == 1
            assert "permanently removed" in leaving.log() or "has been removed" in leaving.log()
        before = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > before + 20, "the last one takes writes alone")
    (last,) = running
    assert [member.name for member in last.members()] == [last.name]
    writer.assert_nothing_lost(last)
    assert "quorum 1→2 of 2 voters" in n1.log()


def test_a_dead_member_is_replaced_and_cannot_come_back(processes):
    n1, n2, n3 = members = [processes.new(f"n{number}") for number in (1, 2, 3)]
    for member in members:
        member.start(initial_cluster(*members))
    for member in members:
        until(member.status, f"{member.name} is up")
    with Writer([n1, n2]) as writer:
        until(lambda: len(writer.acknowledged) > 50, "writes are taken")
        old_id = id_of(n1, n3)
        n3.kill()
        saved = n3.data.with_name("n3-saved")
        shutil.copytree(n3.data, saved)
        shutil.rmtree(n3.data)
        # Empty under its old name: it is told what to type.
        n3.start(initial_cluster(*members))
        assert n3.process.wait(20) == 1
        assert f"member remove {old_id:x}" in n3.log()
        assert [member.ID for member in remove(n1, old_id).members] == sorted(
            member.ID for member in n1.members()
        )
        join(n1, n3, [n1, n2])
        assert id_of(n1, n3) != old_id
        until(lambda: n3.status().leader, "n3 follows")
        # Its old data is of no use any more.
        n3.kill()
        shutil.rmtree(n3.data)
        shutil.copytree(saved, n3.data)
        n3.start(initial_cluster(*members))
        assert n3.process.wait(20) == 1
        assert "has been removed" in n3.log()
    writer.assert_nothing_lost(n1)
    writer.assert_nothing_lost(n2, serializable=True)


def test_what_would_cost_the_quorum_is_refused(processes):
    n1, n2 = processes.new("n1"), processes.new("n2")
    n1.start(initial_cluster(n1))
    until(n1.status, "n1 is up")
    own_id = id_of(n1, n1)
    not_started = ("UNKNOWN", "etcdserver: re-configuration failed due to not enough started members")
    assert n1.fails("Cluster/MemberRemove", MemberRemoveRequest(ID=own_id)) == not_started
    assert n1.fails("Cluster/MemberRemove", MemberRemoveRequest(ID=4711)) == (
        "NOT_FOUND",
        "etcdserver: member not found",
    )
    add(n1, n2)
    third = MemberAddRequest(peerURLs=["http://127.0.0.1:1"])
    assert n1.fails("Cluster/MemberAdd", third) == not_started
    n2.start(initial_cluster(n1, n2), "existing")
    until(lambda: all(member.name for member in n1.members()), "n2 is up")
    assert n1.fails("Cluster/MemberAdd", third) == ("UNAVAILABLE", "etcdserver: unhealthy cluster")
    # Learners may be added without a started majority, and taken away at any time.
    learner = once_healthy(
        lambda: n1.call(
            "Cluster/MemberAdd",
            MemberAddRequest(peerURLs=third.peerURLs, isLearner=True),
            MemberAddResponse,
        )
    ).member
    assert n2.fails("Cluster/MemberPromote", MemberPromoteRequest(ID=learner.ID)) == (
        "FAILED_PRECONDITION",
        "etcdserver: can only promote a learner member which is in sync with leader",
    )
    assert n2.fails("Cluster/MemberPromote", MemberPromoteRequest(ID=own_id)) == (
        "FAILED_PRECONDITION",
        "etcdserver: can only promote a learner member",
    )
    n1.call("Cluster/MemberRemove", MemberRemoveRequest(ID=learner.ID), MemberRemoveResponse)
    assert "refused to add a member, for the sake of the quorum" in n1.log()
