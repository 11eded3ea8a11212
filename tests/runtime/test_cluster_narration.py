"""What the log says of members, alarms and the quota."""

import pytest

from miniraft.mvcc.compaction_hashes import CompactionHash
from miniraft.raft.state import ConfigChangeKind
from miniraft.runtime.cluster_narration import tell
from miniraft.runtime.quota_watch import QuotaWatch
from miniraft.server.alarms import CORRUPT, NOSPACE, Alarm
from miniraft.server.notes import (
    AlarmChanged,
    CompactionDue,
    CompactionFinished,
    MembersChanged,
    VersionAgreed,
)
from miniraft.server.service import MemberInfo

N1, N2, N3 = (MemberInfo(n, f"n{n}", (f"http://h{n}:2380",), (), False) for n in (1, 2, 3))
NEW = MemberInfo(9, "", ("http://h9:2380",), (), False)
NEW2 = MemberInfo(10, "", ("http://h10:2380",), (), False)
LEARNER = MemberInfo(9, "n9", ("http://h9:2380",), (), True)


def said(note):
    event = tell(note, lambda member_id: f"n{member_id}", 42)
    return event.level, event.message


@pytest.mark.parametrize(
    ("kind", "member", "before", "after", "level", "message"),
    [
        (
            ConfigChangeKind.ADD_VOTER, NEW, (N1,), (N1, NEW), "info",
            "added http://h9:2380: quorum 1→2 of 2 voters: no majority until http://h9:2380 has started",
        ),
        (
            ConfigChangeKind.ADD_VOTER, NEW, (N1, N2), (N1, N2, NEW), "warn",
            "added http://h9:2380: quorum 2→2 of 3 voters, tolerates 0 failures until http://h9:2380 has "
            "started, 1 failure then",
        ),
        (
            ConfigChangeKind.ADD_VOTER, NEW2, (N1, N2, N3, NEW), (N1, N2, N3, NEW, NEW2), "warn",
            "added http://h10:2380: quorum 3→3 of 5 voters, tolerates 0 failures until http://h9:2380 and "
            "http://h10:2380 have started, 2 failures then",
        ),
        (
            ConfigChangeKind.ADD_LEARNER, LEARNER, (N1, N2), (N1, N2, LEARNER), "info",
            "added learner n9: quorum stays 2",
        ),
        (
            ConfigChangeKind.PROMOTE, LEARNER._replace(is_learner=False), (N1, N2, LEARNER),
            (N1, N2, LEARNER._replace(is_learner=False)), "info",
            "promoted to voter n9: quorum 2→2 of 3 voters, tolerates 1 failure",
        ),
        (
            ConfigChangeKind.REMOVE, N3, (N1, N2, N3), (N1, N2), "info",
            "removed n3: quorum 2→2 of 2 voters, tolerates 0 failures",
        ),
        (
            ConfigChangeKind.REMOVE, LEARNER, (N1, LEARNER), (N1,), "info",
            "removed learner n9: quorum stays 1",
        ),
        (
            ConfigChangeKind.UPDATE, N2, (N1, N2), (N1, N2), "info",
            "updated the peer URLs of n2: http://h2:2380",
        ),
    ],
)  # fmt: skip
def test_changes_of_members_tell_the_quorum(kind, member, before, after, level, message):
    found_level, found = said(MembersChanged(kind, member, before, after))
    assert found == message
    # A cluster of two that waits for its second member can do nothing: that is worth a warning.
    assert found_level == ("warn" if "no majority" in message else level)


def test_an_alarm_says_how_to_get_rid_of_it():
    level, message = said(AlarmChanged(Alarm(2, NOSPACE), is_raised=True))
    assert level == "error"
    steps = ["etcdctl compact 42", "etcdctl defrag --cluster", "etcdctl alarm disarm"]
    places = [message.index(step) for step in steps]
    assert places == sorted(places)
    level, message = said(AlarmChanged(Alarm(0xBEEF, CORRUPT), is_raised=True))
    assert level == "error"
    assert "etcdctl member remove beef" in message
    assert said(AlarmChanged(Alarm(2, NOSPACE), is_raised=False)) == ("info", "alarm NOSPACE of n2 disarmed")


def test_what_the_cluster_does_by_itself_is_told():
    assert said(CompactionDue(30, 40)) == ("info", "compacting to revision 30 (--auto-compaction-retention)")
    assert said(VersionAgreed("3.7.0")) == ("info", "set the cluster version")
    taken = CompactionHash(0xFEED, 30, 20)
    assert said(CompactionFinished(30, taken)) == ("info", "finished scheduled compaction")
    assert tell(CompactionFinished(30, taken), str, 40).fields == {"compact_revision": 30, "hash": 0xFEED}
    assert tell(CompactionFinished(30, None), str, 40).fields == {"compact_revision": 30}


def test_the_quota_warns_once_for_each_step_and_again_after_room_was_made():
    watch = QuotaWatch(1000)
    seen = {size: watch.look(size, size // 2, 42) for size in (700, 800, 810, 890, 900, 999)}
    assert [size for size, warning in seen.items() if warning is not None] == [800, 900]
    assert "80 %" in seen[800].message
    assert "etcdctl compact 42" in seen[900].message
    assert seen[900].fields["percent"] == 90
    assert watch.look(300, 100, 42) is None
    assert watch.look(950, 100, 42) is not None
    assert QuotaWatch(-1).look(10**12, 0, 1) is None
