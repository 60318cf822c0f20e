"""The paper's functions in plain NumPy, one function for each formula.

Written from the paper, without the engine's equation text, in the paper's order: net input, sigma
and violation; loss and penalties; the products that carry messages back and move weights. The
constraint functions G are in `constraints`. Start at `net_input`.

References
----------
Betti, Gori & Marra 2018, arXiv 1808.06934.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, softmax

from neurosim.arguments import checked
from neurosim.data.patterns import targets
from neurosim.data.sample_weights import sample_weights, weighted_mean
from neurosim.model import expressions
from neurosim.model.network import Network
from neurosim.model.populations import Loss
from neurosim.model.weights import Weights, at_synapses, synapse_indices, synapses
from neurosim.reference.linear_algebra import check_arrays

Array = np.ndarray
# Name of a projection -> the matrix, (n_post, n_pre), through which its messages go back.
BackwardWeights = Callable[[str], Weights]

# --- a, sigma and its derivatives, g


def net_input(net: Network, population: str, x: Mapping[str, Array]) -> Array:
    """Net input a = W x + b, summed over all projections into a population.

    Parameters
    ----------
    net : Network
    population : str
    x : mapping of str to array, (patterns, units), unit 1
        Outputs, at least of the populations that project to it.

    Returns
    -------
    array, (patterns, units), unit 1
    """
    a = np.tile(net.biases[population], (n_patterns(x), 1))
    for q in net.incoming(population):
        a += x[q.pre] @ net.weights[q.name].T
    return a


def sigma(activation: str, a: Array) -> Array:
    """Output sigma(a).

    Parameters
    ----------
    activation : str
        A built-in name, or a formula in `a`.
    a : array of any shape, unit 1

    Returns
    -------
    array of the shape of `a`, unit 1

    Examples
    --------
    >>> sigma("relu", np.array([-1.0, 0.5]))
    array([0. , 0.5])
    """
    output: Array
    match activation:
        case "tanh":
            output = np.tanh(a)
        case "sigmoid":
            output = expit(a)
        case "relu":
            output = np.maximum(a, 0.0)
        case "softplus":
            output = np.logaddexp(0.0, a)
        case "linear":
            output = a
        case formula:
            output = _shaped_like(a, expressions.numpy_function(formula, ("a",))(a))
    return output


def dsigma(activation: str, a: Array) -> Array:
    """Slope sigma'(a); 0 at the kink of relu.

    Parameters
    ----------
    activation : str
    a : array of any shape, unit 1

    Returns
    -------
    array of the shape of `a`, unit 1
    """
    slope: Array
    match activation:
        case "tanh":
            slope = 1 / np.cosh(np.clip(a, -350, 350)) ** 2
        case "sigmoid":
            slope = expit(a) * expit(-a)
        case "relu":
            slope = np.where(a > 0, 1.0, 0.0)
        case "softplus":
            slope = expit(a)
        case "linear":
            slope = np.ones_like(a)
        case formula:
            slope = _shaped_like(a, expressions.numpy_derivative(formula, ("a",), "a")(a))
    return slope


def ddsigma(activation: str, a: Array) -> Array:
    """Second derivative sigma''(a); 0 at the kink of relu.

    Parameters
    ----------
    activation : str
    a : array of any shape, unit 1

    Returns
    -------
    array of the shape of `a`, unit 1

    Raises
    ------
    ModelError
        A user-supplied formula whose second derivative is not a plain formula.
    """
    bend: Array
    match activation:
        case "tanh":
            bend = -2 * np.tanh(a) * dsigma("tanh", a)
        case "sigmoid":
            bend = expit(a) * expit(-a) * (1 - 2 * expit(a))
        case "softplus":
            bend = expit(a) * expit(-a)
        case "relu" | "linear":
            bend = np.zeros_like(a)
        case formula:
            bend = np.asarray(a * 0 + expressions.numpy_derivative(formula, ("a",), "a", 2)(a))
    return bend


def violation_at(activation: str, x: Array, a: Array) -> Array:
    """Violation g = x - sigma(a) of a neuron's constraint.

    Parameters
    ----------
    activation : str
    x, a : array, (patterns, units), unit 1
        Output and net input.

    Returns
    -------
    array, (patterns, units), unit 1
    """
    return np.asarray(x - sigma(activation, a))


def violation(net: Network, population: str, outputs: Mapping[str, Array]) -> Array:
    """Violation g of one population, from the outputs of all.

    Parameters
    ----------
    net : Network
    population : str
    outputs : mapping of str to array, (patterns, units), unit 1

    Returns
    -------
    array, (patterns, units), unit 1
    """
    a = net_input(net, population, outputs)
    return violation_at(net.populations[population].activation, outputs[population], a)


# --- V and the penalty on outputs


@checked
def loss(net: Network, outputs: Mapping[str, Array], Y: Any, *, sample_weight: Any = None) -> float:
    """Mean of V over the patterns, summed over the losses with their weights.

    Parameters
    ----------
    net : Network
    outputs : mapping of str to array, (patterns, units), unit 1
        At least of every population with a loss, as `forward` returns them.
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss
    sample_weight : (patterns,), optional
        Weights of the patterns in the mean.

    Returns
    -------
    float, unit 1

    Raises
    ------
    DataError
        Y or the weights do not fit the network or its patterns.
    """
    if not net.losses:
        return 0.0
    first = outputs.get(next(iter(net.losses)), ())
    count = len(np.atleast_1d(first))
    check_arrays("outputs", outputs, {n: (count, net.populations[n].size) for n in net.losses})
    encoded = targets(net, Y, count)
    weights = sample_weights(sample_weight, count)
    total = 0.0
    for n, v in net.losses.items():
        total += float(weighted_mean(loss_value(v, outputs[n], encoded[n]), weights))
    return total


def loss_value(loss: Loss, x: Array, y: Array) -> Array:
    """V for each pattern, times the loss's weight.

    Parameters
    ----------
    loss : Loss
    x, y : array, (patterns, units), unit 1
        Outputs and encoded targets.

    Returns
    -------
    array, (patterns,), unit 1
    """
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
            terms = _shaped_like(x, expressions.numpy_function(formula, ("x", "y"))(x, y))
    return np.asarray(loss.weight * terms.sum(axis=1))


def loss_slope(loss: Loss, x: Array, y: Array) -> Array:
    """dV/dx, times the loss's weight; 0 at kinks.

    Parameters
    ----------
    loss : Loss
    x, y : array, (patterns, units), unit 1
        Outputs and encoded targets.

    Returns
    -------
    array, (patterns, units), unit 1
    """
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
            slope = _shaped_like(x, expressions.numpy_derivative(formula, ("x", "y"), "x")(x, y))
    return np.asarray(loss.weight * slope)


def loss_curvature(loss: Loss, x: Array, y: Array, dx: Array) -> Array:
    """Change of dV/dx along dx, times the loss's weight.

    Parameters
    ----------
    loss : Loss
    x, y : array, (patterns, units), unit 1
        Outputs and encoded targets.
    dx : array, (..., patterns, units), unit 1
        Directions.

    Returns
    -------
    array of the shape of `dx`, unit 1

    Raises
    ------
    ModelError
        A user-supplied formula whose second derivative is not a plain formula.
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


