"""The table of cases in wal/recovery.py, one test or more for each."""

import pytest

from miniraft.raft.state import HardState, SnapshotMetadata
from miniraft.wal.interface import WalMetadata
from miniraft.wal.record import HEADER_BYTES, MAX_PAYLOAD_BYTES, SECTOR_BYTES, encode_record
from miniraft.wal.recovery import Case, LogRefused
from miniraft.wal.wal import create_log, open_log, verify_log
from tests.support.lossy_disk import LossyDisk
from tests.wal.log_building import BOOTSTRAP, CONFIG, METADATA, entries

FIRST = "0000000000000000-0000000000000001.wal"


def built(steps, segment_bytes=1 << 20, *, reserve=False):
    """Returns a disk with a log; after each step (a list of appends) it is synced."""
    disk = LossyDisk(reserve=reserve)
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=segment_bytes)
    for step in steps:
        for appended in step:
            log.append(*appended)
        log.sync()
    log.close()
    return disk


def bytes_of(disk, name=FIRST):
    return bytearray(disk.read(name))


def with_bytes(disk, content, name=FIRST):
    file = disk.names[name]
    file.current, file.durable, file.reserved = bytearray(content), bytes(content), 0
    return disk


def record_offsets(disk, name=FIRST):
    """Returns where each record begins, and where the last one ends."""
    from miniraft.wal.record import decode_header

    data = disk.read(name)
    offsets = [0]
    while (header := decode_header(data, offsets[-1])) is not None:
        offsets.append(offsets[-1] + header.record_bytes)
    return offsets


def refused(disk, case, expected=None):
    before = {name: disk.read(name) for name in disk.list()}
    with pytest.raises(LogRefused) as raised:
        open_log(disk, expected)
    assert raised.value.case is case
    assert {name: disk.read(name) for name in disk.list()} == before
    error = raised.value
    assert str(error).startswith(f"log refused: {case.value} in {error.name} at offset {error.offset}: ")
    report = verify_log(disk, expected)
    assert str(report.error) == str(raised.value)
    return raised.value


def cut(disk, offset):
    """Opens a log that is to be cut; shows that the cut is durable; returns what is left."""
    log, recovered = open_log(disk)
    assert [repair for repair in recovered.repairs if f"{FIRST}: cut at offset {offset}:" in repair]
    log.close()
    again = disk.after_power_loss(lambda: True)
    assert verify_log(again).segments[-1].end_case in (Case.CLEAN_END, Case.ZERO_TAIL)
    again_recovered = open_log(disk.after_power_loss(lambda: False))[1]
    assert again_recovered.entries == recovered.entries
    assert again_recovered.repairs == []
    return recovered


THREE = [
    [(None, entries(1, 3, data=b"a" * 700))],
    [(HardState(1, 2, 3), ())],
    [(None, entries(4, 3, data=b"b" * 700))],
]


def test_clean_end():
    disk = built(THREE)
    assert verify_log(disk).segments[0].end_case is Case.CLEAN_END
    assert len(open_log(disk)[1].entries) == 6


def test_zero_tail_is_written_over():
    disk = built(THREE, reserve=True)
    report = verify_log(disk)
    assert report.segments[0].end_case is Case.ZERO_TAIL
    log, recovered = open_log(disk)
    assert recovered.repairs == []
    log.append(None, entries(7, 1))
    log.sync()
    assert len(open_log(disk.after_power_loss(lambda: False))[1].entries) == 7


