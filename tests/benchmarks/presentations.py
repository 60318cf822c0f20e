"""Presentations of 30 steps, clamped input, weights moving, compiled: the exact shortcut on against
off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import neurosim as ns
from tests.benchmarks.problems import LARGE, WAYS, Problem, simulation, state
from tests.benchmarks.timing import Row, Setting, State, difference, in_turns
from tests.benchmarks.yardsticks import numpy_loop

LENGTH = 30  # steps a presentation


def present(problem: Problem, batch: int, **options: Any) -> tuple[float, State]:
    """Every pattern once, in batches: seconds a step, and where it led."""
    sim = simulation(problem, "standalone", **options)
    schedule = ns.Presentations(
        batch=batch, present=LENGTH * problem.dt, plastic_from=0, epochs=1, shuffle=False
    )
    log = sim.train(problem.X, problem.Y, schedule)
    return sim.loop_time / (problem.patterns // batch * LENGTH), state(log.run, sim.net)


def by_numpy(problem: Problem, batch: int) -> State:
    """The same by the NumPy loop."""
    step, moving, _ = numpy_loop(
        replace(problem, X=problem.X[:batch], Y=problem.Y[:batch]), plastic=True
    )
    for k in range(0, problem.patterns, batch):
        moving["X"][:], moving["y"][:] = problem.X[k : k + batch], problem.Y[k : k + batch]
        for _ in range(LENGTH):
            step()
    return moving


def measure(setting: Setting) -> Iterator[Row]:
    """One pattern at a time, and 32."""
    for batch, count in ((1, 4000), (32, 200)):
        yield from on_and_off(batch, count // 20 if setting.quick else count, setting)


def on_and_off(batch: int, count: int, setting: Setting) -> Iterator[Row]:
    """`count` presentations of `batch` patterns."""
    few, problem = Problem.random(LARGE, 3 * batch), Problem.random(LARGE, batch * count)
    truth = by_numpy(few, batch)
    off = max(difference(truth, present(few, batch, **way)[1]) for way in WAYS.values())
    samples = in_turns(
        {n: lambda w=w: present(problem, batch, **w)[0] for n, w in WAYS.items()}, setting.repeat
    )
    what = f"{'-'.join(map(str, LARGE))}, K = {batch}, {count} presentations"
    slow, fast = samples["no shortcuts"], samples["neurosim"]
    note = "max diff: to the NumPy loop"
    yield Row(what, fast, "no shortcuts", slow, ">= 6 x faster", note, difference=off)
