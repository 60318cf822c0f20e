"""Dual propagation: every neuron is a dyad whose mean goes forward and whose difference comes back."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.errors import out_of_range, whole
from neurosim.model.network import Network
from neurosim.reference.functions import sigma
from neurosim.reference.rivals.frame import Arrays, Frame, Inferred, Watch


def dual_propagation(
    net: Network, X: Any, Y: Any, *, beta: float = 0.1, steps: int = 1, watch: Watch | None = None
) -> Inferred:
    """Two oppositely nudged states a neuron, from the output down, in closed form.

    ::

        s± = sigma(a ± n/2)      a = W (s⁺ + s⁻)/2 + b      n = Wᵀ (s⁺ - s⁻) - beta dV/dx

    from the children and the parents, the slope of V at sigma(a). n/beta is backpropagation's
    multiplier as beta -> 0, (s⁺ - s⁻)/beta its message delta.

    Parameters
    ----------
    net, X, Y
        As in `Frame`.
    beta : float
        Strength of the nudge.
    steps : int
        Sweeps: a forward pass of the means, then the dyads from the output down.
    watch : callable, optional
        Gets the number of each sweep and n/beta of every population there; ends the inference by
        returning True.

    Returns
    -------
    Inferred
        `x` is the mean, `lam` is n/beta.

    References
    ----------
    Høier, Staudt & Zach, ICML 2023, arXiv 2302.01228, with alpha = 1/2; Høier & Zach, ICML 2024, arXiv 2402.08573.
    """
    if not 0 < beta < np.inf:
        raise out_of_range("beta", beta, "a finite number > 0", "0.1")
    frame = Frame(net, X, Y)
    activation = {n: net.populations[n].activation for n in frame.order}
    mean = dict(frame.clamped)
    nudge: Arrays = {n: np.zeros((frame.count, net.populations[n].size)) for n in frame.order}
    difference = dict(nudge)
    for number in range(1, whole("steps", steps, 1) + 1):
        drive: Arrays = {}
        for n in frame.order:
            drive[n] = frame.net_input(n, mean)
            plus, minus = (sigma(activation[n], drive[n] + side * nudge[n]) for side in (0.5, -0.5))
            mean[n], difference[n] = (plus + minus) / 2, plus - minus
        for n in reversed(frame.order):
            nudge[n] = frame.received(n, difference) + beta * frame.pull(
                n, sigma(activation[n], drive[n])
            )
            plus, minus = (sigma(activation[n], drive[n] + side * nudge[n]) for side in (0.5, -0.5))
            mean[n], difference[n] = (plus + minus) / 2, plus - minus
        if watch is not None and watch(number, {n: v / beta for n, v in nudge.items()}):
            break
    lam, delta = ({n: v[n] / beta for n in frame.order} for v in (nudge, difference))
    return frame.inferred("dual_propagation", mean, lam, delta, steps=number, phases=1, states=2)
