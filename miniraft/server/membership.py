"""Who belongs to the cluster, as of the last applied entry.

Kept in the store in etcd's layout: bucket `members` maps the id in hexadecimal to a JSON
object, `members_removed` keeps every id that ever left (one is never used again), `cluster`
the agreed version. Changes come out of the log and are judged here again, on every member
alike, whatever the one that proposed them thought at the time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from miniraft.errors import (
    LEARNERS_ONLY_PROMOTED,
    MEMBER_ID_EXISTS,
    MEMBER_NOT_FOUND,
    NOT_ENOUGH_STARTED,
    PEER_URLS_EXIST,
    TOO_MANY_LEARNERS,
)
from miniraft.mvcc.store import Bucket
from miniraft.raft.state import ConfigChangeKind, ConfigState
from miniraft.server.identity import format_id
from miniraft.server.service import MemberInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from miniraft.mvcc.store import Store
    from miniraft.pb.log_pb2 import ConfigChange, PublishMember

DEFAULT_MAX_LEARNERS = 1
_VERSION_KEY = b"clusterVersion"
_REMOVED_VALUE = b"removed"


class Cluster:
    """The members and the removed ids. Reads come from memory, changes go to the store as well.

    Invariants: no id is both a member and removed; no peer URL belongs to two members.
    """

    def __init__(self, store: Store, max_learners: int = DEFAULT_MAX_LEARNERS) -> None:
        """Raises ValueError when what the store holds cannot be read."""
        self._max_learners = max_learners
        self._members: dict[int, MemberInfo] = {}
        self._removed: set[int] = set()
        self._version = ""
        self.reload(store)

    def reload(self, store: Store) -> None:
        """Reads everything from the store, as also when a snapshot has replaced it."""
        members = [decode_member(value) for _, value in store.scan(Bucket.MEMBERS)]
        self._members = {member.id: member for member in members}
        self._removed = {int(key, 16) for key, _ in store.scan(Bucket.MEMBERS_REMOVED)}
        self._version = (store.get(Bucket.CLUSTER, _VERSION_KEY) or b"").decode()
        self._sort()

    def assume(self, members: Iterable[MemberInfo]) -> None:
        """Takes over, in memory only, what a joining member was told about the others.

        It needs their addresses before the snapshot with which it starts brings the truth.
        Raises RuntimeError when the membership is known already.
        """
        if self._members:
            raise RuntimeError("the membership is known: it only changes through the log")
        self._members = {member.id: member for member in members}
        self._sort()

    # What it is ---------------------------------------------------------------------------
    @property
    def version(self) -> str:
        """The version all members agreed on, empty while undecided."""
        return self._version

    def members(self) -> Sequence[MemberInfo]:
        """Returns the members in ascending id."""
        return self._sorted_members

    def member(self, member_id: int) -> MemberInfo | None:
        """Returns one member, or None."""
        return self._members.get(member_id)

    def is_removed(self, member_id: int) -> bool:
        """Whether a member with this id has left the cluster for good."""
        return member_id in self._removed

    def check(self, change: ConfigChange) -> None:
        """Raises EtcdError when the change would be refused now.

        MEMBER_NOT_FOUND (also for any id that was removed once), MEMBER_ID_EXISTS,
        PEER_URLS_EXIST, TOO_MANY_LEARNERS, LEARNERS_ONLY_PROMOTED: in etcd's order.
        """
        if change.member_id in self._removed:
            raise MEMBER_NOT_FOUND.fresh()
        if change.kind in (ConfigChangeKind.ADD_VOTER, ConfigChangeKind.ADD_LEARNER):
            self._check_addition(change)
            return
        member = self._members.get(change.member_id)
        if member is None:
            raise MEMBER_NOT_FOUND.fresh()
        if change.kind == ConfigChangeKind.PROMOTE and not member.is_learner:
            raise LEARNERS_ONLY_PROMOTED.fresh()
        if change.kind == ConfigChangeKind.UPDATE:
            self._check_peer_urls(change)
        if change.kind == ConfigChangeKind.REMOVE and self._is_last_voter(member):
            raise NOT_ENOUGH_STARTED.fresh()  # nobody would be left to decide anything

    # Changes ------------------------------------------------------------------------------
    def apply(self, store: Store, change: ConfigChange) -> None:
        """Carries out a committed change. Raises what `check` raises; then nothing is changed.

        Raises ValueError for a kind that is not known.
        """
        self.check(change)
        kind, member_id = change.kind, change.member_id
        if kind in (ConfigChangeKind.ADD_VOTER, ConfigChangeKind.ADD_LEARNER):
            is_learner = kind == ConfigChangeKind.ADD_LEARNER
            urls, client_urls = tuple(change.peer_urls), tuple(change.client_urls)
            self._write(store, MemberInfo(member_id, change.name, urls, client_urls, is_learner))
        elif kind == ConfigChangeKind.REMOVE:
            self._remove(store, member_id)
        elif kind == ConfigChangeKind.UPDATE:
            self._write(store, self._members[member_id]._replace(peer_urls=tuple(change.peer_urls)))
        elif kind == ConfigChangeKind.PROMOTE:
            self._write(store, self._members[member_id]._replace(is_learner=False))
        else:
            raise ValueError(f"membership change of unknown kind {kind}")

    def publish(self, store: Store, published: PublishMember) -> bool:
        """Takes a member's name and client URLs; returns whether they are news.

        A member that has left in the meantime is passed over.
        """
        member = self._members.get(published.member_id)
        if member is None:
            return False
        changed = member._replace(
            name=published.name,
            client_urls=tuple(published.client_urls),
            life=published.life or member.life,
        )
        if changed == member:
            return False
        self._write(store, changed)
        return True

    def set_version(self, store: Store, version: str) -> None:
        """Records the version that all members understand."""
        store.put(Bucket.CLUSTER, _VERSION_KEY, version.encode())
        self._version = version

    # Inner --------------------------------------------------------------------------------
    def _sort(self) -> None:
        self._sorted_members = tuple(self._members[member_id] for member_id in sorted(self._members))

    def _check_addition(self, change: ConfigChange) -> None:
        if change.member_id in self._members:
            raise MEMBER_ID_EXISTS.fresh()
        self._check_peer_urls(change)
        if change.kind == ConfigChangeKind.ADD_LEARNER:
            learners = sum(member.is_learner for member in self._members.values())
            if learners >= self._max_learners:
                raise TOO_MANY_LEARNERS.fresh()

    def _is_last_voter(self, member: MemberInfo) -> bool:
        return not member.is_learner and sum(not other.is_learner for other in self._sorted_members) == 1

    def _check_peer_urls(self, change: ConfigChange) -> None:
        urls = set(change.peer_urls)
        for member in self._members.values():
            if member.id != change.member_id and not urls.isdisjoint(member.peer_urls):
                raise PEER_URLS_EXIST.fresh()

    def _write(self, store: Store, member: MemberInfo) -> None:
        write_member(store, member)
        self._members[member.id] = member
        self._sort()

    def _remove(self, store: Store, member_id: int) -> None:
        key = format_id(member_id).encode()
        store.delete(Bucket.MEMBERS, key)
        store.put(Bucket.MEMBERS_REMOVED, key, _REMOVED_VALUE)
        del self._members[member_id]
        self._removed.add(member_id)
        self._sort()


def config_of(members: Iterable[MemberInfo]) -> ConfigState:
    """Returns the Raft configuration in which exactly these members take part."""
    listed = sorted(members)
    return ConfigState(
        tuple(member.id for member in listed if not member.is_learner),
        tuple(member.id for member in listed if member.is_learner),
    )


def write_member(store: Store, member: MemberInfo) -> None:
    """Writes one member into the store, in etcd's JSON (empty fields left out as there)."""
    fields: dict[str, object] = {"id": member.id, "peerURLs": list(member.peer_urls)}
    if member.is_learner:
        fields["isLearner"] = True
    if member.name:
        fields["name"] = member.name
    if member.client_urls:
        fields["clientURLs"] = list(member.client_urls)
    if member.life:
        fields["life"] = member.life  # not etcd's, which passes it over
    encoded = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    store.put(Bucket.MEMBERS, format_id(member.id).encode(), encoded)


def decode_member(value: bytes) -> MemberInfo:
    """Returns the member that a value in bucket `members` describes. Raises ValueError."""
    try:
        fields = json.loads(value)
        return MemberInfo(
            int(fields["id"]),
            str(fields.get("name") or ""),
            tuple(fields.get("peerURLs") or ()),
            tuple(fields.get("clientURLs") or ()),
            bool(fields.get("isLearner", False)),
            int(fields.get("life", 0)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a member in the store cannot be read ({error!r}): {value[:200]!r}") from error
