"""Writing the log: what is appended comes back, segments come and go, errors stop it."""

import errno

import pytest

from miniraft.raft.entry import Entry, EntryKind
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from miniraft.wal.interface import WalError, WriteAheadLog
from miniraft.wal.payload import ENTRIES_RECORD_BYTES
from miniraft.wal.wal import create_log, log_exists, open_log, verify_log
from tests.support.lossy_disk import LossyDisk, PowerLost
from tests.wal.log_building import BOOTSTRAP, CONFIG, METADATA, entries


@pytest.fixture
def disk():
    return LossyDisk()


def small_log(disk, segment_bytes=2000):
    return create_log(disk, METADATA, BOOTSTRAP, segment_bytes=segment_bytes)


def lose_power(disk):
    """Everything that was not synced is gone."""
    return disk.after_power_loss(lambda: False)


def test_a_new_log_holds_the_bootstrap_snapshot(disk):
    assert not log_exists(disk)
    log: WriteAheadLog = small_log(disk)
    log.close()
    assert disk.list() == ["0000000000000000-0000000000000001.wal"]
    disk = lose_power(disk)
    assert log_exists(disk)
    _, recovered = open_log(disk)
    assert recovered.metadata == METADATA
    assert recovered.snapshot == BOOTSTRAP
    assert recovered.hard_state == HardState(0, 0, 0)
    assert recovered.entries == []
    assert recovered.repairs == []


def test_a_restored_log_begins_at_its_snapshot(disk):
    snapshot = SnapshotMetadata(700, 5, ConfigState((9,)))
    log = create_log(disk, METADATA, snapshot, segment_bytes=2000)
    log.append(None, entries(701, 2, term=6))
    log.sync()
    _, recovered = open_log(lose_power(disk))
    assert recovered.snapshot == snapshot
    assert recovered.hard_state == HardState(term=5, vote=0, commit=700)
    assert [entry.index for entry in recovered.entries] == [701, 702]


def test_no_second_log_in_a_folder(disk):
    small_log(disk)
    with pytest.raises(WalError, match="a log in this folder already"):
        small_log(disk)


def test_no_log_in_an_empty_folder(disk):
    with pytest.raises(WalError, match="no log in this folder"):
        open_log(disk)


@pytest.mark.parametrize("reserve", [True, False])
def test_what_was_synced_comes_back(reserve):
    disk = LossyDisk(reserve=reserve)
    log = small_log(disk, 1 << 20)
    written = [
        Entry(1, 1, EntryKind.NORMAL, b""),
        Entry(1, 2, EntryKind.CONFIG_CHANGE, b"\x00\xff"),
        Entry(2, 3, EntryKind.NORMAL, bytes(5000)),
    ]
    log.append(HardState(1, 7, 0), written[:2])
    log.append(HardState(2, 8, 2), written[2:])
    log.sync()
    log.append(None, entries(4, 1, term=2))
    _, recovered = open_log(lose_power(disk))
    assert recovered.entries == written
    assert recovered.hard_state == HardState(2, 8, 2)


def test_a_hard_state_alone_comes_back(disk):
    log = small_log(disk)
    log.append(HardState(4, 2, 0), ())
    log.sync()
    assert open_log(lose_power(disk))[1].hard_state == HardState(4, 2, 0)


def test_later_entries_void_those_they_conflict_with(disk):
    log = small_log(disk)
    log.append(None, entries(1, 10, term=1))
    log.append(None, entries(4, 2, term=2))
    log.sync()
    _, recovered = open_log(lose_power(disk))
    assert [(entry.index, entry.term) for entry in recovered.entries] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 2),
        (5, 2),
    ]


def test_conflicting_entries_may_stand_in_a_later_segment(disk):
    log = small_log(disk)
    log.append(None, entries(1, 100, term=1))
    log.append(None, entries(50, 1, term=2))
    log.sync()
    assert len(disk.list()) == 2
    log, recovered = open_log(lose_power(disk))
    assert len(recovered.entries) == 50
    assert recovered.entries[-1] == entries(50, 1, term=2)[0]
    log.append(None, entries(51, 1, term=2))


