"""Figures of shared weights: rest on random nets, time, and learning beside backpropagation."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.model.network import Network
from neurosim.results.metrics import cosine
from tests.evidence.events import spread
from tests.helpers import shared_nets

Array = np.ndarray
TAU = 0.01
FLOWS = {
    "adjoint": ns.Flow.adjoint(),
    "damped": ns.Flow.damped(),
    "rotated(75°)": ns.Flow.rotated(np.radians(75)),
    "augmented(2)": ns.Flow.augmented(rho=2.0),
}
RATE = 0.1  # dt/tau_w of the convolutional net
BATCH = 32
EVENTS = {
    "theta .01": ns.Events(0.01),
    "theta .003": ns.Events(0.003),
    "adaptive": ns.Events("adaptive"),
}
EVENT_STEPS = 300  # of 0.2 tau
CLOSE = 0.999  # cosine of lam to backpropagation's, the smallest over the populations


def rest(count: int = 100) -> str:
    """Return the largest distances from unshared matrices at rest, over random nets and flows.

    Weights of their own for every pair of units are an independent derivation: time is then a
    cycle, which the reference solves as a whole.
    """
    settled: Counter[str] = Counter()
    worst: dict[str, float] = dict.fromkeys(FLOWS, 0.0)
    for seed in range(count):
        net = shared_nets.network(shared_nets.KINDS[seed % len(shared_nets.KINDS)], 1000 + seed)
        X, Y = shared_nets.data(net, seed)
        expected = ns.reference.backprop(net.unrolled(), X, Y)
        for name, flow in FLOWS.items():
            error = _error_at_rest(net, flow, X, Y, expected)
            if error is not None:
                settled[name] += 1
                worst[name] = max(worst[name], error)
    lines = [
        f"{name}: {settled[name]} of {count} settled, x and λ within {worst[name]:.1e}"
        for name in FLOWS
    ]
    return "\n  ".join(["", *lines])


def _error_at_rest(net: Network, flow: ns.Flow, X: Any, Y: Any, expected: Any) -> float | None:
    """Return the largest error of x and lam at rest; None where the flow does not settle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            sim = ns.Simulation(net, flow, dt=0.1 * TAU, backend="numpy")
            run = sim.relax(X, Y, duration=2000 * TAU, settle=1e-10)
        except ns.DivergenceError:
            return None
    if not run.settled:
        return None
    off = []
    for n in net.neurons:
        off.append(np.abs(run.x[n] - expected.x[n]).max())
        off.append(np.abs(run.lam[n] - expected.lam[n]).max())
    return float(max(off))


def through_time() -> str:
    """Return how far `adjoint` is from backpropagation through time after 2 (T + 1) steps."""
    lines = [""]
    for steps in (8, 16, 32):
        net = Network.recurrent(steps, 8, 32, 10, seed=steps)
        rng = np.random.default_rng(steps)
        X, Y = rng.normal(size=(20, steps, 8)), rng.integers(0, 10, size=20)
        exact = ns.reference.backprop(net, X, Y)
        sim = ns.Simulation(net, FLOWS["adjoint"], dt=TAU, backend="numpy")
        run = sim.relax(X, Y, duration=2 * (steps + 1) * TAU)
        off = [np.abs(run.lam[n] - exact.lam[n]).max() for n in net.neurons]
        lines.append(f"{steps} steps: λ within {max(off):.1e}")
    return "\n  ".join(lines)


def convolution(seeds: int = 5, epochs: int = 10) -> list[dict[str, float]]:
    """Return test accuracies of `adjoint` and of backpropagation on the same batches, by seed."""
    found = []
    for seed in range(seeds):
        flowing, exact = learnt(seed, epochs)
        found.append({"adjoint": flowing, "backprop": exact})
    return found


def of_convolution(epochs: int = 10) -> str:
    """Return the figures of `convolution` as text, in percent."""
    lines, differences = [""], []
    for seed, own in enumerate(convolution(epochs=epochs)):
        flowing, exact = 100 * own["adjoint"], 100 * own["backprop"]
        differences.append(abs(flowing - exact))
        lines.append(f"seed {seed}: adjoint {flowing:.2f} %, backprop {exact:.2f} %")
    largest = max(differences)
    lines.append(f"largest difference {largest:.2f} points; {epochs} epochs, batches of {BATCH}")
    return "\n  ".join(lines)


