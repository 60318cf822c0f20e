"""Presentations of 30 steps, clamped input, weights moving, compiled: shortcuts on and off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import neurosim as ns
from tests.benchmarks.problems import LARGE, WAYS, Problem, simulation, state
from tests.benchmarks.timing import Row, Setting, State, difference, in_turns
from tests.benchmarks.yardsticks import numpy_loop

LENGTH = 30  # steps per presentation


def present(problem: Problem, batch: int, **options: Any) -> tuple[float, State]:
    """Present every pattern once, in batches; return seconds per step, and the final state."""
    sim = simulation(problem, "standalone", **options)
    schedule = ns.Presentations(
        batch=batch, present=LENGTH * problem.dt, plastic_from=0, epochs=1, shuffle=False
    )
    log = sim.train(problem.X, problem.Y, schedule)
    return sim.loop_time / (problem.patterns // batch * LENGTH), state(log.run, sim.net)


def by_numpy(problem: Problem, batch: int) -> State:
    """Present every pattern once by the NumPy loop; return the final state."""
    first = replace(problem, X=problem.X[:batch], Y=problem.Y[:batch])
    step, moving, _ = numpy_loop(first, plastic=True)
    for k in range(0, problem.patterns, batch):
        moving["X"][:], moving["y"][:] = problem.X[k : k + batch], problem.Y[k : k + batch]
        for _ in range(LENGTH):
            step()
    return moving


def measure(setting: Setting) -> Iterator[Row]:
    """Time presentations of one pattern and of batches of 32."""
    for batch, count in ((1, 4000), (32, 200)):
        yield from on_and_off(batch, count // 20 if setting.quick else count, setting)


def on_and_off(batch: int, count: int, setting: Setting) -> Iterator[Row]:
    """Time `count` presentations of `batch` patterns, with shortcuts and without."""
    few, problem = Problem.random(LARGE, 3 * batch), Problem.random(LARGE, batch * count)
    truth = by_numpy(few, batch)
    off = max(difference(truth, present(few, batch, **way)[1]) for way in WAYS.values())
    contenders = {
        name: lambda way=way: present(problem, batch, **way)[0] for name, way in WAYS.items()
    }
    samples = in_turns(contenders, setting.repeat)
    what = f"{'-'.join(map(str, LARGE))}, K = {batch}, {count} presentations"
    slow, fast = samples["no shortcuts"], samples["neurosim"]
    note = "max diff: to the NumPy loop"
    yield Row(what, fast, "no shortcuts", slow, ">= 6 x faster", note, difference=off)
