"""Trouble: what goes wrong, when, and for how long, drawn as the run goes on."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from miniraft.sim.server import SimServer
    from miniraft.sim.world import World

_WHO = "faults"


class Faults:
    """Plans faults until it is stopped. Every fault ends by itself, or at `heal`."""

    def __init__(self, world: World, random: Random) -> None:
        self._random = random
        self._options = world.options
        self._scheduler = world.scheduler
        self._servers = world.servers
        self._network = world.network
        self._trace = world.trace
        self._stopped = False
        self._kept_down: set[SimServer] = set()  # these are started when their fault ends

    def start(self) -> None:
        """From now on things go wrong."""
        options = self._options
        for rate, fault in (
            (options.crash_rate, self._crash_one),
            (options.all_crash_rate, self._crash_all),
            (options.stop_rate, self._stop_one),
            (options.pause_rate, self._pause_one),
            (options.partition_rate, self._cut_off),
            (options.disk_full_rate, self._fill_disk),
            (options.transfer_rate, self._transfer),
            (options.disconnect_rate, self._disconnect),
        ):
            if rate > 0:
                self._plan(rate, fault)
        self._scheduler.after(500_000, self._restart_failed)

    def heal(self) -> None:
        """Nothing goes wrong any more, and what did is mended."""
        self._stopped = True
        self._trace.tell(_WHO, "all faults end: links mended, disks free, servers up")
        self._network.heal()
        for server in self._servers:
            server.disk.full = False
            server.resume()
            self._start(server)

    def _plan(self, rate: float, fault: Callable[[], None]) -> None:
        def happen() -> None:
            if not self._stopped:
                fault()
                self._plan(rate, fault)

        self._scheduler.after(int(self._random.expovariate(rate) * 1e6), happen)

    def _later(self, action: Callable[[], None]) -> None:
        def end() -> None:
            if not self._stopped:
                action()

        self._scheduler.after(self._random.randint(*self._options.fault_ms) * 1000, end)

    def _restart_failed(self) -> None:
        """Whoever supervises the processes starts again what ended by itself."""
        if not self._stopped:
            for server in self._servers:
                if server not in self._kept_down:
                    self._start(server)
            self._scheduler.after(500_000, self._restart_failed)

    def _start(self, server: SimServer) -> None:
        self._kept_down.discard(server)
        if server.may_start:
            server.start()

    def _crash_one(self) -> None:
        self._crash(self._random.choice(self._servers))

    def _crash_all(self) -> None:
        for server in self._servers:
            self._crash(server)

    def _crash(self, server: SimServer) -> None:
        if server.running:
            self._kept_down.add(server)
            server.crash(power=self._random.random() < 0.7, reason="fault")
            self._later(partial(self._start, server))

    def _stop_one(self) -> None:
        server = self._random.choice(self._servers)
        if server.running and not server.paused:
            self._kept_down.add(server)
            server.stop()
            self._later(partial(self._start, server))

    def _pause_one(self) -> None:
        server = self._random.choice(self._servers)
        server.pause()
        self._later(server.resume)

    def _cut_off(self) -> None:
        """Cuts links: a group from the rest, one direction only, or single links."""
        pairs = list(permutations([server.member_id for server in self._servers], 2))
        if not pairs:
            return
        ids = [server.member_id for server in self._servers]
        group = set(self._random.sample(ids, self._random.randint(1, len(ids) - 1)))
        shape = self._random.choice(("both ways", "out of", "into", "single links"))
        if shape == "single links":
            cut = [pair for pair in pairs if self._random.random() < 0.3]
        else:
            cut = [
                (sender, receiver)
                for sender, receiver in pairs
                if (sender in group and receiver not in group and shape in ("both ways", "out of"))
                or (sender not in group and receiver in group and shape in ("both ways", "into"))
            ]
        names = {server.member_id: server.name for server in self._servers}
        described = ", ".join(f"{names[sender]}>{names[receiver]}" for sender, receiver in cut)
        self._trace.tell(_WHO, f"links cut: {described or 'none'}")
        for sender, receiver in cut:
            self._network.cut(sender, receiver)

        def mend() -> None:
            self._trace.tell(_WHO, f"links mended: {described or 'none'}")
            for sender, receiver in cut:
                self._network.mend(sender, receiver)

        self._later(mend)

    def _fill_disk(self) -> None:
        server = self._random.choice(self._servers)
        self._trace.tell(_WHO, f"the disk of {server.name} is full")
        server.disk.full = True

        def free() -> None:
            self._trace.tell(_WHO, f"the disk of {server.name} has space again")
            server.disk.full = False

        self._later(free)

    def _transfer(self) -> None:
        leaders = [server for server in self._servers if server.leads]
        if leaders:
            target = self._random.choice(self._servers)
            leader = self._random.choice(leaders)
            leader.ask(lambda member, now_ms: member.raft.transfer_leadership(target.member_id))  # noqa: ARG005

    def _disconnect(self) -> None:
        """A connection breaks though both ends are well."""
        if len(self._servers) < 2:
            return
        one, other = self._random.sample(list(self._servers), 2)
        self._trace.tell(_WHO, f"the connection of {one.name} to {other.name} breaks")
        self._network.close(one.member_id, to=other.member_id)
