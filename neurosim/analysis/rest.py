"""Bring a state to rest: relax until nothing changes any more. Start at `settle`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.model.extension import Extension
from neurosim.model.state import State
from neurosim.reference.extended import Extended, ExtendedFlow, unread
from neurosim.reference.functions import rows_of
from neurosim.results.runs import Run
from neurosim.simulation.simulation import Simulation

REST = 1e-9  # largest |tau dx/dt| and |tau dlam/dt| of a state at rest
FIRST_STEPS = 250  # of the first run; each later run takes twice as many
MOST_STEPS = 32_000  # of all runs together


@dataclass(frozen=True)
class Settled:
    """The last of the runs that relaxed a state towards rest.

    Attributes
    ----------
    run : Run
        The last run.
    speed : float
        Largest |tau dx/dt| and |tau dlam/dt| at its end, unit 1; NaN where a run did not come to
        rest whose extensions the reference cannot evaluate.
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
    """Relax in longer and longer runs until the reference's right-hand side vanishes.

    With extensions that the reference cannot evaluate, one run lasts until the engine's own does.

    Parameters
    ----------
    simulation : Simulation
    X, Y : array or mapping
        As in `Simulation.relax`.
    start : {"zero", "forward"} or anything with `.x` and `.lam`
    most_steps : int
        Number of steps, over all runs, after which it ends at rest or not.

    Returns
    -------
    Settled

    Raises
    ------
    DivergenceError
        The step is too large.
    """
    if unread(simulation.extensions):
        duration = most_steps * simulation.dt
        run = simulation.relax(X, Y, duration=duration, start=start, settle=REST)
        return Settled(run, REST if run.settled else np.nan, run.time)
    steps = FIRST_STEPS
    done = 0
    time = 0.0
    while True:
        run = simulation.relax(X, Y, duration=steps * simulation.dt, start=start)
        start = run
        done += steps
        time += run.time
        found = Settled(run, speed(run, simulation.extensions), time)
        if found.rests or run.interrupted or done >= most_steps:
            return found
        steps = min(2 * steps, most_steps - done)


def speed(run: Run, extensions: Sequence[Extension] = ()) -> float:
    """Return the largest |tau_x dx/dt| and |tau_lam dlam/dt| at the end of a run, unit 1.

    By the reference's right-hand side, not by the engine. Own states of extensions count by tau_x.

    Parameters
    ----------
    run : Run
    extensions : sequence of Extension
        Those of its simulation.

    Raises
    ------
    ModelError
        Extensions that the reference cannot evaluate.
    """
    if extensions:
        extended = ExtendedFlow(run.network, run.flow, extensions, run.X, run.Y)
        own = {}
        for key, values in extended.initial().items():
            own[key] = np.reshape(run.auxiliary.get(key, values), values.shape)
        return extended.speed(Extended(run.x, run.lam, own))
    rates = reference.right_hand_side(
        run.network, run.flow, run.x, run.lam, run.X, run.Y, plastic=False
    )
    neurons = run.network.neurons
    time = run.flow.time
    speeds = [np.abs(rates.x[n]).max() * time("tau_x", n) for n in neurons]
    speeds += [np.abs(rates.lam[n]).max() * time("tau_lam", n) for n in neurons]
    return float(max(speeds))


def frozen(simulation: Simulation, run: Run, most: int) -> Settled:
    """Relax the first patterns of a run on to rest, with its final weights.

    Parameters
    ----------
    simulation : Simulation
        Simulation of the network with the final weights.
    run : Run
    most : int
        Number of patterns.

    Returns
    -------
    Settled

    Raises
    ------
    DivergenceError
        The step is too large for the final weights.
    """
    first = slice(most)
    start = State(rows_of(run.x, first), rows_of(run.lam, first))
    return settle(simulation, rows_of(run.X, first), rows_of(run.Y, first), start=start)
