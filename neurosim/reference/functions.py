"""The functions of the mathematics in plain NumPy: sigma, V, R and the products of a projection.

Written from the paper, without the engine's equation text. Start at `sigma`, `loss_value` and
`penalty`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, softmax

from neurosim.data.patterns import targets
from neurosim.model import expressions
from neurosim.model.network import Network
from neurosim.model.populations import Loss
from neurosim.model.weights import Weights, at_synapses, synapse_indices, synapses

Array = np.ndarray
# Of a projection: the matrix, (n_post, n_pre), through which errors go back.
Carrier = Callable[[str], Weights]

_SIGMA: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "relu": lambda a: np.maximum(a, 0.0),
    "softplus": lambda a: np.logaddexp(0.0, a),
    "linear": lambda a: a,
}
_DSIGMA: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda a: 1 / np.cosh(np.clip(a, -350, 350)) ** 2,
    "sigmoid": lambda a: expit(a) * expit(-a),
    "relu": lambda a: np.where(a > 0, 1.0, 0.0),
    "softplus": expit,
    "linear": np.ones_like,
}


def loss(net: Network, outputs: Mapping[str, Array], Y: Any) -> float:
    """Mean over the patterns of V, summed over the losses with their weights.

    Parameters
    ----------
    net : Network
    outputs : mapping of str to array, (patterns, units), unit 1
        At least of every population with a loss, as `forward` returns them.
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss

    Raises
    ------
    DataError
        Y does not fit the network.
    """
    if not net.losses:
        return 0.0
    encoded = targets(net, Y, len(outputs[next(iter(net.losses))]))
    return float(sum(loss_value(v, outputs[n], encoded[n]).mean() for n, v in net.losses.items()))


def penalty(net: Network) -> float:
    """R(w) = l1 Σ|w| + (l2/2) Σ w² + row_l1 Σ_i ||w_i.|| + column_l1 Σ_j ||w_.j||, over all
    projections.

    The decay of Kolen and Pollack's rule counts as a part of l2.
    """
    total = 0.0
    for name, q in net.projections.items():
        w = synapses(net.weights[name])
        total += q.l1 * np.abs(w).sum() + q.decay / 2 * np.square(w).sum()
        total += (
            q.row_l1 * _norms(net.weights[name], 0).sum()
            + q.column_l1 * _norms(net.weights[name], 1).sum()
        )
    return float(total)


def kinked_slope(net: Network, projection: str) -> Array:
    """Of l1, row_l1 and column_l1: the subgradient that is 0 at their kinks, laid out as `synapses`
    are.
    """
    weights, q = net.weights[projection], net.projections[projection]
    w = synapses(weights)
    slope: Array = q.l1 * np.sign(w)
    for price, side in ((q.row_l1, 0), (q.column_l1, 1)):
        if price:
            norms = _norms(weights, side)
            inverse = np.divide(price, norms, out=np.zeros_like(norms), where=norms > 0)
            slope = slope + w * (
                inverse[synapse_indices(weights)[side]]
                if w.ndim == 1
                else np.expand_dims(inverse, 1 - side)
            )
    return slope


def _norms(weights: Weights, side: int) -> Array:
    """Euclidean norm of the synapses into each postsynaptic unit (0), out of each presynaptic one
    (1).
    """
    if isinstance(weights, np.ndarray):
        return np.asarray(np.sqrt(np.square(weights).sum(axis=1 - side)))
    return np.sqrt(
        np.bincount(
            synapse_indices(weights)[side], np.square(weights.data), minlength=weights.shape[side]
        )
    )


def sigma(activation: str, a: Array) -> Array:
    """Output sigma(a); `a` and the result have the same shape, unit 1."""
    if activation in _SIGMA:
        return _SIGMA[activation](a)
    return _filled(expressions.numpy_function(activation, ("a",))(a), a)


def dsigma(activation: str, a: Array) -> Array:
    """Slope sigma'(a), of the shape of `a`, unit 1; 0 at the kink of relu."""
    if activation in _DSIGMA:
        return _DSIGMA[activation](a)
    return _filled(expressions.numpy_derivative(activation, ("a",), "a")(a), a)


def loss_value(loss: Loss, x: Array, y: Array) -> Array:
    """V of each pattern, (patterns,), times the loss's weight; `x` and `y` are (patterns, units)."""
    match loss.kind:
        case "mse":
            terms = (x - y) ** 2 / 2
        case "cross_entropy" | "policy":
            terms = -y * log_softmax(x, axis=1)
        case "squared_hinge":
            terms = np.maximum(0.0, 1 - y * x) ** 2 / 2
        case "eps_insensitive":
            terms = np.maximum(0.0, np.abs(x - y) - loss.epsilon)
        case formula:
            terms = _filled(expressions.numpy_function(formula, ("x", "y"))(x, y), x)
    return np.asarray(loss.weight * terms.sum(axis=1))


