"""Descent by backpropagation: `sgd`, the baseline of flows; `adam`, that of Local Propagation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.errors import number, whole
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses
from neurosim.reference.backpropagation import backprop_encoded, strong_components
from neurosim.reference.functions import n_patterns, plastic, plastic_biases, rows_of

Array = np.ndarray


@checked
def sgd(
    net: Network, X: Any, Y: Any, *, epochs: int, batch: int, rate: float, seed: int = 0
) -> Network:
    """Train by plain stochastic gradient descent, the baseline for the flows.

    Parameters
    ----------
    net : Network
        Is not changed.
    X, Y : array or mapping
        As in `backprop`.
    epochs : int
        Number of times that every pattern is shown, in an order drawn anew each time.
    batch : int
        Patterns per step; the last batch of an epoch may be smaller.
    rate : float
        Step in w per gradient, unit 1.
    seed : int
        Seed of the order of the patterns.

    Returns
    -------
    Network
        A copy with the learnt weights.

    Raises
    ------
    DataError
        X or Y do not fit the network.
    ModelError
        `epochs`, `batch` or `rate` out of range.
    ConvergenceError
        A cycle stopped contracting on the way.

    Examples
    --------
    >>> net = Network.mlp([2, 1], loss="mse")
    >>> learnt = sgd(net, [[1.0, 2.0]], [[0.5]], epochs=50, batch=1, rate=0.1)
    """
    whole("epochs", epochs, 0)
    whole("batch", batch, 1)
    number("rate", rate, above=0, try_="0.1")
    clamped = patterns(net, X)
    count = n_patterns(clamped)
    encoded = targets(net, Y, count)
    net = net.copy()
    components = strong_components(net)
    rng = np.random.default_rng(whole("seed", seed, 0))
    for _ in range(epochs):
        order = rng.permutation(count)
        for first in range(0, count, batch):
            shown = order[first : first + batch]
            X_shown, Y_shown = rows_of(clamped, shown), rows_of(encoded, shown)
            found = backprop_encoded(net, components, X_shown, Y_shown)
            for name, gradient in plastic(net, found.grad_w).items():
                synapses(net.weights[name])[...] -= rate * synapses(gradient)
            for name, bias_gradient in plastic_biases(net, found.grad_b).items():
                net.biases[name] -= rate * bias_gradient
    return net


class Adam:
    """Steps of Adam, in place, with decay rates 0.9 and 0.999.

    Parameters
    ----------
    moving : list of array
        Arrays that are changed.
    rate : float

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """

    def __init__(self, moving: list[Array], rate: float) -> None:
        self.moving = moving
        self.rate = rate
        self.steps = 0
        self.means = [np.zeros_like(z) for z in moving]
        self.squares = [np.zeros_like(z) for z in moving]

    def __call__(self, gradients: list[Array]) -> None:
        """Take one step against the gradients, of the shapes of the moving arrays."""
        self.steps += 1
        arrays = zip(self.moving, gradients, self.means, self.squares, strict=True)
        for z, gradient, mean, square in arrays:
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            unbiased = mean / (1 - 0.9**self.steps)
            unbiased_square = square / (1 - 0.999**self.steps)
            scale = np.sqrt(unbiased_square) + 1e-8
            z -= self.rate * unbiased / scale


@checked
def adam(
    net: Network,
    X: Any,
    Y: Any,
    *,
    epochs: int,
    rate: float,
    score: Callable[[Network], Any] | None = None,
    every: int = 50,
) -> Network:
    """Descend the mean loss and the penalties by Adam, with all patterns in every step.

    Parameters
    ----------
    net : Network
        Is not changed.
    X, Y : array or mapping
        As in `backprop`.
    epochs : int
        Number of steps.
    rate : float
        Rate of Adam.
    score : callable, optional
        Network -> a value that can be compared; larger is better. The network is scored every
        `every` steps and after the last one. The first with the highest score is returned, in place
        of the last network.
    every : int
        Steps from one score to the next.

    Returns
    -------
    Network
        A copy with the learnt weights.

    Raises
    ------
    DataError
        X or Y do not fit the network.
    ModelError
        `rate` out of range.
    ConvergenceError
        A cycle stopped contracting on the way.

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """
    number("rate", rate, above=0, try_="0.001")
    clamped = patterns(net, X)
    encoded = targets(net, Y, n_patterns(clamped))
    net, components = net.copy(), strong_components(net)
    best, highest = net, None
    descend = Adam(moving_arrays(net, net.weights, net.biases), rate)
    for step in range(1, epochs + 1):
        found = backprop_encoded(net, components, clamped, encoded)
        descend(moving_arrays(net, found.grad_w, found.grad_b))
        if score is not None and (step % every == 0 or step == epochs):
            now = score(net)
            if highest is None or now > highest:
                best, highest = net.copy(), now
    if score is None:
        return net
    return best


def moving_arrays(
    net: Network, by_projection: Mapping[str, Weights], by_population: Mapping[str, Array]
) -> list[Array]:
    """Return the arrays of what learns, projections first: weights and biases, or gradients."""
    weights = [synapses(by_projection[name]) for name, q in net.projections.items() if q.plastic]
    biases = [by_population[n] for n in net.neurons if net.populations[n].plastic_bias]
    return weights + biases
