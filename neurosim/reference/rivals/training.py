"""Training by any rival: inference of a batch, then one step of the weights. Start at `train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.errors import choice, number, out_of_range, unknown, whole
from neurosim.model.network import Network
from neurosim.reference.descent import Adam, moving_arrays
from neurosim.reference.functions import n_patterns, rows_of
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


@checked
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
    """Descend along a rival's gradient: an inference for every batch, then one step.

    Parameters
    ----------
    net : Network
        Is not changed.
    X, Y : array or mapping
        As in `reference.backprop`.
    method : str or callable
        A name of `METHODS`, or a function of (net, X, Y) whose result has grad_w and grad_b.
    epochs : int
        Number of times that the patterns are shown, each time in a new random order. Where `batch`
        does not divide their number, the patterns that are left over are not shown in that epoch.
    batch : int
        Patterns per step.
    rate : float
        Rate of the optimiser.
    optimiser : "sgd" or "adam"
    seed : int
        Seed of the order.
    visit : callable, optional
        Called with the number of each update, the network before it and the inferred result.
    options : mapping, optional
        Passed on to the method.

    Returns
    -------
    Network
        A copy with the learnt weights.

    Raises
    ------
    ModelError
        An unknown method or optimiser; an argument out of range.
    DataError
        X or Y do not fit the network.
    DivergenceError
        An inference leaves the finite numbers.

    Examples
    --------
    >>> net = Network.mlp([2, 1], loss="mse")
    >>> X, Y = np.eye(2), np.ones((2, 1))
    >>> learnt = train(net, X, Y, "dual_propagation", epochs=3, batch=2, rate=0.1)
    """
    infer = method
    if isinstance(infer, str):
        if infer not in METHODS:
            raise unknown("method", infer, METHODS)
        infer = METHODS[infer]
        allowed = [n for n, p in signature(infer).parameters.items() if p.kind is p.KEYWORD_ONLY]
        for key in options or ():
            choice(f"option of {method}", key, allowed)
    if optimiser not in OPTIMISERS:
        raise unknown("optimiser", optimiser, OPTIMISERS)
    number("rate", rate, above=0, try_="0.1")
    clamped = patterns(net, X)
    count = n_patterns(clamped)
    if whole("batch", batch, 1) > count:
        raise out_of_range("batch", batch, f"1 to {count}, the patterns")
    encoded = targets(net, Y, count)
    net, rng, update = net.copy(), np.random.default_rng(whole("seed", seed, 0)), 0
    moving = moving_arrays(net, net.weights, net.biases)
    step = Adam(moving, rate) if optimiser == "adam" else _sgd(moving, rate)
    for _ in range(whole("epochs", epochs, 0)):
        order = rng.permutation(count)
        for first in range(0, count - batch + 1, batch):
            shown = order[first : first + batch]
            X_shown, Y_shown = rows_of(clamped, shown), rows_of(encoded, shown)
            found = infer(net, X_shown, Y_shown, **(options or {}))
            if visit is not None:
                visit(update, net, found)
            step(moving_arrays(net, found.grad_w, found.grad_b))
            update += 1
    return net


def _sgd(moving: list[np.ndarray], rate: float) -> Callable[[list[np.ndarray]], None]:
    """Return a function that steps arrays against their gradients, in place."""

    def step(gradients: list[np.ndarray]) -> None:
        for z, gradient in zip(moving, gradients, strict=True):
            z -= rate * gradient

    return step
