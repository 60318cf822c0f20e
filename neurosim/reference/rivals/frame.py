"""State and forces that all rivals share: outputs, violations, messages of an acyclic network.

A rival is a rule by which variables move along the forces that are computed here. Start at `Frame`;
`Inferred` is the result of a rival.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.errors import ModelError, choice, out_of_range
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.network import Network
from neurosim.model.values import ByValue
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import (
    dsigma,
    hebbian,
    n_patterns,
    penalty_subgradient,
    plastic,
    sigma,
)
from neurosim.reference.losses import output_slope

Array = np.ndarray
Arrays = dict[str, Array]
Watch = Callable[[int, Arrays], Any]  # number of a step, credit by population -> True to end

ONE = np.ones(1)  # sigma' of linear units; recognised by identity, where a product is then saved


def slope_from_output(activation: str, a: Array, output: Array) -> Array:
    """Slope sigma'(a), from sigma(a) where that is cheaper than from a.

    Parameters
    ----------
    activation : str
    a, output : array of any shape, unit 1
        Net input and sigma(a).

    Returns
    -------
    array of the shape of `a`, or `ONE`, unit 1
    """
    slope: Array
    match activation:
        case "tanh":
            slope = output * output
            np.subtract(1, slope, out=slope)
        case "sigmoid":
            slope = output * (1 - output)
        case "relu":
            slope = (output > 0).astype(float)
        case "softplus":
            slope = -np.expm1(-output)
        case "linear":
            slope = ONE
        case _:
            slope = dsigma(activation, a)
    return slope


@dataclass(frozen=True, repr=False, eq=False)
class Inferred(ByValue):
    """Result of a rival's inference for a batch; `neurosim.alignment` accepts it in place of a run.

    Attributes
    ----------
    method : str
    network : Network
        The given network, not a copy.
    X, Y : dict of str to array
        Clamped inputs by population; encoded targets by population with a loss.
    x : dict of str to array, (patterns, units), unit 1
        Outputs, by population that is not clamped.
    lam : dict of str to array, (patterns, units), unit 1
        The method's credit, its estimate of -dV/dx: the error or multiplier from which its gradient
        is made.
    grad_w : dict of str to array or csr_array, (n_post, n_pre)
        The method's gradient by projection that learns, penalties R(w) included.
    grad_b : dict of str to array, (n,)
        By population.
    steps : int
        Number of steps that every unit takes.
    phases : int
        Number of relaxations in sequence; between two of them a signal from outside is needed.
    states : int
        Numbers that a unit keeps from step to step.
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
        counts = f"{n_patterns(self.x)} patterns, {self.steps} steps, {self.phases} phases"
        return f"Inferred({self.method}, {counts})"


