"""Dual propagation: each neuron is a dyad that sends its mean forward and its difference back."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import number, whole
from neurosim.model.network import Network
from neurosim.reference.functions import sigma
from neurosim.reference.rivals.frame import Array, Arrays, Frame, Inferred, Watch


@checked
def dual_propagation(
    net: Network, X: Any, Y: Any, *, beta: float = 0.1, steps: int = 1, watch: Watch | None = None
) -> Inferred:
    """Infer two oppositely nudged states per neuron, from the output down, in closed form.

    ::

        s± = sigma(a ± n/2)      a = W (s⁺ + s⁻)/2 + b      n = Wᵀ (s⁺ - s⁻) - beta dV/dx

    with the slope of V at sigma(a). As beta -> 0, n/beta tends to backpropagation's multiplier and
    (s⁺ - s⁻)/beta to its message delta.

    Parameters
    ----------
    net, X, Y
        As in `Frame`.
    beta : float
        Strength of the nudge.
    steps : int
        Number of sweeps: a forward pass of the means, then the dyads from the output down.
    watch : callable, optional
        Called with the number of each sweep and n/beta of every population; ends the inference by
        returning True.

    Returns
    -------
    Inferred
        `x` is the mean (s⁺ + s⁻)/2, `lam` is n/beta.

    Raises
    ------
    ModelError
        `beta` or `steps` out of range; a cyclic network.
    DataError
        X or Y do not fit the network.

    References
    ----------
    Høier, Staudt & Zach, ICML 2023, arXiv 2302.01228, with alpha = 1/2.
    Høier & Zach, ICML 2024, arXiv 2402.08573.
    """
    number("beta", beta, above=0, try_="0.1")
    frame = Frame(net, X, Y)
    activation = {n: net.populations[n].activation for n in frame.order}
    mean = dict(frame.clamped)
    nudge: Arrays = {n: np.zeros((frame.count, net.populations[n].size)) for n in frame.order}
    difference = dict(nudge)
    for sweep in range(1, whole("steps", steps, 1) + 1):
        drive: Arrays = {}
        for n in frame.order:
            drive[n] = frame.net_input(n, mean)
            mean[n], difference[n] = _dyad(activation[n], drive[n], nudge[n])
        for n in reversed(frame.order):
            pull = frame.pull(n, sigma(activation[n], drive[n]))
            nudge[n] = frame.received(n, difference) + beta * pull
            mean[n], difference[n] = _dyad(activation[n], drive[n], nudge[n])
        if watch is not None and watch(sweep, {n: v / beta for n, v in nudge.items()}):
            break
    lam = {n: nudge[n] / beta for n in frame.order}
    delta = {n: difference[n] / beta for n in frame.order}
    return frame.inferred("dual_propagation", mean, lam, delta, steps=sweep, phases=1, states=2)


def _dyad(activation: str, drive: Array, nudge: Array) -> tuple[Array, Array]:
    """Return mean and difference of s± = sigma(a ± n/2), (patterns, units)."""
    plus = sigma(activation, drive + 0.5 * nudge)
    minus = sigma(activation, drive - 0.5 * nudge)
    return (plus + minus) / 2, plus - minus
