"""What all machines of a run share, themselves included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miniraft.sim.network import Network
    from miniraft.sim.onlooker import Onlooker
    from miniraft.sim.options import Options
    from miniraft.sim.scheduler import Scheduler
    from miniraft.sim.server import SimServer
    from miniraft.sim.trace import Trace


@dataclass(slots=True)
class World:
    """Invariant: every server in `servers` is in `machines`, and every machine's name in `names`."""

    scheduler: Scheduler
    network: Network
    trace: Trace
    options: Options
    onlookers: list[Onlooker] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)  # by member id
    machines: dict[int, SimServer] = field(default_factory=dict)  # all there ever were, by member id
    servers: list[SimServer] = field(default_factory=list)  # those in use: whoever needs one picks it here
