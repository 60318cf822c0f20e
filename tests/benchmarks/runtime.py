"""The NumPy backend, x, lam and w all flowing; µs per step against a hand-written NumPy loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.benchmarks.problems import SMALL, WAYS, Problem, train
from tests.benchmarks.timing import Row, Setting, beside
from tests.benchmarks.yardsticks import numpy_euler


def measure(setting: Setting) -> Iterator[Row]:
    """Time both batch sizes."""
    for patterns in (64,) if setting.quick else (64, 1437):
        problem = Problem.random(SMALL, patterns)
        ours = {name: partial(train, problem, backend="numpy", **way) for name, way in WAYS.items()}
        yardsticks = {"NumPy loop": (partial(numpy_euler, problem), "<= 1.05")}
        yield from beside(problem.name, ours, yardsticks, setting)
