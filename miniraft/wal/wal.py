"""The log, open for writing.

Writing goes to the last segment only. What is durable is what `sync` has returned for; a new
segment is begun only when the one before it is durable to its end (see recovery.py, which
relies on both).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from miniraft.raft.entry import encode_entries
from miniraft.raft.state import HardState
from miniraft.wal.interface import RecoveredLog, WalError, WalMetadata
from miniraft.wal.payload import (
    FORMAT_VERSION,
    SegmentHead,
    SnapshotRecord,
    encode_hard_state,
    encode_snapshot,
    split_entries,
)
from miniraft.wal.record import RecordKind, encode_record
from miniraft.wal.recovery import SegmentReport, read_log
from miniraft.wal.segment import SEGMENT_BYTES, Segment, begin_segment, remove_unfinished, segments_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.raft.entry import Entry
    from miniraft.raft.state import SnapshotMetadata
    from miniraft.wal.disk import AppendFile, Disk


class _Terms:
    """The term of each entry from the snapshot on, as the indexes at which it changes."""

    def __init__(self, snapshot: SnapshotMetadata) -> None:
        self._indexes = [snapshot.index]
        self._terms = [snapshot.term]

    def append(self, entries: Sequence[Entry]) -> None:
        """Entries were appended, in the place of any that were there from the first one on."""
        first = entries[0].index
        while self._indexes and self._indexes[-1] >= first:
            self._indexes.pop()
            self._terms.pop()
        if entries[0].term == entries[-1].term:  # terms never decrease: all are the same
            entries = entries[:1]
        for entry in entries:
            if not self._terms or self._terms[-1] != entry.term:
                self._indexes.append(entry.index)
                self._terms.append(entry.term)

    def at(self, index: int) -> int:
        """Returns the term of the entry at `index`; 0 before the snapshot."""
        position = bisect_right(self._indexes, index)
        return self._terms[position - 1] if position else 0

    def forget_before(self, snapshot: SnapshotMetadata) -> None:
        """The log begins behind `snapshot` now."""
        position = bisect_right(self._indexes, snapshot.index)
        self._indexes[:position] = [snapshot.index]
        self._terms[:position] = [snapshot.term]


class Wal:
    """A `WriteAheadLog` on a `Disk`. Made by `create_log` or `open_log`.

    Invariants: `synced_offset <= offset`; every entry from `snapshot.index + 1` to
    `last_index` is in the segments listed.
    """

    def __init__(
        self,
        disk: Disk,
        segment_bytes: int,
        recovered: RecoveredLog,
        segments: list[Segment],
        file: AppendFile,
        offset: int,
        chain: int,
    ) -> None:
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._metadata = recovered.metadata
        self._hard_state = recovered.hard_state
        self._snapshot = recovered.snapshot
        self._last_index = recovered.snapshot.index + len(recovered.entries)
        self._terms = _Terms(recovered.snapshot)
        if recovered.entries:
            self._terms.append(recovered.entries)
        self._segments = segments
        self._file = file
        self._offset = offset
        self._synced_offset = offset
        self._chain = chain
        self._bytes_written = 0
        self._failure: OSError | None = None

    def append(
        self, hard_state: HardState | None, entries: Sequence[Entry], snapshot: SnapshotMetadata | None = None
    ) -> None:
        """See `WriteAheadLog.append`.

        A snapshot at or before the one in force changes nothing. One newer than the last index
        voids all entries, and so does one that has another term than the entry at its index.
        Raises ValueError, having written nothing, for entries that leave a gap or begin at or
        before the snapshot.
        """
        self._check_usable()
        records: list[tuple[RecordKind, bytes]] = []
        first_possible, last_index = self._snapshot.index + 1, self._last_index
        taken: SnapshotRecord | None = None
        if snapshot is not None and snapshot.index > self._snapshot.index:
            voids = snapshot.index > last_index or self._terms.at(snapshot.index) != snapshot.term
            taken = SnapshotRecord(snapshot, voids)
            records.append((RecordKind.SNAPSHOT, encode_snapshot(taken)))
            first_possible, last_index = snapshot.index + 1, snapshot.index if voids else last_index
        if hard_state is not None:
            records.append((RecordKind.HARD_STATE, encode_hard_state(hard_state)))
        if entries:
            _check_entries(entries, first_possible, last_index)
            last_index = entries[-1].index
            records += [(RecordKind.ENTRIES, encode_entries(run)) for run in split_entries(entries)]
        self._write(records)
        if taken is not None:
            self._take_snapshot(taken)
        if hard_state is not None:
            self._hard_state = hard_state
        if entries:
            self._terms.append(entries)
        self._last_index = last_index

    def sync(self) -> None:
        """See `WriteAheadLog.sync`."""
        self._check_usable()
        if self._synced_offset == self._offset:
            return
        try:
            self._file.sync()
        except OSError as error:
            self._failure = error
            raise
        self._synced_offset = self._offset

    def purge(self, snapshot_index: int, keep_segments: int) -> list[str]:
        """See `WriteAheadLog.purge`. Never goes past the newest snapshot record, and syncs that."""
        self._check_usable()
        if keep_segments <= 0:
            return []
        self.sync()
        covered = min(snapshot_index, self._snapshot.index)
        needless = 0  # all that follows is in later segments when the next one begins there
        while needless + 1 < len(self._segments) and self._segments[needless + 1].first_index <= covered + 1:
            needless += 1
        removed = [segment.name for segment in self._segments[: max(0, needless - keep_segments)]]
        try:
            for name in removed:
                self._disk.remove(name)
                self._disk.sync_folder()  # one by one: a crash must not leave a gap in the sequence
                del self._segments[0]
        except OSError as error:
            self._failure = error
            raise
        return removed

    def bytes_written(self) -> int:
        """See `WriteAheadLog.bytes_written`."""
        return self._bytes_written

    def close(self) -> None:
        """See `WriteAheadLog.close`. The log cannot be used afterwards."""
        if self._failure is None:
            self._failure = OSError("the log was closed")
        self._file.close()

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise WalError(
                f"the log takes no more writes after: {self._failure}. What is on disk is only known after "
                "reading it back: restart the member"
            ) from self._failure

    def _write(self, records: Sequence[tuple[RecordKind, bytes]]) -> None:
        """Hands records to the operating system, in one write."""
        if not records:
            return
        try:
            if self._offset >= self._segment_bytes:
                self._begin_next_segment()
            offset, chain = self._offset, self._chain
            encoded: list[bytes] = []
            for kind, payload in records:
                record, chain = encode_record(kind, payload, offset, self._synced_offset, chain)
                encoded.append(record)
                offset += len(record)
            self._file.append(b"".join(encoded) if len(encoded) > 1 else encoded[0])
        except OSError as error:
            self._failure = error
            raise
        self._bytes_written += offset - self._offset
        self._offset, self._chain = offset, chain

    def _begin_next_segment(self) -> None:
        if self._synced_offset != self._offset:
            self._file.sync()
        segment = Segment(self._segments[-1].sequence + 1, self._last_index + 1)
        head = SegmentHead(FORMAT_VERSION, *segment, self._metadata, self._hard_state, self._snapshot)
        file, offset, chain = begin_segment(self._disk, head, self._chain, self._segment_bytes)
        self._file.close()
        self._file, self._offset, self._synced_offset, self._chain = file, offset, offset, chain
        self._bytes_written += offset
        self._segments.append(segment)

    def _take_snapshot(self, taken: SnapshotRecord) -> None:
        self._snapshot = taken.metadata
        if taken.voids_entries:
            self._terms = _Terms(taken.metadata)
        else:
            self._terms.forget_before(taken.metadata)


def _check_entries(entries: Sequence[Entry], first_possible: int, last_index: int) -> None:
    first, last = entries[0].index, entries[-1].index
    if not first_possible <= first <= last_index + 1:
        raise ValueError(f"entry {first} cannot follow: the log has {first_possible} to {last_index}")
    if last - first + 1 != len(entries):
        raise ValueError(f"{len(entries)} entries cannot be those from {first} to {last}")


def log_exists(disk: Disk) -> bool:
    """Whether the folder holds a log. What a crash left of `create_log` is none."""
    return bool(segments_in(disk.list()))


def create_log(
    disk: Disk,
    metadata: WalMetadata,
    snapshot: SnapshotMetadata,
    *,
    segment_bytes: int = SEGMENT_BYTES,
) -> Wal:
    """Makes a log that begins behind `snapshot`; durable and whole when this returns.

    A new cluster's snapshot has index and term 0 and the initial members; one that is
    restored has the index and term that its data stand for.
    Raises WalError when there is a log, OSError.
    """
    if log_exists(disk):
        raise WalError("there is a log in this folder already: open it, or take an empty folder")
    remove_unfinished(disk)
    hard_state = HardState(term=snapshot.term, vote=0, commit=snapshot.index)
    segment = Segment(0, snapshot.index + 1)
    head = SegmentHead(FORMAT_VERSION, *segment, metadata, hard_state, snapshot)
    file, offset, chain = begin_segment(disk, head, 0, segment_bytes)
    recovered = RecoveredLog(metadata, hard_state, snapshot, [])
    return Wal(disk, segment_bytes, recovered, [segment], file, offset, chain)


def open_log(
    disk: Disk, expected: WalMetadata | None = None, *, segment_bytes: int = SEGMENT_BYTES
) -> tuple[Wal, RecoveredLog]:
    """Reads a log back, mends what a crash left, and opens it for writing.

    When this returns, all that was recovered is durable, whatever it was before (a process
    that was killed leaves records in the page cache that no disk has seen).
    Raises WalError when the log is refused (recovery.py) or not `expected`'s, OSError.
    """
    contents = read_log(disk, expected)
    remove_unfinished(disk)
    file = disk.open_append(contents.segments[-1].name)
    try:
        if contents.cut_bytes:
            file.truncate(contents.end_offset)
        file.sync()
        disk.sync_folder()
    except OSError:
        file.close()
        raise
    wal = Wal(
        disk,
        segment_bytes,
        contents.recovered,
        contents.segments,
        file,
        contents.end_offset,
        contents.chain,
    )
    recovered = contents.recovered
    if recovered.hard_state.commit < contents.hard_state_on_disk.commit:
        # Or it would count again when other entries have come to where the lost ones were.
        wal.append(recovered.hard_state, ())
        wal.sync()
    return wal, recovered


@dataclass(slots=True)
class LogReport:
    """What `verify_log` found. `error` is None when a member would start with this log."""

    segments: list[SegmentReport] = field(default_factory=list)
    recovered: RecoveredLog | None = None
    error: WalError | None = None


def verify_log(disk: Disk, expected: WalMetadata | None = None) -> LogReport:
    """Reads a log as recovery would, changes nothing and reports. Raises OSError."""
    report = LogReport()
    try:
        report.recovered = read_log(disk, expected, report.segments).recovered
    except WalError as error:
        report.error = error
    return report
