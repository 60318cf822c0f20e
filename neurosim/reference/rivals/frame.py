"""One state and one set of forces for all rivals: outputs, violations, messages of an acyclic
network.

Above `network`, `data` and `reference`: a rival is a rule for what moves along the forces found
here. Start at `Frame`; `Inferred` is what a rival leaves behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import (
    hebbian,
    kinked_slope,
    n_patterns,
    own_slope,
    plastic,
    sigma,
)

Array = np.ndarray
Arrays = dict[str, Array]
Watch = Callable[[int, Arrays], Any]

ONE = np.ones(1)
SLOPE_AT: dict[
    str, Callable[[Array], Any]
] = {  # sigma' from sigma(a), where that is cheaper than from a
    "tanh": lambda s: np.subtract(1, squared := s * s, out=squared),
    "sigmoid": lambda s: s * (1 - s),
    "relu": lambda s: (s > 0).astype(float),
    "softplus": lambda s: -np.expm1(-s),
    "linear": lambda s: ONE,
}


@dataclass(frozen=True, repr=False)
class Inferred:
    """What a rival's inference left behind for a batch; `neurosim.alignment` reads it beside a run.

    Attributes
    ----------
    method : str
    network : Network
        The one that was given, not a copy.
    X, Y : dict of str to array
        Clamped inputs by population; encoded targets by population with a loss.
    x : dict of str to array, (patterns, units), unit 1
        Outputs of every population that is not clamped.
    lam : dict of str to array, (patterns, units), unit 1
        The method's credit, in the place of -dV/dx: the error or multiplier that its gradient is
        made of.
    grad_w : dict of str to array or csr_array, (n_post, n_pre)
        The method's own gradient by projection that learns, prices R(w) included.
    grad_b : dict of str to array, (n,)
        By population.
    steps : int
        How often every unit was stepped.
    phases : int
        Settlings one after another, between which the network has to be told that something
        changed.
    states : int
        Numbers that a unit holds from step to step.
    """

    method: str
    network: Network
    X: Arrays
    Y: Arrays
    x: Arrays
    lam: Arrays
    grad_w: dict[str, Weights]
    grad_b: Arrays
    steps: int
    phases: int
    states: int

    def __repr__(self) -> str:
        return f"Inferred({self.method}, {n_patterns(self.x)} patterns, {self.steps} steps, {self.phases} phases)"


class Frame:
    """An acyclic network with a batch, in which some populations are variables and the others plain
    functions.

    Parameters
    ----------
    net : Network
        Acyclic; constraints are read as `lin`.
    X : array (patterns, features), or mapping by input population
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss
    functions : names of populations, optional
        Whose outputs are no variables of their own, but sigma(a) at every moment; messages pass
        them as in backpropagation. By default those at which the network ends, as in predictive
        coding's papers, where the loss is of the prediction.

    Raises
    ------
    ModelError
        A cyclic network; a function that is no population.
    DataError
        X or Y do not fit the network.
    """

    def __init__(
        self, net: Network, X: Any, Y: Any, functions: Collection[str] | None = None
    ) -> None:
        order = net.order()
        if order is None:
            raise ModelError(
                "the network has a cycle; allowed for rivals: acyclic networks; try ns.Simulation"
            )
        if isinstance(functions, str):
            raise out_of_range(
                "functions", functions, "a collection of populations", f"[{functions!r}]"
            )
        for name in functions or ():
            if name not in net.neurons:
                raise unknown("a function", name, net.neurons)
        self.net, self.clamped = net, patterns(net, X, copy=False)
        self.count = n_patterns(self.clamped)
        self.Y = targets(net, Y, self.count)
        self.order = [n for n in order if n not in self.clamped]
        self.weights = {name: _scalar(w) for name, w in net.weights.items()}
        self.returning = {
            name: w if net.projections[name].feedback == "symmetric" else net.returning(name)
            for name, w in self.weights.items()
        }
        self.parents: dict[str, list[tuple[str, Any]]] = {n: [] for n in self.order}
        self.children: dict[str, list[tuple[str, Any]]] = {n: [] for n in net.populations}
        self.still = {
            n: net.biases[n] for n in self.order
        }  # the part of the net input that does not move
        for name, q in net.projections.items():
            if q.pre in self.clamped:
                self.still[q.post] = self.still[q.post] + self.clamped[q.pre] @ net.weights[name].T
            else:
                self.parents[q.post].append((q.pre, self.weights[name]))
            self.children[q.pre].append((q.post, self.returning[name]))
        ends = [n for n in self.order if not self.children[n]]
        self.functions = frozenset(ends if functions is None else functions)
        self.variables = [n for n in self.order if n not in self.functions]

    def forward(self) -> Arrays:
        """Outputs of every population by the forward pass, clamped ones included."""
        x = dict(self.clamped)
        for n in self.order:
            x[n] = sigma(self.net.populations[n].activation, self.net_input(n, x))
        return x

    def net_input(self, population: str, x: Mapping[str, Array]) -> Array:
        """a = W x + b, (patterns, units)."""
        a: Array = self.still[population]
        for pre, w in self.parents[population]:
            a = a + (x[pre] * w if isinstance(w, float) else x[pre] @ w.T)
        return a if a.ndim == 2 else np.tile(a, (self.count, 1))

    def received(self, population: str, delta: Mapping[str, Array]) -> Array:
        """Wᵀ delta of the children, (patterns, units), or B delta where the feedback is not
        symmetric.
        """
        back: Any = 0.0
        for post, w in self.children[population]:
            back = back + (delta[post] * w if isinstance(w, float) else delta[post] @ w)
        return (
            back
            if self.children[population]
            else np.zeros((self.count, self.net.populations[population].size))
        )

    def pull(self, population: str, x: Array) -> Array | float:
        """-dV/dx of what is asked of the population's own outputs, (patterns, units)."""
        if population not in self.net.losses and not self.net.populations[population].activity_l1:
            return 0.0
        return -own_slope(self.net, population, x, self.Y)

    def gradients(
        self, x: Mapping[str, Array], delta: Mapping[str, Array]
    ) -> tuple[dict[str, Weights], Arrays]:
        """-mean of delta xᵀ by projection that learns, with the slopes of the prices; -mean of
        delta by population.
        """
        net = self.net
        grad_w = {}
        for name, w in plastic(net, net.weights).items():
            q = net.projections[name]
            grad_w[name] = with_values(w, priced(net, name) - hebbian(w, delta[q.post], x[q.pre]))
        return grad_w, {n: -delta[n].mean(axis=0) for n in self.order}

    def inferred(
        self, method: str, x: Arrays, lam: Arrays, delta: Arrays, **counts: int
    ) -> Inferred:
        """What stands at the end of an inference whose gradient is made of `delta`."""
        grad_w, grad_b = self.gradients(x, delta)
        outputs, credit = ({n: v[n] for n in self.net.neurons} for v in (x, lam))
        return Inferred(
            method, self.net, self.clamped, self.Y, outputs, credit, grad_w, grad_b, **counts
        )


def _scalar(weights: Weights) -> Weights | float:
    """One number for wiring of unit to unit with one weight, which is a product less; anything else
    as it is.
    """
    if (
        isinstance(weights, np.ndarray)
        or weights.nnz != len(weights.indptr) - 1
        or weights.nnz != weights.shape[1]
    ):
        return weights
    straight = (weights.indices == np.arange(weights.nnz)).all() and (
        weights.data == weights.data[0]
    ).all()
    return float(weights.data[0]) if straight and (np.diff(weights.indptr) == 1).all() else weights


def priced(net: Network, projection: str) -> Array | float:
    """dR/dw of one projection, laid out as its synapses are."""
    q = net.projections[projection]
    if not any(q.prices.values()):
        return 0.0
    slope: Array = q.l2 * synapses(net.weights[projection]) + kinked_slope(net, projection)
    return slope