def test_a_newer_snapshot_voids_all_entries(disk):
    log = small_log(disk)
    log.append(None, entries(1, 10))
    snapshot = SnapshotMetadata(50, 3, CONFIG)
    log.append(None, entries(51, 1, term=3), snapshot)
    log.sync()
    _, recovered = open_log(lose_power(disk))
    assert recovered.snapshot == snapshot
    assert [entry.index for entry in recovered.entries] == [51]
    assert recovered.hard_state.commit == 50


def test_a_snapshot_of_what_the_log_holds_keeps_what_follows(disk):
    log = small_log(disk)
    log.append(None, entries(1, 5, term=1) + entries(6, 5, term=2))
    log.append(None, (), SnapshotMetadata(7, 2, CONFIG))
    log.sync()
    _, recovered = open_log(lose_power(disk))
    assert [entry.index for entry in recovered.entries] == [8, 9, 10]


def test_a_snapshot_that_conflicts_with_the_log_voids_what_follows(disk):
    log = small_log(disk)
    log.append(None, entries(1, 10, term=1))
    log.append(None, (), SnapshotMetadata(7, 2, CONFIG))
    log.sync()
    log, recovered = open_log(lose_power(disk))
    assert recovered.entries == []
    log.append(None, entries(8, 1, term=2))
    with pytest.raises(ValueError, match="entry 11 cannot follow"):
        log.append(None, entries(11, 1))


def test_an_older_snapshot_is_ignored(disk):
    log = small_log(disk)
    log.append(None, entries(1, 10))
    log.append(None, (), SnapshotMetadata(7, 1, CONFIG))
    log.append(None, (), SnapshotMetadata(5, 1, CONFIG))
    log.sync()
    assert open_log(lose_power(disk))[1].snapshot.index == 7


@pytest.mark.parametrize(
    "wrong",
    [entries(12, 1), entries(3, 1), entries(2, 3), [*entries(11, 1), *entries(13, 1)]],
    ids=["gap", "snapshot", "across the snapshot", "hole"],
)
def test_entries_that_do_not_fit_are_refused_and_nothing_is_written(disk, wrong):
    log = small_log(disk)
    log.append(None, entries(1, 10), None)
    log.append(None, (), SnapshotMetadata(3, 1, CONFIG))
    before = log.bytes_written()
    with pytest.raises(ValueError, match="entr"):
        log.append(HardState(9, 9, 9), wrong)
    assert log.bytes_written() == before
    log.append(None, entries(11, 1))
    log.sync()
    assert open_log(lose_power(disk))[1].entries == entries(4, 8)


