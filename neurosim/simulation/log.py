"""Measure the rows of a training's log, and turn them into a dataset.

Above `opening` and `reference`, below `running`. Start at `LogRows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.data import patterns as data
from neurosim.errors import ConvergenceError, StabilityWarning, warn
from neurosim.model.network import Network
from neurosim.reference.functions import net_input, rows_of, sigma
from neurosim.results import metrics
from neurosim.results.metrics import angle, cosine
from neurosim.simulation.opening import Data
from neurosim.simulation.session import Session

Array = np.ndarray
Patterns = Mapping[str, Array]
Row = dict[str, float]
# A row is measured on this many at most of the training patterns, and of those simulated at once.
MOST_PATTERNS = 500


class LogRows:
    """Measure the rows of a log, on training and validation data.

    Parameters
    ----------
    net : Network
    given : Data
        Data that the network is trained on. The first `MOST_PATTERNS` of those whose weight is not
        0 are measured; loss and accuracy are means in which each pattern counts by its weight.
    validation : (X, Y), optional
        Held-out data, all of which are measured, and count alike.

    Raises
    ------
    DataError
        Validation data that do not fit the network.
    """

    def __init__(self, net: Network, given: Data, validation: tuple[Any, Any] | None) -> None:
        self.net, self.warned = net, False
        rows, weights = _measured_rows(given)
        self.training = rows_of(given.clamped, rows), rows_of(given.targets, rows)
        self.sets: dict[str, tuple[Patterns, Patterns, Array | None]] = {
            "": (*self.training, weights)
        }
        if validation is not None:
            X, Y = data.pair("validation", validation)
            held_out = data.patterns(net, X)
            count = len(next(iter(held_out.values())))
            self.sets["validation_"] = held_out, data.targets(net, Y, count), None

    def row(self, session: Session) -> Row:
        """Return one row of the log.

        A cyclic graph that no longer contracts has no forward pass; its row holds only the time.
        """
        try:
            return self._measured(session)
        except ConvergenceError as error:
            if not self.warned:
                warn(f"the log has no loss from here on: {error}", StabilityWarning)
            self.warned = True
            return {"time": session.time}

    def _measured(self, session: Session) -> Row:
        found = {"time": session.time}
        for prefix, (X, Y, weights) in self.sets.items():
            for name, value in self._fit(X, Y, weights).items():
                found[prefix + name] = value
        found |= self._unsettled(session)
        found["max_step"] = session.stable_step()
        return found | self._angles()

    def _fit(self, X: Patterns, Y: Patterns, weights: Array | None) -> Row:
        """Return the loss of the forward pass and, for a classifier, its accuracy."""
        net, name = self.net, self.net.output
        if not net.losses:
            return {}
        outputs = reference.forward(net, X)
        found = {"loss": reference.loss(net, outputs, Y, sample_weight=weights)}
        share = metrics.share_correct(net, outputs[name], Y, weights)
        if share is not None:
            found["accuracy"] = share
        return found

    def _unsettled(self, session: Session) -> Row:
        """Return the distance of the state from that of backpropagation.

        `cosine` is that of lam and the adjoint, the smallest over the populations; `violation` is
        the root mean square of g = x - sigma(a).
        """
        net, (clamped, targets) = self.net, session.shown()
        X, Y = _first(clamped), _first(targets)
        x, lam = _first(session.state.x), _first(session.state.lam)
        exact = reference.multipliers(net, X, Y)
        cosines = [cosine(lam[n], exact[n]) for n in net.neurons]
        sent = {**X, **x}
        violations = []
        for n in net.neurons:
            if not net.populations[n].free:
                a = net_input(net, n, sent)
                g = x[n] - sigma(net.populations[n].activation, a)
                violations.append(np.ravel(g))
        rms = 0.0
        if violations:
            squares = np.concatenate(violations) ** 2
            rms = float(np.sqrt(np.mean(squares)))
        if not net.losses:
            return {"violation": rms}
        return {"cosine": min(cosines), "violation": rms}

    def _angles(self) -> Row:
        """Return angles that show how feedback weights align, degrees; empty without them.

        They are the angles of B to Wᵀ, by projection, and of lam to the adjoint, by population.
        Here lam is computed at rest, with the present weights and on the training patterns of the
        row, so that the angle does not depend on a state that still moves.
        """
        net, (X, Y) = self.net, self.training
        if not net.feedback:
            return {}
        ours = reference.multipliers(net, X, Y, through="feedback")
        exact = reference.multipliers(net, X, Y, through="weights")
        found = {}
        for name in net.feedback:
            back = net.returning(name)
            found[f"angle.{name}"] = angle(back, net.weights[name])
        for n in net.neurons:
            if net.outgoing(n):
                found[f"angle.{n}"] = angle(ours[n], exact[n])
        return found


def summary(row: Mapping[str, float]) -> str:
    """Return a row in a few words, for the progress bar."""
    if "loss" not in row:
        return ""
    text = f"loss {row['loss']:.3g}"
    accuracy = row.get("validation_accuracy", row.get("accuracy"))
    if accuracy is None:
        return text
    return f"{text}, accuracy {accuracy:.1%}"


def history_of(rows: Sequence[Mapping[str, float]]) -> Any:
    """Return the rows of a log as a dataset over time; a value that a row lacks is NaN."""
    import xarray as xr

    names: dict[str, None] = {}  # in the order in which they appear
    for row in rows:
        names |= dict.fromkeys(row)
    columns = {}
    for name in names:
        if name != "time":
            values = [row.get(name, np.nan) for row in rows]
            columns[name] = ("time", values, {"units": _unit(name)})
    times = [row["time"] for row in rows]
    attributes = {"units": "s", "long_name": "time"}
    return xr.Dataset(columns, {"time": ("time", times, attributes)})


def _unit(column: str) -> str:
    if column == "max_step":
        return "s"
    return "degree" if column.startswith("angle.") else "1"


def _measured_rows(given: Data) -> tuple[Any, Array | None]:
    """Return which patterns a row of the log is measured on, and their weights, if any."""
    if given.sample_weight is None:
        return slice(MOST_PATTERNS), None
    rows = np.flatnonzero(given.sample_weight)[:MOST_PATTERNS]
    return rows, given.sample_weight[rows]


def _first(values: Patterns) -> Patterns:
    return rows_of(values, slice(MOST_PATTERNS))
