"""Descent by backpropagation: the yardsticks beside the flows (`sgd`) and beside Local Propagation
(`adam`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.errors import out_of_range, whole
from neurosim.model.network import Network
from neurosim.model.weights import synapses
from neurosim.reference.backpropagation import _backprop, _components
from neurosim.reference.functions import n_patterns, plastic, plastic_biases

Array = np.ndarray


def sgd(
    net: Network, X: Any, Y: Any, *, epochs: int, batch: int, rate: float, seed: int = 0
) -> Network:
    """Plain stochastic gradient descent by backpropagation: the yardstick beside the flows.

    Parameters
    ----------
    net : Network
        Is not changed.
    X, Y : array or mapping
        As in `backprop`.
    epochs : int
        Times that every pattern is shown, in an order drawn anew each time.
    batch : int
        Patterns a step; the last batch of an epoch may be smaller.
    rate : float
        Step in w per gradient, unit 1.
    seed : int
        Of the order of the patterns.

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
    """
    whole("epochs", epochs, 0)
    whole("batch", batch, 1)
    if not 0 < rate < np.inf:
        raise out_of_range("rate", rate, "a finite number > 0", "0.1")
    clamped = patterns(net, X)
    count = n_patterns(clamped)
    encoded = targets(net, Y, count)
    net, components, rng = net.copy(), _components(net), np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(count)
        for first in range(0, count, batch):
            shown = order[first : first + batch]
            X_shown, Y_shown = (
                {n: v[shown] for n, v in part.items()} for part in (clamped, encoded)
            )
            step = _backprop(net, components, X_shown, Y_shown)
            for name, gradient in plastic(net, step.grad_w).items():
                synapses(net.weights[name])[...] -= rate * synapses(gradient)
            for name, gradient in plastic_biases(net, step.grad_b).items():
                net.biases[name] -= rate * gradient
    return net


class Adam:
    """Steps of Adam, in place.

    Parameters
    ----------
    moving : list of array
        What is changed.
    rate : float

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """

    def __init__(self, moving: list[Array], rate: float) -> None:
        self.moving, self.rate, self.steps = moving, rate, 0
        self.means, self.squares = ([np.zeros_like(z) for z in moving] for _ in range(2))

    def __call__(self, gradients: list[Array]) -> None:
        """One step against the gradients, of the shapes of what moves."""
        self.steps += 1
        for z, gradient, mean, square in zip(
            self.moving, gradients, self.means, self.squares, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            unbiased = mean / (1 - 0.9**self.steps)
            z -= self.rate * unbiased / (np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8)


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
    """Descent of the mean loss and the prices by Adam; every step sees all patterns.

    Parameters
    ----------
    net : Network
        Is not changed.
    X, Y : array or mapping
        As in `backprop`.
    epochs : int
        Steps.
    rate : float
        Of Adam.
    score : callable, optional
        Of a network, larger is better (anything that can be compared): the best of those met every
        `every` steps is returned, the first of equals, in place of the last.
    every : int

    Returns
    -------
    Network
        A copy with the learnt weights.

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """
    if not 0 < rate < np.inf:
        raise out_of_range("rate", rate, "a finite number > 0", "0.001")
    clamped = patterns(net, X)
    encoded = targets(net, Y, n_patterns(clamped))
    net, components = net.copy(), _components(net)
    best, highest = net, None
    moving = [
        *(synapses(w) for w in plastic(net, net.weights).values()),
        *plastic_biases(net, net.biases).values(),
    ]
    descend = Adam(moving, rate)
    for step in range(1, epochs + 1):
        found = _backprop(net, components, clamped, encoded)
        gradients = plastic(net, found.grad_w).values()
        descend(
            [*map(synapses, gradients), *(found.grad_b[n] for n in plastic_biases(net, net.biases))]
        )
        if score is not None and (step % every == 0 or step == epochs):
            now = score(net)
            if highest is None or now > highest:
                best, highest = net.copy(), now
    return net if score is None else best
