"""Equilibrium propagation, centred: a symmetric network settles freely, then nudged both ways.

    F(s) = Σ_i ∫ sigma⁻¹(s_i) ds_i - Σ_projections s_postᵀ W s_pre - bᵀ s (+ beta V)

At rest s = sigma(W s + Wᵀ s + b). Every projection acts in both directions, so the free equilibrium
is not the forward pass. The loss at that equilibrium is the one that is descended, and
`equilibrium_adjoint` gives its exact gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim import reference
from neurosim.arguments import checked
from neurosim.errors import ConvergenceError, ModelError, number, whole
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.weights import synapses, transposed, with_values
from neurosim.reference.functions import hebbian, plastic, sigma
from neurosim.reference.rivals.frame import Array, Arrays, Frame, Inferred, penalty_slope

BOUND = 1e6  # of |s| of a state that settles


@checked
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
    """Contrast two nudged equilibria.

    The contrast is the gradient of the loss at the free equilibrium, with an error of order beta².

    Parameters
    ----------
    net, X, Y
        As in `Frame`. Activations must not decrease anywhere; F has no minimum at rest otherwise.
    beta : float
        Strength of the nudge, + and -.
    steps, nudged_steps : int
        Number of steps s <- s + rate (sigma(...) - s), of all units at once: in the free phase, and
        in each of the two nudged phases that start from its end.
    rate : float
        Share of the way to sigma(...) in each step, in (0, 1].

    Returns
    -------
    Inferred
        `x` is the free equilibrium, `lam` the difference of the nudged net inputs over 2 beta.
        Compare it with `equilibrium_adjoint`.

    Raises
    ------
    ModelError
        An argument out of range; a cyclic network.
    DataError
        X or Y do not fit the network.
    ConvergenceError
        The free phase does not settle: it grows without bound, as where linear units excite each
        other.

    References
    ----------
    Scellier & Bengio, Frontiers in Comput. Neurosci. 11:24 (2017).
    Laborieux et al., Frontiers in Neurosci. 15 (2021).
    """
    number("beta", beta, above=0, try_="0.05")
    number("rate", rate, above=0, most=1, try_="0.5")
    frame = Frame(net, X, Y)
    free = _settle(frame, frame.forward(), 0.0, whole("steps", steps, 1), rate)
    for n, s in free.items():
        largest = np.abs(s).max()
        if not largest < BOUND:
            raise ConvergenceError(
                f"the free phase does not settle with rate = {rate}: |s| = {largest:.2g} in {n}; "
                f"allowed: |s| < {BOUND:g}; try smaller weights"
            )
    nudged_steps = whole("nudged_steps", nudged_steps, 1)
    up = _settle(frame, free, beta, nudged_steps, rate)
    down = _settle(frame, free, -beta, nudged_steps, rate)
    lam = {}
    for n in frame.order:
        lam[n] = (_drive(frame, n, up, beta) - _drive(frame, n, down, -beta)) / (2 * beta)
    grad_w = {}
    for name, w in plastic(net, net.weights).items():
        q = net.projections[name]
        nudged_up = hebbian(net, name, up[q.post], up[q.pre])
        contrast = nudged_up - hebbian(net, name, down[q.post], down[q.pre])
        grad_w[name] = with_values(w, penalty_slope(net, name) - contrast / (2 * beta))
    grad_b = {n: -(up[n] - down[n]).mean(axis=0) / (2 * beta) for n in frame.order}
    total = steps + 2 * nudged_steps
    return frame.result(
        "equilibrium_propagation", free, lam, grad_w, grad_b, steps=total, phases=3, states=3
    )


@checked
def equilibrium_adjoint(net: Network, X: Any, Y: Any) -> reference.Adjoint:
    """Return the exact gradient of the loss at the free equilibrium, by implicit differentiation.

    The network with every projection in both directions is cyclic, and `reference.backprop` solves
    for its adjoint. Both directions of a projection have one weight, so their gradients add.

    Parameters
    ----------
    net, X, Y
        As in `reference.backprop`.

    Returns
    -------
    Adjoint
        Gradients by projection of `net`.

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
            gradient = gradient + synapses(transposed(found.grad_w[back]))
        grad_w[name] = with_values(net.weights[name], gradient)
    return reference.Adjoint(found.x, found.lam, grad_w, found.grad_b, found.loss, found.penalty)


@checked
def symmetric(net: Network) -> Network:
    """Return the network with each projection between neurons in both directions, by one weight.

    Raises
    ------
    ModelError
        Two populations already project to each other.
    """
    between = [q for q in net.projections.values() if q.pre in net.neurons]
    for q in between:
        if f"{q.post}->{q.pre}" in net.projections:
            raise ModelError(
                f"{q.pre} and {q.post} project to each other; allowed: acyclic networks; "
                f"try without {q.post}->{q.pre}"
            )
    projections = [
        Projection(q.pre, q.post, net.weights[n], **q.options) for n, q in net.projections.items()
    ]
    projections += [Projection(q.post, q.pre, net.weights[q.name].T) for q in between]
    twin = Network(list(net.populations.values()), projections, list(net.losses.values()))
    twin.biases = {n: b.copy() for n, b in net.biases.items()}
    return twin


def _settle(frame: Frame, state: Arrays, beta: float, steps: int, rate: float) -> Arrays:
    """Step all units at once from a state, nudged by beta."""
    for _ in range(steps):
        moved = dict(state)
        for n in frame.order:
            activation = frame.net.populations[n].activation
            target = sigma(activation, _drive(frame, n, state, beta))
            moved[n] = state[n] + rate * (target - state[n])
        state = moved
    return state


def _drive(frame: Frame, population: str, state: Arrays, beta: float) -> Array:
    """Net input from parents and children plus the nudge, (patterns, units), unit 1."""
    pull: Array | float = 0.0
    if beta:
        pull = beta * frame.pull(population, state[population])
    drive: Array = frame.net_input(population, state) + frame.received(population, state) + pull
    return drive
