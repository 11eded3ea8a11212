"""What the records hold. Numbers are little-endian; entries are encoded as in raft/entry.py."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from miniraft.raft.entry import ENTRY_OVERHEAD_BYTES
from miniraft.raft.state import ConfigState, HardState, SnapshotMetadata
from miniraft.wal.interface import WalMetadata
from miniraft.wal.record import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from miniraft.raft.entry import Entry

FORMAT_VERSION = 1
# Entries of one append share records of about this size: large enough that the framing costs
# nothing, small enough that recovery needs little memory beyond the segment.
ENTRIES_RECORD_BYTES = 4 << 20

_SEGMENT = struct.Struct("<QQQQQ")
_HARD_STATE = struct.Struct("<QQQ")
_SNAPSHOT = struct.Struct("<BQQII")
_MEMBER = struct.Struct("<Q")


class SegmentHead(NamedTuple):
    """The first record of a segment: all that is needed to begin recovery with it.

    `hard_state` and `snapshot` are those in force when the segment was begun, so that the
    segments before can be removed.
    """

    format_version: int
    sequence: int
    first_index: int  # the index that follows the last entry of the segment before
    metadata: WalMetadata
    hard_state: HardState
    snapshot: SnapshotMetadata


class SnapshotRecord(NamedTuple):
    """From here on the log begins behind `metadata.index`.

    `voids_entries`: what the log held behind that index does not follow from the snapshot (it
    ended before, or had another entry there) and is void too.
    """

    metadata: SnapshotMetadata
    voids_entries: bool


def encode_head(head: SegmentHead) -> bytes:
    """Returns the payload of a SEGMENT record."""
    return b"".join(
        (
            _SEGMENT.pack(head.format_version, head.sequence, head.first_index, *head.metadata),
            encode_hard_state(head.hard_state),
            encode_snapshot(SnapshotRecord(head.snapshot, voids_entries=False)),
        )
    )


def decode_head(payload: bytes) -> SegmentHead:
    """Returns what `encode_head` took. Raises ValueError when it is not a version known here."""
    if len(payload) < _MEMBER.size:
        raise ValueError("it is too short")
    (version,) = _MEMBER.unpack_from(payload)
    if version != FORMAT_VERSION:
        raise ValueError(f"it has format version {version}, this program reads version {FORMAT_VERSION}")
    states = _SEGMENT.size + _HARD_STATE.size
    if len(payload) < states:
        raise ValueError("it is too short")
    _, sequence, first_index, cluster_id, member_id = _SEGMENT.unpack_from(payload)
    hard_state = decode_hard_state(payload[_SEGMENT.size : states])
    snapshot = decode_snapshot(payload[states:]).metadata
    return SegmentHead(
        version, sequence, first_index, WalMetadata(cluster_id, member_id), hard_state, snapshot
    )


def encode_hard_state(hard_state: HardState) -> bytes:
    """Returns the payload of a HARD_STATE record."""
    return _HARD_STATE.pack(*hard_state)


def decode_hard_state(payload: bytes) -> HardState:
    """Returns what `encode_hard_state` took. Raises ValueError."""
    if len(payload) != _HARD_STATE.size:
        raise ValueError(f"a hard state of {len(payload)} bytes instead of {_HARD_STATE.size}")
    return HardState(*_HARD_STATE.unpack(payload))


def encode_snapshot(record: SnapshotRecord) -> bytes:
    """Returns the payload of a SNAPSHOT record."""
    index, term, config = record.metadata
    members = (*config.voters, *config.learners)
    counts = len(config.voters), len(config.learners)
    return b"".join(
        (
            _SNAPSHOT.pack(record.voids_entries, index, term, *counts),
            struct.pack(f"<{len(members)}Q", *members),
        )
    )


def decode_snapshot(payload: bytes) -> SnapshotRecord:
    """Returns what `encode_snapshot` took. Raises ValueError."""
    if len(payload) < _SNAPSHOT.size:
        raise ValueError("a snapshot record that is too short")
    voids, index, term, voter_count, learner_count = _SNAPSHOT.unpack_from(payload)
    expected = _SNAPSHOT.size + (voter_count + learner_count) * _MEMBER.size
    if len(payload) != expected:
        raise ValueError(f"a snapshot record of {len(payload)} bytes instead of {expected}")
    members = struct.unpack_from(f"<{voter_count + learner_count}Q", payload, _SNAPSHOT.size)
    config = ConfigState(members[:voter_count], members[voter_count:])
    return SnapshotRecord(SnapshotMetadata(index, term, config), bool(voids))


def split_entries(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yields `entries` in runs that fit in a record of about ENTRIES_RECORD_BYTES each.

    Raises ValueError, before yielding anything, when an entry is too large for any record.
    """
    size = len(entries) * ENTRY_OVERHEAD_BYTES + sum([len(entry[3]) for entry in entries])
    if size <= ENTRIES_RECORD_BYTES:
        yield entries
        return
    for entry in entries:
        if ENTRY_OVERHEAD_BYTES + len(entry.data) > MAX_PAYLOAD_BYTES:
            raise ValueError(
                f"entry {entry.index} of {len(entry.data)} bytes is over the bound of a log record, "
                f"{MAX_PAYLOAD_BYTES} bytes"
            )
    start = run_bytes = 0
    for position, entry in enumerate(entries):
        entry_bytes = ENTRY_OVERHEAD_BYTES + len(entry.data)
        if run_bytes and run_bytes + entry_bytes > ENTRIES_RECORD_BYTES:
            yield entries[start:position]
            start, run_bytes = position, 0
        run_bytes += entry_bytes
    yield entries[start:]
