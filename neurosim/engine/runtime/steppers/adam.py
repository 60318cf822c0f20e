"""Adam steps of weights and state, as in Local Propagation.

References
----------
Kingma & Ba, ICLR 2015; Marra et al., IJCNN 2020, arXiv 2002.07720.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.integrators import ADAM
from neurosim.engine.names import DECAYS
from neurosim.engine.runtime.arrays import Action, live
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.projections import Bias, Product
from neurosim.engine.runtime.updates import Actions

Array = np.ndarray


class Adam:
    """Adam steps of weights, outputs and multipliers, all by the messages of the same step."""

    def __init__(
        self,
        groups: Groups,
        actions: Actions,
        messages: Messages,
        products: Mapping[str, Product],
        biases: Mapping[str, Bias],
    ) -> None:
        self.messages = messages
        self.products = list(products.values())
        self.shortfalls = [live(groups.counters, name) for name in DECAYS]
        self.sums: list[Action] = []
        for name, product in products.items():
            force = live(groups.synapses[name], "force_w")
            self.sums.append(partial(product.sum_change, force))
        for name, bias in biases.items():
            force = live(groups.biases[name], "force_w")
            self.sums.append(partial(bias.sum_change, force))
        self.descents = actions.descents
        self.update = list(chain(*actions.update.values()))

    def step(self, learning: bool) -> None:
        """Move the weights where they learn, then the state."""
        beta_1, beta_2, _ = ADAM
        for shortfall, beta in zip(self.shortfalls, (beta_1, beta_2), strict=True):
            shortfall *= beta
        if learning:
            self._descend()
        for action in self.update:
            action()

    def _descend(self) -> None:
        self.messages.moved = True
        for action in self.sums:
            action()
        for action in self.descents:
            action()
        for product in self.products:
            product.shrink()
            product.follow_signs()
