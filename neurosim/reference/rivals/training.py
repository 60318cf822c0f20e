"""Training by any rival: inference of a batch, then one step of the weights. Start at `train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.data.patterns import patterns, targets
from neurosim.errors import out_of_range, unknown, whole
from neurosim.model.network import Network
from neurosim.model.weights import synapses
from neurosim.reference.descent import Adam
from neurosim.reference.functions import n_patterns, plastic, plastic_biases
from neurosim.reference.rivals.dual import dual_propagation
from neurosim.reference.rivals.energy import growing_penalty, pc_alm, predictive_coding, relax
from neurosim.reference.rivals.equilibrium import equilibrium_propagation

Method = Callable[..., Any]

METHODS: Mapping[str, Method] = {
    "backprop": reference.backprop,
    "predictive_coding": predictive_coding,
    "pc_alm": pc_alm,
    "growing_penalty": growing_penalty,
    "equilibrium_propagation": equilibrium_propagation,
    "dual_propagation": dual_propagation,
    "relax": relax,
}
OPTIMISERS = ("sgd", "adam")


def train(
    net: Network,
    X: Any,
    Y: Any,
    method: str | Method = "backprop",
    *,
    epochs: int,
    batch: int,
    rate: float,
    optimiser: str = "sgd",
    seed: int = 0,
    visit: Callable[[int, Network, Any], Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Network:
    """Descent along a rival's own gradient: inference from the forward pass for every batch, then
    one step.

    Parameters
    ----------
    net : Network
        Is not changed.
    X, Y : array or mapping
        As in `reference.backprop`.
    method : str or callable
        A name of `METHODS`, or a function of (net, X, Y) whose result has grad_w and grad_b.
    epochs, batch : int
        Times that the patterns are shown, in an order drawn anew each time; what is left when
        `batch` does not divide them waits for another epoch.
    rate : float
        Of the optimiser.
    optimiser : "sgd" or "adam"
    seed : int
        Of the order.
    visit : callable, optional
        Gets the number of each update, the network before it and what was inferred.
    options : mapping, optional
        Passed on to the method.

    Returns
    -------
    Network
        A copy with the learnt weights.

    Raises
    ------
    ModelError, DataError
        What does not fit.
    DivergenceError
        An inference left the finite numbers.
    """
    if isinstance(method, str) and method not in METHODS:
        raise unknown("method", method, METHODS)
    if optimiser not in OPTIMISERS:
        raise unknown("optimiser", optimiser, OPTIMISERS)
    if not 0 < rate < np.inf:
        raise out_of_range("rate", rate, "a finite number > 0", "0.1")
    infer = METHODS[method] if isinstance(method, str) else method
    clamped = patterns(net, X)
    count = n_patterns(clamped)
    if whole("batch", batch, 1) > count:
        raise out_of_range("batch", batch, f"1 to {count}, the patterns")
    encoded = targets(net, Y, count)
    net, rng, update = net.copy(), np.random.default_rng(seed), 0
    moving = [
        *(synapses(w) for w in plastic(net, net.weights).values()),
        *plastic_biases(net, net.biases).values(),
    ]
    step = Adam(moving, rate) if optimiser == "adam" else _sgd(moving, rate)
    for _ in range(whole("epochs", epochs, 0)):
        order = rng.permutation(count)
        for first in range(0, count - batch + 1, batch):
            shown = order[first : first + batch]
            X_shown, Y_shown = (
                {n: v[shown] for n, v in part.items()} for part in (clamped, encoded)
            )
            found = infer(net, X_shown, Y_shown, **(options or {}))
            if visit is not None:
                visit(update, net, found)
            weights = [synapses(found.grad_w[n]) for n in plastic(net, net.weights)]
            step([*weights, *(found.grad_b[n] for n in plastic_biases(net, net.biases))])
            update += 1
    return net


def _sgd(moving: list[np.ndarray], rate: float) -> Callable[[list[np.ndarray]], None]:
    def step(gradients: list[np.ndarray]) -> None:
        for z, gradient in zip(moving, gradients, strict=True):
            z -= rate * gradient

    return step
