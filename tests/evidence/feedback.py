"""Figures of feedback weights: rest and stability of flows through B, and Kolen-Pollack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.data.patterns import targets
from neurosim.experiments import studies
from neurosim.simulation import batch

Array = np.ndarray
TAU = 10e-3  # s
PUSH = 1e-6  # of each x and lam, from the saddle point
FAR = 1e-2  # residual above which a push counts as grown
ANGLES = (0, 30, 60, 90)  # between B and W^T, degrees

FLOWS = {
    "augmented(1)": ns.Flow.augmented(1),
    "augmented(8)": ns.Flow.augmented(8),
    "damped": ns.Flow.damped(),
    "rotated(75 deg)": ns.Flow.rotated(np.radians(75)),
}


def turned_away(net: ns.Network, degrees: float, seed: int) -> ns.Network:
    """Set every B of the net to a matrix at this angle from W^T, of the same norm; return the net.

    B is turned in a random direction.
    """
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
    """Return (net, X, Y): a tanh net with random B and mse, and the same pattern for all seeds."""
    net = ns.Network.mlp(
        [width, width, 4], depth=depth, loss="mse", gain=gain, seed=seed, feedback="random"
    )
    rng = np.random.default_rng(0)
    return net, rng.normal(size=(1, width)), 0.5 * rng.normal(size=(1, 4))


# --- where flows rest


def at_rest(seeds: Iterable[int] = range(40)) -> dict[str, dict[str, Any]]:
    """Return by flow the number of nets, and the largest error of lam of each that settles.

    The error is the difference from the adjoint through B.
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
            if spec.growing:  # it never comes to rest
                continue
            dt = min(0.5 * spec.max_step["euler"], 0.5 * TAU)
            sim = ns.Simulation(net, flow, dt=dt, backend="numpy")
            run = sim.relax(X, Y, duration=40_000 * sim.dt, settle=1e-9)
            if run.settled:
                errors = [float(np.abs(run.lam[n] - truth.lam[n]).max()) for n in net.neurons]
                found[name].append(max(errors))
    return {name: {"nets": tried, "errors": errors} for name, errors in found.items()}


def of_rest() -> str:
    """Return the figures of `at_rest` as text, one entry per flow."""
    rows = []
    for name, own in at_rest().items():
        settled, error = len(own["errors"]), max(own["errors"])
        rows.append(f"{name}: {settled} of {own['nets']} nets settle, lam within {error:.2g}")
    return "; ".join(rows)


# --- stability


def compared(
    depth: int, flow: ns.Flow, seeds: Iterable[int], gain: float = 1.0
) -> tuple[Array, Array]:
    """Return whether the saddle point is stable, by the spectrum and by simulation.

    A state pushed a little from the saddle point is simulated by rk4 for 1,000 tau. The saddle
    point counts as stable if the state comes to rest or its residual still falls at the end, and as
    unstable if the residual is large or still grows.

    Returns
    -------
    predicted, simulated : (angles, nets), bool
    """
    points, predicted, fastest = [], [], 0.0
    for degrees in ANGLES:
        for seed in seeds:
            net, X, Y = problem(depth, seed, gain)
            turned_away(net, degrees, seed)
            spec = ns.stability(net, flow, X, Y)
            predicted.append(not spec.growing)
            fastest = max(fastest, float(np.abs(spec.eigenvalues).max()))
            points.append(batch.Point(net, flow, pushed(net, X, Y, seed)))
    steps = int(np.ceil(1000 * TAU * fastest / 0.7))
    dt = 1000 * TAU / steps
    sim = ns.Simulation(points[0].net, flow, dt=dt, method="rk4", backend="standalone")
    encoded = targets(points[0].net, Y, 1)
    ends = batch.relax(
        points, {"input": X}, encoded, sim.setting(steps, len(points)), steps=steps, settle=1e-13
    )
    shape = (len(ANGLES), -1)
    return np.reshape(predicted, shape), np.reshape([falls(end) for end in ends], shape)


def pushed(net: ns.Network, X: Array, Y: Array, seed: int) -> ns.State:
    """Return the saddle point of the flow through B, with Gaussian noise of sd `PUSH` added."""
    saddle = ns.reference.backprop(net, X, Y, through="feedback")
    rng = np.random.default_rng([seed, 3])
    x = {n: saddle.x[n] + PUSH * rng.normal(size=saddle.x[n].shape) for n in net.neurons}
    lam = {n: saddle.lam[n] + PUSH * rng.normal(size=saddle.lam[n].shape) for n in net.neurons}
    return ns.State(x, lam)


