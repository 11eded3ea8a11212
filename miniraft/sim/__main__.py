"""`python -m miniraft.sim --seed N`: one run, or several; a failure says how to see it again."""

from __future__ import annotations

import argparse
import sys
from random import Random

from miniraft.sim.options import draw_options
from miniraft.sim.simulation import Simulation
from miniraft.sim.violation import Violation


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when all runs kept all promises, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m miniraft.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what everything is drawn from (default 1)")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, from --seed on (default 1)")
    parser.add_argument("--nodes", type=int, help="how many servers, 1 to 9 (default: drawn)")
    parser.add_argument("--seconds", type=int, help="virtual seconds with faults (default: drawn)")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    chosen = parser.parse_args(arguments)
    failures = 0
    for seed in range(chosen.seed, chosen.seed + chosen.runs):
        failures += not run_one(seed, chosen.nodes, chosen.seconds, trace=chosen.trace)
    return 1 if failures else 0


def run_one(seed: int, nodes: int | None, seconds: int | None, *, trace: bool) -> bool:
    """Runs one seed; returns whether all promises were kept."""
    safety_ms = None if seconds is None else seconds * 1000
    options = draw_options(Random(f"{seed} options"), nodes, safety_ms)
    simulation = Simulation(seed, options, _print if trace else None)
    try:
        simulation.run()
    except Violation as violation:
        _print(f"seed {seed}: VIOLATION after {simulation.scheduler.now_us / 1e6:.6f} s: {violation}")
        _print(f"see it again: {replay_command(seed, nodes, seconds)}")
        return False
    logs, clients = simulation.logs, simulation.clients
    _print(
        f"seed {seed}: {options.nodes} servers, {simulation.scheduler.now_us / 1e6:.1f} virtual seconds,"
        f" {len(logs.leaders)} leaders, {logs.last_committed} entries,"
        f" {len(clients.operations)} operations: all promises kept"
    )
    return True


def replay_command(seed: int, nodes: int | None = None, seconds: int | None = None) -> str:
    """Returns what to type to see a run again, with its story."""
    command = f"python -m miniraft.sim --seed {seed}"
    if nodes is not None:
        command += f" --nodes {nodes}"
    if seconds is not None:
        command += f" --seconds {seconds}"
    return f"{command} --trace"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
