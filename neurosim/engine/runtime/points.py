"""Parameter points simulated side by side: when each of them settled or left its bound, on live
arrays.

A point that has ended rests, with kappa = gamma = 0, so that it stays what it is and nothing of it
reaches the others: patterns do not see each other. `include/ns_points.h` is the same for compiled
programs. Start at `Points`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from neurosim.engine.runtime.step import Machine

Array = np.ndarray
MOVING, SETTLED = (
    0,
    -1,
)  # how a point has ended; else the number of the population that left its bound


class Points:
    """The ends of all points of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.count = machine, machine.plan.points
        self.neurons = machine.net.neurons
        self.ended_at, self.ending, self.residuals = (
            machine.numbers[name] for name in ("ended_at", "ending", "residuals")
        )

    def look(self) -> bool:
        """Points whose rates of change are those of a settled state end; whether all have ended."""
        self.residuals[:] = 0
        for n in self.neurons:
            for v in ("x", "lam"):
                largest = np.abs(self._own(n, f"rate_{v}")).max(axis=1)
                np.maximum(
                    self.residuals, largest * self._own(n, f"tau_{v}")[:, 0], out=self.residuals
                )
        settled = self.residuals < float(self.machine.numbers["settle"][0])
        return self._end(settled, SETTLED, self.machine.step_number)

    def guard(self, step: int) -> bool:
        """Points that left their bound end; whether all have ended."""
        bound = float(self.machine.numbers["bound"][0])
        for number, n in enumerate(self.neurons, start=1):
            inside = [(np.abs(self._own(n, v)) < bound).all(axis=1) for v in ("x", "lam")]
            self._end(~(inside[0] & inside[1]), number, step)
        return bool((self.ending != MOVING).all())

    def _end(self, which: Array, how: int, step: int) -> bool:
        new = which & (self.ending == MOVING)
        if new.any():
            self.ending[new], self.ended_at[new] = how, step
            for n in self.neurons:
                for gain in ("kappa", "gamma"):
                    self._own(n, gain)[new] = 0
        return bool((self.ending != MOVING).all())

    def _own(self, population: str, variable: str) -> Array:
        """(points, units of its patterns)."""
        return live(self.machine.groups.populations[population], variable).reshape(self.count, -1)


def live(group: Any, variable: str) -> Array:
    """Brian2's own array, not a copy."""
    array: Array = group.variables[variable].get_value()
    return array
