"""The files of a log: their names, and how one comes into being whole or not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from miniraft.wal.payload import encode_head
from miniraft.wal.record import RecordKind, encode_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from miniraft.wal.disk import AppendFile, Disk
    from miniraft.wal.payload import SegmentHead

SEGMENT_BYTES = 64 << 20  # as etcd's; a segment ends with the append that reaches it
UNFINISHED_SUFFIX = ".tmp"
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.wal")


class Segment(NamedTuple):
    """A segment as its name tells: `<sequence>-<first index>.wal`, both in hexadecimal."""

    sequence: int
    first_index: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.sequence:016x}-{self.first_index:016x}.wal"


def segments_in(names: Iterable[str]) -> list[Segment]:
    """Returns the segments among the files of a folder, in order."""
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(Segment(int(match[1], 16), int(match[2], 16)) for match in matches if match)


def unfinished_in(names: Iterable[str]) -> list[str]:
    """Returns the files that a crash left while a segment was being made."""
    return [
        name
        for name in names
        if name.endswith(UNFINISHED_SUFFIX) and _NAME.fullmatch(name.removesuffix(UNFINISHED_SUFFIX))
    ]


def remove_unfinished(disk: Disk) -> list[str]:
    """Removes what a crash left while a segment was being made; returns the names."""
    names = unfinished_in(disk.list())
    for name in names:
        disk.remove(name)
    return names


def begin_segment(
    disk: Disk, head: SegmentHead, previous: int, segment_bytes: int
) -> tuple[AppendFile, int, int]:
    """Makes a segment that holds its head; returns the file, its length and the chain value.

    It gets its name only when its head is durable, and is durable under that name when this
    returns: a segment without a valid head is never what a crash left.
    Raises OSError; then the log is what it was.
    """
    record, chain = encode_record(RecordKind.SEGMENT, encode_head(head), 0, 0, previous)
    name = Segment(head.sequence, head.first_index).name
    unfinished = name + UNFINISHED_SUFFIX
    file = disk.create(unfinished, segment_bytes)
    try:
        file.append(record)
        file.sync()
        disk.rename(unfinished, name)
        disk.sync_folder()
    except OSError:
        file.close()
        raise
    return file, len(record), chain
