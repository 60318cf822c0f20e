"""Backpropagation through time: populations that reach each other only through earlier sites.

Time is the first axis of sites. Every step reads rows of the matrices of all units, so that a pass
through all steps costs one product. Above `functions`, below `backpropagation`. Start at `InTime`.

References
----------
Werbos, Proc. IEEE 78, 1550 (1990).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.model.network import Network
from neurosim.reference.functions import BackwardWeights, n_patterns, net_input, sigma

Array = np.ndarray


class InTime:
    """A cycle of populations that time unrolls.

    Parameters
    ----------
    net : Network
    order : list of str
        Populations in the order of one time step (`Network.causal_order`).
    """

    def __init__(self, net: Network, order: list[str]) -> None:
        self.net = net
        self.order = order
        self.steps = net.populations[order[0]].sites[0]
        self.inner = []
        for name, q in net.projections.items():
            if q.pre in order and q.post in order:
                self.inner.append(name)

    def forward(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of the cycle, given those of the populations that drive it."""
        net = self.net
        count = n_patterns(x)
        found = {n: np.zeros((count, net.populations[n].size)) for n in self.order}
        # with the cycle's own outputs at 0, net inputs are the drive
        drive = {n: net_input(net, n, {**x, **found}) for n in self.order}
        matrices = {name: net.matrix(name) for name in self.inner}
        for step in range(self.steps):
            for n in self.order:
                now = self._units(n, step)
                a = drive[n][:, now]
                for name in self.inner:
                    q = net.projections[name]
                    if q.post == n:
                        a = a + found[q.pre] @ matrices[name][now].T
                found[n][:, now] = sigma(net.populations[n].activation, a)
        return found

    def backward(
        self, slopes: Mapping[str, Array], pull: Mapping[str, Array], back: BackwardWeights
    ) -> dict[str, Array]:
        """Return lam of the cycle, from the last step to the first.

        Parameters
        ----------
        slopes : mapping of str to array, (patterns, units)
            sigma'(a).
        pull : mapping of str to array, (patterns, units)
            What lam is without messages of the cycle's own populations.
        back : callable
            Gives the matrix of a projection that errors go back through, laid out as its weights.
        """
        net = self.net
        lam = {n: pull[n].copy() for n in self.order}
        matrices: dict[str, Any] = {}
        for name in self.inner:
            whole = net.matrix(name, back(name))
            matrices[name] = whole.tocsc()
        delta = {n: np.zeros_like(lam[n]) for n in self.order}
        for step in reversed(range(self.steps)):
            for n in reversed(self.order):
                now = self._units(n, step)
                for name in self.inner:
                    q = net.projections[name]
                    if q.pre == n:
                        lam[n][:, now] += delta[q.post] @ matrices[name][:, now]
                delta[n][:, now] = slopes[n][:, now] * lam[n][:, now]
        return lam

    def _units(self, population: str, step: int) -> slice:
        """Return the units of one time step."""
        each = self.net.populations[population].size // self.steps
        return slice(step * each, (step + 1) * each)