def falls(end: batch.End) -> bool:
    """Return whether the residual has vanished, or still falls at the end."""
    if end.diverged:
        return False
    if end.run.settled:
        return True
    late = end.residuals[len(end.residuals) // 2 :]
    return bool(late[-1] < FAR and late[-1] < late[0])


def stable(nets: int = 20) -> list[dict[str, Any]]:
    """Return, by depth, flow and angle, which nets are stable, by spectrum and by simulation."""
    found = []
    for depth in (6, 10):
        for name, flow in FLOWS.items():
            predicted, simulated = compared(depth, flow, range(nets))
            for degrees, own, theirs in zip(ANGLES, predicted, simulated, strict=True):
                case = {"depth": depth, "flow": name, "angle": degrees}
                verdicts = {"predicted": own.tolist(), "simulated": theirs.tolist()}
                found.append({**case, **verdicts})
    return found


def of_stability() -> str:
    """Return the share of stable nets by angle, and how often spectrum and simulation agree."""
    shares: dict[tuple[int, str], list[str]] = {}
    agree, count = 0, 0
    for row in stable():
        predicted, simulated = np.array(row["predicted"]), np.array(row["simulated"])
        agree, count = agree + int((predicted == simulated).sum()), count + predicted.size
        own = shares.setdefault((row["depth"], row["flow"]), [])
        own.append(f"{predicted.mean():.2f}/{simulated.mean():.2f}")
    words = "stable at 0/30/60/90 deg, predicted/simulated"
    lines = []
    for (depth, name), cells in shares.items():
        lines.append(f"\n  {depth} layers, {name}: {words} {' '.join(cells)}")
    return f"agree on {agree} of {count} ({agree / count:.1%})" + "".join(lines)


# --- Kolen and Pollack's rule


def learnt(flow: str, kind: str, seeds: Iterable[int], tau_w: float) -> dict[str, Array]:
    """Return accuracies and final angles of trainings of the study `transport`, by seed.

    Digits, 64-32-10, 20 epochs; `tau_w` is in tau.
    """
    study = studies.load("transport", ["study.epochs=20"])
    cell = {"network": "64-32-10", "feedback": kind, "flow": flow, "tau_w": tau_w}
    rows = [study.measure({**cell, "seed": seed}) for seed in seeds]
    found = {}
    for key in rows[0]:
        found[key] = np.array([row[key] for row in rows])
    return found


def kolen_pollack() -> list[dict[str, Any]]:
    """Return accuracies and angles of every seed, by flow, kind of feedback and five seeds.

    tau_w, 10 or 20 tau, is chosen on patterns held out of the training part.
    """
    found = []
    for seeds in (range(5), range(5, 10)):
        for flow in ("adjoint", "damped"):
            for kind in ("symmetric", "kolen_pollack"):
                tried = {tau_w: learnt(flow, kind, seeds, tau_w) for tau_w in (10.0, 20.0)}
                tau_w = max(tried, key=lambda t, tried=tried: tried[t]["validation"].mean())
                case = {"flow": flow, "feedback": kind, "seeds": list(seeds), "tau_w": tau_w}
                numbers = {key: own.tolist() for key, own in tried[tau_w].items()}
                found.append({**case, **numbers})
    return found


def of_kolen_pollack() -> str:
    """Return accuracies and angles as text, one line per flow and five seeds."""
    lines = []
    found = kolen_pollack()
    for symmetric, own in zip(found[::2], found[1::2], strict=True):
        scores = []
        for row in (symmetric, own):
            mean = 100 * np.mean(row["test"])
            scores.append(f"{row['feedback']} (tau_w {row['tau_w']:g} tau) {mean:.2f} %")
        angle, seeds = np.array(own["angle"]), own["seeds"]
        lines.append(
            f"\n  {own['flow']}, seeds {seeds[0]} to {seeds[-1]}: {', '.join(scores)}; "
            f"lam within {angle.max():.1f} deg of backpropagation's (mean {angle.mean():.1f}), "
            f"B of W^T {max(own['feedback_angle']):.1f}"
        )
    return "".join(lines)


ROWS: dict[str, Callable[[], Any]] = {
    "feedback_rest": of_rest,
    "feedback_stability": of_stability,
    "kolen_pollack": of_kolen_pollack,
}
