"""`python -m miniraft.sim --seed N`: one run, or several; a failure says how to see it again."""

from __future__ import annotations

import argparse
import sys
from random import Random

from miniraft.sim.options import Chosen, draw_options
from miniraft.sim.simulation import Simulation
from miniraft.sim.violation import Violation


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when all runs kept all promises, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m miniraft.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what everything is drawn from (default 1)")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, from --seed on (default 1)")
    parser.add_argument("--nodes", type=int, help="how many servers, 1 to 9 (default: drawn)")
    parser.add_argument("--seconds", type=int, help="virtual seconds with faults (default: drawn)")
    parser.add_argument(
        "--operators", type=int, help="how many people change the membership, 0 to 9 (default: drawn)"
    )
    parser.add_argument("--watches", type=int, help="how many clients watch, 0 to 100 (default: drawn)")
    parser.add_argument("--trace", action="store_true", help="tell what happens")
    given = parser.parse_args(arguments)
    safety_ms = None if given.seconds is None else given.seconds * 1000
    chosen = Chosen(given.nodes, safety_ms, given.operators, given.watches)
    try:
        draw_options(Random(0), chosen)
    except ValueError as error:
        parser.error(str(error))
    failures = 0
    for seed in range(given.seed, given.seed + given.runs):
        failures += not run_one(seed, chosen, trace=given.trace)
    return 1 if failures else 0


def run_one(seed: int, chosen: Chosen, *, trace: bool) -> bool:
    """Runs one seed; returns whether all promises were kept."""
    options = draw_options(Random(f"{seed} options"), chosen)
    simulation = Simulation(seed, options, _print if trace else None)
    try:
        simulation.run()
    except Violation as violation:
        _print(f"seed {seed}: VIOLATION after {simulation.scheduler.now_us / 1e6:.6f} s: {violation}")
        _print(f"see it again: {replay_command(seed, chosen)}")
        return False
    logs, clients = simulation.logs, simulation.clients
    _print(
        f"seed {seed}: {options.nodes} servers, {simulation.scheduler.now_us / 1e6:.1f} virtual seconds,"
        f" {len(logs.leaders)} leaders, {logs.last_committed} entries,"
        f" {len(clients.operations)} operations, {simulation.membership.change_count} membership changes,"
        f" {simulation.watches.event_count} watch events: all promises kept"
    )
    return True


def replay_command(seed: int, chosen: Chosen = Chosen()) -> str:  # noqa: B008 (it is immutable)
    """Returns what to type to see a run again, with its story."""
    command = f"python -m miniraft.sim --seed {seed}"
    if chosen.nodes is not None:
        command += f" --nodes {chosen.nodes}"
    if chosen.safety_ms is not None:
        command += f" --seconds {chosen.safety_ms // 1000}"
    if chosen.operators is not None:
        command += f" --operators {chosen.operators}"
    if chosen.watch_clients is not None:
        command += f" --watches {chosen.watch_clients}"
    return f"{command} --trace"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