def activity_penalty(net: Network, population: str, x: Array) -> Array:
    """Penalty on the outputs of a population, activity_l1 Σ|x|, for each pattern.

    Parameters
    ----------
    net : Network
    population : str
    x : array, (patterns, units), unit 1

    Returns
    -------
    array, (patterns,), unit 1
    """
    return np.asarray(net.populations[population].activity_l1 * np.abs(x).sum(axis=1))


def output_slope(
    net: Network, population: str, x: Array, Y: Mapping[str, Array], side: Array | None = None
) -> Array:
    """Slope of a population's loss and of the penalty on its outputs, dV/dx + activity_l1 sign(x).

    Parameters
    ----------
    net : Network
    population : str
    x : array, (patterns, units), unit 1
    Y : mapping of str to array, (patterns, units)
        Encoded targets, by population with a loss.
    side : array, (patterns, units) or (1, units), optional
        Outputs that decide on the side of the penalty's kink at 0; by default x.

    Returns
    -------
    array, (patterns, units), unit 1
    """
    sign = np.sign(x if side is None else side)
    slope: Array = net.populations[population].activity_l1 * sign
    if population not in net.losses:
        return slope
    return np.asarray(slope + loss_slope(net.losses[population], x, Y[population]))


# --- the products of a projection


def received(
    net: Network, population: str, delta: Mapping[str, Array], back: BackwardWeights | None = None
) -> Array:
    """Wᵀ delta, the messages received from the children, summed over all projections.

    Parameters
    ----------
    net : Network
    population : str
    delta : mapping of str to array, (patterns, units), unit 1
        Messages, at least of the populations that it projects to.
    back : callable, optional
        Gives the matrix of a projection, (n_post, n_pre); by default W, or Bᵀ where the feedback is
        not symmetric.

    Returns
    -------
    array, (patterns, units), unit 1
    """
    back = back or net.returning
    total: Array = np.zeros((n_patterns(delta), net.populations[population].size))
    for q in net.outgoing(population):
        total += delta[q.post] @ back(q.name)
    return total


