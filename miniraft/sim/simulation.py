"""One run: a safety phase with trouble, then a liveness phase without, then the final checks."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from miniraft.pb.kv_pb2 import KeyValue
from miniraft.pb.rpc_pb2 import RangeRequest
from miniraft.sim.client_checker import ClientChecker
from miniraft.sim.faults import Faults
from miniraft.sim.lease_checker import LeaseChecker
from miniraft.sim.lease_clients import LeaseClients
from miniraft.sim.log_checker import LogChecker
from miniraft.sim.model import Model
from miniraft.sim.network import Network
from miniraft.sim.operation import Operation, OperationKind, Outcome
from miniraft.sim.options import draw_options
from miniraft.sim.scheduler import Scheduler
from miniraft.sim.server import SimServer, World, first_states
from miniraft.sim.trace import Trace
from miniraft.sim.violation import Violation
from miniraft.sim.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.sim.options import Options
    from miniraft.sim.server import Watcher

_HASH_INTERVAL_US = 500_000
_SETTLE_STEP_US = 200_000
_SETTLE_LIMIT_US = 60_000_000  # to elect, commit, catch up: some election timeouts


class Simulation:
    """Everything comes from `seed`: the same seed and options give the same run, line by line."""

    def __init__(
        self, seed: int, options: Options | None = None, echo: Callable[[str], None] | None = None
    ) -> None:
        self.seed = seed
        self.options = options or draw_options(Random(f"{seed} options"))
        self.scheduler = Scheduler()
        self.trace = Trace(self.scheduler, echo)
        self.network = Network(self.scheduler, Random(f"{seed} network"), self.options)
        firsts = first_states(self.options.nodes)
        names = {first.member_id: name for name, first in firsts}
        watchers: list[Watcher] = []
        world = World(self.scheduler, self.network, self.trace, self.options, watchers, names)
        self.servers = [SimServer(world, first, name, Random(f"{seed} {name}")) for name, first in firsts]
        self.logs = LogChecker(self.servers)
        self.clients = ClientChecker()
        self.workload = Workload(
            self.scheduler, Random(f"{seed} clients"), self.options, self.servers, self.clients
        )
        self.leases = LeaseChecker(self.scheduler, self.logs, self.options.clock_drift)
        self.lease_clients = LeaseClients(
            self.scheduler,
            Random(f"{seed} leases"),
            self.servers,
            self.leases,
            self.options.lease_clients,
        )
        watchers += [self.logs, self.leases, self.workload, self.lease_clients]
        self.faults = Faults(
            self.scheduler, Random(f"{seed} faults"), self.options, self.servers, self.network, self.trace
        )

    def run(self) -> None:
        """Raises Violation when a promise is broken."""
        for server in self.servers:
            server.start()
        self._check_hashes()
        self.workload.start()
        self.lease_clients.start()
        self.faults.start()
        self.scheduler.run_until(self.options.safety_ms * 1000)
        self.faults.heal()
        self._settle()
        self._check_end()

    # Liveness ---------------------------------------------------------------------------------
    def _settle(self) -> None:
        """Without faults there is soon a leader, every server serves, leases end, and all become equal."""
        self.workload.stopped = self.lease_clients.stopped = True
        unserved = {(server.name, kind) for server in self.servers for kind in _PROBES}
        limit_us = self.scheduler.now_us + _SETTLE_LIMIT_US

        def ended(operation: Operation) -> None:
            if operation.outcome == Outcome.DONE:
                unserved.discard((operation.server, operation.kind))
            else:
                probe(operation.server, operation.kind)

        def probe(name: str, kind: OperationKind) -> None:
            if self.scheduler.now_us < limit_us:
                self.workload.probe(by_name[name], kind, ended)

        by_name = {server.name: server for server in self.servers}
        for name, kind in sorted(unserved):
            probe(name, kind)
        while unserved or self.leases.alive or not self._all_equal():
            if self.scheduler.now_us >= limit_us:
                raise Violation(
                    f"liveness: {_SETTLE_LIMIT_US // 1_000_000} s after all faults ended,"
                    f" not served: {sorted(unserved) or 'nobody'}; leases that have not ended:"
                    f" {self.leases.alive or 'none'}; {self._standing()}"
                )
            self.scheduler.run_until(self.scheduler.now_us + _SETTLE_STEP_US)

    def _all_equal(self) -> bool:
        members = [server.member for server in self.servers if server.member is not None]
        applied = {member.applied_snapshot.index for member in members}
        waiting = sum(member.status().pending_proposals for member in members)
        return len(members) == len(self.servers) and len(applied) == 1 and not waiting

    def _standing(self) -> str:
        lines = []
        for server in self.servers:
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

    # Checks -----------------------------------------------------------------------------------
    def _check_hashes(self) -> None:
        self.logs.check_hashes()
        self.scheduler.after(_HASH_INTERVAL_US, self._check_hashes)

    def _check_end(self) -> None:
        self.logs.check_hashes()
        committed = self.logs.committed
        indexes = range(2, self.logs.last_committed + 1)
        missing = [index for index in indexes if index not in committed]
        if missing:
            raise Violation(f"nobody was seen to apply entry {missing[0]}")
        model = Model()
        model.apply_all(committed[index] for index in indexes)
        self.clients.check_against(model)
        for server in self.servers:
            self._check_content(server, model)

    def _check_content(self, server: SimServer, model: Model) -> None:
        if server.member is None:
            raise Violation(f"{server.name} is down at the end")
        result = server.member.keyspace.range(RangeRequest(key=b"\0", range_end=b"\0"))
        found = {pair.key: pair.value for pair in map(KeyValue.FromString, result.kvs)}
        if (result.revision, found) != (model.revision, model.current()):
            raise Violation(
                f"{server.name} ends at revision {result.revision} with {found},"
                f" the log means {model.revision} with {model.current()}"
            )


_PROBES = (OperationKind.PUT, OperationKind.GET)
