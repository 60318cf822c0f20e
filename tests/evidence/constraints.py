"""Figures of constraint functions and support neurons.

The rows are tube_one_layer, tube_two_layers, sliding and support.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from brian2 import ms
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import neurosim as ns
from tests.helpers.constrained import (
    constrained,
    relaxed_in_stages,
    scipy_minimum,
    side_by_side,
    sliding_error,
    taken_apart,
)
from tests.helpers.problems import random_problem

TAU = 10e-3  # s
EPSILONS = (0.0, 0.01, 0.05, 0.1)


def tube_one_layer(nets: int = 100) -> dict[str, list[float]]:
    """Compare random nets of one hidden layer at rest with SLSQP.

    Return the KKT residuals and the differences of V, one per net, and the largest differences of
    the output x of the nets with mse. Losses are mse and squared hinge.
    """
    found: dict[str, list[float]] = {"kkt": [], "V": [], "x": []}
    for loss, epsilon in product(("mse", "squared_hinge"), (0.0, 0.02, 0.1, 0.4)):
        problems = []
        for seed in range(nets // 8 + 1):
            widths = np.random.default_rng(seed).integers(1, 7, size=3).tolist()
            net, X, Y = random_problem(widths, seed, loss=loss, patterns=2)
            problems.append((constrained(net, "tube", epsilon), X, Y))
        whole, X, Y = side_by_side(problems)
        sim = ns.Simulation(whole, ns.Flow.augmented(2), dt=1 * ms, backend="standalone")
        run = sim.relax(X, Y, duration=300, settle=1e-9)
        for (net, X, Y), own in zip(problems, taken_apart(run, problems), strict=True):
            x, V = scipy_minimum(net, X, Y)
            found["kkt"].append(float(ns.kkt(own).residual))
            found["V"].append(float(abs(ns.reference.loss(net, own.x, Y) - V)))
            if loss == "mse":
                found["x"].append(float(np.abs(own.x["output"] - x["output"]).max()))
    return found


def of_one_layer() -> str:
    """Return the largest figures of `tube_one_layer` as text."""
    found = tube_one_layer()
    return (
        f"{len(found['V'])} nets: KKT {max(found['kkt']):.1e}, V {max(found['V']):.1e}, "
        f"x of the output (mse) {max(found['x']):.1e}"
    )


def tube_two_layers(nets: int = 200) -> dict[str, list[float]]:
    """Return the KKT residual of 5-6-6-3 nets at rest, and how far SLSQP moves from there.

    Nets have gain 1 and epsilon = 0.05, and relax from the forward pass.
    """
    problems = []
    for seed in range(nets):
        net, X, Y = random_problem([5, 6, 6, 3], seed, patterns=2)
        problems.append((constrained(net, "tube", 0.05), X, Y))
    runs = taken_apart(relaxed_in_stages(*side_by_side(problems), backend="standalone"), problems)
    residuals, moves = [float(ns.kkt(run).residual) for run in runs], []
    for (net, X, Y), run in zip(problems, runs, strict=True):
        x, _ = scipy_minimum(net, X, Y, run.x)
        moves.append(max(float(np.abs(x[n] - run.x[n]).max()) for n in net.neurons))
    return {"kkt": residuals, "moves": moves}


def of_two_layers() -> str:
    """Return shares and largest figures of `tube_two_layers` as text."""
    found = tube_two_layers()
    residuals, moves = np.array(found["kkt"]), np.array(found["moves"])
    good, still = np.mean(residuals <= 1e-6), np.mean(moves < 1e-5)
    return (
        f"KKT <= 1e-6 on {good:.1%} of {residuals.size} nets (worst {residuals.max():.1e}); "
        f"SLSQP moves by less than 1e-5 on {still:.1%} (worst {moves.max():.1e})"
    )


def sliding(seeds: int = 3) -> dict[str, dict[str, list[float]]]:
    """Compare the time average of mu with the adjoint at that of x, by constraint and dt / tau.

    Errors are one per seed, relative to the largest multiplier.
    """
    steps = {
        "abs": (0.01, 0.003, 0.001),
        "abs_eps": (0.01, 0.005, 0.0025),
        "lin_eps": (0.01, 0.005, 0.0025),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for kind, own in steps.items():
        found[kind] = {}
        for h in own:
            found[kind][f"{h:g}"] = [sliding_error(kind, h, seed) for seed in range(seeds)]
    return found


def of_sliding() -> str:
    """Return the largest errors of `sliding` as text."""
    lines = []
    for kind, own in sliding().items():
        for h, errors in own.items():
            lines.append(f"{kind}, dt = {h} tau: {max(errors):.2%}")
    return "; ".join(lines)


def first(values: dict[str, np.ndarray], patterns: int = 500) -> dict[str, np.ndarray]:
    """Return the values of the first patterns of each population."""
    return {name: own[:patterns] for name, own in values.items()}


def support_of(epsilon: float, seed: int, biases: bool = False) -> list[dict[str, float]]:
    """Measure the support neurons of a training after 2,000 and after 6,000 steps of 0.2 tau.

    Digits / 16, 64-32-10 with or without biases, squared hinge, full batch. Shares are of the
    hidden neurons, over 500 training patterns at rest with fixed weights; `moving` is the share
    during training.
    """
    X, Y = load_digits(return_X_y=True)
    X, Xt, Y, Yt = train_test_split(X / 16, Y, test_size=0.2, stratify=Y, random_state=seed)
    net = ns.Network.mlp(
        [64, 32, 10],
        loss="squared_hinge",
        constraint="tube",
        epsilon=epsilon,
        plastic_bias=biases,
        seed=seed,
    )
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU, backend="standalone")
    still = ns.Simulation(net, ns.Flow.augmented(), dt=0.1 * TAU, backend="standalone")
    rows: list[dict[str, float]] = []

    def add_row(run: ns.Run) -> None:
        if run.steps == 4000:
            return
        few = replace(run, X=first(run.X), Y=first(run.Y), x=first(run.x), lam=first(run.lam))
        rest = ns.at_rest(still, few)
        found = ns.support_neurons(rest)
        outputs = ns.reference.forward(run.network, few.X)["output"]
        rows.append(
            {
                "share": found.shares()["hidden1"],
                "moving": float(np.mean(np.abs(run.lam["hidden1"]) > 1e-6)),
                "patterns": float(found.support_patterns.mean()),
                "hinge": float((outputs * few.Y["output"] < 1).any(axis=1).mean()),
                "accuracy": float((sim.predict(Xt).argmax(axis=1) == Yt).mean()),
                "speed": found.speed,
            }
        )

    sim.train(X, Y, ns.Simultaneous(duration=1200 * TAU, reports=3), visit=add_row)
    return rows


def support(seeds: int = 5, biases: bool = False) -> dict[str, list[list[dict[str, float]]]]:
    """Return the rows of `support_of` of every seed, by epsilon."""
    found: dict[str, list[list[dict[str, float]]]] = {}
    for epsilon in EPSILONS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of states that still move; their speed is kept
            own = [support_of(epsilon, seed, biases) for seed in range(seeds)]
        found[f"{epsilon:g}"] = own
    return found


def of_support() -> str:
    """Return the figures of `support`, mean over the seeds, by epsilon and steps of training."""
    lines = []
    for epsilon, found in support().items():
        for number, steps in enumerate((2000, 6000)):
            own = [one[number] for one in found]
            mean = {}
            for key in own[0]:
                mean[key] = fmean(row[key] for row in own)
            fastest = max(row["speed"] for row in own)
            lines.append(
                f"epsilon = {epsilon}, {steps} steps: "
                f"support {mean['share']:.3f}, while training {mean['moving']:.2f}; "
                f"of patterns {mean['patterns']:.2f}, beyond the hinge {mean['hinge']:.2f}; "
                f"test {mean['accuracy']:.2%}; moving by at most {fastest:.0e}"
            )
    return "\n  ".join(["", *lines])


ROWS: dict[str, Callable[[], Any]] = {
    "tube_one_layer": of_one_layer,
    "tube_two_layers": of_two_layers,
    "sliding": of_sliding,
    "support": of_support,
}
