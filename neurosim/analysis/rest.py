"""Bring a state to rest: relax until nothing changes any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.model.state import State
from neurosim.results.runs import Run
from neurosim.simulation.simulation import Simulation

REST = 1e-9  # largest |tau dx/dt| and |tau dlam/dt| of a state at rest
FIRST_CHUNK, MOST_STEPS = 250, 32_000


@dataclass(frozen=True)
class Settled:
    """A run that was relaxed on.

    Attributes
    ----------
    run : Run
        The last one.
    speed : float
        Largest |tau dx/dt| and |tau dlam/dt| at its end, unit 1.
    time : float
        Simulated time of all runs together, s.
    """

    run: Run
    speed: float
    time: float

    @property
    def rests(self) -> bool:
        """Whether it came to rest."""
        return self.speed <= REST


def settle(
    simulation: Simulation, X: Any, Y: Any, *, start: Any = "zero", most_steps: int = MOST_STEPS
) -> Settled:
    """Relax in longer and longer runs until the reference's right-hand side vanishes, or
    `most_steps` are done.
    """
    steps, done, time = FIRST_CHUNK, 0, 0.0
    while True:
        run = simulation.relax(X, Y, duration=steps * simulation.dt, start=start)
        done, time, start = done + steps, time + run.time, run
        found = Settled(run, speed(run), time)
        if found.rests or run.interrupted or done >= most_steps:
            return found
        steps = min(2 * steps, most_steps - done)


def speed(run: Run) -> float:
    """Largest |tau_x dx/dt| and |tau_lam dlam/dt| at the end of a run, by the reference; unit 1."""
    rates = reference.right_hand_side(run.network, run.flow, run.x, run.lam, run.X, run.Y)
    return max(
        float(np.abs(rate[n]).max() * run.flow.time(tau, n))
        for tau, rate in {"tau_x": rates.x, "tau_lam": rates.lam}.items()
        for n in run.network.neurons
    )


def frozen(simulation: Simulation, run: Run, most: int) -> Settled:
    """The first patterns of a run relaxed on to rest, with its final weights.

    Raises
    ------
    DivergenceError
        The step is too large for the final weights.
    """
    X, Y, x, lam = (
        {n: a[:most] for n, a in part.items()} for part in (run.X, run.Y, run.x, run.lam)
    )
    return settle(simulation, X, Y, start=State(x, lam))
