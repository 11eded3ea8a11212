"""Who belongs to the cluster after each committed entry, worked out a second time and simply.

It reads the committed log and nothing else, with etcd's rules for what is refused. A change is
in force for the member that has applied it, so the membership has an index, not a time.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from miniraft.pb.log_pb2 import ConfigChange
from miniraft.raft.entry import EntryKind
from miniraft.raft.state import ConfigState
from miniraft.server.bootstrap import FIRST_INDEX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from miniraft.raft.entry import Entry
    from miniraft.server.bootstrap import FirstState

_MOST_LEARNERS = 1
_ADDITIONS = (ConfigChange.ADD_VOTER, ConfigChange.ADD_LEARNER)


class Known(NamedTuple):
    """What the cluster knows of a member."""

    urls: tuple[str, ...]
    is_learner: bool


class Removal(NamedTuple):
    """How a member has left."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    urls: tuple[str, ...]


class Membership(NamedTuple):
    """All members at one point of the log."""

    members: Mapping[int, Known]
    config: ConfigState

    @property
    def voters(self) -> tuple[int, ...]:
        """The ids of those who count."""
        return self.config.voters


NOBODY = Membership({}, ConfigState((), ()))  # what a member knows that has nothing yet


class MembershipModel:
    """Every membership that ever was in force."""

    def __init__(self, first: FirstState) -> None:
        known = {member.id: Known(member.peer_urls, member.is_learner) for member in first.members}
        self.removed: dict[int, Removal] = {}
        self.accepted: set[tuple[int, int]] = set()  # kind, member id
        self.refused_count = 0
        self._indexes = [FIRST_INDEX]
        self._memberships = [_membership(known)]

    def follow(self, entry: Entry) -> None:
        """Takes in the next committed entry."""
        if entry.kind != EntryKind.CONFIG_CHANGE:
            return
        change = ConfigChange.FromString(entry.data)
        members = dict(self.newest.members)
        if self._is_refused(change, members):
            self.refused_count += 1
            return
        self.accepted.add((change.kind, change.member_id))
        before = members.pop(change.member_id, None)
        if change.kind == ConfigChange.REMOVE:
            self.removed[change.member_id] = Removal(entry.index, before.urls if before else ())
        elif before is None:
            members[change.member_id] = Known(
                tuple(change.peer_urls), change.kind == ConfigChange.ADD_LEARNER
            )
        elif change.kind == ConfigChange.UPDATE:
            members[change.member_id] = Known(tuple(change.peer_urls), before.is_learner)
        else:
            members[change.member_id] = Known(before.urls, False)
        self._indexes.append(entry.index)
        self._memberships.append(_membership(members))

    @property
    def change_count(self) -> int:
        """How many changes were made."""
        return len(self._indexes) - 1

    @property
    def newest_index(self) -> int:
        """The entry with the last change."""
        return self._indexes[-1]

    @property
    def newest(self) -> Membership:
        """The membership at the end of the committed log."""
        return self._memberships[-1]

    def at(self, index: int) -> Membership:
        """Returns what is in force for a member that has applied everything up to `index`."""
        position = bisect_right(self._indexes, index)
        return self._memberships[position - 1] if position else NOBODY

    def last_change(self, index: int) -> int:
        """Returns the entry of the last change up to `index`, 0 if there is none."""
        position = bisect_right(self._indexes, index)
        return self._indexes[position - 1] if position else 0

    def between(self, first: int, last: int) -> Sequence[Membership]:
        """Returns all that were in force while the applied index went from `first` to `last`."""
        begin, end = bisect_right(self._indexes, first), bisect_right(self._indexes, last)
        return [self.at(first), *self._memberships[begin:end]]

    def _is_refused(self, change: ConfigChange, members: Mapping[int, Known]) -> bool:
        member = members.get(change.member_id)
        others = [known for member_id, known in members.items() if member_id != change.member_id]
        taken = {url for known in others for url in known.urls}
        if change.member_id in self.removed:
            return True
        if change.kind in _ADDITIONS:
            learners = sum(known.is_learner for known in others)
            is_full = change.kind == ConfigChange.ADD_LEARNER and learners >= _MOST_LEARNERS
            return member is not None or is_full or not taken.isdisjoint(change.peer_urls)
        if member is None:
            return True
        if change.kind == ConfigChange.PROMOTE:
            return not member.is_learner
        if change.kind == ConfigChange.UPDATE:
            return not taken.isdisjoint(change.peer_urls)
        return not member.is_learner and all(known.is_learner for known in others)  # the last voter stays


def _membership(members: Mapping[int, Known]) -> Membership:
    voters = sorted(member_id for member_id, known in members.items() if not known.is_learner)
    learners = sorted(member_id for member_id, known in members.items() if known.is_learner)
    return Membership(members, ConfigState(tuple(voters), tuple(learners)))
