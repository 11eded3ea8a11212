"""What the committed log means, worked out a second time and simply: the yardstick for answers.

A model of the requests that the simulated clients make, and of nothing else. It shares no
code with the keyspace but the format of a proposal.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from miniraft.pb.log_pb2 import ProposalHeader
from miniraft.pb.rpc_pb2 import (
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    PutRequest,
    TxnRequest,
)
from miniraft.raft.entry import EntryKind
from miniraft.server.proposal import RequestKind, decode_proposal
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from miniraft.raft.entry import Entry


class Version(NamedTuple):
    """A key's state from a revision on; `value` is None once it is deleted."""

    revision: int
    value: bytes | None


class Model:
    """Invariant: revisions begin at 2, and each is the change of exactly one key, or the end of a
    lease, of which `changes` knows nothing."""

    def __init__(self) -> None:
        self.revision = 1
        self.changes: dict[int, tuple[bytes, bytes | None]] = {}  # revision -> key, value
        self.values: dict[bytes, int] = {}  # value -> the revision that put it
        self._versions: dict[bytes, list[Version]] = {}
        self._request_ids: set[int] = set()
        self._leases: dict[int, set[bytes]] = {}  # the keys on each

    def apply_all(self, entries: Iterable[Entry]) -> None:
        """Applies the committed log, from its beginning."""
        for entry in entries:
            if entry.kind == EntryKind.NORMAL and entry.data:
                self._apply(entry)

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
        elif kind == RequestKind.DELETE_RANGE:
            self._delete(DeleteRangeRequest.FromString(request).key)
        elif kind == RequestKind.TXN:
            txn = TxnRequest.FromString(request)
            compare = txn.compare[0]
            version = self.at(compare.key, self.revision)
            found = version.revision if version.value is not None else 0
            if found == compare.mod_revision:
                put = txn.success[0].request_put
                self._change(put.key, put.value)

    def _put(self, put: PutRequest) -> None:
        if put.lease and put.lease not in self._leases:
            return  # refused
        self._change(put.key, put.value)
        if put.lease:
            self._leases[put.lease].add(put.key)

    def _end_lease(self, lease_id: int) -> None:
        keys = self._leases.pop(lease_id, set())
        if keys:
            self.revision += 1
            for key in keys:
                self._versions[key].append(Version(self.revision, None))

    def _delete(self, key: bytes) -> None:
        if self.at(key, self.revision).value is not None:
            self._change(key, None)

    def _change(self, key: bytes, value: bytes | None) -> None:
        self.revision += 1
        self.changes[self.revision] = (key, value)
        self._versions.setdefault(key, []).append(Version(self.revision, value))
        if value is not None:
            self.values[value] = self.revision
