"""Figures of relaxing and learning, by dense messages and by events, with nets that change their
size.

Each function measures one row and returns plain numbers; the tests hold the same numbers to their
bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    """Loss and gradient norm (reference) of 2-4-1 nets trained by all three flows at once."""
    found = []
    for seed in seeds:
        net = ns.Network.mlp([2, 4, 1], loss="mse", seed=seed)
        sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.1 * TAU)
        sim.train(XOR_X, XOR_Y, ns.Simultaneous(duration=1500 * TAU, reports=5))
        exact = ns.reference.backprop(net, XOR_X, XOR_Y)
        gradient = [*exact.grad_w.values(), *exact.grad_b.values()]
        found.append((exact.loss, float(np.sqrt(sum(np.sum(g**2) for g in gradient)))))
    return found


def digits(seed: int) -> tuple[Any, ...]:
    """Digits / 16, a stratified 80/20 split."""
    X, Y = load_digits(return_X_y=True)
    return tuple(train_test_split(X / 16, Y, test_size=0.2, stratify=Y, random_state=seed))


def simultaneous(seed: int, backend: str = "auto") -> float:
    """Test accuracy: every pattern its own neurons, 2000 steps of 0.2 tau, tau_w = tau_x."""
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU, backend=backend)
    sim.train(X, Y, ns.Simultaneous(duration=400 * TAU, reports=4))
    return accuracy(sim.predict(Xt), Yt)


def presentations(seed: int, backend: str = "auto") -> float:
    """Test accuracy: batches of 32 for 6 tau, plastic in the second half, 20 epochs, rho = 2."""
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    sim = ns.Simulation(
        net, ns.Flow.augmented(2, tau_w=20 * TAU), dt=0.1 * TAU, seed=seed, backend=backend
    )
    sim.train(X, Y, ns.Presentations(batch=32, present=6 * TAU, epochs=20))
    return accuracy(sim.predict(Xt), Yt)


def one_at_a_time(seed: int, backend: str = "auto") -> float:
    """Test accuracy: one pattern for 6 tau, plastic in the second half, 3 epochs, `adjoint`, tau_w
    = 100 tau.
    """
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], seed=seed)
    sim = ns.Simulation(
        net, ns.Flow.adjoint(tau_w=100 * TAU), dt=0.2 * TAU, seed=seed, backend=backend
    )
    sim.train(X, Y, ns.Presentations(batch=1, present=6 * TAU, epochs=3))
    return accuracy(sim.predict(Xt), Yt)


def by_events(
    seed: int, transport: Any = "dense", backend: str = "auto", flow: ns.Flow | None = None
) -> tuple[float, float]:
    """Test accuracy and operations a presentation: a pattern for 12 tau, plastic in the second
    half, 3 epochs, mse.
    """
    X, Xt, Y, Yt = digits(seed)
    net = ns.Network.mlp([64, 32, 10], loss="mse", seed=seed)
    flow = flow or ns.Flow.adjoint(tau_w=200 * TAU)
    sim = ns.Simulation(net, flow, transport=transport, dt=0.2 * TAU, seed=seed, backend=backend)
    cost = ns.synaptic_operations(
        sim.train(X, Y, ns.Presentations(batch=1, present=12 * TAU, epochs=3)).run
    )
    return accuracy(sim.predict(Xt), Yt), (cost.effective + cost.plasticity) / (3 * len(X))


def of_events() -> str:
    """Mean accuracy over the seeds and operations a presentation, by transport."""
    ways = {
        "dense": ns.Dense(),
        "theta .01": ns.Events(0.01),
        "theta .03": ns.Events(0.03),
        "adaptive": ns.Events("adaptive"),
        "adaptive, down to .03": ns.Events(ns.Adaptive(top=0.4, floor=0.03, fade=0.98)),
        "spikes .1 / .03, one a step": ns.Spikes(0.1, backward=0.03),
    }
    found = {name: [by_events(seed, way) for seed in SEEDS] for name, way in ways.items()}
    return "; ".join(
        f"{n}: {fmean(a for a, _ in v):.2%}, {fmean(o for _, o in v):.3g}" for n, v in found.items()
    )


def followed(flow: ns.Flow, speed: float, seed: int, frames: int = 400) -> tuple[float, float]:
    """Moving digits by events (theta = 0.03), 10 steps of 0.2 tau a frame: how well and how cheaply
    they are followed.

    The mean angle, in degrees, of what the synapses hear (delta x^T) to backpropagation's gradient
    of the frame, the first 20 frames of a digit left out; and operations of dense messages, each
    frame sent once, over those by events.
    """
    net = ns.Network.mlp([256, 32, 10], loss="mse", seed=seed)
    stream, steps = moving_digits(frames, speed=speed, seed=seed + 1), 10
    sim = ns.Simulation(net, flow, transport=ns.Events(0.03), dt=0.2 * TAU, backend="standalone")
    record = ("sent_x", "sent_delta", "delta")
    run = sim.stream(
        stream.X, stream.Y, per_frame=steps * 0.2 * TAU, record=record, every=0.2 * TAU
    )
    traces = {
        v: run.traces[v].values[steps - 1 :: steps, 0] for v in record
    }  # messages of the last step of each frame
    traces["sent_delta"] = np.where(
        np.isnan(traces["sent_delta"]), traces["delta"], traces["sent_delta"]
    )  # unsent
    exact = ns.reference.backprop(net, stream.X, stream.Y)
    x = exact.x | {"input": stream.X}
    kept = np.arange(frames) % 200 >= 20
    inner, ours, theirs = np.zeros((3, frames))
    for q in net.projections.values():
        heard = [
            traces[v][:, run.traces["population"] == n]
            for v, n in (("sent_delta", q.post), ("sent_x", q.pre))
        ]
        slope = dsigma(net.populations[q.post].activation, net_input(net, q.post, x))
        true = [slope * exact.lam[q.post], x[q.pre]]
        inner += np.prod([(a * b).sum(axis=1) for a, b in zip(heard, true, strict=True)], axis=0)
        ours += np.prod([(a**2).sum(axis=1) for a in heard], axis=0)
        theirs += np.prod([(a**2).sum(axis=1) for a in true], axis=0)
    angles = np.degrees(np.arccos(inner[kept] / np.sqrt(ours[kept] * theirs[kept])))
    once = frames * 256 * 32 + run.steps * 2 * 32 * 10
    return float(angles.mean()), once / ns.synaptic_operations(run).effective


def of_streams() -> str:
    """Angle and saving over three nets, by flow and speed in pixels a frame."""
    found = {
        f"{name}, {speed} px": [followed(flow, speed, seed) for seed in range(3)]
        for name, flow in (("adjoint", ns.Flow.adjoint()), ("augmented", ns.Flow.augmented()))
        for speed in (0.05, 0.25, 1.0)
    }
    return "; ".join(
        f"{n}: {fmean(a for a, _ in v):.1f} deg, {fmean(o for _, o in v):.1f}"
        for n, v in found.items()
    )


def oversized(seed: int, price: float = 0.01, size: int = 128) -> ns.Simulation:
    """64-128-10 with a price on neurons and a tube of 0.01, squared hinge, all three flows at once."""
    net = ns.Network.mlp(
        [64, size, 10],
        loss="squared_hinge",
        constraint="tube",
        epsilon=0.01,
        group_l1=price,
        seed=seed,
    )
    return ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU)


def pruned(seed: int) -> dict[str, float]:
    """64-128-10, started too large: 2,000 steps of 0.2 tau with a price on neurons, 1,000 without.

    Beside it the same net without price and removals, and one of the size that was left, each for
    3,000 steps.
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
    }