class Frame:
    """An acyclic network with a batch; some populations are variables, the others functions.

    Parameters
    ----------
    net : Network
        Acyclic; constraints are treated as `lin`.
    X : array (patterns, features), or mapping by input population
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss
    functions : names of populations, optional
        Populations whose outputs are not variables but sigma(a) in every step; messages pass
        through them as in backpropagation. By default those without children, as in the papers on
        predictive coding, where the loss is that of the prediction.

    Attributes
    ----------
    order : list of str
        Populations that are not clamped, parents first.
    variables : list of str
        Those of them that are not functions.

    Raises
    ------
    ModelError
        A cyclic network; a function that is not a population.
    DataError
        X or Y do not fit the network.
    """

    def __init__(
        self, net: Network, X: Any, Y: Any, functions: Collection[str] | None = None
    ) -> None:
        order = net.order()
        if order is None:
            cycle = " -> ".join(_cycle(net))
            raise ModelError(
                f"the network has a cycle, {cycle}; allowed for rivals: acyclic networks; "
                "try ns.Simulation"
            )
        _refuse_shared(net)
        if isinstance(functions, str):
            raise out_of_range(
                "functions", functions, "a collection of populations", f"[{functions!r}]"
            )
        for name in () if functions is None else functions:
            choice("a function", str(name), net.neurons)
        self.net, self.clamped = net, patterns(net, X, copy=False)
        self.count = n_patterns(self.clamped)
        self.Y = targets(net, Y, self.count)
        self.order = [n for n in order if n not in self.clamped]
        self.weights = {name: _scalar(w) for name, w in net.weights.items()}
        self.returning = dict(self.weights)
        for name, q in net.projections.items():
            if q.feedback != SYMMETRIC:
                self.returning[name] = net.returning(name)
        self.parents: dict[str, list[tuple[str, Any]]] = {n: [] for n in self.order}
        self.children: dict[str, list[tuple[str, Any]]] = {n: [] for n in net.populations}
        # the part of the net input that does not change: biases and clamped inputs
        self.still = {n: net.biases[n] for n in self.order}
        for name, q in net.projections.items():
            if q.pre in self.clamped:
                self.still[q.post] = self.still[q.post] + self.clamped[q.pre] @ net.weights[name].T
            else:
                w = self.weights[name]
                self.parents[q.post].append((q.pre, w if isinstance(w, float) else w.T))
            self.children[q.pre].append((q.post, self.returning[name]))
        if functions is None:
            functions = [n for n in self.order if not self.children[n]]
        self.functions = frozenset(functions)
        self.variables = [n for n in self.order if n not in self.functions]

    def forward(self) -> Arrays:
        """Return the outputs of every population by the forward pass, clamped ones included."""
        x = dict(self.clamped)
        for n in self.order:
            x[n] = sigma(self.net.populations[n].activation, self.net_input(n, x))
        return x

    def net_input(self, population: str, x: Mapping[str, Array]) -> Array:
        """Net input a = W x + b, (patterns, units), unit 1."""
        a: Array = self.still[population]
        for pre, w in self.parents[population]:
            a = a + _product(x[pre], w)
        if a.ndim == 2:
            return a
        return np.tile(a, (self.count, 1))

    def received(self, population: str, delta: Mapping[str, Array]) -> Array:
        """Wᵀ delta of the children, or B delta; (patterns, units), unit 1."""
        if not self.children[population]:
            return np.zeros((self.count, self.net.populations[population].size))
        back: Any = 0.0
        for post, w in self.children[population]:
            back = back + _product(delta[post], w)
        return np.asarray(back)

    def pull(self, population: str, x: Array) -> Array | float:
        """-dV/dx of a population's loss and of the penalty on its outputs, (patterns, units)."""
        if population not in self.net.losses and not self.net.populations[population].activity_l1:
            return 0.0
        return -output_slope(self.net, population, x, self.Y)

    def gradients(
        self, x: Mapping[str, Array], delta: Mapping[str, Array]
    ) -> tuple[dict[str, Weights], Arrays]:
        """Return the gradients of weights and biases that messages `delta` give.

        Minus the mean of delta xᵀ by projection that learns, plus the slope of R(w); minus the mean
        of delta by population.
        """
        grad_w = {}
        for name, w in plastic(self.net, self.net.weights).items():
            q = self.net.projections[name]
            slope = penalty_slope(self.net, name) - hebbian(self.net, name, delta[q.post], x[q.pre])
            grad_w[name] = with_values(w, slope)
        grad_b = {n: -delta[n].mean(axis=0) for n in self.order}
        return grad_w, grad_b

    def inferred(
        self, method: str, x: Arrays, lam: Arrays, delta: Arrays, **counts: int
    ) -> Inferred:
        """Return the result of an inference whose gradient is made of `delta`."""
        grad_w, grad_b = self.gradients(x, delta)
        return self.result(method, x, lam, grad_w, grad_b, **counts)

    def result(
        self,
        method: str,
        x: Arrays,
        lam: Arrays,
        grad_w: dict[str, Weights],
        grad_b: Arrays,
        **counts: int,
    ) -> Inferred:
        """Return the result of an inference whose gradients are given."""
        outputs = {n: x[n] for n in self.net.neurons}
        credit = {n: lam[n] for n in self.net.neurons}
        return Inferred(
            method, self.net, self.clamped, self.Y, outputs, credit, grad_w, grad_b, **counts
        )


def _cycle(net: Network) -> list[str]:
    """Return the populations of one cycle."""
    import networkx as nx

    graph = nx.DiGraph((q.pre, q.post) for q in net.projections.values())
    edges = nx.find_cycle(graph)
    return [pre for pre, _ in edges] + [edges[-1][1]]


def _product(values: Array, matrix: Any) -> Array:
    """Return values @ matrix, or values times a number that stands for unit-to-unit wiring."""
    if isinstance(matrix, float):
        return np.asarray(values * matrix)
    return np.asarray(values @ matrix)


def _refuse_shared(net: Network) -> None:
    """Refuse weights that sites share, which rivals would move one by one.

    Raises
    ------
    ModelError
        The name of the projection.
    """
    for name, q in net.projections.items():
        if q.shares:
            raise ModelError(
                f"{name} shares its weights over {q.over.kind}; allowed for rivals: weights of "
                "their own; try shared=False"
            )


def _scalar(weights: Weights) -> Weights | float:
    """Return one number for unit-to-unit wiring with a single weight; else the weights, unchanged.

    A product by a number is cheaper than one by a matrix.
    """
    if isinstance(weights, np.ndarray):
        return weights
    square = weights.nnz == len(weights.indptr) - 1 == weights.shape[1]
    if not square:
        return weights
    diagonal = (weights.indices == np.arange(weights.nnz)).all()
    diagonal = diagonal and (np.diff(weights.indptr) == 1).all()
    if diagonal and (weights.data == weights.data[0]).all():
        return float(weights.data[0])
    return weights


def penalty_slope(net: Network, projection: str) -> Array | float:
    """dR/dw of one projection, laid out as its synapses are, unit 1."""
    q = net.projections[projection]
    if not any(q.penalties.values()):
        return 0.0
    slope: Array = q.l2 * synapses(net.weights[projection]) + penalty_subgradient(net, projection)
    return slope