def test_torn_tail_file_ends_in_the_record():
    disk = built(THREE)
    whole = bytes_of(disk)
    *_, start, end = record_offsets(disk)
    for length in (start + 1, start + HEADER_BYTES - 1, start + HEADER_BYTES, start + 1000, end - 1):
        recovered = cut(with_bytes(built(THREE), whole[:length]), start)
        assert recovered.entries == entries(1, 3, data=b"a" * 700)
        assert recovered.hard_state == HardState(1, 2, 3)


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_torn_tail_any_one_sector_of_the_last_record_lost(sector_bytes):
    steps = [*THREE[:2], [(None, entries(4, 3, data=b"b" * 7000))]]
    disk = built(steps)
    whole = bytes_of(disk)
    *_, start, end = record_offsets(disk)
    for sector in range(start // sector_bytes, (end - 1) // sector_bytes + 1):
        lost = bytearray(whole)
        first, last = max(start, sector * sector_bytes), min(end, (sector + 1) * sector_bytes)
        lost[first:last] = bytes(last - first)
        if not any(lost[start:]):
            continue
        assert len(cut(with_bytes(built(steps), lost), start).entries) == 3


def test_torn_tail_first_of_two_unsynced_records_lost_and_the_second_whole():
    steps = [*THREE[:1], [(None, entries(4, 1, data=b"b" * 1500)), (None, entries(5, 1, data=b"c" * 1500))]]
    disk = built(steps)
    lost = bytes_of(disk)
    start = record_offsets(disk)[-3]
    sector = (start // SECTOR_BYTES + 1) * SECTOR_BYTES
    lost[sector : sector + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    assert len(cut(with_bytes(disk, lost), start).entries) == 3


def test_the_same_loss_is_damage_when_a_later_record_says_it_had_been_synced():
    disk = built(
        [*THREE[:1], [(None, entries(4, 1, data=b"b" * 1500))], [(None, entries(5, 1, data=b"c" * 1500))]]
    )
    lost = bytes_of(disk)
    start = record_offsets(disk)[-3]
    sector = (start // SECTOR_BYTES + 1) * SECTOR_BYTES
    lost[sector : sector + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    error = refused(with_bytes(disk, lost), Case.DAMAGED_RECORD)
    assert (error.name, error.offset) == (FIRST, start)
    assert "`etcdctl-py member remove 8e9e05c52164694d`" in str(error)
    assert "`etcdctl-py member add NAME --peer-urls=URL`" in str(error)


def test_a_later_header_is_proof_even_with_its_payload_torn():
    disk = built(
        [*THREE[:1], [(None, entries(4, 1, data=b"b" * 1500))], [(None, entries(5, 1, data=b"c" * 1500))]]
    )
    lost = bytes_of(disk)
    start, last, _ = record_offsets(disk)[-3:]
    sector = (start // SECTOR_BYTES + 1) * SECTOR_BYTES
    lost[sector : sector + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    assert refused(with_bytes(disk, lost[: last + HEADER_BYTES]), Case.DAMAGED_RECORD).offset == start


@pytest.mark.parametrize("in_last", [True, False], ids=["last record", "earlier record"])
def test_a_flipped_bit_is_damage_wherever_it_is(in_last):
    steps = [
        [(HardState(1, 2, 0), entries(1, 2, data=b"a" * 300))],
        [(None, entries(3, 2, data=bytes(1300)))],
    ]
    offsets = record_offsets(built(steps))
    whole = bytes_of(built(steps))
    region = range(offsets[-2], offsets[-1]) if in_last else range(offsets[-2])
    for position in region:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        disk = with_bytes(built(steps), flipped)
        with pytest.raises(LogRefused) as raised:
            open_log(disk)
        assert raised.value.offset <= position < raised.value.offset + 2800
        assert raised.value.offset in offsets
        assert raised.value.case is (Case.MISSING_HEAD if position < offsets[1] else Case.DAMAGED_RECORD)


def test_damage_in_a_segment_that_is_not_the_last_is_refused_even_at_its_end():
    disk = built([[(None, entries(index, 1, data=b"x" * 500))] for index in range(1, 10)], segment_bytes=2000)
    start, end = record_offsets(disk)[-2:]
    whole = bytes_of(disk)
    error = refused(with_bytes(disk, whole[: end - 100]), Case.DAMAGED_RECORD)
    assert (error.name, error.offset) == (FIRST, start)
    assert "later segments follow" in str(error)
    assert refused(with_bytes(disk, whole[:start]), Case.BROKEN_CHAIN).name == disk.list()[1]
    zeroed = whole[:start] + bytes(end - start)
    assert refused(with_bytes(disk, zeroed), Case.BROKEN_CHAIN).name == disk.list()[1]


def test_a_damaged_length_allocates_nothing():
    disk = built(THREE)
    content = bytes_of(disk)
    start = record_offsets(disk)[1]
    content[start + 8 : start + 12] = (0xFFFFFFFF).to_bytes(4, "little")
    refused(with_bytes(disk, content), Case.DAMAGED_RECORD)
    with pytest.raises(ValueError, match="over the bound"):
        encode_record(3, bytes(MAX_PAYLOAD_BYTES + 1), 0, 0, 0)


def test_a_record_in_the_wrong_place_is_damage():
    same = [
        [(None, entries(1, 1, data=b"a" * 464))],
        [(None, entries(2, 1, data=b"a" * 464))],
        [(HardState(1, 1, 1), ())],
    ]
    disk = built(same)
    content = bytes_of(disk)
    first, second, third = record_offsets(disk)[1:4]
    assert second - first == third - second
    content[second:third] = content[first:second]
    assert refused(with_bytes(disk, content), Case.DAMAGED_RECORD).offset == second


def test_a_record_of_another_log_in_the_same_place_breaks_the_chain():
    mine, other = built(THREE), built([[(None, entries(1, 3, data=b"z" * 700))], *THREE[1:]])
    content = bytes_of(mine)
    first, second = record_offsets(mine)[1:3]
    content[first:second] = bytes_of(other)[first:second]
    assert refused(with_bytes(mine, content), Case.BROKEN_CHAIN).offset == second


def test_a_value_that_holds_a_record_is_not_taken_for_one():
    """A client cannot make a torn tail look like damage by sending records as values."""
    forged, _ = encode_record(3, b"payload", 5000, 1 << 30, 0)
    payload = b"".join(b"\0" * shift + forged for shift in range(8)) * 3
    disk = built([*THREE[:2], [(None, entries(4, 1, data=payload))]])
    start, end = record_offsets(disk)[-2:]
    recovered = cut(with_bytes(disk, bytes_of(disk)[: end - 1]), start)
    assert len(recovered.entries) == 3


def many_segments():
    return built([[(None, entries(index, 1, data=b"x" * 900))] for index in range(1, 10)], segment_bytes=2000)


def test_missing_segment():
    disk = many_segments()
    gone = disk.list()[1]
    disk.remove(gone)
    error = refused(disk, Case.MISSING_SEGMENT)
    assert "number 0000000000000001" in str(error)
    assert "Put the missing file back" in str(error)


def test_missing_first_segment_that_no_snapshot_covers():
    disk = many_segments()
    disk.remove(FIRST)
    error = refused(disk, Case.MISSING_ENTRIES)
    assert "newest snapshot ends with 0" in str(error)


def test_a_last_segment_that_is_gone_cannot_be_told_from_one_never_begun():
    """The one loss of whole files that a log cannot show. Nothing short of it goes unseen."""
    disk = built([[(None, entries(index, 1, data=b"x" * 900))] for index in range(1, 10)], 2000)
    disk.remove(disk.list()[-1])
    assert open_log(disk)[1].repairs == []


@pytest.mark.parametrize("content", [b"", bytes(4096), b"\x01" * 100])
def test_missing_head(content):
    disk = many_segments()
    last = disk.list()[-1]
    error = refused(with_bytes(disk, content, last), Case.MISSING_HEAD)
    assert (error.name, error.offset) == (last, 0)


def test_unfinished_segments_are_removed():
    disk = many_segments()
    unfinished = "0000000000000009-00000000000000ff.wal.tmp"
    disk.create(unfinished, 4096)
    _, recovered = open_log(disk)
    assert recovered.repairs == [f"{unfinished}: unfinished segment removed"]
    assert unfinished not in disk.list()
    assert len(recovered.entries) == 9


def test_other_files_are_left_alone():
    disk = many_segments()
    disk.create("notes.txt")
    open_log(disk)
    assert "notes.txt" in disk.list()


def test_segment_of_another_member():
    disk = many_segments()
    other = LossyDisk()
    create_log(other, WalMetadata(METADATA.cluster_id, 0x77), BOOTSTRAP, segment_bytes=2000)
    error = refused(with_bytes(disk, other.read(FIRST), disk.list()[-1]), Case.FOREIGN_SEGMENT)
    assert "belongs to member 77 of cluster c1, this log to member 8e9e05c52164694d of cluster c1" in str(
        error
    )


def test_log_of_another_member_than_expected():
    error = refused(many_segments(), Case.FOREIGN_SEGMENT, WalMetadata(METADATA.cluster_id, 0x77))
    assert "Start each member with its own folder" in str(error)


def test_renamed_segment():
    disk = many_segments()
    last = disk.list()[-1]
    error = refused(with_bytes(disk, disk.read(disk.list()[-2]), last), Case.FOREIGN_SEGMENT)
    assert "it was written as number" in str(error)


def test_segment_of_another_history():
    """The same member, wiped and started again, with one old segment left."""
    disk, other = many_segments(), LossyDisk()
    log = create_log(other, METADATA, BOOTSTRAP, segment_bytes=2000)
    for index in range(1, 10):
        log.append(None, entries(index, 1, data=b"y" * 900))
        log.sync()
    last = disk.list()[-1]
    refused(with_bytes(disk, other.read(last), last), Case.BROKEN_CHAIN)


def crafted(*records):
    """Returns a log with records that are valid but should never be written."""
    disk = built([])
    content = bytes_of(disk)
    from miniraft.wal.record import decode_header

    chain = decode_header(bytes(content), 0).chain
    for kind, payload in records:
        record, chain = encode_record(kind, payload, len(content), 0, chain)
        content += record
    return with_bytes(disk, content)


def test_gap_between_entries():
    from miniraft.raft.entry import encode_entries

    error = refused(crafted((3, encode_entries(entries(2, 1)))), Case.MISSING_ENTRIES)
    assert "entry 2 where one from 1 to 1 has its place" in str(error)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ((9, b"future"), "a record of kind 9"),
        ((2, b"short"), "a hard state of 5 bytes"),
        ((3, b""), "a record of no entries"),
        ((3, b"half an entry"), "cut off"),
        ((4, b"short"), "too short"),
        ((1, b"head"), "a record of kind 1"),
    ],
)
def test_unknown_record(record, reason):
    error = refused(crafted(record), Case.UNKNOWN_RECORD)
    assert reason in str(error)
    assert "Start the version that wrote it" in str(error)


def test_other_format_version():
    disk = built([])
    record, _ = encode_record(1, (2).to_bytes(8, "little") + bytes(100), 0, 0, 0)
    error = refused(with_bytes(disk, record), Case.UNKNOWN_RECORD)
    assert "format version 2, this program reads version 1" in str(error)


def test_commit_index_beyond_the_entries_is_set_back():
    disk = built(
        [[(HardState(1, 1, 0), entries(1, 2))], [(HardState(1, 1, 4), entries(3, 2, data=b"x" * 2000))]]
    )
    start = record_offsets(disk)[-2]
    _, recovered = open_log(with_bytes(disk, bytes_of(disk)[: start + 10]))
    assert recovered.hard_state == HardState(1, 1, 2)
    assert any("commit index 4 set back to 2" in repair for repair in recovered.repairs)


def test_verify_reports_and_changes_nothing():
    disk = built(THREE)
    *_, start, end = record_offsets(disk)
    with_bytes(disk, bytes_of(disk)[: end - 3])
    before, calls = disk.read(FIRST), disk.calls
    report = verify_log(disk, METADATA)
    assert report.error is None
    assert report.segments[0].end_case is Case.TORN_TAIL
    assert (report.segments[0].end_offset, report.segments[0].record_count) == (start, 3)
    assert len(report.recovered.entries) == 3
    assert (disk.read(FIRST), disk.calls) == (before, calls)
    assert verify_log(LossyDisk()).error is not None


def test_purged_log_with_its_snapshot_in_the_head_only():
    disk = LossyDisk()
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=2000)
    for index in range(1, 20):
        log.append(HardState(1, 5, index), entries(index, 1, data=b"x" * 900))
        log.append(None, (), SnapshotMetadata(index, 1, CONFIG))
    log.purge(19, 1)
    for name in disk.list()[:-1]:
        disk.remove(name)
    disk.sync_folder()
    _, recovered = open_log(disk)
    assert recovered.snapshot == SnapshotMetadata(19, 1, CONFIG)
    assert recovered.hard_state == HardState(1, 5, 19)
