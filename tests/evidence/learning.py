"""Figures of relaxing and learning, by dense messages and by events, and of changing sizes.

Each function measures one row and returns plain numbers. The tests assert bounds of the same
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import neurosim as ns
from neurosim.data.streams import moving_digits
from neurosim.reference.functions import dsigma, net_input
from neurosim.results.metrics import accuracy
from neurosim.simulation.surgery import pruned as reshaped

TAU = 10e-3  # s
SEEDS = range(5)
XOR_X = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
XOR_Y = np.array([-1.0, 1.0, 1.0, -1.0])


def xor(seeds: range = range(10)) -> list[tuple[float, float]]:
    """Return loss and gradient norm (by the reference) of 2-4-1 nets trained by all flows."""
    found = []
    for seed in seeds:
        net = ns.Network.mlp([2, 4, 1], loss="mse", seed=seed)
        sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.1 * TAU)
        sim.train(XOR_X, XOR_Y, ns.Simultaneous(duration=1500 * TAU, reports=5))
        exact = ns.reference.backprop(net, XOR_X, XOR_Y)
        gradient = [*exact.grad_w.values(), *exact.grad_b.values()]
        squares = sum(np.sum(g**2) for g in gradient)
        found.append((exact.loss, float(np.sqrt(squares))))
    return found


def digits(seed: int) -> tuple[Any, ...]:
    """Return digits / 16 in a stratified 80/20 split."""
    X, Y = load_digits(return_X_y=True)
    return tuple(train_test_split(X / 16, Y, test_size=0.2, stratify=Y, random_state=seed))


def simultaneous(seed: int, backend: str = "auto") -> float:
    """Return the test accuracy of training by all three flows at once.

    Each pattern has its own neurons; 2000 steps of 0.2 tau, tau_w = tau_x.
    """
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU, backend=backend)
    sim.train(X, Y, ns.Simultaneous(duration=400 * TAU, reports=4))
    return accuracy(sim.predict(Xt), Yt)


def presentations(seed: int, backend: str = "auto") -> float:
    """Return the test accuracy of batches of 32, shown for 6 tau each.

    Weights move in the second half; 20 epochs, rho = 2.
    """
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    flow = ns.Flow.augmented(2, tau_w=20 * TAU)
    sim = ns.Simulation(net, flow, dt=0.1 * TAU, seed=seed, backend=backend)
    sim.train(X, Y, ns.Presentations(batch=32, present=6 * TAU, epochs=20))
    return accuracy(sim.predict(Xt), Yt)


def one_at_a_time(seed: int, backend: str = "auto") -> float:
    """Return the test accuracy of one pattern at a time, shown for 6 tau each.

    Weights move in the second half; 3 epochs, `adjoint`, tau_w = 100 tau.
    """
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    flow = ns.Flow.adjoint(tau_w=100 * TAU)
    sim = ns.Simulation(net, flow, dt=0.2 * TAU, seed=seed, backend=backend)
    sim.train(X, Y, ns.Presentations(batch=1, present=6 * TAU, epochs=3))
    return accuracy(sim.predict(Xt), Yt)


def by_events(
    seed: int, transport: Any = "dense", backend: str = "auto", flow: ns.Flow | None = None
) -> tuple[float, float]:
    """Return test accuracy and synaptic operations per presentation, one pattern at a time.

    Patterns are shown for 12 tau each, weights move in the second half; 3 epochs, mse, `adjoint`
    unless a flow is given.
    """
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], loss="mse", seed=seed)
    flow = flow or ns.Flow.adjoint(tau_w=200 * TAU)
    sim = ns.Simulation(net, flow, transport=transport, dt=0.2 * TAU, seed=seed, backend=backend)
    log = sim.train(X, Y, ns.Presentations(batch=1, present=12 * TAU, epochs=3))
    cost = ns.synaptic_operations(log.run)
    presented = 3 * len(X)
    return accuracy(sim.predict(Xt), Yt), (cost.effective + cost.plasticity) / presented


def events() -> dict[str, dict[str, list[float]]]:
    """Return accuracies and operations per presentation, one per seed, by message transport."""
    ways = {
        "dense": ns.Dense(),
        "theta .01": ns.Events(0.01),
        "theta .03": ns.Events(0.03),
        "adaptive": ns.Events("adaptive"),
        "adaptive, down to .03": ns.Events(ns.Adaptive(top=0.4, floor=0.03, fade=0.98)),
        "spikes .1 / .03, one a step": ns.Spikes(0.1, backward=0.03),
    }
    found = {}
    for name, way in ways.items():
        own = [by_events(seed, way) for seed in SEEDS]
        scores, operations = (list(values) for values in zip(*own, strict=True))
        found[name] = {"accuracy": scores, "operations": operations}
    return found


def of_events() -> str:
    """Return the figures of `events` as text, means over seeds."""
    lines = []
    for name, own in events().items():
        lines.append(f"{name}: {fmean(own['accuracy']):.2%}, {fmean(own['operations']):.3g}")
    return "; ".join(lines)


def followed(flow: ns.Flow, speed: float, seed: int, frames: int = 400) -> tuple[float, float]:
    """Measure how well and how cheaply events follow moving digits.

    Events have theta = 0.03; a frame lasts 10 steps of 0.2 tau.

    Returns
    -------
    angle : float, degrees
        Mean angle between delta x^T, of the messages that the synapses received, and
        backpropagation's gradient of the frame. The first 20 frames of each digit are left out.
    saving : float
        Operations of dense messages, each frame sent once, over those of events.
    """
    net = ns.Network.mlp([256, 32, 10], loss="mse", seed=seed)
    stream, steps = moving_digits(frames, speed=speed, seed=seed + 1), 10
    sim = ns.Simulation(net, flow, transport=ns.Events(0.03), dt=0.2 * TAU, backend="standalone")
    record = ("sent_x", "sent_delta", "delta")
    run = sim.stream(
        stream.X, stream.Y, per_frame=steps * 0.2 * TAU, record=record, every=0.2 * TAU
    )
    # Messages of the last step of each frame; delta itself where none is sent.
    traces = {name: run.traces[name].values[steps - 1 :: steps, 0] for name in record}
    unsent = np.isnan(traces["sent_delta"])
    traces["sent_delta"] = np.where(unsent, traces["delta"], traces["sent_delta"])
    exact = ns.reference.backprop(net, stream.X, stream.Y)
    x = exact.x | {"input": stream.X}
    kept = np.arange(frames) % 200 >= 20
    inner, ours, theirs = np.zeros((3, frames))
    for q in net.projections.values():
        population = run.traces["population"]
        delta = traces["sent_delta"][:, population == q.post]
        sent = traces["sent_x"][:, population == q.pre]
        slope = dsigma(net.populations[q.post].activation, net_input(net, q.post, x))
        true_delta, true_x = slope * exact.lam[q.post], x[q.pre]
        inner += (delta * true_delta).sum(axis=1) * (sent * true_x).sum(axis=1)
        ours += (delta**2).sum(axis=1) * (sent**2).sum(axis=1)
        theirs += (true_delta**2).sum(axis=1) * (true_x**2).sum(axis=1)
    angles = np.degrees(np.arccos(inner[kept] / np.sqrt(ours[kept] * theirs[kept])))
    once = frames * 256 * 32 + run.steps * 2 * 32 * 10
    return float(angles.mean()), once / ns.synaptic_operations(run).effective


def streams() -> dict[str, dict[str, list[float]]]:
    """Return angles and savings, one per net, by "flow, speed in pixels per frame"."""
    found = {}
    for name, flow in (("adjoint", ns.Flow.adjoint()), ("augmented", ns.Flow.augmented())):
        for speed in (0.05, 0.25, 1.0):
            own = [followed(flow, speed, seed) for seed in range(3)]
            angles, savings = (list(values) for values in zip(*own, strict=True))
            found[f"{name}, {speed:g}"] = {"angle": angles, "saving": savings}
    return found


def of_streams() -> str:
    """Return the figures of `streams` as text, means over nets."""
    lines = []
    for name, own in streams().items():
        lines.append(f"{name} px: {fmean(own['angle']):.1f} deg, {fmean(own['saving']):.1f}")
    return "; ".join(lines)


def oversized(seed: int, penalty: float = 0.01, size: int = 128) -> ns.Simulation:
    """Return a simulation of 64-`size`-10, penalty on neurons, tube of 0.01, squared hinge."""
    net = ns.Network.mlp(
        [64, size, 10],
        loss="squared_hinge",
        constraint="tube",
        epsilon=0.01,
        group_l1=penalty,
        seed=seed,
    )
    return ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU)


def pruned(seed: int) -> dict[str, Any]:
    """Prune 64-128-10: 2,000 steps of 0.2 tau with a penalty on neurons, then 1,000 without.

    It is compared with the same net without penalty and removals, and with a net that has from the
    start as many neurons as were left, each trained for 3,000 steps. `course` are the neurons after
    every 100 steps.
    """
    X, Xt, Y, Yt = digits(seed)
    rows = ns.Simultaneous(duration=600 * TAU, reports=30)
    sim = oversized(seed)
    log = sim.train(X, Y, ns.Pruning(schedule=rows, every=5, finish=10))
    left = sim.net.populations["hidden1"].size
    whole, small = oversized(seed, 0.0), oversized(seed + 100, 0.0, left)
    cost = ns.synaptic_operations(whole.train(X, Y, rows).run)
    small.train(X, Y, rows)
    return {
        "neurons": left,
        "largest change of an output by removal": float(log.history.change.max()),
        "pruned": 100 * accuracy(sim.predict(Xt), Yt),
        "whole": 100 * accuracy(whole.predict(Xt), Yt),
        "small from the start": 100 * accuracy(small.predict(Xt), Yt),
        "operations": float(log.history.operations[-1]),
        "of the whole": cost.dense + cost.dense_plasticity,
        "parameters": sim.net.n_parameters,
        "course": log.history.neurons.values.tolist(),
    }


def straw(seed: int) -> dict[str, float]:
    """Compare straw neurons with neurons without weight, after 2,000 steps of 64-128-10.

    The former are straw for every pattern, at rest with fixed weights. For the latter, the norms of
    incoming and outgoing weights have a product of at most 1e-3. The change is the largest change
    of an output when the straw neurons are removed.
    """
    X, _, Y, _ = digits(seed)
    sim = oversized(seed)
    sim.train(X, Y, ns.Simultaneous(duration=400 * TAU, reports=4))
    run = sim.relax(X, Y, duration=200 * TAU, start="forward", settle=1e-5)
    support = {n: np.abs(lam) > 1e-4 for n, lam in run.lam.items()}
    by_support = reshaped(sim.net, support, X, dead=0)
    by_weights = reshaped(sim.net, None, X)
    kept = set(by_support.origin["hidden1"])
    return {
        "support": len(kept),
        "not dead": by_weights.network.populations["hidden1"].size,
        "either, not both": len(kept ^ set(by_weights.origin["hidden1"])),
        "change without straw": by_support.change,
    }


def grown(seed: int, loss: str = "squared_hinge") -> dict[str, Any]:
    """Grow 64-4-10 for 2,000 steps of 0.2 tau; compare with 32 hidden neurons from the start.

    `course` are the neurons after every 100 steps.
    """
    X, Xt, Y, Yt = digits(seed)
    rows = ns.Simultaneous(duration=400 * TAU, reports=20)
    found: dict[str, Any] = {}
    for name, size, schedule in (("grown", 4, ns.Growing(schedule=rows)), ("whole", 32, rows)):
        net = ns.Network.mlp([64, size, 10], loss=loss, seed=seed)
        sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU, seed=seed)
        log = sim.train(X, Y, schedule)
        found[name] = 100 * accuracy(sim.predict(Xt), Yt)
        if name == "grown":
            sizes = log.history.neurons.values
            last = np.flatnonzero(np.diff(sizes)).max()
            found |= {"neurons": float(sizes[-1]), "steps of growth": 100.0 * (1 + last)}
            found["course"] = sizes.tolist()
    return found


def means(measure: Callable[[int], dict[str, Any]], seeds: Iterable[int] = SEEDS) -> str:
    """Return the mean of each figure over the seeds, and the figure of every seed."""
    found = [measure(seed) for seed in seeds]
    lines = []
    for name in found[0]:
        if name == "course":
            continue
        values = [figures[name] for figures in found]
        each = ", ".join(f"{value:.4g}" for value in values)
        lines.append(f"{name} {fmean(values):.4g} ({each})")
    return "; ".join(lines)


def sgd(seed: int, batch: int = 32, epochs: int = 20, rate: float = 0.2) -> float:
    """Return the test accuracy of the reference's SGD on the same split and start."""
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    net = ns.reference.sgd(net, X, Y, epochs=epochs, batch=batch, rate=rate, seed=seed)
    return accuracy(ns.reference.forward(net, Xt)["output"], Yt)


