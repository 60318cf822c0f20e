"""Backpropagation in plain NumPy, with the implicit adjoint on cyclic graphs.

Above `functions`, whose formulas are not shared with the engine. `loops` and `in_time` solve the
cycles. Start at `backprop`.

References
----------
Cycles: Almeida 1987; Pineda, Phys. Rev. Lett. 59, 2229 (1987): recurrent backpropagation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.data.sample_weights import of_mean_one, sample_weights, weighted_mean
from neurosim.errors import unknown
from neurosim.model.display import short_repr
from neurosim.model.network import Network
from neurosim.model.values import ByValue
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import (
    BackwardWeights,
    dsigma,
    hebbian,
    n_patterns,
    net_input,
    of_biases,
    penalty,
    penalty_subgradient,
    received,
    sigma,
)
from neurosim.reference.in_time import InTime
from neurosim.reference.loops import Loop
from neurosim.reference.losses import activity_penalty, loss_value, output_slope

Array = np.ndarray
# populations that reach each other, and whether they form a cycle (one that reaches itself does)
Component = tuple[list[str], bool]

THROUGH = ("weights", "feedback")  # matrices that errors can go back through


@dataclass(frozen=True, eq=False, repr=False)
class Adjoint(ByValue):
    """Outputs, adjoint and gradients of a batch, by backpropagation.

    Attributes
    ----------
    x : dict of str to array, (patterns, units), unit 1
        Outputs of every population, clamped ones included.
    lam : dict of str to array, (patterns, units), unit 1
        -dV/dx of each pattern, through all that x drives, by population that is not clamped. The
        penalty on outputs counts as part of V.
    grad_w : dict of str to array or csr_array, (n_post, n_pre)
        Gradient of `loss` + `penalty`, by projection; sparse where the weights are. At a kink of a
        penalty it is the subgradient that is 0 there.
    grad_b : dict of str to array, (n,)
        Gradient of `loss`, by population.
    loss : float
        Mean over the patterns of V, weights of the losses included.
    penalty : float
        R(w), as `functions.penalty`, and the mean over the patterns of activity_l1 Σ|x|.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    grad_w: dict[str, Weights]
    grad_b: dict[str, Array]
    loss: float
    penalty: float

    __repr__ = short_repr


@checked
def forward(net: Network, X: Any) -> dict[str, Array]:
    """Return all outputs by a forward pass; on a cycle, the fixed point x = sigma(W x + b).

    A cycle *contracts* if the plain iteration x <- sigma(W x + b) settles from x = 0, and at the
    same point from three starts far outside it (all high, all low, mixed signs). A cycle with
    several fixed points, or one that rings, is refused: the gains of a flow would decide which
    point it finds.

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping by input population

    Returns
    -------
    dict of str to array, (patterns, units), unit 1
        Outputs of every population, clamped ones included; fixed points to about 1e-14.

    Raises
    ------
    DataError
        X does not fit the network.
    ConvergenceError
        A cycle does not contract. The message gives its populations, its spectral norm and radius,
        and a factor on the weights that makes it contract.

    Examples
    --------
    >>> net = Network.mlp([2, 3, 1])
    >>> forward(net, [[1.0, 2.0]])["hidden1"].shape
    (1, 3)
    """
    return _forward(net, strong_components(net), patterns(net, X))


@checked
def backprop(
    net: Network, X: Any, Y: Any, through: str = "weights", *, sample_weight: Any = None
) -> Adjoint:
    """Return outputs, adjoint and gradients of the mean loss over a batch, by backpropagation.

    On a cycle the adjoint is implicit: per pattern (I - Wᵀ D) lam = -dV/dx with D = diag sigma'(a).

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping by input population
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss
    through : {"weights", "feedback"}
        Matrices that errors go back through: Wᵀ, which is backpropagation; or the feedback weights
        B where the feedback is not symmetric. lam is then where a flow through B rests, and the
        "gradients" are the directions that plasticity follows there.
    sample_weight : (patterns,), optional
        Weights of the patterns in the mean; lam of a pattern does not depend on its weight.

    Returns
    -------
    Adjoint

    Raises
    ------
    DataError
        X, Y or the weights do not fit the network or its patterns.
    ModelError
        An unknown `through`.
    ConvergenceError
        A cycle does not contract, see `forward`.

    Examples
    --------
    >>> net = Network.mlp([2, 1], loss="mse")
    >>> ref = backprop(net, [[1.0, 2.0]], [[0.0]])
    >>> bool(np.allclose(ref.lam["output"], -ref.x["output"]))
    True
    """
    clamped, Y, back = _encoded(net, X, Y, through)
    weights = sample_weights(sample_weight, n_patterns(clamped))
    return backprop_encoded(net, strong_components(net), clamped, Y, back, weights)


