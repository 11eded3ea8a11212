"""Runs of the simulator in which a planted bug has to be found."""

import pytest

from miniraft.sim.simulation import Simulation
from miniraft.sim.violation import Violation

SEEDS = 40


def first_violation(text, options=None):
    """Runs seeds until one is found to break the promise that `text`, or one of them, is about."""
    texts = [text] if isinstance(text, str) else text
    others = []
    for seed in range(1, SEEDS + 1):
        try:
            Simulation(seed, options).run()
        except Violation as violation:
            if any(part in str(violation) for part in texts):
                return
            others.append(f"{seed}: {violation}")
    pytest.fail(f"no run of {SEEDS} was found to break {texts}; found were {others}")
