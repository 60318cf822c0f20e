"""Equilibrium propagation, centred: the same symmetric network settles freely, then nudged towards
and away.

    F(s) = Σ_i ∫ sigma⁻¹(s_i) ds_i - Σ_projections s_postᵀ W s_pre - bᵀ s (+ beta V); at rest s =
    sigma(W s + Wᵀ s + b)

Every projection works both ways, so the free equilibrium is not the forward pass: the loss that is
descended is another one, and `equilibrium_adjoint` is its exact gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim import reference
from neurosim.errors import ConvergenceError, ModelError, out_of_range, whole
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.weights import synapses, with_values
from neurosim.reference.functions import hebbian, plastic, sigma
from neurosim.reference.rivals.frame import Array, Arrays, Frame, Inferred, priced

BOUND = 1e6  # of a state that is at rest


def equilibrium_propagation(
    net: Network,
    X: Any,
    Y: Any,
    *,
    beta: float = 0.05,
    steps: int = 60,
    nudged_steps: int = 30,
    rate: float = 0.5,
) -> Inferred:
    """The contrast of two nudged equilibria, which meets the gradient of the loss at the free one
    to order beta².

    Parameters
    ----------
    net, X, Y
        As in `Frame`; activations that never fall, else F has no minimum at rest.
    beta : float
        Strength of the nudge, + and -.
    steps, nudged_steps : int
        Of s <- s + rate (sigma(...) - s) of all units at once: freely, then twice from there.
    rate : float
        In (0, 1].

    Returns
    -------
    Inferred
        `x` is the free equilibrium, `lam` the difference of the nudged net inputs over 2 beta. To
        be compared with `equilibrium_adjoint`.

    Raises
    ------
    ConvergenceError
        The free phase does not settle: it grows without bound, as where linear units excite each
        other.

    References
    ----------
    Scellier & Bengio, Frontiers in Comput. Neurosci. 11:24 (2017); Laborieux et al., Frontiers in Neurosci. 15 (2021).
    """
    for name, value, top in (("beta", beta, np.inf), ("rate", rate, 1.0)):
        if not 0 < value <= top or value == np.inf:
            raise out_of_range(name, value, "in (0, 1]" if top == 1 else "a finite number > 0")
    frame = Frame(net, X, Y)
    free = _settle(frame, frame.forward(), 0.0, whole("steps", steps, 1), rate)
    if not all(np.abs(v).max() < BOUND for v in free.values()):
        raise ConvergenceError(
            f"the free phase does not settle with rate = {rate}; allowed: (0, 1]; try "
            "smaller weights"
        )
    up, down = (
        _settle(frame, free, side, whole("nudged_steps", nudged_steps, 1), rate)
        for side in (beta, -beta)
    )
    lam = {
        n: (_drive(frame, n, up, beta) - _drive(frame, n, down, -beta)) / (2 * beta)
        for n in frame.order
    }
    grad_w = {}
    for name, w in plastic(net, net.weights).items():
        q = net.projections[name]
        contrast = hebbian(w, up[q.post], up[q.pre]) - hebbian(w, down[q.post], down[q.pre])
        grad_w[name] = with_values(w, priced(net, name) - contrast / (2 * beta))
    grad_b = {n: -(up[n] - down[n]).mean(axis=0) / (2 * beta) for n in frame.order}
    outputs = {n: free[n] for n in net.neurons}
    return Inferred(
        "equilibrium_propagation",
        net,
        frame.clamped,
        frame.Y,
        outputs,
        {n: lam[n] for n in net.neurons},
        grad_w,
        grad_b,
        steps=steps + 2 * nudged_steps,
        phases=3,
        states=3,
    )


def equilibrium_adjoint(net: Network, X: Any, Y: Any) -> reference.Adjoint:
    """The exact gradient of the loss at the free equilibrium, by implicit differentiation.

    The network with every projection in both directions is a cyclic one, whose adjoint
    `reference.backprop` solves for; both directions of a projection are one weight, so their
    gradients add.

    Raises
    ------
    ConvergenceError
        The free equilibrium is not the only one, see `reference.forward`.
    """
    both = symmetric(net)
    found = reference.backprop(both, X, Y)
    grad_w = {}
    for name, q in net.projections.items():
        back = f"{q.post}->{q.pre}"
        gradient = synapses(found.grad_w[name])
        if back in both.projections:
            turned = found.grad_w[back].T
            gradient = gradient + (
                turned if isinstance(turned, np.ndarray) else turned.tocsr().data
            )
        grad_w[name] = with_values(net.weights[name], gradient)
    return reference.Adjoint(found.x, found.lam, grad_w, found.grad_b, found.loss, found.penalty)


def symmetric(net: Network) -> Network:
    """The network with each projection between neurons both ways, by the same weights.

    Raises
    ------
    ModelError
        Two populations project to each other already.
    """
    between = [q for q in net.projections.values() if q.pre in net.neurons]
    for q in between:
        if f"{q.post}->{q.pre}" in net.projections:
            raise ModelError(
                f"{q.pre} and {q.post} project to each other; allowed: acyclic networks"
            )
    given = [
        Projection(q.pre, q.post, net.weights[n], **q.options) for n, q in net.projections.items()
    ]
    back = [Projection(q.post, q.pre, net.weights[q.name].T) for q in between]
    twin = Network(list(net.populations.values()), [*given, *back], list(net.losses.values()))
    twin.biases = {n: b.copy() for n, b in net.biases.items()}
    return twin


def _settle(frame: Frame, state: Arrays, beta: float, steps: int, rate: float) -> Arrays:
    """Steps of all units at once from a state, nudged by beta."""
    for _ in range(steps):
        target = {
            n: sigma(frame.net.populations[n].activation, _drive(frame, n, state, beta))
            for n in frame.order
        }
        state = {**state, **{n: state[n] + rate * (target[n] - state[n]) for n in target}}
    return state


def _drive(frame: Frame, population: str, state: Arrays, beta: float) -> Array:
    """Net input from parents and children, and the nudge, (patterns, units)."""
    pull = beta * frame.pull(population, state[population]) if beta else 0.0
    drive: Array = frame.net_input(population, state) + frame.received(population, state) + pull
    return drive
