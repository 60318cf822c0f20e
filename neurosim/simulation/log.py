"""What training keeps while it goes on: the rows of its log, checkpoints, a bar with the time left,
a way out.

Above `session`, below `simulation`. Start at `LogRows`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.data import patterns as data
from neurosim.errors import (
    ConvergenceError,
    StabilityWarning,
)
from neurosim.model.network import Network
from neurosim.model.weights import synapses
from neurosim.reference.functions import net_input, sigma
from neurosim.results import metrics
from neurosim.results.metrics import angle, cosine, middle
from neurosim.simulation.session import Session

Array = np.ndarray
Patterns = Mapping[str, Array]
LOOK_AT = 500  # patterns that a row of the log is read from: trained on, and simulated at once


class LogRows:
    """Data on which the log's rows are measured: the first rows of what is trained on, and what is
    held out.
    """

    def __init__(
        self, net: Network, clamped: Patterns, targets: Patterns, validation: tuple[Any, Any] | None
    ) -> None:
        self.net, self.warned = net, False
        own = ({n: v[:LOOK_AT] for n, v in part.items()} for part in (clamped, targets))
        self.sets = {"": tuple(own)}
        if validation is not None:
            X, Y = data.pair("validation", validation)
            held = data.patterns(net, X)
            self.sets["validation_"] = (held, data.targets(net, Y, len(next(iter(held.values())))))

    def row(self, session: Session) -> dict[str, float]:
        """One row of the log; a cyclic graph that no longer contracts has no forward pass to
        measure.
        """
        try:
            return self._measured(session)
        except ConvergenceError as error:
            if not self.warned:
                warnings.warn(
                    f"the log has no loss from here on: {error}", StabilityWarning, stacklevel=2
                )
            self.warned = True
            return {"time": session.time}

    def _measured(self, session: Session) -> dict[str, float]:
        """One row of the log: the forward pass now, and how far the state is from
        backpropagation's.
        """
        found = {"time": session.time}
        for prefix, (X, Y) in self.sets.items():
            found |= {f"{prefix}{k}": v for k, v in self._fit(X, Y).items()}
        return found | self._unsettled(session) | {"max_step": session.watch()} | self._angles()

    def _fit(self, X: Patterns, Y: Patterns) -> dict[str, float]:
        """Loss and accuracy of the forward pass."""
        net, outputs = self.net, reference.forward(self.net, X)
        found = {"loss": reference.loss(net, outputs, Y)}
        classes = data.labels(Y[net.output], net.populations[net.output].size)
        if classes is not None:
            found["accuracy"] = metrics.accuracy(
                outputs[net.output], classes, middle(Y[net.output])
            )
        return found

    def _unsettled(self, session: Session) -> dict[str, float]:
        """Cosine of lam and backpropagation's, the least of all populations; root mean square of
        the violations.
        """
        net, looked = self.net, (*session.batch(), session.good.x, session.good.lam)
        X, Y, x, lam = ({n: v[:LOOK_AT] for n, v in part.items()} for part in looked)
        exact = reference.multipliers(net, X, Y)
        cosines = [cosine(lam[n], exact[n]) for n in net.neurons]
        sent = {**X, **x}
        bound = [n for n in net.neurons if not net.populations[n].free]
        g = [
            np.ravel(x[n] - sigma(net.populations[n].activation, net_input(net, n, sent)))
            for n in bound
        ]
        rms = float(np.sqrt(np.mean(np.concatenate(g) ** 2))) if g else 0.0
        return {"cosine": min(cosines), "violation": rms}

    def _angles(self) -> dict[str, float]:
        """Of feedback weights to Wᵀ and, where there are any, of lam to backpropagation's, in
        degrees.

        lam is that at rest, with the weights as they are, on the training patterns of the row: its
        angle is what the feedback weights do, without what still moves.
        """
        net, (X, Y) = self.net, self.sets[""]
        if not net.feedback:
            return {}
        ours, exact = (
            reference.multipliers(net, X, Y, through=way) for way in ("feedback", "weights")
        )
        found = {
            f"angle.{name}": angle(net.returning(name), net.weights[name]) for name in net.feedback
        }
        return found | {
            f"angle.{n}": angle(ours[n], exact[n]) for n in net.neurons if net.outgoing(n)
        }

    def say(self, row: Mapping[str, float]) -> str:
        """The row in a few words, for the progress bar."""
        accuracy = row.get("validation_accuracy", row.get("accuracy"))
        return f"loss {row.get('loss', float('nan')):.3g}" + (
            f", accuracy {accuracy:.1%}" if accuracy is not None else ""
        )


class Best:
    """The weights of the row that did best on what is held out; nothing is kept unless that is
    wanted.
    """

    def __init__(self, net: Network, wanted: bool) -> None:
        self.net, self.wanted, self.score, self.time = net, wanted, (-np.inf, -np.inf), np.nan
        self.kept: Network | None = None

    def see(self, row: Mapping[str, float]) -> None:
        """A row of the log, with the network's weights as they are."""
        score = (row.get("validation_accuracy", 0.0), -row.get("validation_loss", np.inf))
        if self.wanted and score > self.score:
            self.score, self.time, self.kept = score, row["time"], self.net.copy()

    def restore(self) -> dict[str, float]:
        """Put the best weights back; when they were the network's, for the settings of a run."""
        if self.kept is None:
            return {}
        for name, w in self.net.weights.items():
            synapses(w)[...] = synapses(self.kept.weights[name])
        for name, B in self.kept.feedback.items():
            self.net.feedback[name] = B.copy()
        for name, b in self.net.biases.items():
            b[...] = self.kept.biases[name]
        return {"best_time": self.time}


def history_of(rows: Sequence[Mapping[str, float]]) -> Any:
    """The rows of a log as a dataset over time."""
    import xarray as xr

    columns = {
        k: ("time", [row.get(k, np.nan) for row in rows])
        for k in dict.fromkeys(k for row in rows for k in row)
        if k != "time"
    }
    history = xr.Dataset(
        columns,
        {"time": ("time", [row["time"] for row in rows], {"units": "s", "long_name": "time"})},
    )
    for name, variable in history.data_vars.items():
        variable.attrs["units"] = (
            "s" if name == "max_step" else "degree" if str(name).startswith("angle.") else "1"
        )
    return history
