"""A batch of parameter points, each of which ends when it settles or leaves its bound.

Setting kappa = gamma = 0 holds the state of a point that has ended. Patterns do not interact, so
other points are not affected. `standalone/include/ns_points.h` does the same in compiled programs.
 Above `rates`, below `step`. Start at `Points`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import live
from neurosim.engine.runtime.rates import Rates

Array = np.ndarray
# how a point has ended; other values are the number (from 1) of the population that left its bound
MOVING, SETTLED = 0, -1


class Points:
    """End the points that settle or leave their bound.

    Parameters
    ----------
    groups : Groups
    numbers : dict of str to array
        Counters and settings of the run (`groups.Counters`).
    rates : Rates
    """

    def __init__(self, groups: Groups, numbers: Mapping[str, Array], rates: Rates) -> None:
        self.count = groups.plan.points
        self.rates = rates
        self.ended_at = numbers["ended_at"]
        self.ending = numbers["ending"]
        self.residuals = numbers["residuals"]
        self.settle = numbers["settle"]
        self.bound = numbers["bound"]
        self.states: list[tuple[Array, Array]] = []  # x and lam of every population
        self.gains: list[Array] = []
        for n in groups.plan.net.neurons:
            self.states.append((self._rows(groups, n, "x"), self._rows(groups, n, "lam")))
            self.gains.append(self._rows(groups, n, "kappa"))
            self.gains.append(self._rows(groups, n, "gamma"))

    def _rows(self, groups: Groups, population: str, variable: str) -> Array:
        """Return a variable of a population, (points, entries of one point)."""
        values = live(groups.populations[population], variable)
        return values.reshape(self.count, -1)

    def end_settled(self, step: int) -> bool:
        """End the points that rest, by the rates last evaluated; return whether all have ended."""
        self.residuals[:] = self.rates.residuals(self.count)
        settled = self.residuals < float(self.settle[0])
        return self._end(settled, SETTLED, step)

    def end_diverged(self, step: int) -> bool:
        """End the points that left their bound; return whether all have ended."""
        bound = float(self.bound[0])
        for number, (x, lam) in enumerate(self.states, start=1):
            x_is_inside = (np.abs(x) < bound).all(axis=1)
            lam_is_inside = (np.abs(lam) < bound).all(axis=1)
            self._end(~(x_is_inside & lam_is_inside), number, step)
        return self._all_have_ended()

    def _end(self, which: Array, how: int, step: int) -> bool:
        new = which & (self.ending == MOVING)
        if new.any():
            self.ending[new] = how
            self.ended_at[new] = step
            for gain in self.gains:
                gain[new] = 0
        return self._all_have_ended()

    def _all_have_ended(self) -> bool:
        return bool((self.ending != MOVING).all())
