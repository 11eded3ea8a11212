"""What the clients were promised about leases, checked against the committed log as it grows.

- never early: a lease does not end before its time, counted from when the client asked for it,
  or last for a renewal that was acknowledged; unless a client has revoked it;
- no false alarm: a renewal is told that there is no such lease only when that is so;
- eventually: a lease that nobody renews any more ends.

That all keys of a lease go in one revision, and no others, the model sees to at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from miniraft.pb.log_pb2 import ProposalHeader
from miniraft.pb.rpc_pb2 import LeaseGrantRequest, LeaseRevokeRequest
from miniraft.raft.entry import EntryKind
from miniraft.server.proposal import RequestKind, decode_proposal
from miniraft.sim.onlooker import Onlooker
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from miniraft.raft.entry import Entry
    from miniraft.server.effects import Effects
    from miniraft.sim.log_checker import LogChecker
    from miniraft.sim.scheduler import Scheduler
    from miniraft.sim.server import SimServer


@dataclass(slots=True)
class _Promise:
    """A lease as its clients know it, and as the log has it."""

    ttl_us: int
    until_us: int = 0  # when its time is over at the earliest
    may_be_revoked: bool = False  # a client has asked for it
    exists: bool = False
    ended_us: int | None = None


class LeaseChecker(Onlooker):
    """Knows all leases of a run. `tolerance` is the share by which clocks may run too fast."""

    def __init__(self, scheduler: Scheduler, logs: LogChecker, tolerance: float) -> None:
        self.ended_by_time = 0
        self._scheduler = scheduler
        self._logs = logs
        self._tolerance = tolerance
        self._next_index = 2
        self._leases: dict[int, _Promise] = {}

    # What the clients do ----------------------------------------------------------------------
    def asked_for(self, lease_id: int, ttl_seconds: int) -> None:
        """A client wants a lease that nobody had before."""
        self._leases[lease_id] = _Promise(ttl_seconds * 1_000_000)

    def acknowledged(self, lease_id: int, started_us: int) -> None:
        """A grant or renewal, asked for at `started_us`, was confirmed."""
        lease = self._leases[lease_id]
        lease.until_us = max(lease.until_us, started_us + lease.ttl_us)
        self._check_end(lease_id, lease)

    def refused(self, lease_id: int) -> None:
        """A renewal was told that there is no such lease."""
        lease = self._leases[lease_id]
        if lease.exists:
            raise Violation(f"lease {lease_id} is said not to exist, but it was granted and has not ended")

    def revoking(self, lease_id: int) -> None:
        """A client revokes the lease."""
        self._leases[lease_id].may_be_revoked = True

    @property
    def alive(self) -> list[int]:
        """The leases that exist."""
        return [lease_id for lease_id, lease in self._leases.items() if lease.exists]

    # Onlooker ---------------------------------------------------------------------------------
    def drained(self, server: SimServer, effects: Effects) -> None:  # noqa: ARG002 (see Onlooker)
        """Follows the committed log; an entry counts from when the first server has applied it."""
        while (entry := self._logs.committed.get(self._next_index)) is not None:
            self._next_index += 1
            if entry.kind == EntryKind.NORMAL and entry.data:
                self._follow(entry)

    def _follow(self, entry: Entry) -> None:
        _, kind, header, request = decode_proposal(entry.data)
        if kind == RequestKind.LEASE_GRANT:
            self._leases[LeaseGrantRequest.FromString(request).ID].exists = True
        elif kind == RequestKind.LEASE_REVOKE:
            by_time = ProposalHeader.FromString(header).leader_term
            if by_time in (0, entry.term):
                self._end(LeaseRevokeRequest.FromString(request).ID, by_time=bool(by_time))

    def _end(self, lease_id: int, *, by_time: bool) -> None:
        lease = self._leases[lease_id]
        if lease.exists:
            lease.exists = False
            lease.ended_us = self._scheduler.now_us
            self.ended_by_time += by_time
            self._check_end(lease_id, lease)

    def _check_end(self, lease_id: int, lease: _Promise) -> None:
        if lease.ended_us is None or lease.may_be_revoked:
            return
        earliest_us = lease.until_us - int(lease.ttl_us * self._tolerance)
        if lease.ended_us < earliest_us:
            raise Violation(
                f"lease {lease_id} ends early: at {lease.ended_us / 1e6:.3f} s, acknowledged until"
                f" {earliest_us / 1e6:.3f} s at least"
            )
