"""Events against dense messages with all shortcuts, 784-n-n-10, one pattern at a time, compiled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

import neurosim as ns
from neurosim.reference import backprop
from tests.benchmarks.timing import Row, Setting, in_turns

WIDTHS = (128, 256, 512, 1024, 2048)
WIDTH, DT, TAU = 512, 2e-3, 10e-3
PATTERNS = 100  # shown one after another
FEW = {"adaptive": 30, "dense": 5}  # patterns, where widths are compared
ALIKE = 0.999  # cosine of lam to backpropagation's, in every population
JUDGED = (5, 6, 7, 8, 9)  # lengths of sequences whose last pattern must reach that cosine
RELAXING = {"dense": "dense", "adaptive": ns.Events(ns.Adaptive(top=0.4, floor=2e-3, fade=0.93))}
LEARNING = {
    "dense": "dense",
    "theta = 0.03": ns.Events(0.03),
    "adaptive, down to 0.03": ns.Events(ns.Adaptive(top=0.4, floor=0.03, fade=0.98)),
}
FLOWS = {
    "adjoint": ns.Flow.adjoint(tau_w=200 * TAU),
    "augmented(1)": ns.Flow.augmented(1.0, tau_w=200 * TAU),
}


def measure(setting: Setting) -> Iterator[Row]:
    """Time relaxing to the same accuracy, learning online, and the growth of time with events."""
    width = 128 if setting.quick else WIDTH
    for name, flow in FLOWS.items():
        yield relaxing(name, flow, width, setting)
        yield from learning(name, flow, width, setting)
    yield growth(WIDTHS[: 2 if setting.quick else None], setting)


def data(patterns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs with a fifth of the pixels lit, as in handwritten digits; random targets."""
    rng = np.random.default_rng(0)
    X = rng.random((patterns, 784)) * (rng.random((patterns, 784)) < 0.2)
    return X, np.eye(10)[rng.integers(10, size=patterns)]


def simulation(flow: ns.Flow, width: int, transport: object) -> ns.Simulation:
    """Return a compiled simulation of 784-width-width-10, with the same weights each time."""
    net = ns.Network.mlp([784, width, width, 10], loss="mse", seed=0)
    return ns.Simulation(net, flow, transport=transport, dt=DT, backend="standalone")


def cosine(run: ns.Run, truth: object) -> float:
    """Return the smallest cosine over the populations of lam to that of the truth."""
    cosines = []
    for name in run.network.neurons:
        lam, exact = run.lam[name], truth.lam[name]
        sizes = np.linalg.norm(lam) * np.linalg.norm(exact) + 1e-300
        cosines.append(float((lam * exact).sum() / sizes))
    return min(cosines)


def relaxed(sim: ns.Simulation, patterns: int, steps: int) -> ns.Run:
    """Relax patterns one at a time, each for `steps`, weights fixed."""
    X, Y = data(PATTERNS)
    return sim.stream(X[:patterns], Y[:patterns], per_frame=steps * DT)


def learnt(sim: ns.Simulation, steps: int) -> ns.Run:
    """Train on patterns one at a time, each for `steps`; weights move in the second half."""
    X, Y = data(PATTERNS)
    schedule = ns.Presentations(present=steps * DT, epochs=1, batch=1, shuffle=False)
    return sim.train(X, Y, schedule).run


def enough(flow: ns.Flow, width: int, transport: object) -> int:
    """Return the steps per pattern after which the cosine of lam is at least `ALIKE`."""
    X, Y = data(PATTERNS)

    def worst(steps: int) -> float:
        sim = simulation(flow, width, transport)
        runs = [(n, relaxed(sim, n, steps)) for n in JUDGED]
        return min(cosine(run, backprop(sim.net, X[n - 1 : n], Y[n - 1 : n])) for n, run in runs)

    return next(steps for steps in range(20, 1000, 5) if worst(steps) >= ALIKE)


def relaxing(name: str, flow: ns.Flow, width: int, setting: Setting) -> Row:
    """Time a sequence of patterns with fixed weights, in seconds per pattern.

    Each transport takes the number of steps per pattern that `enough` finds.
    """
    steps = {way: enough(flow, width, transport) for way, transport in RELAXING.items()}
    spent: dict[str, float] = {}

    def once(way: str) -> float:
        sim = simulation(flow, width, RELAXING[way])
        spent[way] = ns.synaptic_operations(relaxed(sim, PATTERNS, steps[way])).effective
        return sim.loop_time / PATTERNS

    samples = in_turns({way: partial(once, way) for way in steps}, setting.repeat)
    what = f"relaxing to cosine {ALIKE}, 784-{width}-{width}-10, {name}, per pattern\nadaptive"
    note = f"{steps['adaptive']} and {steps['dense']} steps; "
    note += f"{spent['dense'] / spent['adaptive']:.3g} times fewer synaptic operations"
    return Row(what, samples["adaptive"], "dense", samples["dense"], "<= 0.2", note)


def learning(name: str, flow: ns.Flow, width: int, setting: Setting) -> Iterator[Row]:
    """Time presentations of 16 tau, weights moving in the second half, in seconds per pattern."""
    spent: dict[str, float] = {}

    def once(way: str) -> float:
        sim = simulation(flow, width, LEARNING[way])
        spent[way] = ns.synaptic_operations(learnt(sim, 80)).saving
        return sim.loop_time / PATTERNS

    samples = in_turns({way: partial(once, way) for way in LEARNING}, setting.repeat)
    for way in list(LEARNING)[1:]:
        what = f"learning online, 784-{width}-{width}-10, {name}, per pattern\n{way}"
        note = f"{spent[way]:.3g} times fewer synaptic operations, plasticity included"
        yield Row(what, samples[way], "dense", samples["dense"], "<= 0.2", note)


def growth(widths: tuple[int, ...], setting: Setting) -> Row:
    """Return the slope of log time per pattern over log synapses, of events and of dense messages.

    Patterns are shown one after another for 80 steps each. An event costs as many operations as it
    has receivers, so time should be proportional to synaptic operations; the note has the slope.
    """
    flow, times, done, events = FLOWS["adjoint"], {"adaptive": [], "dense": []}, [], []
    for width in widths:
        for way, found in times.items():
            count, samples = FEW[way], []
            for _ in range(min(setting.repeat, 3)):
                sim = simulation(flow, width, RELAXING[way])
                run = relaxed(sim, count, 80)
                samples.append(sim.loop_time / count)
            found.append(float(np.median(samples)))
            if way == "adaptive":
                cost = ns.synaptic_operations(run)
                done.append(cost.effective / count)
                sent = [sum(own.values()) for own in cost.events.values()]
                events.append(sum(sent) / count)
    synapses = [784 * n + n * n + 10 * n for n in widths]
    slopes = {way: _slope(synapses, found) for way, found in times.items()}
    over = {"synaptic operations": done, "events": events}
    notes = [", ".join(f"over {x} {_slope(v, times['adaptive']):.2f}" for x, v in over.items())]
    for i, width in enumerate(widths):
        adaptive, dense = 1e3 * times["adaptive"][i], 1e3 * times["dense"][i]
        notes.append(f"{width}: {events[i]:.0f} events, {adaptive:.3g} ms, dense {dense:.3g} ms")
    what = "slope of time over synapses, 80 steps\nadaptive"
    ours, theirs = (slopes["adaptive"],), (slopes["dense"],)
    return Row(what, ours, "dense", theirs, note="; ".join(notes), unit="1")


def _slope(x: list[float] | list[int], y: list[float]) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
