"""Figures of stability: predictions of the linearisation against the engine."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq

import neurosim as ns
from tests.helpers import measured
from tests.helpers.problems import random_flow, random_graph, random_problem

FLOWS = {
    "augmented(1)": ns.Flow.augmented(1),
    "augmented(4)": ns.Flow.augmented(4),
    "damped": ns.Flow.damped(),
    "rotated(70 deg)": ns.Flow.rotated(np.radians(70)),
    "own times": ns.Flow(
        kappa=0.8, gamma=0.7, rho=0.5, tau_x={"hidden1": 4e-3}, tau_lam={"output": 25e-3}
    ),
}


def predictions(seeds: range = range(6)) -> dict[str, list[float]]:
    """Return, by kind of prediction, the relative error of each comparison.

    Predicted are the slowest rate, the ringing frequency and the largest stable steps.
    """
    errors: dict[str, list[float]] = {}
    for seed in seeds:
        loss = ("mse", "cross_entropy")[seed % 2]
        widths = ([4, 5, 4, 3], [6, 8, 5], [5, 4, 4, 4, 3])[seed % 3]
        net, X, Y = random_problem(widths, seed, patterns=1, loss=loss)
        for flow in FLOWS.values():
            if isinstance(flow.tau_x, dict) and not set(flow.tau_x) <= set(net.neurons):
                continue
            spec = ns.stability(net, flow, X, Y)
            if spec.growing:
                continue
            duration, dt = 12 / spec.slowest_rate, 0.2 / float(np.abs(spec.eigenvalues).max())
            found = measured.slowest_mode(net, flow, X, Y, duration, dt)
            errors.setdefault("slowest rate", []).append(abs(-found.real / spec.slowest_rate - 1))
            if spec.frequency[0]:
                rings = abs(found.imag) / (2 * np.pi) / spec.frequency[0]
                errors.setdefault("ringing frequency", []).append(abs(rings - 1))
            for method in ("euler", "rk4"):
                step = spec.max_step[method]
                ratio = measured.largest_step(net, flow, X, Y, method, step) / step
                errors.setdefault(f"largest step of {method}", []).append(abs(ratio - 1))
    return errors


def of_predictions() -> str:
    """Return the figures of `predictions` as text, one entry per kind."""
    lines = []
    for name, errors in predictions().items():
        lines.append(f"{name} within {max(errors):.2%} ({len(errors)} cases)")
    return "; ".join(lines)


def largest_steps(seeds: range = range(100)) -> dict[str, dict[str, float]]:
    """Compare `max_step` of each method with bisection over steps of the engine.

    Random graphs of three patterns, every other one with a cycle, and random flows; those whose
    saddle grows are left out. Return, by method, the number of comparisons; the smallest and the
    largest quotient of the prediction and the measurement; the largest of the prediction and the
    smallest one of single patterns; and where no step, or every step, was predicted to be stable,
    the number of cases and of those that the engine contradicts.
    """
    table: dict[str, dict[str, float]] = {}
    for seed in seeds:
        net, X, Y = random_graph(seed, cyclic=seed % 2 == 1)
        flow = random_flow(seed, net)
        spec = ns.stability(net, flow, X, Y)
        if spec.growing:
            continue
        singles = [_of_pattern(net, flow, X, Y, row) for row in range(len(X))]
        fastest = float(np.abs(spec.eigenvalues).max())
        for method, step in spec.max_step.items():
            row = table.setdefault(
                method,
                {"graphs": 0, "least": np.inf, "most": 0, "of single": 0, "at ends": 0, "wrong": 0},
            )
            if 0 < step < np.inf:
                measured_step = measured.unstable_step(net, flow, X, Y, method, step)
                row["graphs"] += 1
                row["least"] = np.minimum(row["least"], step / measured_step)  # NaN stays
                row["most"] = np.maximum(row["most"], step / measured_step)
                smallest = min(single.max_step[method] for single in singles)
                row["of single"] = max(row["of single"], step / smallest)
                continue
            h = 0.05 / fastest if step == 0 else 100 / fastest
            stable = measured.radii(net, flow, X, Y, h, method).max() <= 1 + 1e-7
            row["at ends"] += 1
            row["wrong"] += bool(stable) == (step == 0)
    return table


def of_largest_steps() -> str:
    """Return the figures of `largest_steps` as a table, one row per method."""
    lines = []
    for method, row in largest_steps().items():
        lines.append(
            f"| {method} | {row['graphs']} | {row['least']:.4f} | {row['most']:.4f} "
            f"| {row['of single']:.6f} | {row['at ends']} | {row['wrong']} |"
        )
    head = (
        "| method | graphs | least predicted/measured | most | of single patterns "
        "| no or every step predicted stable | of these wrong |\n|---|---|---|---|---|---|---|\n"
    )
    return "max_step against bisection by simulation\n" + head + "\n".join(lines)


def _of_pattern(net: ns.Network, flow: ns.Flow, X: Any, Y: Any, row: int) -> ns.Stability:
    """Return the stability of one pattern."""
    one = {n: y[[row]] for n, y in Y.items()}
    return ns.stability(net, flow, X[[row]], one)


def six_layers(seed: int) -> tuple[ns.Network, np.ndarray, np.ndarray]:
    """Return (net, X, Y): a net that rings under the saddle flow, 8-8-8-8-8-8-4, gain 1.5, mse."""
    net = ns.Network.mlp([8] * 6 + [4], loss="mse", gain=1.5, seed=seed)
    rng = np.random.default_rng(seed)
    return net, rng.normal(size=(1, 8)), 0.5 * rng.normal(size=(1, 4))


def hopf(seed: int) -> dict[str, Any]:
    """Compare the first Hopf point of `rotated(theta)` below theta = pi/2 with the engine's rk4.

    The onset is the theta below which a tiny perturbation grows. 0.5 % of theta beyond the Hopf
    point, "period" is the period of the cycle that is reached, and "small" that of the ringing
    while it is small: past a subcritical point the cycle is large at once. Both are given relative
    to 1/frequency of the Hopf point, minus 1.
    """
    net, X, Y = six_layers(seed)
    branch = ns.continuation(
        net, ns.Flow.adjoint(), X, Y, over="flow.theta", start=1.55, stop=0.2, points=40
    )
    point = branch.hopf[0]
    spec = ns.stability(net, ns.Flow.rotated(point.parameter), X, Y)
    step = 0.8 / float(np.abs(spec.eigenvalues).max())

    def grows(theta: float) -> float:
        return measured.growth(net, ns.Flow.rotated(theta), X, Y, step, "rk4", steps=4000)

    low, high = 0.97 * point.parameter, min(1.03 * point.parameter, np.pi / 2 - 1e-3)
    onset = brentq(grows, low, high, xtol=1e-3 * point.parameter)
    past = 0.995 * point.parameter
    cycle = ns.limit_cycle(branch, past, start=point)
    small = _ringing(net, ns.Flow.rotated(past), X, Y, step, point.frequency)
    return {
        "seed": seed,
        "theta": point.parameter,
        "onset": onset / point.parameter - 1,
        "kind": point.criticality,
        "ends as": cycle.kind,
        "period": cycle.period * point.frequency - 1,
        "small": small * point.frequency - 1,
        "amplitude": cycle.amplitude / point.amplitude(past) - 1,
    }


def _ringing(
    net: ns.Network, flow: ns.Flow, X: Any, Y: Any, step: float, frequency: float
) -> float:
    """Return the period of the ringing of a perturbation of 1e-8, s.

    It is the mean distance of rising zeros of one variable in the second half of 40 periods.
    """
    sim = ns.Simulation(net, flow, dt=step, method="rk4", backend="numpy")
    start = measured.near_rest(net, X, Y, 1e-8)
    run = sim.relax(X, Y, duration=40 / frequency, record=("x", "lam"), every=sim.dt, start=start)
    away = measured.deviation(run, X, Y)[len(run.traces.time) // 2 :, 0]
    values, times = away[:, np.abs(away).max(axis=0).argmax()], run.traces.time.values[-len(away) :]
    rises = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    zeros = times[rises] - values[rises] * np.diff(times)[rises] / np.diff(values)[rises]
    return float(np.diff(zeros).mean())


def of_hopf() -> str:
    """Return the figures of `hopf` as text, one line per net."""
    lines = []
    for seed in range(8):
        found = hopf(seed)
        lines.append(
            f"\n  net {seed}: theta {found['theta']:.5f} ({found['kind']}), "
            f"onset {found['onset']:+.2%}, ends as {found['ends as']}, "
            f"period {found['period']:+.2%}, while small {found['small']:+.2%}, "
            f"amplitude {found['amplitude']:+.2%}"
        )
    return "".join(lines)


def large() -> dict[str, dict[str, Any]]:
    """Find the extreme modes of 784-256-256-10 with 64 patterns, by flow.

    Returned are the time and the processor's time in s, the peak memory of the process until then
    in GB, and what was found.
    """
    rng = np.random.default_rng(0)
    net = ns.Network.mlp([784, 256, 256, 10], seed=0)
    X, Y = rng.random((64, 784)) * (rng.random((64, 784)) < 0.2), rng.integers(10, size=64)
    found: dict[str, dict[str, Any]] = {}
    for name in ("augmented(1)", "damped"):
        wall, processor = time.perf_counter(), time.process_time()
        spec = ns.stability(net, FLOWS[name], X, Y)
        found[name] = {
            "time": time.perf_counter() - wall,
            "processor": time.process_time() - processor,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "found": repr(spec),
        }
    return found


def of_large() -> str:
    """Return the figures of `large` as text, one line per flow."""
    lines = []
    for name, own in large().items():
        lines.append(
            f"\n  {name}: {own['time']:.1f} s, {own['processor']:.1f} s of processor, "
            f"{own['memory']:.2f} GB; {own['found']}"
        )
    return "".join(lines)


ROWS: dict[str, Callable[[], Any]] = {
    "stability": of_predictions,
    "largest_steps": of_largest_steps,
    "hopf": of_hopf,
    "large_stability": of_large,
}
