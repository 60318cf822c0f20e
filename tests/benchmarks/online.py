"""One pattern, x, lam and w all flowing, compiled; µs per step against a hand-written C++ loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.benchmarks.problems import LARGE, SMALL, WAYS, Problem, train
from tests.benchmarks.timing import Row, Setting, beside
from tests.benchmarks.yardsticks import cpp_euler


def measure(setting: Setting) -> Iterator[Row]:
    """Time both nets."""
    for sizes in (LARGE, SMALL):
        problem = Problem.random(sizes, 1)
        ours = {name: partial(train, problem, **way) for name, way in WAYS.items()}
        yardsticks = {"C++ loop": (partial(cpp_euler, "hand", problem), "<= 1.0")}
        yield from beside(problem.name, ours, yardsticks, setting)
