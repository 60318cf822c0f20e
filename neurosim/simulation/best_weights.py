"""Keep the weights with which a training did best on validation data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.model.network import Network
from neurosim.model.weights import synapses


class BestWeights:
    """The weights of the best row of a log so far.

    The best row has the highest validation accuracy, among equals the lowest validation loss.

    Parameters
    ----------
    net : Network
        The network that is trained.
    wanted : bool
        Whether weights are kept at all.
    """

    def __init__(self, net: Network, wanted: bool) -> None:
        self.net, self.wanted = net, wanted
        self.score = (-np.inf, -np.inf)
        self.time = np.nan
        self.kept: Network | None = None

    def consider(self, row: Mapping[str, float]) -> None:
        """Keep the network's present weights if this row of the log is the best so far."""
        accuracy = row.get("validation_accuracy", 0.0)
        loss = row.get("validation_loss", np.inf)
        score = (accuracy, -loss)
        if self.wanted and score > self.score:
            self.score, self.time = score, row["time"]
            self.kept = self.net.copy()

    def restore(self) -> dict[str, float]:
        """Put the best weights back into the network.

        Returns
        -------
        dict
            ``{"best_time": s}``, for the settings of the run; empty if no weights were kept.
        """
        if self.kept is None:
            return {}
        for name, w in self.net.weights.items():
            kept = self.kept.weights[name]
            synapses(w)[...] = synapses(kept)
        for name, B in self.kept.feedback.items():
            synapses(self.net.feedback[name])[...] = synapses(B)
        for name, b in self.net.biases.items():
            b[...] = self.kept.biases[name]
        return {"best_time": self.time}
