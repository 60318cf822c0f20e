"""Euler steps that are extrapolated to the state at rest (`Simulation.relax(accelerate=)`).

References
----------
Anderson, J. ACM 12, 547 (1965); Walker & Ni, SIAM J. Numer. Anal. 49, 1715 (2011).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.integrators import ANDERSON_DEPTH, ANDERSON_RESTART
from neurosim.engine.runtime.arrays import Action, units
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.projections import Bias
from neurosim.engine.runtime.steppers.euler import Euler
from neurosim.engine.runtime.updates import Actions

Array = np.ndarray


class Anderson(Euler):
    """Anderson acceleration of Euler steps z -> g(z), for each pattern on its own.

    With f = g - z, the last changes of f and g extrapolate to the z at which f would vanish:
    z = g - sum_i c_i dg_i, where c minimises |f - sum_i c_i df_i|. A pattern whose |f| grows to
    `ANDERSON_RESTART` times its smallest forgets its changes.
    """

    def __init__(
        self,
        groups: Groups,
        actions: Actions,
        messages: Messages,
        biases: Sequence[Bias],
        traces: Sequence[Action],
    ) -> None:
        super().__init__(actions, messages, biases, traces)
        self.states: list[Array] = []
        for name in groups.plan.net.neurons:
            self.states += [units(groups, name, "x"), units(groups, name, "lam")]
        patterns = groups.plan.patterns
        size = sum(state.shape[1] for state in self.states)
        dtype = self.states[0].dtype
        self.floor = 1e-12 if dtype == np.float64 else 1e-5
        self.df = np.zeros((patterns, ANDERSON_DEPTH, size), dtype)
        self.dg = np.zeros_like(self.df)
        self.gram = np.zeros((patterns, ANDERSON_DEPTH, ANDERSON_DEPTH))
        self.best = np.full(patterns, np.inf)
        self.taken = 0
        self.f = self.g = np.zeros((patterns, size), dtype)

    def step(self, learning: bool) -> None:
        """Take a step of Euler, then extrapolate."""
        z = np.hstack(self.states)
        super().step(learning)
        g = np.hstack(self.states)
        moved = self._extrapolated(g - z, g)
        first = 0
        for state in self.states:
            last = first + state.shape[1]
            state[:] = moved[:, first:last]
            first = last

    def _extrapolated(self, f: Array, g: Array) -> Array:
        """Return the extrapolated states, (patterns, states)."""
        slot = (self.taken - 1) % ANDERSON_DEPTH
        if self.taken:
            self.df[:, slot] = f - self.f
            self.dg[:, slot] = g - self.g
        self.f, self.g = f, g
        self._restart(f)
        if not self.taken:
            self.taken = 1
            return g
        self.taken += 1
        row = np.einsum("kin,kn->ki", self.df, self.df[:, slot])
        self.gram[:, slot] = self.gram[:, :, slot] = row
        right = np.einsum("kin,kn->ki", self.df, f)
        shares = np.einsum("ki,kin->kn", self._coefficients(right), self.dg)
        moved: Array = g - shares
        return moved

    def _restart(self, f: Array) -> None:
        size = np.einsum("kn,kn->k", f, f)
        lost = size > ANDERSON_RESTART**2 * self.best
        self.df[lost] = self.dg[lost] = 0
        self.gram[lost] = 0
        self.best = np.where(lost, size, np.minimum(self.best, size))

    def _coefficients(self, right: Array) -> Array:
        """Solve for c in units of the lengths of df; a change of length 0 has no share."""
        lengths = np.sqrt(np.diagonal(self.gram, axis1=1, axis2=2))
        scale = np.zeros_like(lengths)
        np.divide(1, lengths, out=scale, where=lengths > 0)
        scaled = self.gram * scale[:, :, None] * scale[:, None, :]
        matrix = scaled + self.floor * np.eye(ANDERSON_DEPTH)
        found: Array = np.linalg.solve(matrix, (right * scale)[:, :, None])[:, :, 0] * scale
        return found