@checked
def multipliers(net: Network, X: Any, Y: Any, through: str = "weights") -> dict[str, Array]:
    """Return lam of `backprop` alone, by population; no array of the size of the weights is made.

    Parameters
    ----------
    net, X, Y, through
        As in `backprop`.

    Returns
    -------
    dict of str to array, (patterns, units), unit 1

    Raises
    ------
    DataError, ModelError, ConvergenceError
        As `backprop`.
    """
    clamped, Y, back = _encoded(net, X, Y, through, copy=False)
    _, lam, _ = _adjoint(net, strong_components(net), clamped, Y, back)
    return {n: lam[n] for n in net.neurons}


def _encoded(
    net: Network, X: Any, Y: Any, through: str, copy: bool = True
) -> tuple[dict[str, Array], dict[str, Array], BackwardWeights]:
    """Return encoded inputs and targets, and the matrices that errors go back through."""
    if through not in THROUGH:
        raise unknown("through", through, THROUGH)
    clamped = patterns(net, X, copy=copy)
    encoded = targets(net, Y, n_patterns(clamped))
    back: BackwardWeights = net.weights.__getitem__
    if through == "feedback":
        back = net.returning
    return clamped, encoded, back


def strong_components(net: Network) -> list[Component]:
    """Return the strongly connected components, parents first; a cycle is solved as a whole."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(net.populations)
    graph.add_edges_from((q.pre, q.post) for q in net.projections.values())
    condensed = nx.condensation(graph)
    components = []
    for node in nx.topological_sort(condensed):
        members = condensed.nodes[node]["members"]
        names = sorted(members)
        cyclic = len(names) > 1 or graph.has_edge(names[0], names[0])
        components.append((names, cyclic))
    return components


def _forward(
    net: Network, components: list[Component], clamped: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the outputs of all populations, in the order of the network."""
    x = dict(clamped)
    for names, cyclic in components:
        order = net.causal_order(names) if cyclic else None
        if order is not None:
            x |= InTime(net, order).forward(x)
        elif cyclic:
            x |= Loop(net, names).fixed_point(x)
        elif names[0] not in clamped:
            n = names[0]
            a = net_input(net, n, x)
            x[n] = sigma(net.populations[n].activation, a)
    return {n: x[n] for n in net.populations}


def backprop_encoded(
    net: Network,
    components: list[Component],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    back: BackwardWeights | None = None,
    weights: Array | None = None,
) -> Adjoint:
    """Return `backprop` of encoded data and known components, for loops over many batches."""
    back = back or net.weights.__getitem__
    x, lam, delta = _adjoint(net, components, clamped, Y, back)
    grad_w = {}
    for name, q in net.projections.items():
        w = net.weights[name]
        decay = q.decay * synapses(w)
        slope = decay + penalty_subgradient(net, name)
        product = hebbian(net, name, counted(delta[q.post], weights), x[q.pre])
        grad_w[name] = with_values(w, slope - product)
    losses = []
    for n, loss in net.losses.items():
        by_pattern = loss_value(loss, x[n], Y[n], net.populations[n].features)
        losses.append(weighted_mean(by_pattern, weights))
    lam_in_order = {}
    grad_b = {}
    activity = []
    for n in net.neurons:
        lam_in_order[n] = lam[n]
        grad_b[n] = -of_biases(net, n, counted(delta[n], weights))
        by_pattern = activity_penalty(net, n, x[n])
        activity.append(weighted_mean(by_pattern, weights))
    return Adjoint(
        x=x,
        lam=lam_in_order,
        grad_w=grad_w,
        grad_b=grad_b,
        loss=float(sum(losses)),
        penalty=penalty(net) + float(sum(activity)),
    )


def counted(delta: Array, weights: Array | None) -> Array:
    """Return delta times the weight of its pattern, where patterns have weights, of mean 1."""
    if weights is None:
        return delta
    return np.asarray(delta * of_mean_one(weights)[:, None])


def _adjoint(
    net: Network,
    components: list[Component],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    back: BackwardWeights,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Return x, lam and delta = sigma'(a) lam of every pattern, by a pass forward and one back."""
    x = _forward(net, components, clamped)
    slopes = {}
    for n in net.neurons:
        a = net_input(net, n, x)
        slopes[n] = dsigma(net.populations[n].activation, a)
    lam: dict[str, Array] = {}
    # Children come first. Within a cycle the messages are still 0: `Loop.adjoint` solves for them.
    delta = {n: np.zeros_like(x[n]) for n in net.neurons}
    for names, cyclic in reversed(components):
        if names[0] in clamped:
            continue
        for n in names:
            slope = output_slope(net, n, x[n], Y)
            lam[n] = -slope + received(net, n, delta, back)
        order = net.causal_order(names) if cyclic else None
        if order is not None:
            lam |= InTime(net, order).backward(slopes, lam, back)
        elif cyclic:
            lam |= Loop(net, names).adjoint(slopes, lam, back)
        for n in names:
            delta[n] = slopes[n] * lam[n]
    return x, lam, delta
