"""How near a run's multipliers and its own weight gradient are to backpropagation's.

Above `results`, `rivals` and `reference`. Start at `alignment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurosim.errors import DataError
from neurosim.model.weights import synapses
from neurosim.reference import Adjoint, right_hand_side
from neurosim.reference.functions import penalty_subgradient
from neurosim.reference.rivals import Inferred
from neurosim.results.metrics import cosine
from neurosim.results.runs import Run

Array = np.ndarray


@dataclass(frozen=True, repr=False)
class Alignment:
    """Cosines and largest absolute errors, all of unit 1; vectors run over patterns and units, or
    synapses.

    Attributes
    ----------
    cosine, error : dict of str to float
        Of the multipliers lam, by population.
    x_error : dict of str to float
        Of the outputs x, by population.
    grad_cosine, grad_error : dict of str to float
        Of the gradient with respect to the weights, by projection.
    """

    cosine: dict[str, float]
    error: dict[str, float]
    x_error: dict[str, float]
    grad_cosine: dict[str, float]
    grad_error: dict[str, float]

    @property
    def worst(self) -> float:
        """The smallest cosine of lam over the populations."""
        return min(self.cosine.values())

    @property
    def max_error(self) -> float:
        """The largest error of lam over the populations."""
        return max(self.error.values())

    def __repr__(self) -> str:
        where = min(self.cosine, key=self.cosine.__getitem__)
        gradient = f", gradient {min(self.grad_cosine.values()):.6f}" if self.grad_cosine else ""
        return (
            f"Alignment(smallest cosine: lam {self.worst:.6f} in {where}{gradient}; largest error: "
            f"lam {self.max_error:.2g}, x {max(self.x_error.values()):.2g})"
        )


def alignment(run: Run | Inferred, ref: Adjoint) -> Alignment:
    """A run's final state against backpropagation with the same weights and patterns.

    The run's own weight gradient is the one that its plasticity would follow from there: -tau_w
    dw/dt of the reference's right-hand side, with the subgradients of l1 and its like, which that
    leaves out. It has no entry for projections that do not learn.

    Parameters
    ----------
    run : Run or Inferred
        Of a simulation, or of one of `neurosim.rivals`, which brings its own gradient.
    ref : Adjoint
        ``reference.backprop(run.network, run.X, run.Y)``.

    Raises
    ------
    DataError
        `ref` is of another network or of other patterns.
    """
    net = run.network
    _check_same("populations", run.lam, ref.lam)
    _check_same("projections", net.weights, ref.grad_w)
    own = _gradient(run)
    gradient = {name: synapses(g) for name, g in ref.grad_w.items()}
    return Alignment(
        cosine={n: cosine(lam, ref.lam[n]) for n, lam in run.lam.items()},
        error={n: _largest(lam - ref.lam[n]) for n, lam in run.lam.items()},
        x_error={n: _largest(x - ref.x[n]) for n, x in run.x.items()},
        grad_cosine={name: cosine(g, gradient[name]) for name, g in own.items()},
        grad_error={name: _largest(g - gradient[name]) for name, g in own.items()},
    )


def _gradient(run: Run | Inferred) -> dict[str, Array]:
    """What its plasticity would follow, by projection that learns, laid out as synapses are."""
    if isinstance(run, Inferred):
        return {name: synapses(g) for name, g in run.grad_w.items()}
    net = run.network
    rates = right_hand_side(net, run.flow, run.x, run.lam, run.X, run.Y)
    learning = {name: q for name, q in net.projections.items() if q.plastic}
    return {
        name: penalty_subgradient(net, name) - run.flow.time("tau_w", q.post) * synapses(rates.w[name])
        for name, q in learning.items()
    }


def _largest(difference: Array) -> float:
    return float(np.abs(difference).max(initial=0.0))


def _check_same(what: str, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    try_ = "try reference.backprop(run.network, run.X, run.Y)"
    if set(ours) != set(theirs):
        raise DataError(
            f"ref has the {what} {sorted(theirs)}; allowed: those of the run, "
            f"{sorted(ours)}; {try_}"
        )
    for name, array in ours.items():
        if array.shape != theirs[name].shape:
            raise DataError(
                f"ref has shape {theirs[name].shape} in {name}; allowed: {array.shape}, "
                f"as the run; {try_}"
            )
        if synapses(array).shape != synapses(theirs[name]).shape:
            raise DataError(f"ref has other synapses in {name} than the run; {try_}")
