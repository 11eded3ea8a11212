"""Reading a log back: what a crash can leave is mended, anything else is refused.

What a crash can do to a log. Everything before the last `sync` is on disk. Of what was
appended since, after a power failure, any subset of the sectors is there; the others read as
zeros, or the file ends before them. (So it is with the file systems that never show stale
blocks: ext4 with its default ordered data, XFS, Btrfs. With others a tail may look damaged and
is refused.) A process that is killed, or meets a full disk, in the middle of a write leaves the
beginning of what it wrote, up to any byte. A
segment gets its name when its head is durable, and only after everything in the segment
before it is. Hence these cases, and no others are mended:

| case               | what is seen                                           | what is done      |
|--------------------|--------------------------------------------------------|-------------------|
| clean end          | the records end where the file ends                    | -                 |
| zero tail          | only zeros behind the last record (reserved space)     | write on there    |
| torn tail          | last segment; a record of which part is missing;       | cut, sync, report |
|                    | nothing behind it says that it had been synced         | in `repairs`      |
| unfinished segment | a file with the suffix .tmp                            | remove it         |
| damaged record     | any other record that is not as written                | refuse            |
| missing head       | a segment that does not begin with a SEGMENT record    | refuse            |
| missing segment    | a gap in the sequence numbers                          | refuse            |
| foreign segment    | it names another cluster or member, or another place   | refuse            |
| broken chain       | a record that does not follow from the one before      | refuse            |
| missing entries    | a gap in the indexes, or behind the newest snapshot    | refuse            |
| unknown record     | valid, but not to be understood: another version       | refuse            |

Torn or damaged? Records may become durable in any order until they are synced, so that valid
ones can follow a torn one, and that alone proves nothing. But every header says up to which
offset the segment had been synced when it was written. If any header behind a bad record
puts it within that, the record was durable, may have been acknowledged, and is damaged now.
If none does, the record is torn only if it shows what a crash does: what was written stops
inside it (no record ends in a zero), or a sector of it is zero that was not zero when written.
A flipped bit does not look like that and is refused even in the very last record. What remains
undetected is a disk that loses whole sectors of the last sync it confirmed, and a last segment
that somebody removed.

Entries that were written but not synced may come back. That is fine: nobody was told that
they are durable, and nobody was told that they are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from miniraft.raft.entry import decode_entries
from miniraft.raft.state import HardState
from miniraft.wal.interface import RecoveredLog, WalError, WalMetadata
from miniraft.wal.payload import SegmentHead, decode_hard_state, decode_head, decode_snapshot
from miniraft.wal.record import (
    ALIGNMENT_BYTES,
    HEADER_BYTES,
    MAGIC_BYTES,
    RecordKind,
    decode_header,
    decode_payload,
    header_lost_sectors,
    payload_lost_sectors,
)
from miniraft.wal.segment import segments_in, unfinished_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.wal.disk import Disk
    from miniraft.wal.record import Header
    from miniraft.wal.segment import Segment


_ZEROS_BYTES = 1 << 18


class Case(Enum):
    """The cases of the table above."""

    CLEAN_END = "clean end"
    ZERO_TAIL = "zero tail"
    TORN_TAIL = "torn tail"
    UNFINISHED_SEGMENT = "unfinished segment"
    DAMAGED_RECORD = "damaged record"
    MISSING_HEAD = "missing head"
    MISSING_SEGMENT = "missing segment"
    FOREIGN_SEGMENT = "foreign segment"
    BROKEN_CHAIN = "broken chain"
    MISSING_ENTRIES = "missing entries"
    UNKNOWN_RECORD = "unknown record"


class LogRefused(WalError):  # noqa: N818 (it says what happened)
    """The log is not what a crash can leave: what was acknowledged may be missing from it."""

    def __init__(self, case: Case, name: str, offset: int, reason: str, metadata: WalMetadata | None) -> None:
        super().__init__(
            f"log refused: {case.value} in {name} at offset {offset}: {reason}. "
            f"Nothing was changed. {_advice(case, metadata)}"
        )
        self.case = case
        self.name = name
        self.offset = offset


def _advice(case: Case, metadata: WalMetadata | None) -> str:
    member = f"{metadata.member_id:x}" if metadata else "MEMBER_ID"
    first = {
        Case.MISSING_SEGMENT: "Put the missing file back if it was moved. Otherwise, ",
        Case.FOREIGN_SEGMENT: "Start each member with its own folder. If the files were mixed up, ",
        Case.UNKNOWN_RECORD: "Start the version that wrote it. Otherwise, ",
    }.get(case, "")
    advice = (
        "while the other members have a majority, replace this one: "
        f"`etcdctl-py member remove {member}`, `etcdctl-py member add NAME --peer-urls=URL`, then start it "
        "with an empty data directory and --initial-cluster-state=existing. "
        "Without a majority, restore the cluster from a snapshot: `etcdutl-py snapshot restore`."
    )
    return first + advice if first else advice[0].upper() + advice[1:]


@dataclass(slots=True)
class SegmentReport:
    """What one segment held."""

    name: str
    file_bytes: int
    record_count: int = 0
    end_offset: int = 0  # behind the last valid record
    end_case: Case = Case.CLEAN_END


@dataclass(slots=True)
class LogContents:
    """All that was read, nothing mended yet.

    The last segment ends at `end_offset`; the `cut_bytes` behind are to be cut (they may be
    reserved space only: then nothing is in `recovered.repairs`). `hard_state_on_disk` is the last
    one written, which differs from the recovered one when its commit index was set back.
    """

    recovered: RecoveredLog
    segments: list[Segment]
    reports: list[SegmentReport]
    chain: int
    end_offset: int
    cut_bytes: int
    hard_state_on_disk: HardState


class _Replay:
    """The state that the records read so far amount to.

    Invariant: `entries` are consecutive and end before `next_index`.
    """

    def __init__(self, head: SegmentHead) -> None:
        self.hard_state: HardState = head.hard_state
        self.snapshot: SnapshotMetadata = head.snapshot
        self.entries: list[Entry] = []
        self.next_index = head.first_index

    @property
    def start_index(self) -> int:
        """The index at which the log begins."""
        return self.next_index - len(self.entries)

    def apply(self, kind: int, payload: bytes) -> None:
        """Takes one record. Raises ValueError saying what is wrong with it."""
        if kind == RecordKind.ENTRIES:
            self._append(decode_entries(payload))
        elif kind == RecordKind.HARD_STATE:
            self.hard_state = decode_hard_state(payload)
        elif kind == RecordKind.SNAPSHOT:
            self._take_snapshot(payload)
        else:
            raise ValueError(f"a record of kind {kind}")

    def _append(self, entries: list[Entry]) -> None:
        if not entries:
            raise ValueError("a record of no entries")
        first = entries[0].index
        if [entry.index for entry in entries] != list(range(first, first + len(entries))):
            raise ValueError("entries that are not consecutive")
        if not self.snapshot.index < first <= self.next_index:
            raise _MissingEntriesError(
                f"entry {first} where one from {self.snapshot.index + 1} to {self.next_index} has its place"
            )
        if first < self.next_index:  # a later leader's entries take the place of these
            del self.entries[max(0, first - self.start_index) :]
        self.entries += entries
        self.next_index = first + len(entries)

    def _take_snapshot(self, payload: bytes) -> None:
        metadata, voids_entries = decode_snapshot(payload)
        if metadata.index < self.snapshot.index:
            raise ValueError(f"a snapshot at {metadata.index} behind that at {self.snapshot.index}")
        self.snapshot = metadata
        if voids_entries:
            self.entries, self.next_index = [], metadata.index + 1
        else:
            del self.entries[: max(0, metadata.index + 1 - self.start_index)]

    def result(self, metadata: WalMetadata) -> RecoveredLog:
        """Returns what the log held. Raises _MissingEntriesError when the log does not join the snapshot."""
        if self.start_index != self.snapshot.index + 1:
            raise _MissingEntriesError(
                f"the log begins with entry {self.start_index}, but the newest snapshot ends "
                f"with {self.snapshot.index}"
            )
        repairs: list[str] = []
        term, vote, commit = self.hard_state
        last = self.next_index - 1
        if commit > last:
            # Written together with the entries that it counts, synced neither: see Case.TORN_TAIL.
            repairs.append(f"commit index {commit} set back to {last}: the entries behind were never synced")
        commit = min(max(commit, self.snapshot.index), last)
        return RecoveredLog(metadata, HardState(term, vote, commit), self.snapshot, self.entries, repairs)


class _MissingEntriesError(ValueError):
    """Entries are missing."""


@dataclass(slots=True)
class _SegmentReader:
    """Walks over the records of one segment."""

    data: bytes
    report: SegmentReport
    is_last: bool
    chain: int  # of the last record read; for the first segment that of its head's predecessor
    metadata: WalMetadata | None = None
    repairs: list[str] = field(default_factory=list)

    def refuse(self, case: Case, reason: str) -> LogRefused:
        """Returns the error for the place reached."""
        return LogRefused(case, self.report.name, self.report.end_offset, reason, self.metadata)

    def records(self) -> Iterator[tuple[Header, bytes]]:
        """Yields the records up to the end; the report says which case that is.

        Raises LogRefused.
        """
        report, data = self.report, self.data
        while report.end_offset < len(data):
            offset = report.end_offset
            header = decode_header(data, offset)
            payload = decode_payload(data, offset, header) if header else None
            if header is None or payload is None:
                self._end_at_bad_record(header)
                return
            if header.previous != self.chain:
                raise self.refuse(Case.BROKEN_CHAIN, "this record does not follow from the one before it")
            self.chain = header.chain
            yield header, payload
            report.record_count += 1
            report.end_offset = offset + header.record_bytes

    def _end_at_bad_record(self, header: Header | None) -> None:
        data, report = self.data, self.report
        offset = report.end_offset
        written_end = _end_of_nonzero(data, offset)
        if written_end <= offset:
            report.end_case = Case.ZERO_TAIL
            return
        if not self.is_last:
            raise self.refuse(Case.DAMAGED_RECORD, "its checksum is wrong, and later segments follow")
        witness = self._later_header_of_synced(offset)
        if witness:
            raise self.refuse(
                Case.DAMAGED_RECORD,
                f"its checksum is wrong, and the record at {witness} was written when it was on disk",
            )
        stops_inside = written_end < offset + (header.record_bytes if header else HEADER_BYTES)
        if not stops_inside and not (
            payload_lost_sectors(data, offset, header) if header else header_lost_sectors(data, offset)
        ):
            raise self.refuse(
                Case.DAMAGED_RECORD, "its checksum is wrong, and nothing of it is missing as after a crash"
            )
        report.end_case = Case.TORN_TAIL
        self.repairs.append(
            f"{report.name}: cut at offset {offset}: the last write was not complete and never acknowledged "
            f"({written_end - offset} bytes)"
        )

    def _later_header_of_synced(self, offset: int) -> int:
        """Returns where a header behind `offset` says that more than `offset` was synced; or 0."""
        found = self.data.find(MAGIC_BYTES, offset + ALIGNMENT_BYTES)
        while found >= 0:
            header = decode_header(self.data, found) if found % ALIGNMENT_BYTES == 0 else None
            if header and header.synced_offset > offset:
                return found
            found = self.data.find(MAGIC_BYTES, found + 1)
        return 0


def _end_of_nonzero(data: bytes, start: int) -> int:
    """Returns the end of `data` without the zeros at its end, or `start` if all behind that is zero."""
    end = len(data)
    zeros = bytes(_ZEROS_BYTES)
    while end - start > _ZEROS_BYTES and data[end - _ZEROS_BYTES : end] == zeros:
        end -= _ZEROS_BYTES
    first = max(start, end - _ZEROS_BYTES)
    return first + len(data[first:end].rstrip(b"\0"))


def read_log(
    disk: Disk, expected: WalMetadata | None = None, reports: list[SegmentReport] | None = None
) -> LogContents:
    """Reads a whole log and changes nothing; `reports` is filled on the way, also before an error.

    Raises LogRefused, and WalError when there is no log or it is not `expected`'s.
    """
    reports = [] if reports is None else reports
    names = disk.list()
    segments = segments_in(names)
    if not segments:
        raise WalError("there is no log in this folder: start the member with an empty data directory")
    replay: _Replay | None = None
    metadata: WalMetadata | None = None
    chain = 0
    repairs = [f"{name}: {Case.UNFINISHED_SEGMENT.value} removed" for name in unfinished_in(names)]
    for position, segment in enumerate(segments):
        if position and segment.sequence != segments[position - 1].sequence + 1:
            missing = f"the segment before it, number {segment.sequence - 1:016x}, is not there"
            raise LogRefused(Case.MISSING_SEGMENT, segment.name, 0, missing, metadata)
        data = disk.read(segment.name)
        report = SegmentReport(segment.name, len(data))
        reports.append(report)
        reader = _SegmentReader(data, report, segment is segments[-1], chain, metadata, repairs)
        head = _read_head(reader, segment, expected or metadata, replay)
        metadata = reader.metadata = head.metadata
        replay = replay or _Replay(head)
        _replay_segment(reader, replay)
        chain = reader.chain
    if replay is None or metadata is None:
        raise WalError("no segment was read")  # not reached: there is at least one
    try:
        recovered = replay.result(metadata)
    except _MissingEntriesError as gap:
        raise LogRefused(Case.MISSING_ENTRIES, segments[0].name, 0, str(gap), metadata) from None
    recovered.repairs[:0] = repairs
    last = reports[-1]
    return LogContents(
        recovered,
        segments,
        reports,
        chain,
        last.end_offset,
        last.file_bytes - last.end_offset,
        replay.hard_state,
    )


def _read_head(
    reader: _SegmentReader, segment: Segment, expected: WalMetadata | None, replay: _Replay | None
) -> SegmentHead:
    """Returns a segment's head, once it is sure that the segment belongs where it is."""
    header = decode_header(reader.data, 0)
    payload = decode_payload(reader.data, 0, header) if header else None
    if header is None or payload is None or header.kind != RecordKind.SEGMENT:
        raise reader.refuse(Case.MISSING_HEAD, "it does not begin with the head of a segment")
    try:
        head = decode_head(payload)
    except ValueError as error:
        raise reader.refuse(Case.UNKNOWN_RECORD, f"the head of the segment: {error}") from None
    if expected and head.metadata != expected:
        raise reader.refuse(
            Case.FOREIGN_SEGMENT,
            f"it belongs to {_describe(head.metadata)}, this log to {_describe(expected)}",
        )
    if (head.sequence, head.first_index) != segment:
        raise reader.refuse(
            Case.FOREIGN_SEGMENT,
            f"it was written as number {head.sequence:016x} from index {head.first_index}",
        )
    if replay is None:
        reader.chain = header.previous
    elif header.previous != reader.chain:
        raise reader.refuse(
            Case.BROKEN_CHAIN, "it does not follow from the segment before it, whose end may be missing"
        )
    elif head.first_index != replay.next_index:
        raise reader.refuse(
            Case.MISSING_ENTRIES, f"it begins with entry {head.first_index} instead of {replay.next_index}"
        )
    return head


def _replay_segment(reader: _SegmentReader, replay: _Replay) -> None:
    for header, payload in reader.records():
        if reader.report.end_offset == 0:
            continue  # the head
        try:
            replay.apply(header.kind, payload)
        except _MissingEntriesError as gap:
            raise reader.refuse(Case.MISSING_ENTRIES, str(gap)) from None
        except ValueError as error:
            raise reader.refuse(Case.UNKNOWN_RECORD, str(error)) from None


def _describe(metadata: WalMetadata) -> str:
    return f"member {metadata.member_id:x} of cluster {metadata.cluster_id:x}"