def loss_slope(loss: Loss, x: Array, y: Array) -> Array:
    """dV/dx, (patterns, units), times the loss's weight."""
    match loss.kind:
        case "mse":
            slope = x - y
        case "cross_entropy" | "policy":
            slope = softmax(x, axis=1) * y.sum(axis=1, keepdims=True) - y
        case "squared_hinge":
            slope = -y * np.maximum(0.0, 1 - y * x)
        case "eps_insensitive":
            slope = np.where(np.abs(x - y) > loss.epsilon, np.sign(x - y), 0.0)
        case formula:
            slope = _filled(expressions.numpy_derivative(formula, ("x", "y"), "x")(x, y), x)
    return np.asarray(loss.weight * slope)


def own_slope(net: Network, population: str, x: Array, Y: Mapping[str, Array]) -> Array:
    """d/dx of what is asked of a population's outputs themselves: its loss, and the price of its
    outputs.
    """
    slope: Array = net.populations[population].activity_l1 * np.sign(x)
    return (
        slope + loss_slope(net.losses[population], x, Y[population])
        if population in net.losses
        else slope
    )


def activity_price(net: Network, population: str, x: Array) -> Array:
    """activity_l1 Σ|x| of each pattern, (patterns,)."""
    return np.asarray(net.populations[population].activity_l1 * np.abs(x).sum(axis=1))


def net_input(net: Network, population: str, x: Mapping[str, Array]) -> Array:
    """a = W x + b, (patterns, units): what the parents send forward, over all projections."""
    a = np.tile(net.biases[population], (n_patterns(x), 1))
    for q in net.incoming(population):
        a += x[q.pre] @ net.weights[q.name].T
    return a


def received(
    net: Network, population: str, delta: Mapping[str, Array], back: Carrier | None = None
) -> Array:
    """Wᵀ delta, (patterns, units): what the children send back, over all projections.

    `back` gives the matrix of a projection, (n_post, n_pre), by default that which its messages
    return through.
    """
    back = back or net.returning
    total = np.zeros((n_patterns(delta), net.populations[population].size))
    for q in net.outgoing(population):
        total += delta[q.post] @ back(q.name)
    return total


def hebbian(weights: Weights, delta: Array, x: Array) -> Array:
    """Mean over the patterns of delta_i x_j at every synapse, laid out as `synapses` are.

    Parameters
    ----------
    weights : array or csr_array, (n_post, n_pre)
        Says which synapses exist.
    delta : (patterns, n_post), unit 1
    x : (patterns, n_pre), unit 1
    """
    return at_synapses(weights, (delta / len(x)).T @ x)


def plastic(net: Network, gradients: Mapping[str, Weights]) -> dict[str, Weights]:
    """Those of the projections that learn."""
    return {name: g for name, g in gradients.items() if net.projections[name].plastic}


def plastic_biases(net: Network, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """Those of the populations whose biases learn."""
    return {name: g for name, g in gradients.items() if net.populations[name].plastic_bias}


def n_patterns(arrays: Mapping[str, Array]) -> int:
    """Number of patterns in arrays by population."""
    return len(next(iter(arrays.values())))


def _filled(values: Any, like: Array) -> Array:
    """A user's formula may be a constant: give it the shape of its variable."""
    return np.array(np.broadcast_to(values, like.shape), dtype=float)


_DDSIGMA: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda a: -2 * np.tanh(a) * dsigma("tanh", a),
    "sigmoid": lambda a: expit(a) * expit(-a) * (1 - 2 * expit(a)),
    "relu": np.zeros_like,
    "softplus": lambda a: expit(a) * expit(-a),
    "linear": np.zeros_like,
}


def ddsigma(activation: str, a: Array) -> Array:
    """Second derivative sigma''(a), of the shape of `a`, unit 1; 0 at the kink of relu.

    Raises
    ------
    ModelError
        A user's formula whose second derivative is not a plain formula.
    """
    if activation in _DDSIGMA:
        return _DDSIGMA[activation](a)
    return np.asarray(a * 0 + expressions.numpy_derivative(activation, ("a",), "a", 2)(a))


def loss_curvature(loss: Loss, x: Array, y: Array, dx: Array) -> Array:
    """Change of dV/dx along dx, (..., patterns, units), times the loss's weight; `x` and `y` are
    (patterns, units).

    Raises
    ------
    ModelError
        A user's formula whose second derivative is not a plain formula.
    """
    match loss.kind:
        case "mse":
            change = dx
        case "cross_entropy" | "policy":
            p = softmax(x, axis=1)
            change = y.sum(axis=1, keepdims=True) * p * (dx - (p * dx).sum(axis=-1, keepdims=True))
        case "squared_hinge":
            change = y**2 * (y * x < 1) * dx
        case "eps_insensitive":
            change = np.zeros_like(dx)
        case formula:
            change = expressions.numpy_derivative(formula, ("x", "y"), "x", 2)(x, y) * dx
    return np.asarray(loss.weight * change)