def at_rest() -> dict[str, float]:
    """Return the largest error of x and lam after 600 steps of 0.2 tau on 64 digits.

    Keys give flow, loss and backend.
    """
    X, Y = (part[:64] for part in load_digits(return_X_y=True))
    flows = {
        "augmented(1)": ns.Flow.augmented(1),
        "damped": ns.Flow.damped(),
        "adjoint": ns.Flow.adjoint(),
    }
    found = {}
    for loss, backend in product(("mse", "cross_entropy"), ("numpy", "standalone")):
        net = ns.Network.mlp([64, 32, 10], loss=loss)
        exact = ns.reference.backprop(net, X / 16, Y)
        for name, flow in flows.items():
            sim = ns.Simulation(net, flow, dt=0.2 * TAU, backend=backend)
            run = sim.relax(X / 16, Y, duration=120 * TAU)
            errors = [np.abs(run.x[n] - exact.x[n]).max() for n in run.x]
            errors += [np.abs(run.lam[n] - exact.lam[n]).max() for n in run.x]
            found[f"{name}, {loss}, {backend}"] = float(max(errors))
    return found


def depths() -> dict[int, float]:
    """Return the largest error of lam after 2L steps of dt = tau, `adjoint`, by weight layers L."""
    found = {}
    for layers in range(2, 21):
        net = ns.Network.mlp([5, *[6] * (layers - 1), 3], loss="mse", seed=layers)
        X = np.random.default_rng(layers).normal(size=(5, 5))
        Y = np.random.default_rng(0).normal(size=(5, 3))
        run = ns.Simulation(net, ns.Flow.adjoint(), dt=TAU).relax(X, Y, duration=2 * layers * TAU)
        exact = ns.reference.backprop(net, X, Y)
        found[layers] = float(max(np.abs(run.lam[n] - exact.lam[n]).max() for n in run.lam))
    return found


