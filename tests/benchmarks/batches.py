"""A batch, x, lam and w all flowing, compiled; µs per step against OpenBLAS from NumPy and C++."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.benchmarks.problems import LARGE, SMALL, WAYS, Problem, train
from tests.benchmarks.timing import Row, Setting, beside
from tests.benchmarks.yardsticks import cpp_euler, numpy_euler


def measure(setting: Setting) -> Iterator[Row]:
    """Time both nets at every batch size."""
    for sizes in (LARGE, SMALL):
        for patterns in (32,) if setting.quick else (32, 64, 1024):
            problem = Problem.random(sizes, patterns)
            ours = {name: partial(train, problem, **way) for name, way in WAYS.items()}
            yardsticks = {
                "NumPy loop": (partial(numpy_euler, problem), "<= 0.9"),
                "C++ with OpenBLAS": (partial(cpp_euler, "blas", problem), "<= 1.05"),
            }
            yield from beside(problem.name, ours, yardsticks, setting)
