"""The end of a run, without faults: there is soon a leader, and everything comes to rest.

Every member serves, has applied the same, has told its watches all; leases end. Where the doors
stand open, members that were removed and do not know it go on calling meanwhile: with pre-vote
they must not depose a leader. Then the doors close, and they end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.sim.operation import Operation, OperationKind, Outcome
from miniraft.sim.violation import Violation

if TYPE_CHECKING:
    from miniraft.sim.server import SimServer
    from miniraft.sim.simulation import Simulation

_STEP_US = 200_000
_LIMIT_US = 60_000_000  # to elect, commit, catch up: some election timeouts
_RECALL_US = 10_000_000  # of which that ought to be over without members that have left
_CALM_US = 5_000_000  # in which a leader must not be deposed
_PROBES = (OperationKind.PUT, OperationKind.GET)


class Settling:
    """Runs the liveness phase."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._served: set[tuple[str, OperationKind]] = set()
        self._probed: set[tuple[str, OperationKind]] = set()

    def run(self) -> None:
        """Raises Violation when something does not come to rest."""
        options = self._world.options
        if not options.pre_vote:
            self._world.network.knows_members = True
        self._run_until_rest(with_removed=False)
        if self._removed and not self._simulation.has_lost_too_many:
            if not self._world.network.knows_members:
                self._check_leader_stays()
                self._world.network.knows_members = True
            self._run_until_rest(with_removed=True)

    def _run_until_rest(self, *, with_removed: bool) -> None:
        scheduler = self._world.scheduler
        begun_us = scheduler.now_us
        while unrest := self._unrest() + (self._still_running() if with_removed else []):
            if self._simulation.has_lost_too_many:
                return
            if scheduler.now_us >= begun_us + _LIMIT_US:
                raise Violation(
                    f"liveness: {_LIMIT_US // 1_000_000} s after all faults ended, {'; '.join(unrest)};"
                    f" {self._standing()}"
                )
            self._supervise()
            if scheduler.now_us >= begun_us + _RECALL_US:
                self._recall_removed()
            scheduler.run_until(scheduler.now_us + _STEP_US)

    def _supervise(self) -> None:
        """Starts what should run, where the others look for it."""
        simulation = self._simulation
        self._clear({url for known in simulation.membership.newest.members.values() for url in known.urls})
        simulation.machines.start_all()
        simulation.operators.move_all()

    def _recall_removed(self) -> None:
        """Without a leader, those who left too soon for some are started again: their votes count there."""
        members = [server.member for server in self._simulation.members]
        applied = min((member.applied_snapshot.index for member in members if member is not None), default=0)
        if not any(server.leads for server in self._simulation.members):
            for member_id, removal in self._simulation.membership.removed.items():
                machine = self._world.machines[member_id]
                if removal.index > applied and machine.member is None:
                    self._clear({removal.urls[0]})
                    machine.recall(removal.urls[0])

    def _clear(self, urls: set[str]) -> None:
        """Ends those for good who were removed, and still listen where others are expected."""
        for server in self._removed:
            if server.url in urls:
                server.dismiss("its address is needed", for_good=True)

    # What is not at rest yet ------------------------------------------------------------------
    def _unrest(self) -> list[str]:
        simulation = self._simulation
        found = [f"{server.name} is down" for server in simulation.members if server.member is None]
        found += [f"{name} has not served a {kind}" for name, kind in self._unserved()]
        if simulation.leases.alive:
            found.append(f"leases that have not ended: {simulation.leases.alive}")
        members = [server.member for server in simulation.members if server.member is not None]
        applied = {member.applied_snapshot.index for member in members}
        waiting = sum(member.status().pending_proposals for member in members)
        if len(applied) > 1 or waiting:
            found.append(f"applied are {sorted(applied)}, {waiting} proposals wait")
        elif not found:
            late = simulation.watch_clients.behind(members[0].keyspace.revision, simulation.members)
            found += [f"{watch} has not been told all" for watch in late]
        return found

    def _unserved(self) -> list[tuple[str, OperationKind]]:
        """Returns what members have not yet done for a client, and asks them for it."""
        unserved = []
        for server in self._simulation.members:
            for kind in _PROBES:
                if (server.name, kind) not in self._served:
                    unserved.append((server.name, kind))
                    self._probe(server, kind)
        return unserved

    def _probe(self, server: SimServer, kind: OperationKind) -> None:
        if (server.name, kind) not in self._probed:
            self._probed.add((server.name, kind))
            self._simulation.workload.probe(server, kind, self._probe_ended)

    def _probe_ended(self, operation: Operation) -> None:
        probe = (operation.server, operation.kind)
        self._probed.discard(probe)
        if operation.outcome == Outcome.DONE:
            self._served.add(probe)

    # Those who were removed -------------------------------------------------------------------
    @property
    def _removed(self) -> list[SimServer]:
        """The servers in use whose member was removed."""
        return [
            server
            for server in self._world.servers
            if server.member_id in self._simulation.membership.removed
        ]

    def _still_running(self) -> list[str]:
        """Returns which of them have not ended, though somebody they know could tell them."""
        there = {(server.member_id, server.url) for server in self._simulation.members}
        return [
            f"{server.name} was removed and runs"
            for server in self._removed
            if server.transport is not None
            and any((peer, url) in there for peer, urls in server.transport.peers.items() for url in urls)
        ]

    def _check_leader_stays(self) -> None:
        before = self._leadership()
        self._world.scheduler.run_until(self._world.scheduler.now_us + _CALM_US)
        if self._leadership() != before:
            raise Violation(
                f"stability: without faults {before} became {self._leadership()};"
                f" removed and still running: {[server.name for server in self._removed]}"
            )

    def _leadership(self) -> set[tuple[int, int]]:
        """Returns term and leader as the members know them."""
        members = [server.member for server in self._simulation.members if server.member is not None]
        return {(member.raft.term, member.raft.leader) for member in members}

    def _standing(self) -> str:
        lines = []
        for server in self._world.servers:
            member = server.member
            if member is None:
                lines.append(f"{server.name} is down")
            else:
                raft = member.raft
                lines.append(
                    f"{server.name} {raft.role} in term {raft.term},"
                    f" applied {raft.applied} of {raft.last_index}"
                )
        return "; ".join(lines)
