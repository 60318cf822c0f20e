"""Explicit Euler steps: plain, exponential and semi-implicit."""

from __future__ import annotations

from collections.abc import Sequence

from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.projections import Bias
from neurosim.engine.runtime.updates import Actions


class Euler:
    """One explicit step of everything from the old values.

    Exponential Euler is the same step: its statements are exact in the linear leak.
    """

    def __init__(self, actions: Actions, messages: Messages, biases: Sequence[Bias]) -> None:
        self.messages = messages
        self.learn = [product.learn for product in messages.products]
        self.learn += [bias.learn for bias in biases]
        self.update = actions.update

    def step(self, learning: bool) -> None:
        """Move the weights where they learn, then the state."""
        if learning:
            self.messages.moved = True
            for action in self.learn:
                action()
        for action in self.update:
            action()


class SemiImplicit(Euler):
    """Euler steps in which the multipliers read the violation of the new outputs."""

    def __init__(self, actions: Actions, messages: Messages, biases: Sequence[Bias]) -> None:
        super().__init__(actions, messages, biases)
        self.multipliers = actions.multipliers

    def step(self, learning: bool) -> None:
        """Move the weights and the outputs, take the net inputs anew, then the multipliers."""
        super().step(learning)
        self.messages.forward()
        for action in self.multipliers:
            action()
