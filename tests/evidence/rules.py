"""Figures of learning rules: Oja's eigenvectors, and a bandit learnt by three factors."""

from __future__ import annotations

from typing import Any

import numpy as np

import neurosim as ns
from neurosim.model.network import Network

Array = np.ndarray
REWARDS = (0.2, 0.5, 0.8)  # probabilities of the arms


def oja(count: int = 20) -> str:
    """Return the largest distances of Oja's weights from the leading eigenvector."""
    found = [oja_errors(seed) for seed in range(count)]
    angle = max(own["angle"] for own in found)
    norm = max(own["norm"] for own in found)
    return f"{count} problems: entries within {angle:.1e}, norm within {norm:.1e}"


def bandit(seeds: int = 20) -> str:
    """Return how often the best arm is chosen, with the modulator and without it."""
    lines = []
    for name, on in (("with the modulator", True), ("modulator 0", False)):
        found = [best_choices(seed, on) for seed in range(seeds)]
        mean, low, spread = np.mean(found), np.min(found), np.std(found)
        lines.append(
            f"{name}: best arm {100 * mean:.1f} % (sd {100 * spread:.1f}, least {100 * low:.0f}; "
            f"{seeds} seeds; chance {100 / len(REWARDS):.0f} %)"
        )
    return "\n  ".join(["", *lines])


def oja_errors(seed: int, units: int = 5, patterns: int = 200) -> dict[str, float]:
    """Return the distance of Oja's weights to the eigenvector, and of their norm to 1."""
    rng = np.random.default_rng(seed)
    ratio = 1.0
    while ratio < 1.2:
        mixing = rng.normal(size=(units, units))
        X = rng.normal(size=(patterns, units)) @ mixing / np.sqrt(units)
        values, vectors = np.linalg.eigh(X.T @ X / patterns)
        ratio = values[-1] / values[-2]
    net = Network(
        [
            ns.Population("i", units, clamped=True),
            ns.Population("o", 1, "linear", plastic_bias=False),
        ],
        [ns.Projection("i", "o", plasticity="oja", gain=0.5)],
        seed=seed,
    )
    tau_w = 20 * values[-1] * 0.01  # a step moves the weights by 1/20 at most
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_x=0.01, tau_w=tau_w), dt=0.01, backend="numpy")
    slow = 1 / (values[-1] - values[-2])
    sim.train(X, None, ns.Simultaneous(duration=25 * slow * tau_w, reports=1))
    w = net.weights["i->o"][0]
    leading = vectors[:, -1] * np.sign(vectors[:, -1] @ w)
    return {
        "angle": float(np.abs(w / np.linalg.norm(w) - leading).max()),
        "norm": abs(float(np.linalg.norm(w)) - 1),
    }


def best_choices(seed: int, modulated: bool, trials: int = 600, last: int = 100) -> float:
    """Learn which of three arms pays most, and return the share of best choices at the end.

    The target of each trial is the arm that was chosen, so that delta is the gradient of its log
    probability; the modulator is the reward less its running mean.
    """
    rng = np.random.default_rng(seed)
    net = Network.mlp(
        [1, len(REWARDS)],
        loss="policy",
        gain=0.1,
        seed=seed,
        plasticity="three_factor",
        plastic_bias=False,
    )
    sim = ns.Simulation(net, ns.Flow.augmented(tau_x=5e-3, tau_w=0.05), dt=1e-3, backend="numpy")
    chosen: list[int] = []
    mean = 0.5

    def world(outputs: Array) -> Any:
        nonlocal mean
        scores = np.exp(outputs[0] - outputs[0].max())
        arm = int(rng.choice(len(REWARDS), p=scores / scores.sum()))
        reward = float(rng.random() < REWARDS[arm])
        chosen.append(arm)
        surprise = reward - mean
        mean += 0.05 * surprise
        target = np.eye(len(REWARDS))[[arm]]
        return [[1.0]], target, {"reward": surprise if modulated else 0.0}

    sim.interact(world, frames=trials, per_frame="100 ms", plastic_from=0.5)
    return float(np.mean(np.array(chosen[-last:]) == int(np.argmax(REWARDS))))


ROWS = {"oja": oja, "bandit": bandit}
