"""One step of the engine taken apart: rates and messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import neurosim as ns

Array = np.ndarray
DT = 1e-3  # s; a rate is a difference over one Euler step, exact for any step


@dataclass(frozen=True)
class Stepped:
    """Rates (1/s) of one Euler step, and the messages that were sent in it."""

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
    """Take one step from a state with all three flows on; the network itself is not changed."""
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