def test_large_appends_are_split_and_come_back(disk):
    log = small_log(disk, 1 << 20)
    big = [
        *entries(1, 3, data=b"x" * (ENTRIES_RECORD_BYTES // 2)),
        *entries(4, 1, data=b"y" * ENTRIES_RECORD_BYTES),
    ]
    log.append(None, big)
    log.sync()
    report = verify_log(disk)
    assert report.segments[0].record_count == 1 + 4
    assert open_log(lose_power(disk))[1].entries == big


def test_segments_follow_one_another(disk):
    log = small_log(disk)
    for index in range(1, 101):
        log.append(HardState(1, 0, index - 1), entries(index, 1))
        log.sync()
    names = disk.list()
    assert len(names) > 4
    assert names[1].startswith("0000000000000001-")
    disk = lose_power(disk)
    log, recovered = open_log(disk, METADATA, segment_bytes=2000)
    assert recovered.entries == entries(1, 100)
    log.append(None, entries(101, 100))
    log.append(None, entries(201, 1))
    log.sync()
    assert len(open_log(disk)[1].entries) == 201


def test_purge_keeps_what_is_needed_and_as_much_more_as_asked(disk):
    log = small_log(disk)
    for index in range(1, 101):
        log.append(None, entries(index, 1))
    log.append(HardState(1, 3, 100), (), SnapshotMetadata(60, 1, CONFIG))
    names = disk.list()
    needed = [position for position, name in enumerate(names) if int(name[17:33], 16) <= 61][-1]
    assert log.purge(60, 0) == []
    assert log.purge(60, len(names)) == []
    assert log.purge(60, 1) == names[: needed - 1]
    assert disk.list() == names[needed - 1 :]
    _, recovered = open_log(lose_power(disk), METADATA)
    assert recovered.snapshot.index == 60
    assert recovered.hard_state == HardState(1, 3, 100)
    assert recovered.entries == entries(61, 40)


def test_purge_never_goes_past_the_newest_snapshot(disk):
    log = small_log(disk)
    for index in range(1, 101):
        log.append(None, entries(index, 1))
    log.sync()
    assert log.purge(100, 1) == []
    assert len(open_log(disk)[1].entries) == 100


@pytest.mark.parametrize("calls", range(6))
def test_a_crash_while_purging_leaves_no_gap(disk, calls):
    """Removals may become durable in any order: each is synced before the next."""
    log = small_log(disk)
    for index in range(1, 201):
        log.append(None, entries(index, 1))
    log.append(None, (), SnapshotMetadata(200, 1, CONFIG))
    log.sync()
    disk.power_lost_in = calls
    with pytest.raises(PowerLost):
        log.purge(200, 1)
    kept = iter([False, *[True] * 100])
    _, recovered = open_log(disk.after_power_loss(lambda: next(kept)))
    assert recovered.snapshot.index == 200


def test_a_purged_log_recovers_when_later_segments_conflict(disk):
    log = small_log(disk)
    log.append(None, entries(1, 100, term=1))
    log.append(None, entries(101, 100, term=1))
    log.append(None, entries(80, 100, term=2))
    log.append(None, entries(150, 100, term=3))
    log.append(None, (), SnapshotMetadata(205, 3, CONFIG))
    log.append(None, entries(250, 1, term=3))
    assert len(log.purge(205, 1)) == 2
    _, recovered = open_log(lose_power(disk))
    assert recovered.entries == entries(206, 45, term=3)


def test_bytes_written_counts_what_went_to_the_disk(disk):
    log = small_log(disk)
    assert log.bytes_written() == 0
    log.append(None, entries(1, 1, data=b"x" * 1000))
    assert 1000 < log.bytes_written() < 1100


def test_sync_without_anything_new_costs_nothing(disk):
    log = small_log(disk)
    log.append(None, entries(1, 1))
    log.sync()
    calls = disk.calls
    log.sync()
    assert disk.calls == calls


@pytest.mark.parametrize("failing_call", ["append", "sync", "purge", "begin segment"])
def test_after_an_error_the_log_refuses_use_and_a_restart_finds_what_was_synced(disk, failing_call):
    log = small_log(disk)
    for index in range(1, 101):
        log.append(None, entries(index, 1))
    log.append(None, (), SnapshotMetadata(60, 1, CONFIG))
    log.sync()
    if failing_call == "begin segment":
        log.append(None, entries(101, 1, data=b"x" * 2000))
        log.sync()
    expected = open_log_copy(disk).entries
    if failing_call == "sync":
        log.append(None, entries(101, 1))
    use = {
        "append": lambda: log.append(None, entries(101, 1, data=b"y" * 3000)),
        "sync": log.sync,
        "purge": lambda: log.purge(60, 1),
        "begin segment": lambda: log.append(None, entries(102, 1)),
    }[failing_call]
    disk.fails_in = 0
    with pytest.raises(OSError, match="No space left") as raised:
        use()
    assert raised.value.errno == errno.ENOSPC
    disk.fails_in = None
    for later in (log.sync, lambda: log.append(None, entries(101, 1)), lambda: log.purge(60, 1)):
        with pytest.raises(WalError, match=r"no more writes after: .*No space left.*restart"):
            later()
    assert open_log_copy(lose_power(disk)).entries == expected


def open_log_copy(disk):
    return open_log(disk.after_power_loss(lambda: True))[1]


def test_a_closed_log_refuses_use(disk):
    log = small_log(disk)
    log.close()
    with pytest.raises(WalError, match="was closed"):
        log.append(None, entries(1, 1))
