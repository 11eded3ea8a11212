"""Automatic compaction in virtual time, and version numbers."""

import pytest

from miniraft.errors import EtcdError
from miniraft.server.auto_compaction import PeriodicCompaction, RevisionCompaction, auto_compaction
from miniraft.server.notes import CompactionDue
from miniraft.server.versions import check_downgrade, lowest_version
from tests.server.harness import TICK_MS, Wired

MINUTE = 60_000
HOUR = 60 * MINUTE


def drive(compaction, *, until_ms, revision_at, step_ms=100, leads=lambda _now_ms: True):
    """Returns [(time, target)] of what was compacted; each is done at once."""
    done = []
    compacted = -1
    for now_ms in range(0, until_ms + 1, step_ms):
        target = compaction.due(now_ms, revision_at(now_ms), compacted, leads(now_ms))
        if target:
            assert target > compacted
            compacted = target
            done.append((now_ms, target))
    return done


def test_a_period_of_minutes_keeps_just_that_history():
    done = drive(PeriodicCompaction(10 * MINUTE), until_ms=60 * MINUTE, revision_at=lambda ms: 1 + ms // 1000)
    assert [now_ms // MINUTE for now_ms, _ in done] == [10, 20, 30, 40, 50, 60]
    for now_ms, target in done:
        assert now_ms - (target - 1) * 1000 in range(10 * MINUTE, 11 * MINUTE + 1), (now_ms, target)


def test_a_period_of_a_day_is_kept_and_compacted_hourly():
    done = drive(
        PeriodicCompaction(24 * HOUR),
        until_ms=27 * HOUR,
        revision_at=lambda ms: 2 + ms // MINUTE,
        step_ms=MINUTE,
    )
    assert [now_ms // HOUR for now_ms, _ in done] == [24, 25, 26, 27]
    assert [target for _, target in done] == [2, 62, 122, 182]


def test_nothing_is_compacted_twice_and_nothing_without_writes():
    done = drive(PeriodicCompaction(MINUTE), until_ms=10 * MINUTE, revision_at=lambda _ms: 5)
    assert [target for _, target in done] == [5]


def test_a_follower_samples_and_a_new_leader_goes_on():
    done = drive(
        PeriodicCompaction(10 * MINUTE),
        until_ms=40 * MINUTE,
        revision_at=lambda ms: 1 + ms // 1000,
        leads=lambda now_ms: now_ms >= 25 * MINUTE,
    )
    assert [now_ms // MINUTE for now_ms, _ in done] == [25, 35]


def test_what_did_not_come_about_is_tried_again_with_the_next_sample():
    compaction = PeriodicCompaction(10 * MINUTE)
    asked = [
        now_ms // MINUTE
        for now_ms in range(0, 13 * MINUTE, 100)
        if compaction.due(now_ms, 1 + now_ms // 1000, -1, leads=True)
    ]
    assert asked == [10, 11, 12]


def test_revision_mode_keeps_the_last_revisions_every_five_minutes():
    done = drive(RevisionCompaction(100), until_ms=20 * MINUTE, revision_at=lambda ms: ms // MINUTE * 50)
    assert done == [(5 * MINUTE, 150), (10 * MINUTE, 400), (15 * MINUTE, 650), (20 * MINUTE, 900)]
    assert drive(RevisionCompaction(5000), until_ms=20 * MINUTE, revision_at=lambda ms: ms // MINUTE) == []


def test_off_by_default():
    assert drive(auto_compaction(0, 0), until_ms=HOUR, revision_at=lambda ms: ms) == []
    for wrong in (PeriodicCompaction, RevisionCompaction):
        with pytest.raises(ValueError, match="must be positive"):
            wrong(0)


def test_the_leader_compacts_for_everybody():
    cluster = Wired(3, auto_compaction_period_ms=100 * TICK_MS)
    leader = cluster.elect()
    for number in range(250):
        leader.put(number, b"k", now_ms=cluster.now_ms)
        cluster.tick()
    compacted = {node.member.keyspace.compact_revision for node in cluster.nodes}
    assert len(compacted) == 1
    assert 90 < compacted.pop() < 120
    notes = [
        [note for effects in node.effects for note in effects.notes if isinstance(note, CompactionDue)]
        for node in cluster.nodes
    ]
    assert notes[0]
    assert not notes[1]
    assert not notes[2]


# Versions -------------------------------------------------------------------------------------
def test_the_lowest_version_is_compared_by_number():
    assert lowest_version(["3.10.2", "3.9.7", "3.11.0"]) == "3.9.0"
    with pytest.raises(ValueError, match="is no version"):
        lowest_version(["3.7.1", "unknown"])


@pytest.mark.parametrize(
    ("target", "cluster", "expected"),
    [
        ("", "3.7.0", "wrong downgrade target version format"),
        ("three", "3.7.0", "wrong downgrade target version format"),
        ("3", "3.7.0", "wrong downgrade target version format"),
        ("3.6.0.1", "3.7.0", "wrong downgrade target version format"),
        ("3.6", "", "cluster version not found during downgrade"),
        ("3.7.0", "3.7.0", "invalid downgrade target version"),
        ("3.5.0", "3.7.0", "invalid downgrade target version"),
        ("2.6.0", "3.7.0", "invalid downgrade target version"),
        ("3.6", "3.7.0", ""),
        ("3.6.9", "3.7.0", ""),
    ],
)
def test_downgrade_targets(target, cluster, expected):
    found = ""
    try:
        check_downgrade(target, cluster)
    except EtcdError as error:
        found = error.message.removeprefix("etcdserver: ")
    assert found == expected
