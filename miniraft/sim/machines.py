"""The machines of a run: those that found the cluster, and those set up for members to be added."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from miniraft.server.bootstrap import new_cluster
from miniraft.sim.server import Beginning, SimServer

if TYPE_CHECKING:
    from miniraft.server.bootstrap import FirstState
    from miniraft.sim.world import World

_CLUSTER_TOKEN = "simulated"  # noqa: S105 (etcd's word for the salt of ids)


class Machines:
    """Sets machines up. Their names count up and are never used twice."""

    def __init__(self, world: World, seed: int, count: int) -> None:
        """Makes the `count` machines of a new cluster."""
        self._world = world
        self._seed = seed
        self._waiting: list[SimServer] = []  # for their member to be added
        names = [f"n{number}" for number in range(1, count + 1)]
        initial_cluster = {name: (peer_url(name),) for name in names}
        firsts = [new_cluster(initial_cluster, name, _CLUSTER_TOKEN) for name in names]
        self.first: FirstState = firsts[0]
        for name, first in zip(names, firsts, strict=True):
            self._make(Beginning(name, peer_url(name), first.cluster_id, first.member_id, first))
        world.servers += world.machines.values()

    @property
    def next_name(self) -> str:
        """The name of the next machine."""
        return f"n{len(self._world.machines) + 1}"

    def prepare(self, member_id: int, url: str) -> SimServer:
        """Makes a machine for a member that is about to be added."""
        server = self._make(Beginning(self.next_name, url, self.first.cluster_id, member_id, None))
        self._waiting.append(server)
        return server

    def start_waiting(self, server: SimServer) -> bool:
        """Tries to start a machine that was prepared, and returns whether it still waits for somebody
        to know its member."""
        if server in self._waiting and self._is_known(server):
            server.start()
            if server.running:
                self._waiting.remove(server)
        return server in self._waiting

    def start_all(self) -> None:
        """Starts whatever is down and has a reason to run."""
        for server in [*self._waiting]:
            self.start_waiting(server)
        for server in [*self._world.servers]:
            if server.may_start:
                server.start()

    def _is_known(self, server: SimServer) -> bool:
        members = [other.member for other in self._world.servers if other.member is not None]
        return any(member.cluster.member(server.member_id) is not None for member in members)

    def _make(self, beginning: Beginning) -> SimServer:
        return SimServer(self._world, beginning, Random(f"{self._seed} {beginning.name}"))


def peer_url(host: str) -> str:
    """Returns the URL at which the peers find this host."""
    return f"http://{host}:2380"
