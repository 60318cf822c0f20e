"""Patterns that settle one by one against a batch that settles as a whole.

`damped` on a network trained on digits. The note has the share of the steps that patterns move, on
average: below it no time can fall.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

import neurosim as ns
from tests.benchmarks.problems import SMALL, TAU
from tests.benchmarks.timing import Row, Setting, in_turns

BACKENDS = ("numpy", "standalone")
STARTS = {"forward": "<= 0.75", "zero": ""}  # with their targets
PATTERNS = 1437
SETTLE = 1e-6
STEPS = (0.2, 0.4)  # dt / tau
LONGEST = 1000  # steps


def measure(setting: Setting) -> Iterator[Row]:
    """Time every backend from every start, with every step."""
    data = ns.datasets.load("digits")
    X, Y = data.X[:PATTERNS], data.Y[:PATTERNS]
    net = trained(X, Y)
    for backend in BACKENDS[:1] if setting.quick else BACKENDS:
        for h in STEPS[1:] if setting.quick else STEPS:
            sim = ns.Simulation(net, ns.Flow.damped(tau_x=TAU), dt=h * TAU, backend=backend)
            for start, target in STARTS.items():
                yield one_by_one(sim, (X, Y), start, target, setting)


def trained(X: Any, Y: Any) -> ns.Network:
    """Return 64-32-10 after 20 epochs of backpropagation, which `adjoint` at dt = tau is."""
    net = ns.Network.mlp(SMALL, loss="mse", seed=0)
    flow = ns.Flow.adjoint(tau_x=TAU, tau_lam=TAU, tau_w=20 * TAU)
    sim = ns.Simulation(net, flow, dt=TAU, backend="numpy")
    sim.train(X, Y, ns.Presentations(batch=32, present=5 * TAU, plastic_from=0.8, epochs=20))
    return net


def one_by_one(
    sim: ns.Simulation, data: tuple[Any, Any], start: str, target: str, setting: Setting
) -> Row:
    """Time the steps of both ways to settle."""
    options = {"duration": LONGEST * sim.dt, "settle": SETTLE, "start": start}
    ways = {
        each: partial(seconds, sim, data, settle_each=each, **options) for each in (True, False)
    }
    for run in ways.values():
        run()  # builds the program
    samples = in_turns({str(each): run for each, run in ways.items()}, setting.repeat)
    run = sim.relax(*data, settle_each=True, **options)
    assert run.settle_times is not None
    share = run.settle_times.mean() / run.time
    what = f"{sim.backend}, dt = {sim.dt / TAU:g} tau\nstart = {start!r}"
    note = f"{share:.3f} of {run.steps} steps"
    return Row(what, samples["True"], "whole batch", samples["False"], target, note)


def seconds(sim: ns.Simulation, data: tuple[Any, Any], **options: Any) -> float:
    """Return the time of a relaxation on NumPy, s; of its steps alone in a compiled program."""
    begin = perf_counter()
    sim.relax(*data, **options)
    return perf_counter() - begin if sim.backend == "numpy" else sim.loop_time
