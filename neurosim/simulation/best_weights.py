"""Keep the weights with which a training did best on validation data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.model.network import Network
from neurosim.model.weights import synapses

Array = np.ndarray
SCORE, TIME = "score", "time"  # entries of a snapshot beside the parameters


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

    def snapshot(self) -> dict[str, Array]:
        """Return the best weights so far as arrays, for a checkpoint; empty if none were kept."""
        if self.kept is None:
            return {}
        found = {SCORE: np.array(self.score), TIME: np.array(self.time)}
        return found | _parameters(self.kept)

    def recall(self, snapshot: Mapping[str, Array]) -> None:
        """Go on from a snapshot."""
        if not self.wanted or not snapshot:
            return
        accuracy, loss = snapshot[SCORE]
        self.score, self.time = (float(accuracy), float(loss)), float(snapshot[TIME])
        self.kept = self.net.copy()
        for name, values in _parameters(self.kept).items():
            values[...] = snapshot[name]

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


def _parameters(net: Network) -> dict[str, Array]:
    """Return views of weights, feedback weights and biases, by name."""
    found = {f"w.{name}": synapses(w) for name, w in net.weights.items()}
    found |= {f"back.{name}": synapses(back) for name, back in net.feedback.items()}
    return found | {f"b.{name}": bias for name, bias in net.biases.items()}
