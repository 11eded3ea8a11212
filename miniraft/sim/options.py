"""What a run is like: drawn from the seed, so that many seeds see many kinds of trouble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Options:
    """Times are virtual. Rates are how often something happens in a second of the safety phase."""

    nodes: int = 3
    safety_ms: int = 12_000  # how long there is trouble
    # Network
    delay_us: tuple[int, int] = (200, 3_000)  # of a message, from..to
    slow_share: float = 0.02  # of messages, which take ten times as long and are overtaken
    drop_share: float = 0.01
    duplicate_share: float = 0.01
    # Disk
    sync_us: tuple[int, int] = (100, 5_000)
    commit_us: tuple[int, int] = (1_000, 50_000)  # of the store
    segment_bytes: int = 4_096
    # Time
    clock_drift: float = 0.05  # ticks are so much shorter or longer at most
    # Members
    snapshot_count: int = 200
    catchup_entries: int = 50
    pre_vote: bool = True
    check_quorum: bool = True
    max_append_bytes: int = 4_096
    max_inflight_appends: int = 8
    # Clients
    clients: int = 6
    keys: int = 5
    lease_clients: int = 3
    think_us: tuple[int, int] = (1_000, 30_000)  # between two requests of one client
    watch_clients: int = 0
    # Membership
    operators: int = 0  # who change it
    wish_us: tuple[int, int] = (20_000, 1_500_000)  # between two wishes of one operator
    strict_share: float = 0.5  # of wishes, which keep to --strict-reconfig-check
    open_doors: bool = False  # members hear anybody who calls, also who was removed
    # Faults, a second
    crash_rate: float = 0.15
    all_crash_rate: float = 0.02
    stop_rate: float = 0.05
    pause_rate: float = 0.1
    partition_rate: float = 0.2
    disk_full_rate: float = 0.03
    transfer_rate: float = 0.1
    disconnect_rate: float = 0.1
    crash_in_install_share: float = 0.3  # of snapshot installations, between log and store
    fault_ms: tuple[int, int] = (50, 4_000)  # how long one lasts

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= 9:
            raise ValueError(f"{self.nodes} nodes: 1 to 9 can be simulated")
        if not 0 <= self.operators <= 9:
            raise ValueError(f"{self.operators} operators: 0 to 9 can be simulated")
        if not 0 <= self.watch_clients <= 100:
            raise ValueError(f"{self.watch_clients} clients that watch: 0 to 100 can be simulated")


class Chosen(NamedTuple):
    """What was chosen for a run instead of being drawn."""

    nodes: int | None = None
    safety_ms: int | None = None
    operators: int | None = None
    watch_clients: int | None = None


def draw_options(random: Random, chosen: Chosen = Chosen()) -> Options:  # noqa: B008 (it is immutable)
    """Returns the options of one run. Half the runs have calm networks, some no faults of a kind."""
    slow_network = random.random() < 0.3
    lossy = random.random() < 0.5

    def sometimes(rate: float, chance: float = 0.7) -> float:
        return rate * random.uniform(0.3, 2) if random.random() < chance else 0.0

    catchup = random.choice((1, 10, 50, 200))
    drawn = Options(
        nodes=random.choice((1, 3, 3, 3, 5)),
        safety_ms=random.randrange(6_000, 14_000),
        delay_us=(500, 60_000) if slow_network else (100, random.choice((1_000, 5_000))),
        slow_share=random.choice((0.0, 0.02, 0.1)),
        drop_share=random.uniform(0.01, 0.15) if lossy else 0.0,
        duplicate_share=random.uniform(0.01, 0.1) if lossy else 0.0,
        sync_us=(50, random.choice((500, 5_000, 40_000))),
        commit_us=(500, random.choice((5_000, 50_000, 400_000))),
        segment_bytes=random.choice((1_024, 4_096, 65_536)),
        clock_drift=random.choice((0.0, 0.05, 0.2)),
        snapshot_count=random.choice((5, 40, 200)),
        catchup_entries=catchup,
        pre_vote=random.random() < 0.8,
        check_quorum=random.random() < 0.9,
        max_append_bytes=random.choice((256, 4_096, 1_048_576)),
        max_inflight_appends=random.choice((1, 4, 256)),
        clients=random.randrange(2, 9),
        keys=random.choice((1, 3, 10)),
        think_us=(500, random.choice((10_000, 40_000, 200_000))),
        crash_rate=sometimes(0.3),
        all_crash_rate=sometimes(0.05),
        stop_rate=sometimes(0.1),
        pause_rate=sometimes(0.2),
        partition_rate=sometimes(0.4),
        disk_full_rate=sometimes(0.06, 0.3),
        transfer_rate=sometimes(0.2),
        disconnect_rate=sometimes(0.5),
        operators=random.choice((0, 0, 1, 2)),
        wish_us=(20_000, random.choice((300_000, 1_500_000))),
        strict_share=random.choice((0.0, 0.5, 1.0)),
        open_doors=random.random() < 0.5,
        watch_clients=random.choice((0, 2, 4)),
    )
    wanted = {name: value for name, value in chosen._asdict().items() if value is not None}
    return replace(drawn, **wanted)
