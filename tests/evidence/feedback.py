"""Figures of feedback weights: where flows through B rest, when they are stable, what Kolen-Pollack
learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.data.patterns import targets
from neurosim.experiments import studies
from neurosim.simulation import batch as together

Array = np.ndarray
TAU = 10e-3  # s
PUSH = 1e-6  # from the saddle point, of each x and lam
FAR = 1e-2  # a residual beyond it is no longer small: the push has grown
ANGLES = (0, 30, 60, 90)  # between B and W^T, degrees

FLOWS = {
    "augmented(1)": ns.Flow.augmented(1),
    "augmented(8)": ns.Flow.augmented(8),
    "damped": ns.Flow.damped(),
    "rotated(75 deg)": ns.Flow.rotated(np.radians(75)),
}


def turned_away(net: ns.Network, degrees: float, seed: int) -> ns.Network:
    """Every B of the net at this angle to W^T, of the same length, in a random direction."""
    rng, angle = np.random.default_rng([seed, 2]), np.radians(degrees)
    for name in net.feedback:
        w = net.weights[name].T
        away = rng.normal(size=w.shape)
        away -= np.vdot(away, w) / np.vdot(w, w) * w
        away *= np.linalg.norm(w) / np.linalg.norm(away)
        net.feedback[name] = np.ascontiguousarray(np.cos(angle) * w + np.sin(angle) * away)
    return net


def problem(
    depth: int, seed: int, gain: float = 1.0, width: int = 16
) -> tuple[ns.Network, Array, Array]:
    """A tanh net of so many layers of weights with a random B, mse; one random pattern for all
    seeds.
    """
    net = ns.Network.mlp(
        [width, width, 4], depth=depth, loss="mse", gain=gain, seed=seed, feedback="random"
    )
    rng = np.random.default_rng(0)
    return net, rng.normal(size=(1, width)), 0.5 * rng.normal(size=(1, 4))


# --- where flows rest


def at_rest(seeds: Iterable[int] = range(40)) -> dict[str, tuple[int, int, float]]:
    """Of every flow: nets that settle, nets, and the largest error of lam to the adjoint through B
    on those.
    """
    flows = {"adjoint": ns.Flow.adjoint(), **FLOWS}
    found: dict[str, list[float]] = {name: [] for name in flows}
    tried = 0
    for seed in seeds:
        tried += 1
        rng = np.random.default_rng(seed)
        widths = [int(n) for n in rng.integers(2, 9, size=rng.integers(3, 7))]
        loss = ("mse", "cross_entropy")[seed % 2]
        net = ns.Network.mlp(widths, loss=loss, seed=seed, feedback="random")
        X, Y = rng.normal(size=(4, widths[0])), rng.normal(size=(4, widths[-1]))
        if loss == "cross_entropy":
            Y = np.eye(widths[-1])[rng.integers(widths[-1], size=4)]
        truth = ns.reference.backprop(net, X, Y, through="feedback")
        for name, flow in flows.items():
            spec = ns.stability(net, flow, X, Y)
            if spec.growing:  # left to itself it never rests
                continue
            sim = ns.Simulation(
                net, flow, dt=min(0.5 * spec.max_step["euler"], 0.5 * TAU), backend="numpy"
            )
            run = sim.relax(X, Y, duration=40_000 * sim.dt, settle=1e-9)
            if run.settled:
                found[name].append(
                    max(float(np.abs(run.lam[n] - truth.lam[n]).max()) for n in net.neurons)
                )
    return {name: (len(errors), tried, max(errors)) for name, errors in found.items()}


def of_rest() -> str:
    """One line a flow."""
    rows = (
        f"{n}: {s} of {k} nets settle, lam within {e:.2g}" for n, (s, k, e) in at_rest().items()
    )
    return "; ".join(rows)


# --- stability


def compared(
    depth: int, flow: ns.Flow, seeds: Iterable[int], gain: float = 1.0
) -> tuple[Array, Array]:
    """Whether the saddle is stable, (angles, nets): by the spectrum, and by simulation of a push
    from it.

    The engine's rk4 goes on for 1,000 tau: stable is what comes to rest or whose residual still
    falls then, unstable what has grown large or still grows.
    """
    points, predicted, fastest = [], [], 0.0
    for degrees in ANGLES:
        for seed in seeds:
            net, X, Y = problem(depth, seed, gain)
            turned_away(net, degrees, seed)
            spec = ns.stability(net, flow, X, Y)
            predicted.append(not spec.growing)
            fastest = max(fastest, float(np.abs(spec.eigenvalues).max()))
            points.append(together.Point(net, flow, pushed(net, X, Y, seed)))
    steps = int(np.ceil(1000 * TAU * fastest / 0.7))
    sim = ns.Simulation(
        points[0].net, flow, dt=1000 * TAU / steps, method="rk4", backend="standalone"
    )
    encoded = targets(points[0].net, Y, 1)
    ends = together.relax(
        points, {"input": X}, encoded, sim.setting(steps, len(points)), steps=steps, settle=1e-13
    )
    shape = (len(ANGLES), -1)
    return np.reshape(predicted, shape), np.reshape([falls(end) for end in ends], shape)


def pushed(net: ns.Network, X: Array, Y: Array, seed: int) -> ns.State:
    """The saddle point of the flow through B, and a small random push."""
    saddle, rng = (
        ns.reference.backprop(net, X, Y, through="feedback"),
        np.random.default_rng([seed, 3]),
    )
    x, lam = (
        {n: p[n] + PUSH * rng.normal(size=p[n].shape) for n in net.neurons}
        for p in (saddle.x, saddle.lam)
    )
    return ns.State(x, lam)


def falls(end: together.End) -> bool:
    """Whether a push died out, or still does so at the end."""
    if end.diverged:
        return False
    if end.run.settled:
        return True
    late = end.residuals[len(end.residuals) // 2 :]
    return bool(late[-1] < FAR and late[-1] < late[0])


def of_stability(nets: int = 20) -> str:
    """Shares that are stable by angle, and how often the spectrum and simulation agree."""
    lines, agree, count = [], 0, 0
    for depth in (6, 10):
        for name, flow in FLOWS.items():
            predicted, simulated = compared(depth, flow, range(nets))
            agree, count = agree + int((predicted == simulated).sum()), count + predicted.size
            shares = " ".join(
                f"{p:.2f}/{s:.2f}"
                for p, s in zip(predicted.mean(1), simulated.mean(1), strict=True)
            )
            lines.append(
                f"\n  {depth} layers, {name}: stable at 0/30/60/90 deg, "
                f"predicted/simulated {shares}"
            )
    return f"agree on {agree} of {count} ({agree / count:.1%})" + "".join(lines)


# --- Kolen and Pollack's rule


def learnt(flow: str, kind: str, seeds: Iterable[int], tau_w: float) -> dict[str, Array]:
    """Accuracies and final angles on digits, 64-32-10, 20 epochs, c = 0.01: the study's own
    trainings.
    """
    study = studies.load("transport", ["study.epochs=20"])
    cell = {"network": "64-32-10", "feedback": kind, "flow": flow, "tau_w": tau_w}
    rows = [study.measure({**cell, "seed": seed}) for seed in seeds]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def of_kolen_pollack() -> str:
    """One line a flow and five seeds; tau_w, 10 or 20 tau, by the patterns held out of the training
    part.
    """
    lines = []
    for seeds in (range(5), range(5, 10)):
        for flow in ("adjoint", "damped"):
            best = {}
            for kind in ("symmetric", "kolen_pollack"):
                tried = {tau_w: learnt(flow, kind, seeds, tau_w) for tau_w in (10.0, 20.0)}
                tau_w = max(tried, key=lambda t, tried=tried: tried[t]["validation"].mean())
                best[kind] = tau_w, tried[tau_w]
            told = ", ".join(
                f"{k} (tau_w {t:g} tau) {100 * r['test'].mean():.2f} %"
                for k, (t, r) in best.items()
            )
            own = best["kolen_pollack"][1]
            lines.append(
                f"\n  {flow}, seeds {seeds[0]} to {seeds[-1]}: {told}; lam within "
                f"{own['angle'].max():.1f} deg of "
                f"backpropagation's (mean {own['angle'].mean():.1f}), B of W^T "
                f"{own['feedback_angle'].max():.1f}"
            )
    return "".join(lines)


ROWS: dict[str, Callable[[], Any]] = {
    "feedback_rest": of_rest,
    "feedback_stability": of_stability,
    "kolen_pollack": of_kolen_pollack,
}
