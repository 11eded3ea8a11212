"""The recovery drill: two of three members are lost with their disks, the third goes on alone,
and the cluster grows back to three."""

import shutil
import subprocess

import pytest

from tests.e2e.test_membership_processes import join
from tests.support.member_processes import Processes, Writer, initial_cluster, until
from tests.support.real_etcd import real_binary


@pytest.fixture
def processes(tmp_path):
    with Processes(tmp_path) as made:
        yield made


def etcdctl(member, *words):
    command = [str(real_binary("etcdctl")), f"--endpoints={member.client}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leader_of(members):
    leading = [m for m in members if m.status().leader == m.status().header.member_id]
    return leading[0] if leading else None


def test_two_of_three_are_lost_and_the_third_grows_back_to_three(processes):
    members = [processes.new(f"n{number}") for number in (1, 2, 3)]
    for member in members:
        member.start(initial_cluster(*members))
    leader = until(lambda: leader_of(members), "there is a leader")
    lost = [member for member in members if member is not leader]
    # All three fall at the same moment, in the middle of the writes.
    with Writer([leader]) as writer:
        until(lambda: len(writer.acknowledged) > 300, "writes are taken")
        for member in (leader, *lost):
            member.process.kill()
    for member in (leader, *lost):
        member.kill()
    acknowledged = dict(writer.acknowledged)
    returning = shutil.copytree(lost[0].data, lost[0].data.with_name("saved"))
    for member in lost:
        shutil.rmtree(member.data)

    # Alone it waits for the others; with the flag it goes on without them.
    leader.start(initial_cluster(*members))
    until(lambda: "waiting for a majority" in leader.log(), "it waits for the others")
    leader.kill()
    leader.start(initial_cluster(*members), "new", "--force-new-cluster")
    assert [member.name for member in until(leader.members, "it serves")] == [leader.name]
    writer.assert_nothing_lost(leader)
    listed = etcdctl(leader, "member", "list")
    assert listed.count("\n") == 1
    assert f"started, {leader.name}, {leader.peer_url}" in listed
    etcdctl(leader, "put", "alone", "yes")
    assert '"msg":"forcing restart member"' in leader.log()

    # The flag is taken out; the lost members come back as new ones.
    leader.kill()
    leader.start(initial_cluster(leader))
    until(leader.members, "it serves without the flag")
    join(leader, lost[0], [leader])
    join(leader, lost[1], [leader, lost[0]])
    etcdctl(leader, "put", "three", "again")
    revision = leader.status().header.revision
    assert len({member.hash_kv(revision) for member in members}) == 1
    for member in members:
        found = member.keys()
        assert {key: found.get(key) for key in acknowledged} == acknowledged
        assert (found[b"alone"], found[b"three"]) == (b"yes", b"again")

    # With the flag forgotten in its command line the member would throw the others out: it is refused.
    leader.kill()
    leader.start(initial_cluster(*members), "existing", "--force-new-cluster")
    assert leader.process.wait(20) == 1
    assert "leave the flag out" in leader.log()
    leader.start(initial_cluster(*members), "existing")
    until(lambda: len(leader.members()) == 3, "it is one of three")

    # And a member of the old cluster whose disk turns up again is told that it has left.
    lost[0].kill()
    shutil.rmtree(lost[0].data)
    shutil.copytree(returning, lost[0].data)
    lost[0].start(initial_cluster(*members))
    assert lost[0].process.wait(20) == 1
    assert "has been removed" in lost[0].log()
