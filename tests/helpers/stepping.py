"""Measure the rates and messages of one step of the engine. Start at `step`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import neurosim as ns

Array = np.ndarray
DT = 1e-3  # s; the difference over one Euler step gives the exact rate for any step


@dataclass(frozen=True)
class Stepped:
    """Rates of one Euler step, 1/s, and the messages delta of that step.

    x, lam, b and delta are by population, w by projection.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    w: dict[str, Array]
    b: dict[str, Array]
    delta: dict[str, Array]


def dense(weights: Any) -> Array:
    """Return weights as (n_post, n_pre), with zeros where there is no synapse."""
    return np.array(weights.toarray() if hasattr(weights, "toarray") else weights)


def step(
    net: ns.Network, flow: ns.Flow, X: Any, Y: Any, state: ns.State, backend: str = "numpy"
) -> Stepped:
    """Take one step from a state, with x, lam and w all flowing; `net` is not changed."""
    own = net.copy()
    sim = ns.Simulation(own, flow, dt=DT, backend=backend)
    log = sim.train(X, Y, ns.Simultaneous(duration=DT, reports=1), start=state, record="delta")
    run, traces = log.run, log.run.traces
    delta = {n: traces.delta.values[0][:, traces.population.values == n] for n in net.neurons}
    return Stepped(
        x={n: (run.x[n] - state.x[n]) / DT for n in net.neurons},
        lam={n: (run.lam[n] - state.lam[n]) / DT for n in net.neurons},
        w={n: (dense(own.weights[n]) - dense(net.weights[n])) / DT for n in net.weights},
        b={n: (own.biases[n] - net.biases[n]) / DT for n in net.biases},
        delta=delta,
    )