def straw(seed: int) -> dict[str, float]:
    """64-128-10 after 2,000 steps with the price: neurons that are straw for every pattern at rest,
    weights fixed.

    Beside them those whose product of norms is at most 1e-3; and what predictions change if straw
    ones go.
    """
    X, _, Y, _ = digits(seed)
    sim = oversized(seed)
    sim.train(X, Y, ns.Simultaneous(duration=400 * TAU, reports=4))
    run = sim.relax(X, Y, duration=200 * TAU, start="forward", settle=1e-5)
    support = {n: np.abs(lam) > 1e-4 for n, lam in run.lam.items()}
    by_support = reshaped(sim.net, support, X, dead=0)
    kept = set(by_support.origin["hidden1"])
    return {
        "support": len(kept),
        "not dead": (by_weights := reshaped(sim.net, None, X)).network.populations["hidden1"].size,
        "either, not both": len(kept ^ set(by_weights.origin["hidden1"])),
        "change without straw": by_support.change,
    }


def grown(seed: int, loss: str = "squared_hinge") -> dict[str, float]:
    """64-4-10 that grows for 2,000 steps of 0.2 tau, beside 32 hidden neurons from the start."""
    X, Xt, Y, Yt = digits(seed)
    rows, found = ns.Simultaneous(duration=400 * TAU, reports=20), {}
    for name, size, schedule in (("grown", 4, ns.Growing(schedule=rows)), ("whole", 32, rows)):
        net = ns.Network.mlp([64, size, 10], loss=loss, seed=seed)
        sim = ns.Simulation(net, ns.Flow.augmented(tau_w=TAU), dt=0.2 * TAU, seed=seed)
        log = sim.train(X, Y, schedule)
        found[name] = 100 * accuracy(sim.predict(Xt), Yt)
        if name == "grown":
            sizes = log.history.neurons.values
            found |= {
                "neurons": sizes[-1],
                "steps of growth": 100.0 * (1 + np.flatnonzero(np.diff(sizes)).max()),
            }
    return found


