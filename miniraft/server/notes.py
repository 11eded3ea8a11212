"""What happened to the cluster that an operator wants to read in the log.

Raft has observations of its own; these are the member's. The driver turns them into words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.mvcc.compaction_hashes import CompactionHash
    from miniraft.server.alarms import Alarm
    from miniraft.server.service import MemberInfo


class MembersChanged(NamedTuple):
    """A change of membership has been applied."""

    kind: int  # ConfigChangeKind
    member: MemberInfo  # the one it is about, after the change (before it, when it was removed)
    before: Sequence[MemberInfo]
    after: Sequence[MemberInfo]


class AlarmChanged(NamedTuple):
    """An alarm has been raised or disarmed."""

    alarm: Alarm
    is_raised: bool


class CompactionDue(NamedTuple):
    """The leader compacts by itself."""

    target: int
    revision: int  # the current one


class CompactionFinished(NamedTuple):
    """Nothing is left of what a compaction drops."""

    revision: int
    taken: CompactionHash | None  # None: another compaction was under way when it was recorded


class VersionAgreed(NamedTuple):
    """The version that all members understand has been set, or changed."""

    version: str


Note = MembersChanged | AlarmChanged | CompactionDue | CompactionFinished | VersionAgreed
