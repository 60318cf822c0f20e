"""Figures of the rivals.

The rivals are compared with their own exact gradients, and the rivals' frame with the engine.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from math import radians

import numpy as np
from scipy.optimize import minimize

import neurosim as ns
from neurosim.reference import rivals
from neurosim.reference.functions import sigma
from neurosim.reference.losses import loss_value
from neurosim.results.metrics import cosine
from tests.helpers.problems import random_problem

Array = np.ndarray
Infer = Callable[..., rivals.Inferred]
Exact = Callable[..., ns.reference.Adjoint]
SEEDS = range(100, 120)
DT = 1e-3  # s


def energy(
    net: ns.Network, X: Array, Y: dict[str, Array], state: dict[str, Array], rho: float = 1.0
) -> float:
    """Return the mean over the patterns of V + rho/2 Σ g², plus R(w).

    Populations that `state` leaves out have the output that their inputs determine.
    """
    cuts = np.cumsum([net.populations[n].size for n in net.inputs])[:-1]
    x = dict(zip(net.inputs, np.split(X, cuts, axis=1), strict=True))
    total = np.zeros(len(X))
    for n in net.order() or ():
        if n in net.inputs:
            continue
        a = net.biases[n] + sum(x[q.pre] @ net.weights[q.name].T for q in net.incoming(n))
        prediction = sigma(net.populations[n].activation, a)
        x[n] = state.get(n, prediction)
        total += rho / 2 * ((x[n] - prediction) ** 2).sum(axis=1)
        if n in net.losses:
            total += loss_value(net.losses[n], x[n], Y[n])
    penalty = sum(q.l2 / 2 * (net.weights[m] ** 2).sum() for m, q in net.projections.items())
    return float(total.mean() + penalty)


def lowest_energy(net: ns.Network, X: Array, Y: dict[str, Array], start: dict[str, Array]) -> float:
    """Return the energy at its minimum over the outputs of all populations that send, by SciPy."""
    inner = [n for n in net.neurons if net.outgoing(n)]
    shapes = [(len(X), net.populations[n].size) for n in inner]
    cuts = np.cumsum([a * b for a, b in shapes])[:-1]

    def value(z: Array) -> float:
        state = {}
        for name, part, shape in zip(inner, np.split(z, cuts), shapes, strict=True):
            state[name] = part.reshape(shape)
        return energy(net, X, Y, state)

    at = np.concatenate([start[n].ravel() for n in inner])
    return float(minimize(value, at, method="BFGS", options={"gtol": 1e-9}).fun)


def slope_of_lowest(
    net: ns.Network, X: Array, Y: dict[str, Array], start: dict[str, Array], name: str
) -> Array:
    """Return the derivatives of `lowest_energy` by the weights of a projection.

    They are central differences, (n_post, n_pre).
    """
    w = net.weights[name]
    slope = np.zeros_like(w)
    for at in np.ndindex(w.shape):
        kept, sides = w[at], []
        for nudge in (1e-4, -1e-4):
            w[at] = kept + nudge
            sides.append(lowest_energy(net, X, Y, start))
        w[at] = kept
        slope[at] = (sides[0] - sides[1]) / 2e-4
    return slope


def against_own_gradients(seeds: range = SEEDS) -> dict[str, list[float]]:
    """Return by method the cosines of gradients to the exact ones.

    For predictive coding each projection is counted, for the others the worst one of each net.
    """
    found: dict[str, list[float]] = {}
    for seed in seeds:
        loss = ("mse", "cross_entropy")[seed % 2]
        net, X, Y = random_problem([4, 4, 3, 2], seed, patterns=3, loss=loss, gain=0.5)
        ref = ns.reference.backprop(net, X, Y)
        ways: dict[str, tuple[Infer, Exact]] = {
            "PC-ALM": (partial(rivals.pc_alm, rho=4, steps=3000), ns.reference.backprop),
            "growing penalty": (
                partial(rivals.growing_penalty, rho_end=300, steps=3000),
                ns.reference.backprop,
            ),
            "dual propagation": (partial(rivals.dual_propagation, beta=0.1), ns.reference.backprop),
            "equilibrium propagation": (
                partial(rivals.equilibrium_propagation, steps=200, nudged_steps=200),
                rivals.equilibrium_adjoint,
            ),
        }
        for name, (infer, exact) in ways.items():
            near = ns.alignment(infer(net, X, Y), exact(net, X, Y))
            found.setdefault(name, []).append(min(near.grad_cosine.values()))
        if seed < seeds[4]:  # slow: one minimisation per weight
            own = rivals.predictive_coding(net, X, Y, rate=0.1, steps=3000)
            for name in ref.grad_w:
                exact_slope = slope_of_lowest(net, X, Y, own.x, name)
                near = cosine(own.grad_w[name], exact_slope)
                found.setdefault("predictive coding", []).append(near)
    return found


def of_own_gradients() -> str:
    """Return the figures of `against_own_gradients` as text, one line per method."""
    lines = []
    for name, cosines in against_own_gradients().items():
        lines.append(f"\n  {name}: cosine >= {min(cosines):.5f} ({len(cosines)})")
    return "".join(lines)


FLOWS = {
    "adjoint": ns.Flow.adjoint(tau_x=DT, tau_lam=DT),
    "rotated(75 deg), dt = .6 tau": ns.Flow.rotated(radians(75), tau_x=DT / 0.6, tau_lam=DT / 0.6),
    "damped, dt = .4 tau": ns.Flow.damped(tau_x=DT / 0.4, tau_lam=DT / 0.4),
}


def of_engine(seeds: range = range(100, 101)) -> str:
    """Compare the engine with the rivals' frame on residual nets of 32 layers.

    Reported are the largest difference of lam, and the smallest cosine of the engine's weight
    gradient to backpropagation's; 64 patterns, 64 steps from the forward pass.
    """
    lines = []
    rng = np.random.default_rng(0)
    for seed in seeds:
        net = ns.Network.residual([64, 32, 10], 32, seed=seed)
        X, Y = rng.random((64, 64)), rng.integers(10, size=64)
        ref = ns.reference.backprop(net, X, Y)
        for name, flow in FLOWS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ns.StabilityWarning)
                sim = ns.Simulation(net, flow, dt=DT, backend="numpy")
                run = sim.relax(X, Y, duration=64 * DT, start="forward")
            own = rivals.relax(net, X, Y, flow=flow, dt=DT, steps=64)
            apart = max(float(np.abs(run.lam[n] - own.lam[n]).max()) for n in net.neurons)
            near = ns.alignment(run, ref)
            lowest = min(near.grad_cosine.values())
            lines.append(
                f"\n  net {seed}, {name}: lam apart by {apart:.1g}; "
                f"engine's lowest cosine of dW {lowest:.5f}"
            )
    return "".join(lines)


ROWS: dict[str, Callable[[], str]] = {"rivals": of_own_gradients, "rivals_engine": of_engine}
