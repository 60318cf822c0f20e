"""x, lam and w flowing, compiled; µs a step, and the first build, against plain Brian2 with summed
synapses.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.problems import LARGE, SMALL, WAYS, Problem, train
from tests.benchmarks.processes import CORES, finished, python
from tests.benchmarks.timing import Row, Setting, State, beside, in_turns

FIRST_BUILD = """
import time
from functools import wraps
from neurosim.experiments import modelfile
from neurosim.engine import brian
class Device(brian.Device):
    @wraps(brian.Device.build)
    def build(self, *args, **kwds):
        begin = time.perf_counter()
        super().build(*args, **kwds)
        print("build", time.perf_counter() - begin)
brian.Device = Device
spec = modelfile.load("models/digits.toml", ["simulation.backend=standalone", "train.duration=20 ms"])
spec.train(spec.simulation(), spec.data())
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The large net at one pattern and at 32, then the build of the small one."""
    cases = (
        ((SMALL, 1, ""),)
        if setting.quick
        else ((LARGE, 1, ">= 15 x faster"), (LARGE, 32, ">= 40 x faster"))
    )
    for sizes, patterns, target in cases:
        one = Problem.random(
            sizes, 1
        )  # the same pattern, so that all its copies of the weights learn the same
        problem = replace(one, X=np.tile(one.X, (patterns, 1)), Y=np.tile(one.Y, (patterns, 1)))
        ours = {name: partial(train, problem, **way) for name, way in WAYS.items()}
        yield from beside(
            problem.name, ours, {"plain Brian2": (partial(plain_steps, problem), target)}, setting
        )
    yield first_build(setting)


def plain_steps(problem: Problem, steps: int) -> tuple[float, State]:
    """Seconds a step, and where they led."""
    found = plain(problem, steps)
    start = problem.start()
    return found["loop"] / steps, {
        n: np.reshape(v, start[n].shape) for n, v in found["state"].items()
    }


def plain(problem: Problem, steps: int, cores: set[int] | None = None) -> Any:
    """What the plain network measured of itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, X=problem.X, Y=problem.Y, h=problem.h, rate=problem.rate, **problem.start())
        said = finished(python("plain_network.py", path, steps), cores=cores).said
    return json.loads(said.splitlines()[-1])


def first_build(setting: Setting) -> Row:
    """Generating, compiling and linking, nothing kept from before; on all cores, as both compile
    side by side.
    """

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            done = finished([sys.executable, "-c", FIRST_BUILD], cores=CORES, NEUROSIM_CACHE=folder)
        return sum(
            float(line.split()[1]) for line in done.said.splitlines() if line.startswith("build ")
        )

    problem = Problem.digits(1)
    samples = in_turns(
        {"ours": ours, "plain": lambda: plain(problem, 1, CORES)["build"]}, setting.repeat
    )
    what = "first build of models/digits.toml"
    note = (
        f"empty cache, {len(CORES)} of {os.cpu_count()} cores; plain Brian2's make -j, its default"
    )
    return Row(what, samples["ours"], "plain Brian2", samples["plain"], "<= 0.333", note)
