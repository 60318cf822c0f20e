"""Explicit Runge-Kutta steps of state and weights: Heun's method and the classical RK4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.integrators import TABLEAUS
from neurosim.engine.names import MOMENT
from neurosim.engine.runtime.arrays import live
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.projections import Bias
from neurosim.engine.runtime.rates import Rates
from neurosim.model.feedback import KOLEN_POLLACK

Array = np.ndarray


class RungeKutta:
    """Steps of Heun's method or RK4; messages are sent anew at every stage."""

    def __init__(
        self,
        groups: Groups,
        messages: Messages,
        biases: Sequence[Bias],
        rates: Rates,
        numbers: Mapping[str, Array],
    ) -> None:
        self.messages = messages
        self.biases = biases
        self.rates = rates
        self.dt = groups.plan.dt
        self.nodes, self.shares = TABLEAUS[groups.plan.method]
        self.now = live(groups.clock, "t")
        self.moment = numbers[MOMENT]
        self.products = messages.products
        self.copying = [p for p in self.products if p.feedback_kind == KOLEN_POLLACK]
        self.states = [z for z, _ in rates.states]
        self.state_rates = [rate for _, rate in rates.states]
        self.weights = [product.values for product in self.products]
        self.weights += [product.returning for product in self.copying]
        self.weights += [bias.values for bias in biases]

    def step(self, learning: bool) -> None:
        """Move the state, and the weights where they learn.

        Stage i starts from stage i - 1 alone, z_i = z + h c_i k_(i-1). The step ends at
        z + h Σ b_i k_i.
        """
        moving = [*self.states, *self.weights] if learning else self.states
        starts = [z.copy() for z in moving]
        sums = [np.zeros_like(z) for z in moving]
        t = float(self.now[0])
        last = len(self.shares) - 1
        for stage, share in enumerate(self.shares):
            self.moment[0] = t + self.nodes[stage] * self.dt
            if stage > 0:
                self.messages.send()
            self.rates.evaluate()
            rates = [*self.state_rates, *self._weight_rates()] if learning else self.state_rates
            for z, start, total, rate in zip(moving, starts, sums, rates, strict=True):
                total += share * rate
                if stage == last:
                    z[:] = start + self.dt * total
                else:
                    z[:] = start + self.dt * self.nodes[stage + 1] * rate
            if learning:
                self.messages.input_changed()
                for product in self.products:
                    product.follow_signs()
        if learning:
            for product in self.products:
                product.shrink()
                product.follow_signs()

    def _weight_rates(self) -> list[Array]:
        """Return the rates of change of the arrays in `weights`, 1/s, in the same order."""
        rates: list[Array] = []
        changes = {id(product): product.mean_change() for product in self.products}
        for p in self.products:
            rates.append((changes[id(p)] - p.l2 * p.values) / p.tau_w)
        for p in self.copying:
            rates.append((changes[id(p)] - p.l2 * p.returning) / p.tau_w)
        return rates + [bias.rate() for bias in self.biases]
