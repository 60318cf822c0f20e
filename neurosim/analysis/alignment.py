"""Agreement of a run's multipliers and weight gradient with backpropagation's.

Above `results` and `reference`. Start at `alignment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import DataError
from neurosim.model.network import Network
from neurosim.model.values import ByValue
from neurosim.model.weights import synapses
from neurosim.reference import Adjoint, right_hand_side
from neurosim.reference.functions import penalty_subgradient
from neurosim.reference.rivals import Inferred
from neurosim.results.metrics import cosine
from neurosim.results.runs import Run

Array = np.ndarray


@dataclass(frozen=True, repr=False, eq=False)
class Alignment(ByValue):
    """Cosines and largest absolute errors, all of unit 1, over patterns and units, or synapses.

    Attributes
    ----------
    cosine, error : dict of str to float
        Multipliers lam, by population.
    x_error : dict of str to float
        Outputs x, by population.
    grad_cosine, grad_error : dict of str to float
        Gradient with respect to the weights, by projection that learns.
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
        cosines = f"lam {self.worst:.6f} in {where}"
        if self.grad_cosine:
            cosines += f", gradient {min(self.grad_cosine.values()):.6f}"
        errors = f"lam {self.max_error:.2g}, x {max(self.x_error.values()):.2g}"
        return f"Alignment(smallest cosine: {cosines}; largest error: {errors})"


@checked
def alignment(run: Run | Inferred, ref: Adjoint) -> Alignment:
    """Compare a run's final state with backpropagation on the same weights and patterns.

    The run's weight gradient is the direction that its plasticity would descend: -tau_w dw/dt of
    the reference's right-hand side, plus the subgradients of l1 and the group penalties, which the
    right-hand side leaves out. Of a projection with a learning rule of its own it is the gradient
    that the messages hold, as the built-in rule would take it. It has no entry for projections that
    do not learn.

    Parameters
    ----------
    run : Run or Inferred
        Result of a simulation; or of a method of `neurosim.rivals`, whose own gradient is used.
    ref : Adjoint
        ``reference.backprop(run.network, run.X, run.Y)``.

    Returns
    -------
    Alignment

    Raises
    ------
    DataError
        `ref` belongs to another network or to other patterns.
    """
    net = run.network
    _check_same("populations", run.lam, ref.lam)
    _check_same("projections", net.weights, ref.grad_w)
    found = Alignment({}, {}, {}, {}, {})
    for n, lam in run.lam.items():
        found.cosine[n] = cosine(lam, ref.lam[n])
        found.error[n] = _largest(lam - ref.lam[n])
    for n, x in run.x.items():
        found.x_error[n] = _largest(x - ref.x[n])
    for name, gradient in _gradient(run).items():
        exact = synapses(ref.grad_w[name])
        found.grad_cosine[name] = cosine(gradient, exact)
        found.grad_error[name] = _largest(gradient - exact)
    return found


def _gradient(run: Run | Inferred) -> dict[str, Array]:
    """Return the gradient that a run's plasticity descends, by projection that learns.

    Laid out as synapses are.
    """
    if isinstance(run, Inferred):
        return {name: synapses(g) for name, g in run.grad_w.items()}
    net = _with_built_in_rules(run.network)
    rates = right_hand_side(net, run.flow, run.x, run.lam, run.X, run.Y)
    gradient = {}
    for name, q in net.projections.items():
        if q.plastic:
            descent = run.flow.time("tau_w", q.post) * synapses(rates.w[name])
            gradient[name] = penalty_subgradient(net, name) - descent
    return gradient


def _with_built_in_rules(net: Network) -> Network:
    """Return a network on the same parameters in which plasticity is the built-in rule."""
    projections, populations = {}, {}
    for name, q in net.projections.items():
        projections[name] = q if q.own_rule is None else replace(q, plasticity=None)
    for name, p in net.populations.items():
        populations[name] = p if p.own_bias_rule is None else replace(p, bias_plasticity=None)
    return net.sharing(projections=projections, populations=populations)


def _largest(difference: Array) -> float:
    """Return the largest absolute entry, 0 of an empty array."""
    return float(np.abs(difference).max(initial=0.0))


def _check_same(what: str, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    """Refuse a reference with other names, shapes or synapses than the run.

    Raises
    ------
    DataError
        The first difference.
    """
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
