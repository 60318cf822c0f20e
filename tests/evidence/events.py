"""Figures of relaxing by events, over seeds that were never chosen: means with their spread.

Each function measures one network and returns plain numbers; `spread` states n, mean, standard
deviation, smallest and largest of a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import neurosim as ns
from neurosim.results.metrics import cosine

TAU = 10e-3  # s
STEPS = 300  # of 0.2 tau
FRESH = range(100, 120)  # seeds; those that the tests assert are 0 to 4
FLOWS = {"augmented(1)": ns.Flow.augmented(1), "adjoint": ns.Flow.adjoint()}


def spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation, smallest to largest, and how many there are, as text."""
    found = np.asarray(values, dtype=float)
    return (
        f"{found.mean():.4g} ± {found.std(ddof=1):.2g} "
        f"({found.min():.5g} to {found.max():.5g}, n = {found.size})"
    )


def relaxed(net: ns.Network, flow: ns.Flow, transport: ns.Events) -> tuple[float, float, float]:
    """Relax 64 digits by events.

    Returns
    -------
    cosine : float
        The smallest over the populations, of lam to backpropagation's.
    error : float
        The largest of lam.
    saving : float
        Operations of dense messages over the same steps, over those of the events.
    """
    X, Y = load_digits(return_X_y=True)
    X, Y = X[:64] / 16 - 0.3, Y[:64]
    exact = ns.reference.backprop(net, X, Y).lam
    sim = ns.Simulation(net, flow, transport=transport, dt=0.2 * TAU, backend="numpy")
    run = sim.relax(X, Y, duration=STEPS * 0.2 * TAU)
    cosines = [cosine(run.lam[n], exact[n]) for n in exact]
    errors = [np.abs(run.lam[n] - exact[n]).max() for n in exact]
    return min(cosines), float(max(errors)), ns.synaptic_operations(run).saving


def at_rest() -> dict[str, dict[str, list[float]]]:
    """Return cosines, errors and savings, one per fresh seed, by "flow, threshold, loss"."""
    found = {}
    ways = {"theta .01": ns.Events(0.01), "adaptive": ns.Events("adaptive")}
    cases = product(FLOWS.items(), ways.items(), ("mse", "cross_entropy"))
    for (flow_name, flow), (way_name, way), loss in cases:
        own = []
        for seed in FRESH:
            net = ns.Network.mlp([64, 32, 10], loss=loss, seed=seed)
            own.append(relaxed(net, flow, way))
        cosines, errors, savings = (list(values) for values in zip(*own, strict=True))
        case = f"{flow_name}, {way_name}, {loss}"
        found[case] = {"cosine": cosines, "error": errors, "saving": savings}
    return found


def of_rest() -> str:
    """Return the spread of the figures of `at_rest` as text."""
    lines = [""]
    for case, own in at_rest().items():
        lines.append(
            f"{case}: "
            f"cosine {spread(own['cosine'])}, error of lam {spread(own['error'])}, "
            f"times fewer operations {spread(own['saving'])}"
        )
    return "\n  ".join(lines)


def dense_steps(net: ns.Network, flow: ns.Flow, error: float) -> int:
    """Return after how many dense steps lam is as near to backpropagation's as `error`."""
    X, Y = load_digits(return_X_y=True)
    X, Y = X[:64] / 16 - 0.3, Y[:64]
    exact = ns.reference.backprop(net, X, Y).lam
    sim = ns.Simulation(net, flow, dt=0.2 * TAU, backend="numpy")
    run = sim.relax(X, Y, duration=STEPS * 0.2 * TAU, record="lam")
    assert run.traces is not None
    apart = np.abs(run.traces["lam"].values - np.hstack([exact[n] for n in net.neurons]))
    near = np.flatnonzero(apart.max(axis=(1, 2)) <= error)
    return int(near[0]) if near.size else STEPS


def on_trained_nets() -> list[dict[str, Any]]:
    """Return error and savings of adaptive thresholds on random and trained nets, mse.

    `stopped` is the saving against dense messages that are stopped once they are as accurate.
    """
    X, Y = load_digits(return_X_y=True)
    found = []
    for (name, flow), epochs, seed in product(FLOWS.items(), (0, 3, 20), FRESH):
        net = ns.Network.mlp([64, 32, 10], loss="mse", seed=seed)
        net = ns.reference.sgd(net, X / 16 - 0.3, Y, epochs=epochs, batch=32, rate=0.2, seed=seed)
        _, error, saving = relaxed(net, flow, ns.Events("adaptive"))
        stopped = saving * dense_steps(net, flow, error) / STEPS
        row = {"flow": name, "epochs": epochs, "seed": seed}
        found.append({**row, "error": error, "saving": saving, "stopped": stopped})
    return found


def of_trained() -> str:
    """Return the spread of the figures of `on_trained_nets` as text."""
    found = on_trained_nets()
    errors = [row["error"] for row in found]
    savings = [row["saving"] for row in found]
    stopped = [row["stopped"] for row in found]
    return (
        f"error of lam {spread(errors)}; times fewer operations than dense over all steps "
        f"{spread(savings)}, than dense stopped once as accurate {spread(stopped)}"
    )


ROWS: dict[str, Callable[[], Any]] = {
    "events_at_rest": of_rest,
    "events_on_trained_nets": of_trained,
}
