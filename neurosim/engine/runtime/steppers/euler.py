"""Explicit Euler steps: plain, exponential and semi-implicit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from neurosim.engine.runtime.arrays import Action
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.projections import Bias
from neurosim.engine.runtime.updates import Actions


class Euler:
    """Explicit Euler steps of weights and state, all from the old values.

    Exponential Euler differs only in its statements, which are exact in the linear leak.
    `traces` move the variables of rules that a closed gate does not freeze.
    """

    def __init__(
        self,
        actions: Actions,
        messages: Messages,
        biases: Sequence[Bias],
        traces: Sequence[Action],
    ) -> None:
        self.messages = messages
        self.traces = traces
        self.learn = [product.learn for product in messages.products]
        self.learn += [bias.learn for bias in biases]
        self.update = list(chain(*actions.update.values()))

    def step(self, learning: bool) -> None:
        """Move the weights where they learn, then the state."""
        if learning:
            self.messages.moved = True
        for action in self.learn if learning else self.traces:
            action()
        for action in self.update:
            action()


class SemiImplicit(Euler):
    """Euler steps in which the multipliers read the violation of the new outputs."""

    def __init__(
        self,
        actions: Actions,
        messages: Messages,
        biases: Sequence[Bias],
        traces: Sequence[Action],
    ) -> None:
        super().__init__(actions, messages, biases, traces)
        self.multipliers = list(chain(*actions.multipliers.values()))

    def step(self, learning: bool) -> None:
        """Move weights and outputs, recompute the net inputs, then move the multipliers."""
        super().step(learning)
        self.messages.forward()
        for action in self.multipliers:
            action()
