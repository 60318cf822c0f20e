"""Figures of the integration methods: the error of exponential Euler over that of Euler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import neurosim as ns
from tests.helpers.problems import random_problem

FLOWS = {
    "augmented(1)": ns.Flow.augmented(1),
    "augmented(4)": ns.Flow.augmented(4),
    "rho = 16, equal times": ns.Flow(rho=16),
    "damped": ns.Flow.damped(),
    "rotated(75 deg)": ns.Flow.rotated(np.radians(75)),
    "adjoint": ns.Flow.adjoint(),
}
END = 20e-3  # s, twice tau
SHARES = (0.2, 0.5)  # of the largest stable step of Euler


def ratios(flow: ns.Flow, seeds: range = range(8)) -> dict[str, list[float]]:
    """Return errors and stable steps of exponential Euler over those of Euler, by seed.

    Errors are the largest of all x and lam, against SciPy, from x = lam = 0.
    """
    found: dict[str, list[float]] = {f"error at {share}": [] for share in SHARES}
    found["stable step"] = []
    for seed in seeds:
        loss = ("mse", "cross_entropy")[seed % 2]
        net, X, Y = random_problem([6, 8, 4], seed, patterns=3, loss=loss)
        truth = ns.reference.solve_ivp(net, flow, X, Y, duration=END, rtol=1e-9, atol=1e-11)
        steps = ns.stability(net, flow, X, Y).max_step
        found["stable step"].append(steps["exponential_euler"] / steps["euler"])
        for share in SHARES:
            count = round(END / (share * steps["euler"]))
            errors = []
            for method in ("exponential_euler", "euler"):
                sim = ns.Simulation(net, flow, dt=END / count, method=method, backend="numpy")
                run = sim.relax(X, Y, duration=END)
                off = [np.abs(run.x[n] - truth.x[n]).max() for n in net.neurons]
                off += [np.abs(run.lam[n] - truth.lam[n]).max() for n in net.neurons]
                errors.append(max(off))
            found[f"error at {share}"].append(errors[0] / errors[1])
    return found


def of_exponential_euler() -> str:
    """Return the figures of `ratios` as a table, a row per flow."""
    lines = ["| flow | error at 0.2 | error at 0.5 | stable step |", "|---|---|---|---|"]
    for name, flow in FLOWS.items():
        found = ratios(flow)
        means = [np.exp(np.mean(np.log(found[f"error at {share}"]))) for share in SHARES]
        smallest = min(found["stable step"])
        lines.append(f"| {name} | {means[0]:.3g} | {means[1]:.3g} | {smallest:.3g} |")
    return "exponential Euler over Euler\n" + "\n".join(lines)


ROWS: dict[str, Callable[[], Any]] = {"exponential_euler": of_exponential_euler}
