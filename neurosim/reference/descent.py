"""Full-batch backpropagation with Adam: the yardstick beside Local Propagation. Start at `adam`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurosim.data import patterns, targets
from neurosim.errors import out_of_range
from neurosim.network import Network
from neurosim.reference.adjoint import _backprop, _components, n_patterns, synapses

Array = np.ndarray


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
        Of a network, larger is better (anything that can be compared): the best of those met every `every` steps is
        returned, the first of equals, in place of the last.
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
    moving = [synapses(w) for w in net.weights.values()] + list(net.biases.values())
    means, squares = [np.zeros_like(z) for z in moving], [np.zeros_like(z) for z in moving]
    for step in range(1, epochs + 1):
        found = _backprop(net, components, clamped, encoded)
        gradients = [synapses(found.grad_w[n]) for n in net.weights] + [found.grad_b[n] for n in net.biases]
        for z, gradient, mean, square in zip(moving, gradients, means, squares, strict=True):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            z -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        if score is not None and (step % every == 0 or step == epochs):
            now = score(net)
            if highest is None or now > highest:
                best, highest = net.copy(), now
    return net if score is None else best
