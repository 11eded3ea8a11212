"""Many short runs, each its own kind of trouble; and the same seed is the same run."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from miniraft.pb.log_pb2 import ConfigChange
from miniraft.sim.__main__ import main, replay_command
from miniraft.sim.options import Options
from miniraft.sim.simulation import Simulation

SEEDS = range(1, 61)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen():
    """How often something happened in all runs of this file."""
    return Counter()


EVENTS = (
    "is elected leader",
    "drops uncommitted entries",
    "installs a snapshot",
    "finishes installing a snapshot",
    "mends its log",
    "loses power",
    "is killed",
    "is paused",
    "links cut",
    "no space left",
    "is asked to take over",
    "quorum lost",
    "is leader no more (removed)",
    "permanently removed",
    "says it has been removed",
    "machine is lost for good",
    "moves from",
    "is refused: etcdserver: unhealthy cluster",
    "failed: etcdserver: too many learner members",
    "failed: etcdserver: Peer URLs already exists",
    "failed: etcdserver: member not found",
    ", compacted at",
)
CHANGES = [ConfigChange.Kind.Name(kind) for kind in ConfigChange.Kind.values()]


@pytest.mark.parametrize("seed", SEEDS)
def test_promises_are_kept(seed, seen):
    simulation = Simulation(seed)
    try:
        simulation.run()
    except Exception as error:
        error.add_note(f"see it again: {replay_command(seed)}")
        raise
    seen.update(event for line in simulation.trace.lines for event in EVENTS if event in line)
    seen.update(f"{operation.kind} {operation.outcome}" for operation in simulation.clients.operations)
    seen.update(ConfigChange.Kind.Name(kind) for kind, _ in simulation.membership.accepted)
    seen[f"{len(simulation.membership.newest.voters)} voters at the end"] += 1
    seen["watch events"] += simulation.watches.event_count


def test_the_runs_were_worth_it(seen):
    """All these things happened: else the runs above would prove little."""
    if seen.total() == 0:
        pytest.skip("needs the runs of this file: run all of it")
    wanted = [
        *EVENTS,
        *(f"{kind} done" for kind in ("put", "delete", "swap", "get", "stale get", "compact")),
        "put unknown",
        *CHANGES,
        "1 voters at the end",
        "5 voters at the end",
        "watch events",
    ]
    assert [event for event in wanted if not seen[event]] == []


def test_five_servers_that_crash_all_the_time():
    options = Options(nodes=5, crash_rate=1.5, partition_rate=0.5, fault_ms=(50, 1000), drop_share=0.05)
    simulation = Simulation(7, options)
    simulation.run()
    assert simulation.logs.last_committed > 100


def test_growing_and_shrinking_all_the_time():
    options = Options(
        nodes=1,
        operators=2,
        wish_us=(20_000, 200_000),
        strict_share=0,
        crash_rate=0.1,
        partition_rate=0.1,
        snapshot_count=20,
        catchup_entries=5,
    )
    simulation = Simulation(7, options)
    simulation.run()
    sizes = [len(membership.voters) for membership in simulation.membership.between(1, 10_000)]
    assert sizes[0] == 1
    assert max(sizes) >= 5
    assert min(sizes[sizes.index(max(sizes)) :]) <= 2


def test_same_seed_gives_the_same_run_in_another_process():
    """Another process has other hash seeds and addresses: nothing may depend on them."""
    command = [sys.executable, "-m", "miniraft.sim", "--seed", "3", "--trace"]
    again = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    simulation = Simulation(3)
    simulation.run()
    assert again.stdout.splitlines()[:-1] == simulation.trace.lines
    assert len(simulation.trace.lines) > 20


def test_other_seeds_give_other_runs():
    first, second = Simulation(3), Simulation(4)
    first.run()
    second.run()
    assert first.trace.lines != second.trace.lines


def test_command_tells_the_story_and_the_result(capsys):
    assert main(["--seed", "5", "--nodes", "3", "--seconds", "3", "--trace"]) == 0
    told = capsys.readouterr().out
    assert "stands for election in term 2" in told
    assert "is elected leader of term 2" in told
    assert told.splitlines()[-1].startswith("seed 5: 3 servers, ")
    assert told.splitlines()[-1].endswith("all promises kept")


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("--nodes 10", "10 nodes: 1 to 9"),
        ("--operators -1", "-1 operators: 0 to 9"),
        ("--watches 101", "101 clients that watch: 0 to 100"),
    ],
)
def test_command_names_what_it_cannot_simulate(chosen, told, capsys):
    with pytest.raises(SystemExit):
        main(chosen.split())
    assert told in capsys.readouterr().err


def test_command_says_how_to_see_a_failure_again(capsys, monkeypatch):
    monkeypatch.setattr("miniraft.sim.settling._LIMIT_US", 0)
    chosen = "--seed 5 --nodes 3 --seconds 2 --operators 0 --watches 2"
    assert main(chosen.split()) == 1
    told = capsys.readouterr().out
    assert "VIOLATION" in told
    assert f"python -m miniraft.sim {chosen} --trace" in told
