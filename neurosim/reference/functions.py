"""The paper's functions in plain NumPy, one function for each formula.

Written from the paper, without the engine's equation text, in the paper's order: net input, sigma
and violation; the products that carry messages back and move weights; penalties on weights. The
constraint functions G are in `constraints`, the loss V is in `losses`. Start at `net_input`.

References
----------
Betti, Gori & Marra 2018, arXiv 1808.06934.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from neurosim.model import expressions
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapse_indices, synapses
from neurosim.reference import sites

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
    b = net.biases[population]
    sites = net.populations[population].size // len(b)  # that share the biases
    a = np.tile(b, (n_patterns(x), sites))
    for q in net.incoming(population):
        a += product(net, q.name, x[q.pre])
    return a


def product(net: Network, projection: str, x: Array) -> Array:
    """W x of one projection.

    Parameters
    ----------
    net : Network
    projection : str
    x : array, (..., n_pre), unit 1

    Returns
    -------
    array, (..., n_post), unit 1
    """
    w = net.weights[projection]
    connected = net.between(projection)
    if connected is not None:
        return sites.product(connected, w, x)
    return times(x, w.T)


def times(v: Array, matrix: Any) -> Array:
    """Product v @ matrix over the last axis, for any leading axes; the matrix may be sparse."""
    *leading, units = v.shape
    found = v.reshape(-1, units) @ matrix
    return np.asarray(found.reshape(*leading, matrix.shape[1]))


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
        total += returned(net, q.name, delta[q.post], back(q.name))
    return total


def returned(net: Network, projection: str, delta: Array, back: Weights) -> Array:
    """Wᵀ delta of one projection.

    Parameters
    ----------
    net : Network
    projection : str
    delta : array, (..., n_post), unit 1
    back : array or csr_array
        W, or Bᵀ, in the layout of the weights.

    Returns
    -------
    array, (..., n_pre), unit 1
    """
    connected = net.between(projection)
    if connected is not None:
        return sites.returned(connected, back, delta)
    return times(delta, back)


def hebbian(net: Network, projection: str, delta: Array, x: Array) -> Array:
    """Mean over the patterns of delta_i x_j at every synapse; shared ones sum over the sites.

    Parameters
    ----------
    net : Network
    projection : str
        Its weights say which synapses exist.
    delta : array, (..., patterns, n_post), unit 1
    x : array, (..., patterns, n_pre), unit 1
        One of the two may have leading axes.

    Returns
    -------
    array, (..., synapses as `synapses` of the weights lays them out), unit 1
    """
    w = net.weights[projection]
    connected = net.between(projection)
    if connected is not None:
        return sites.gradient(connected, delta, x)
    mean = np.swapaxes(delta / x.shape[-2], -1, -2) @ x
    if isinstance(w, np.ndarray):
        return np.asarray(mean)
    post, pre = synapse_indices(w)
    return np.asarray(mean[..., post, pre])


def of_biases(net: Network, population: str, delta: Array) -> Array:
    """Mean over the patterns of delta for every bias; shared ones sum over the sites.

    Parameters
    ----------
    net : Network
    population : str
    delta : array, (..., patterns, units), unit 1

    Returns
    -------
    array, (..., biases), unit 1
    """
    mean = delta.mean(axis=-2)
    size = len(net.biases[population])
    return np.asarray(mean.reshape(*mean.shape[:-1], -1, size).sum(axis=-2))


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
            slope = slope + w * np.expand_dims(inverse, 1 - side)  # the same for every term
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
        squares = np.square(weights).sum(axis=-1 - side)
        return np.asarray(np.sqrt(squares.reshape(-1, squares.shape[-1]).sum(axis=0)))
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
