"""Rates of change, and the residual max |tau dz/dt|, which is 0 at rest.

Above `arrays` and `updates`, below `points` and the steppers. Start at `Rates`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import live
from neurosim.engine.runtime.updates import Actions

Array = np.ndarray


class Rates:
    """Rates of change of all populations, for methods with stages and for runs that settle.

    Attributes
    ----------
    states : list of (z, dz/dt)
        Every state variable with its rate (1/s), both flat; empty where the plan keeps no rates.
    owners : list of int
        Number of the population of each, from 1 in the order of the network.
    """

    def __init__(self, groups: Groups, actions: Actions, numbers: Mapping[str, Array]) -> None:
        self._actions = actions.rates
        self._evaluations = numbers["evaluations"]
        self._residual = numbers["residual"]
        self._settle = numbers["settle"]
        self._settled = numbers["settled"]
        self.held: list[tuple[Array, Array]] = []  # rates that stay 0: array, places
        self.states: list[tuple[Array, Array]] = []
        self.owners: list[int] = []
        self._scaled: list[tuple[Array, Array]] = []  # (dz/dt, tau) of outputs and multipliers
        numbered = {n: number for number, n in enumerate(groups.plan.net.neurons, start=1)}
        for population, variable in actions.states if groups.plan.keeps_rates else ():
            group = groups.populations[population]
            rate = live(group, f"rate_{variable}")
            self.states.append((live(group, variable), rate))
            self.owners.append(numbered.get(population, 1))
            if variable in ("x", "lam"):
                self._scaled.append((rate, live(group, f"tau_{variable}")))

    def evaluate(self) -> None:
        """Evaluate the right-hand sides at the current state, with the messages last sent."""
        for action in self._actions:
            action()
        for rate, places in self.held:
            rate[places] = 0.0
        self._evaluations[0] += 1

    def residuals(self, points: int = 1) -> Array:
        """Return max |tau dz/dt| over the outputs and multipliers of each point, (points,)."""
        largest = np.zeros(points)
        for rate, tau in self._scaled:
            motion = np.abs(rate * tau).reshape(points, -1)
            np.maximum(largest, motion.max(axis=1), out=largest)
        return largest

    def resting(self, patterns: int) -> Array:
        """Return which patterns rest by the rates last evaluated, (patterns,)."""
        moving: Array = np.zeros(patterns)
        for rate, tau in self._scaled:
            # counted by a product, since maxima over short rows are slow; nan is not at rest
            moves = ~(np.abs(rate * tau) < self._settle[0]).reshape(patterns, -1)
            moving = moving + moves.astype(float) @ np.ones(moves.shape[1])
        resting: Array = moving == 0
        return resting

    def rest(self) -> bool:
        """Return whether the state rests by the rates last evaluated; set `settled`."""
        self._residual[0] = self.residuals()[0]
        self._settled[0] = self._residual[0] < self._settle[0]
        return bool(self._settled[0])
