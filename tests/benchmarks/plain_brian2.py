"""x, lam and w flowing, compiled; µs per step, and the first build, against plain Brian2.

Plain Brian2 is the network of `plain_network`, with summed variables in its synapses.
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
changes = ["simulation.backend=standalone", "train.duration=20 ms"]
spec = modelfile.load("models/digits.toml", changes)
spec.train(spec.simulation(), spec.data())
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Time the large net at one pattern and at 32, then the build of the small one."""
    cases = [(LARGE, 1, ">= 15 x faster"), (LARGE, 32, ">= 40 x faster")]
    if setting.quick:
        cases = [(SMALL, 1, "")]
    for sizes, patterns, target in cases:
        # One pattern, repeated, so that all of its copies of the weights learn the same.
        one = Problem.random(sizes, 1)
        problem = replace(one, X=np.tile(one.X, (patterns, 1)), Y=np.tile(one.Y, (patterns, 1)))
        ours = {name: partial(train, problem, **way) for name, way in WAYS.items()}
        yardsticks = {"plain Brian2": (partial(plain_steps, problem), target)}
        yield from beside(problem.name, ours, yardsticks, setting)
    yield first_build(setting)


def plain_steps(problem: Problem, steps: int) -> tuple[float, State]:
    """Return seconds per step of plain Brian2, and the final state."""
    found = plain(problem, steps)
    start = problem.start()
    state = {n: np.reshape(v, start[n].shape) for n, v in found["state"].items()}
    return found["loop"] / steps, state


def plain(problem: Problem, steps: int, cores: set[int] | None = None) -> Any:
    """Run `plain_network` as a program; return its times and its final state."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, X=problem.X, Y=problem.Y, h=problem.h, rate=problem.rate, **problem.start())
        said = finished(python("plain_network.py", path, steps), cores=cores).said
    return json.loads(said.splitlines()[-1])


def first_build(setting: Setting) -> Row:
    """Time generating, compiling and linking with an empty cache.

    All cores are used, as both compile several files at once.
    """

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            done = finished([sys.executable, "-c", FIRST_BUILD], cores=CORES, NEUROSIM_CACHE=folder)
        builds = [line for line in done.said.splitlines() if line.startswith("build ")]
        return sum(float(line.split()[1]) for line in builds)

    problem = Problem.digits(1)
    contenders = {"ours": ours, "plain": lambda: plain(problem, 1, CORES)["build"]}
    samples = in_turns(contenders, setting.repeat)
    what = "first build of models/digits.toml"
    cores = f"{len(CORES)} of {os.cpu_count()} cores"
    note = f"empty cache, {cores}; plain Brian2's make -j, its default"
    return Row(what, samples["ours"], "plain Brian2", samples["plain"], "<= 0.333", note)