def hebbian(weights: Weights, delta: Array, x: Array) -> Array:
    """Mean over the patterns of delta_i x_j at every synapse.

    Parameters
    ----------
    weights : array or csr_array, (n_post, n_pre)
        Weights whose synapses are the ones that exist.
    delta : array, (patterns, n_post), unit 1
    x : array, (patterns, n_pre), unit 1

    Returns
    -------
    array, laid out as `synapses` of the weights, unit 1
    """
    return at_synapses(weights, (delta / len(x)).T @ x)


# --- R(w)


def penalty(net: Network) -> float:
    """R(w) = l1 Σ|w| + (l2/2) Σ w² + row_l1 Σ_i ||w_i.|| + column_l1 Σ_j ||w_.j||.

    Summed over all projections. The decay of Kolen and Pollack's rule counts as a part of l2.

    Returns
    -------
    float, unit 1
    """
    total = 0.0
    for name, q in net.projections.items():
        w = synapses(net.weights[name])
        rows, columns = (_norms(net.weights[name], side) for side in (0, 1))
        total += q.l1 * np.abs(w).sum() + q.decay / 2 * np.square(w).sum()
        total += q.row_l1 * rows.sum() + q.column_l1 * columns.sum()
    return float(total)


def penalty_subgradient(net: Network, projection: str) -> Array:
    """Subgradient of l1, row_l1 and column_l1 that is 0 at their kinks.

    The slope of l2 is not included.

    Returns
    -------
    array, laid out as `synapses` of the weights, unit 1
    """
    weights, q = net.weights[projection], net.projections[projection]
    w = synapses(weights)
    slope: Array = q.l1 * np.sign(w)
    for factor, side in ((q.row_l1, 0), (q.column_l1, 1)):
        if not factor:
            continue
        norms = _norms(weights, side)
        inverse = np.divide(factor, norms, out=np.zeros_like(norms), where=norms > 0)
        if isinstance(weights, np.ndarray):
            slope = slope + w * np.expand_dims(inverse, 1 - side)
        else:
            slope = slope + w * inverse[synapse_indices(weights)[side]]
    return slope


def _norms(weights: Weights, side: int) -> Array:
    """Euclidean norms of the weights into each unit (side 0), or out of each unit (side 1).

    Returns
    -------
    array, (n_post,) or (n_pre,), unit 1
    """
    if isinstance(weights, np.ndarray):
        return np.asarray(np.sqrt(np.square(weights).sum(axis=1 - side)))
    unit = synapse_indices(weights)[side]
    squares = np.bincount(unit, np.square(weights.data), minlength=weights.shape[side])
    return np.sqrt(squares)


# --- selections and shapes


def plastic(net: Network, by_projection: Mapping[str, Weights]) -> dict[str, Weights]:
    """Select the projections that learn."""
    return {name: v for name, v in by_projection.items() if net.projections[name].plastic}


def plastic_biases(net: Network, by_population: Mapping[str, Array]) -> dict[str, Array]:
    """Select the populations whose biases learn."""
    return {name: v for name, v in by_population.items() if net.populations[name].plastic_bias}


def n_patterns(by_population: Mapping[str, Array]) -> int:
    """Count the patterns in arrays by population."""
    return len(next(iter(by_population.values())))


def rows_of(by_population: Mapping[str, Array], rows: Any) -> dict[str, Array]:
    """Select patterns from arrays by population; `rows` is a slice or a list of indices."""
    return {name: values[rows] for name, values in by_population.items()}


def dense(weights: Weights) -> Array:
    """Return weights as an array, (n_post, n_pre), with 0 where there is no synapse."""
    if isinstance(weights, np.ndarray):
        return weights
    return np.asarray(weights.toarray())


def _shaped_like(variable: Array, values: Any) -> Array:
    """Broadcast the values of a user-supplied formula, which may be a constant, to its variable."""
    return np.array(np.broadcast_to(values, variable.shape), dtype=float)