def accuracies(measure: Callable[[int], float]) -> str:
    """Return the mean and the worst accuracy over the seeds, as text."""
    values = [measure(seed) for seed in SEEDS]
    return f"mean {fmean(values):.2%}, worst {min(values):.2%}"


ROWS: dict[str, Callable[[], Any]] = {
    "at_rest": lambda: "; ".join(f"{k}: {v:.1e}" for k, v in at_rest().items()),
    "depths": lambda: f"largest over L = 2 to 20: {max(depths().values()):.1e}",
    "xor": lambda: "loss, gradient norm: " + "; ".join(f"{a:.1e}, {b:.1e}" for a, b in xor()),
    "simultaneous": lambda: accuracies(simultaneous),
    "presentations": lambda: accuracies(presentations),
    "one_at_a_time": lambda: accuracies(one_at_a_time),
    "events": of_events,
    "streams": of_streams,
    "pruning": lambda: means(pruned),
    "straw": lambda: means(straw, range(3)),
    "growing": lambda: means(grown),
    "growing_cross_entropy": lambda: means(lambda s: grown(s, "cross_entropy")),
    "sgd_batches": lambda: accuracies(sgd),
    "sgd_one_at_a_time": lambda: accuracies(lambda s: sgd(s, batch=1, epochs=3, rate=0.02)),
}