def means(measure: Callable[[int], dict[str, float]], seeds: Iterable[int] = SEEDS) -> str:
    """Mean of each figure over the seeds, and every seed's own."""
    found = [measure(seed) for seed in seeds]
    return "; ".join(
        f"{k} {fmean(f[k] for f in found):.4g} ({', '.join(f'{f[k]:.4g}' for f in found)})"
        for k in found[0]
    )


def sgd(seed: int, batch: int = 32, epochs: int = 20, rate: float = 0.2) -> float:
    """Test accuracy of the reference's backpropagation SGD on the same split and start."""
    X, Xt, Y, Yt = digits(seed)
    net = ns.reference.sgd(
        ns.Network.mlp([64, 32, 10], seed=seed),
        X,
        Y,
        epochs=epochs,
        batch=batch,
        rate=rate,
        seed=seed,
    )
    return accuracy(ns.reference.forward(net, Xt)["output"], Yt)


def at_rest() -> dict[str, float]:
    """Largest error of x and lam after 600 steps of 0.2 tau, 64 digits, by flow, loss and backend."""
    X, Y = (part[:64] for part in load_digits(return_X_y=True))
    found = {}
    for loss in ("mse", "cross_entropy"):
        net = ns.Network.mlp([64, 32, 10], loss=loss)
        exact = ns.reference.backprop(net, X / 16, Y)
        for name, flow in (
            ("augmented(1)", ns.Flow.augmented(1)),
            ("damped", ns.Flow.damped()),
            ("adjoint", ns.Flow.adjoint()),
        ):
            for backend in ("numpy", "standalone"):
                run = ns.Simulation(net, flow, dt=0.2 * TAU, backend=backend).relax(
                    X / 16, Y, duration=120 * TAU
                )
                errors = [np.abs(run.x[n] - exact.x[n]).max() for n in run.x] + [
                    np.abs(run.lam[n] - exact.lam[n]).max() for n in run.x
                ]
                found[f"{name}, {loss}, {backend}"] = float(max(errors))
    return found


def depths() -> dict[int, float]:
    """Largest error of lam after 2L steps of dt = tau, `adjoint`, by number of weight layers L."""
    found = {}
    for layers in range(2, 21):
        net = ns.Network.mlp([5, *[6] * (layers - 1), 3], loss="mse", seed=layers)
        X, Y = (
            np.random.default_rng(layers).normal(size=(5, 5)),
            np.random.default_rng(0).normal(size=(5, 3)),
        )
        run = ns.Simulation(net, ns.Flow.adjoint(), dt=TAU).relax(X, Y, duration=2 * layers * TAU)
        exact = ns.reference.backprop(net, X, Y)
        found[layers] = float(max(np.abs(run.lam[n] - exact.lam[n]).max() for n in run.lam))
    return found


def accuracies(measure: Callable[[int], float]) -> str:
    """Mean and worst over the seeds."""
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