def learnt(seed: int, epochs: int) -> tuple[float, float]:
    """Train a convolutional net on digits by `adjoint` and by backpropagation, batch by batch."""
    data = ns.datasets.load("digits", test=0.2, seed=seed)
    assert data.validation is not None
    count = len(data.X) // BATCH * BATCH
    net = Network.convolutional((8, 8, 1), [8, 16], stride=[1, 2], seed=seed)
    other = net.copy()
    steps = 7  # 2 L + 1
    flow = ns.Flow.adjoint(tau_x=TAU, tau_w=TAU / RATE)
    sim = ns.Simulation(net, flow, dt=TAU)
    schedule = ns.Presentations(
        batch=BATCH, present=steps * TAU, plastic_from=1 - 1 / steps, shuffle=False, epochs=1
    )
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(data.X))[:count]
        X, Y = data.X[order], data.Y[order]
        sim.train(X, Y, schedule)
        for first in range(0, count, BATCH):
            rows = slice(first, first + BATCH)
            found = ns.reference.backprop(other, X[rows], Y[rows])
            for name in other.weights:
                other.weights[name] = other.weights[name] - RATE * found.grad_w[name]
            for n in other.biases:
                other.biases[n] = other.biases[n] - RATE * found.grad_b[n]
    X_test, Y_test = data.validation
    scores = []
    for trained in (net, other):
        classes = ns.reference.forward(trained, X_test)["output"].argmax(axis=1)
        scores.append(float((classes == Y_test).mean()))
    return scores[0], scores[1]


def by_events(seeds: int = 5) -> dict[str, dict[str, list[float]]]:
    """Return cosines and savings of events on the convolutional net, by "flow, threshold".

    There is one number of each net with random weights. `saving` compares operations with dense
    messages over the same steps, `stopped` with dense messages until their cosine has reached that
    of the events, or `CLOSE` if that is less.
    """
    found = {}
    for name in ("adjoint", "augmented(2)"):
        measured = [_events_of(seed, FLOWS[name]) for seed in range(seeds)]
        for way in EVENTS:
            numbers = zip(*(own[way] for own in measured), strict=True)
            cosines, savings, stopped = (list(values) for values in numbers)
            case = {"cosine": cosines, "saving": savings, "stopped": stopped}
            found[f"{name}, {way}"] = case
    return found


def of_events() -> str:
    """Return the spread of the figures of `by_events` as text."""
    lines = [""]
    for case, own in by_events().items():
        lines.append(
            f"{case}: cosine {spread(own['cosine'])}, times fewer operations "
            f"{spread(own['saving'])}, than dense stopped at its cosine {spread(own['stopped'])}"
        )
    return "\n  ".join(lines)


def _events_of(seed: int, flow: ns.Flow) -> dict[str, tuple[float, float, float]]:
    """Return cosine, saving and saving against a stopped dense run, by kind of events."""
    data = ns.datasets.load("digits", test=0.2, seed=seed)
    X, Y = data.X[:BATCH], data.Y[:BATCH]
    net = Network.convolutional((8, 8, 1), [8, 16], stride=[1, 2], seed=seed)
    exact = ns.reference.backprop(net, X, Y).lam
    dt, duration = 0.2 * TAU, EVENT_STEPS * 0.2 * TAU
    dense = ns.Simulation(net, flow, dt=dt, backend="numpy")
    traces = dense.relax(X, Y, duration=duration, record="lam").traces
    assert traces is not None
    lam = traces["lam"].values
    cuts = np.cumsum([net.populations[n].size for n in net.neurons])[:-1]
    course = [_smallest_cosine(np.split(at, cuts, axis=1), list(exact.values())) for at in lam]
    found = {}
    for way, transport in EVENTS.items():
        sim = ns.Simulation(net, flow, transport=transport, dt=dt, backend="numpy")
        run = sim.relax(X, Y, duration=duration)
        close = _smallest_cosine([run.lam[n] for n in exact], list(exact.values()))
        saving = ns.synaptic_operations(run).saving
        near = np.flatnonzero(np.array(course) >= min(close, CLOSE))
        steps = int(near[0]) if near.size else EVENT_STEPS
        found[way] = close, saving, saving * steps / EVENT_STEPS
    return found


def _smallest_cosine(ours: list[Array], exact: list[Array]) -> float:
    return min(cosine(a, b) for a, b in zip(ours, exact, strict=True))


ROWS = {
    "shared weights at rest": rest,
    "through time": through_time,
    "convolution": of_convolution,
    "convolution by events": of_events,
}
