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
from miniraft.sim.machines import Machines
from miniraft.sim.membership_checker import MembershipChecker
from miniraft.sim.membership_model import MembershipModel
from miniraft.sim.model import Model
from miniraft.sim.network import Network
from miniraft.sim.operators import Operators
from miniraft.sim.options import draw_options
from miniraft.sim.scheduler import Scheduler
from miniraft.sim.settling import Settling
from miniraft.sim.trace import Trace
from miniraft.sim.violation import Violation
from miniraft.sim.watch_checker import WatchChecker
from miniraft.sim.watch_clients import WatchClients
from miniraft.sim.workload import Workload
from miniraft.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.sim.options import Options
    from miniraft.sim.server import SimServer

_HASH_INTERVAL_US = 500_000


class Simulation:
    """Everything comes from `seed`: the same seed and options give the same run, line by line."""

    def __init__(
        self, seed: int, options: Options | None = None, echo: Callable[[str], None] | None = None
    ) -> None:
        self.seed = seed
        self.options = options or draw_options(Random(f"{seed} options"))
        self.scheduler = Scheduler()
        self.trace = Trace(self.scheduler, echo)
        self.network = Network(self.scheduler, self._random("network"), self.options)
        self.world = World(self.scheduler, self.network, self.trace, self.options)
        self.machines = Machines(self.world, seed, self.options.nodes)
        self.membership = MembershipModel(self.machines.first)
        self.logs = LogChecker(self.membership, self.world.names)
        self.model = Model()
        self.clients = ClientChecker()
        self.workload = Workload(self.world, self._random("clients"), self.clients)
        self.leases = LeaseChecker(self.scheduler, self.logs, self.options.clock_drift)
        self.lease_clients = LeaseClients(self.world, self._random("leases"), self.leases)
        self.watches = WatchChecker(self.logs, self.model)
        self.watch_clients = WatchClients(self.world, self._random("watches"), self.watches)
        checker = MembershipChecker(self.membership, self.logs)
        self.operators = Operators(
            self.world, self._random("operators"), self.machines, self.membership, checker
        )
        self.world.onlookers += [
            self.logs,
            checker,
            self.leases,
            self.watches,
            self.workload,
            self.lease_clients,
            self.watch_clients,
            self.operators,
        ]
        self.faults = Faults(self.world, self._random("faults"))

    def _random(self, purpose: str) -> Random:
        return Random(f"{self.seed} {purpose}")

    def run(self) -> None:
        """Raises Violation when a promise is broken."""
        for server in self.world.servers:
            server.start()
        self._check_hashes()
        self.workload.start()
        self.lease_clients.start()
        self.watch_clients.start()
        self.operators.start()
        self.faults.start()
        self.scheduler.run_until(self.options.safety_ms * 1000)
        self.faults.heal()
        for clients in (self.workload, self.lease_clients, self.watch_clients, self.operators):
            clients.stopped = True
        Settling(self).run()
        self._check_end()

    @property
    def members(self) -> list[SimServer]:
        """The machines of the members as the committed log has them, but for those that are lost."""
        servers = [self.world.machines[member_id] for member_id in self.membership.newest.members]
        return [server for server in servers if not server.destroyed]

    @property
    def has_lost_too_many(self) -> bool:
        """Whether the operators have given up a quorum, by a change that they took for failed: there is
        no way on from here, and everything else is still promised."""
        machines, voters = self.world.machines, self.membership.newest.voters
        return sum(machines[voter].destroyed for voter in voters) > (len(voters) - 1) // 2

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
        self.model.follow(committed)
        self.clients.check_against(self.model)
        if not self.has_lost_too_many:
            for server in self.members:
                self._check_content(server)

    def _check_content(self, server: SimServer) -> None:
        if server.member is None:
            raise Violation(f"{server.name} is down at the end")
        model = self.model
        result = server.member.keyspace.range(RangeRequest(key=b"\0", range_end=b"\0"))
        found = {pair.key: pair.value for pair in map(KeyValue.FromString, result.kvs)}
        if (result.revision, found) != (model.revision, model.current()):
            raise Violation(
                f"{server.name} ends at revision {result.revision} with {found},"
                f" the log means {model.revision} with {model.current()}"
            )
