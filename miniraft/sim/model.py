"""What the committed log means, worked out a second time and simply: the yardstick for answers.

A model of the requests that the simulated clients make, and of nothing else. It shares no
code with the keyspace but the format of a proposal.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from miniraft.pb.log_pb2 import ProposalHeader
from miniraft.pb.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    TxnRequest,
)
from miniraft.raft.entry import EntryKind
from miniraft.server.bootstrap import FIRST_INDEX
from miniraft.server.proposal import RequestKind, decode_proposal
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from miniraft.raft.entry import Entry


class Version(NamedTuple):
    """A key's state from a revision on; `value` is None once it is deleted."""

    revision: int
    value: bytes | None


class Change(NamedTuple):
    """What happened to one key at one revision; `value` is None where it was deleted."""

    revision: int
    key: bytes
    value: bytes | None
    before: Version  # what the key was until then


_FIRST_REVISION = 2


class Model:
    """Invariant: revisions begin at 2, and each is what one client has changed, of which `changes` has
    the first key, or the end of a lease, of which it knows nothing."""

    def __init__(self) -> None:
        self.revision = 1
        self.compactions: list[int] = []  # those that were accepted, in order
        self.changes: dict[int, tuple[bytes, bytes | None]] = {}  # revision -> key, value
        self.values: dict[bytes, int] = {}  # value -> the revision that put it
        self._next_index = FIRST_INDEX + 1
        self._history: list[tuple[Change, ...]] = []  # by revision, from the first on
        self._versions: dict[bytes, list[Version]] = {}
        self._request_ids: set[int] = set()
        self._leases: dict[int, set[bytes]] = {}  # the keys on each

    def follow(self, committed: Mapping[int, Entry]) -> None:
        """Applies what is new in the committed log, by index."""
        while (entry := committed.get(self._next_index)) is not None:
            self._next_index += 1
            if entry.kind == EntryKind.NORMAL and entry.data:
                self._apply(entry)

    @property
    def compact_revision(self) -> int:
        """The last compaction, 0 before any."""
        return self.compactions[-1] if self.compactions else 0

    def history(self, first: int, last: int) -> Iterator[Change]:
        """Yields what happened from revision `first` to `last`, in order, the keys of one in theirs."""
        start = max(first, _FIRST_REVISION) - _FIRST_REVISION
        for changes in self._history[start : max(last + 1 - _FIRST_REVISION, 0)]:
            yield from changes

    def at(self, key: bytes, revision: int) -> Version:
        """Returns a key's state as of a revision (revision 0: it never existed by then)."""
        versions = self._versions.get(key, [])
        position = bisect_right(versions, revision, key=lambda version: version.revision)
        return versions[position - 1] if position else Version(0, None)

    def current(self) -> dict[bytes, bytes]:
        """Returns the keys that are alive at the end."""
        newest = {key: versions[-1].value for key, versions in self._versions.items()}
        return {key: value for key, value in newest.items() if value is not None}

    def _apply(self, entry: Entry) -> None:
        request_id, kind, header, request = decode_proposal(entry.data)
        if request_id in self._request_ids:
            raise Violation(
                f"request {request_id} is in the log twice, the second time at entry {entry.index}"
            )
        self._request_ids.add(request_id)
        if ProposalHeader.FromString(header).leader_term not in (0, entry.term):
            return  # what a leader decided before another one took over
        if kind == RequestKind.PUT:
            self._put(PutRequest.FromString(request))
        elif kind == RequestKind.LEASE_GRANT:
            self._leases.setdefault(LeaseGrantRequest.FromString(request).ID, set())
        elif kind == RequestKind.LEASE_REVOKE:
            self._end_lease(LeaseRevokeRequest.FromString(request).ID)
        elif kind == RequestKind.COMPACT:
            self._compact(CompactionRequest.FromString(request).revision)
        elif kind == RequestKind.DELETE_RANGE:
            self._delete(DeleteRangeRequest.FromString(request).key)
        elif kind == RequestKind.TXN:
            txn = TxnRequest.FromString(request)
            compare = txn.compare[0]
            version = self.at(compare.key, self.revision)
            found = version.revision if version.value is not None else 0
            if found == compare.mod_revision:
                puts = [operation.request_put for operation in txn.success]
                self._change(puts[0].key, puts[0].value, [(put.key, put.value) for put in puts[1:]])

    def _put(self, put: PutRequest) -> None:
        if put.lease and put.lease not in self._leases:
            return  # refused
        self._change(put.key, put.value)
        if put.lease:
            self._leases[put.lease].add(put.key)

    def _compact(self, revision: int) -> None:
        if self.compact_revision < revision <= self.revision:
            self.compactions.append(revision)

    def _end_lease(self, lease_id: int) -> None:
        keys = self._leases.pop(lease_id, set())
        if keys:
            self._record([(key, None) for key in sorted(keys)])

    def _delete(self, key: bytes) -> None:
        if self.at(key, self.revision).value is not None:
            self._change(key, None)

    def _change(
        self, key: bytes, value: bytes | None, more: Sequence[tuple[bytes, bytes | None]] = ()
    ) -> None:
        self._record([(key, value), *more])
        self.changes[self.revision] = (key, value)
        if value is not None:
            self.values[value] = self.revision

    def _record(self, pairs: list[tuple[bytes, bytes | None]]) -> None:
        before = self.revision
        self.revision += 1
        self._history.append(
            tuple(Change(self.revision, key, value, self.at(key, before)) for key, value in pairs)
        )
        for key, value in pairs:
            self._versions.setdefault(key, []).append(Version(self.revision, value))
