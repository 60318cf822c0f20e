"""The loss V and the penalty on outputs in plain NumPy, with their slopes.

Written from the paper, without the engine's equation text. One softmax is over the features of one
site. Beside `functions`, below `backpropagation` and `ode`. Start at `loss`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from neurosim.arguments import checked
from neurosim.data.patterns import targets
from neurosim.data.sample_weights import sample_weights, weighted_mean
from neurosim.model import expressions
from neurosim.model.network import Network
from neurosim.model.populations import Loss
from neurosim.reference import sites
from neurosim.reference.linear_algebra import check_arrays

Array = np.ndarray


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
        value = loss_value(v, outputs[n], encoded[n], net.populations[n].features)
        total += float(weighted_mean(value, weights))
    return total


def loss_value(loss: Loss, x: Array, y: Array, features: int = 0) -> Array:
    """V for each pattern, summed over its sites, times the loss's weight.

    Parameters
    ----------
    loss : Loss
    x, y : array, (patterns, units), unit 1
        Outputs and encoded targets.
    features : int
        Units at each site, which one softmax is over; 0 for all units.

    Returns
    -------
    array, (patterns,), unit 1
    """
    match loss.kind:
        case "mse":
            terms = (x - y) ** 2 / 2
        case "cross_entropy" | "policy":
            by_site = sites.by_site(x, features or x.shape[-1])
            terms = -y * log_softmax(by_site, axis=-1).reshape(x.shape)
        case "squared_hinge":
            # a target of 0 is none
            terms = np.where(y == 0, 0.0, np.maximum(0.0, 1 - y * x) ** 2 / 2)
        case "eps_insensitive":
            terms = np.maximum(0.0, np.abs(x - y) - loss.epsilon)
        case formula:
            terms = _shaped_like(x, expressions.numpy_function(formula, ("x", "y"))(x, y))
    return np.asarray(loss.weight * terms.sum(axis=1))


def loss_slope(loss: Loss, x: Array, y: Array, features: int = 0) -> Array:
    """dV/dx, times the loss's weight; 0 at kinks.

    Parameters
    ----------
    loss : Loss
    x, y : array, (patterns, units), unit 1
        Outputs and encoded targets.
    features : int
        Units at each site, which one softmax is over; 0 for all units.

    Returns
    -------
    array, (patterns, units), unit 1
    """
    match loss.kind:
        case "mse":
            slope = x - y
        case "cross_entropy" | "policy":
            width = features or x.shape[-1]
            share = softmax(sites.by_site(x, width), axis=-1)
            total = sites.by_site(y, width).sum(axis=-1, keepdims=True)
            slope = (share * total).reshape(x.shape) - y
        case "squared_hinge":
            slope = -y * np.maximum(0.0, 1 - y * x)
        case "eps_insensitive":
            slope = np.where(np.abs(x - y) > loss.epsilon, np.sign(x - y), 0.0)
        case formula:
            slope = _shaped_like(x, expressions.numpy_derivative(formula, ("x", "y"), "x")(x, y))
    return np.asarray(loss.weight * slope)


def loss_curvature(loss: Loss, x: Array, y: Array, dx: Array, features: int = 0) -> Array:
    """Change of dV/dx along dx, times the loss's weight.

    Parameters
    ----------
    loss : Loss
    x, y : array, (patterns, units), unit 1
        Outputs and encoded targets.
    dx : array, (..., patterns, units), unit 1
        Directions.
    features : int
        Units at each site, which one softmax is over; 0 for all units.

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
            width = features or x.shape[-1]
            p = softmax(sites.by_site(x, width), axis=-1)
            moved = sites.by_site(dx, width)
            around = moved - (p * moved).sum(axis=-1, keepdims=True)
            total = sites.by_site(y, width).sum(axis=-1, keepdims=True)
            change = (total * p * around).reshape(dx.shape)
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
    features = net.populations[population].features
    return np.asarray(slope + loss_slope(net.losses[population], x, Y[population], features))


def _shaped_like(variable: Array, values: Any) -> Array:
    """Broadcast the values of a user-supplied formula, which may be a constant, to its variable."""
    return np.array(np.broadcast_to(values, variable.shape), dtype=float)
