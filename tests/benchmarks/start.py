"""From the command to the first step of models/digits.toml, with the program in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from time import time

from tests.benchmarks.processes import CORES, ROOT, finished, on
from tests.benchmarks.timing import Row, Setting, in_turns

RUN = """
import sys, time
from neurosim import cli
from neurosim.engine import cache
from neurosim.engine.standalone.program import ProgramEngine
def at(name, original):
    def marked(*args, **kwds):
        print(name, time.time(), flush=True)
        return original(*args, **kwds)
    return marked
ProgramEngine.execute = at("first-step", ProgramEngine.execute)
program = cache.program
cache.program = lambda key, build, **kwds: program(key, at("compiler", build), **kwds)
cli.main()
"""  # the program takes its first step about 10 ms after its start, once it has read its values
MODEL = (
    "run",
    "models/digits.toml",
    "--set",
    "simulation.backend=standalone",
    "--set",
    "train.duration=20 ms",
)
AT_ONCE = 8


def measure(setting: Setting) -> Iterator[Row]:
    """Time a second run beside the import of Brian2, and eight runs at once with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        marks_of(folder)
        rho = iter(range(1, 1000))
        samples = in_turns(
            {
                "import": lambda: finished([sys.executable, "-c", "import brian2"]).seconds,
                "run": lambda: first(folder, rho),
            },
            setting.repeat,
        )
    later = tuple(a - b for a, b in zip(samples["run"], samples["import"], strict=True))
    ones = (1.0,) * len(later)
    shortest, longest = min(samples["import"]), max(samples["import"])
    note = f"import brian2: {shortest:.2f} to {longest:.2f} s; no compiler was started"
    what = "first step of a second run, later than import brian2"
    yield Row(what, later, "1 s", ones, "<= 1", note)
    yield at_once(setting)


def first(folder: str, rho: Iterator[int]) -> float:
    """Return the seconds to the first step of a run with another rho and other seeds.

    With a new seed the data are split again, which imports scikit-learn.
    """
    value = next(rho)
    begin = time()
    other = {"flow.rho": 1 + value / 100, "network.seed": value, "simulation.seed": value}
    marks = marks_of(
        folder, *(part for key, new in other.items() for part in ("--set", f"{key}={new}"))
    )
    if "compiler" in marks:
        raise AssertionError("a second run started the compiler")
    return marks["first-step"] - begin


def marks_of(folder: str, *options: str) -> dict[str, float]:
    """Run the model in a process; return the time at which each mark was first printed, s."""
    with tempfile.TemporaryDirectory() as out:
        said = finished(
            [sys.executable, "-c", RUN, *MODEL, "--out", out, *options], NEUROSIM_CACHE=folder
        ).said
    lines = [
        line.split() for line in said.splitlines() if line.startswith(("first-step ", "compiler "))
    ]
    return {name: float(at) for name, at in reversed(lines)}


def at_once(setting: Setting) -> Row:
    """Time runs with an empty cache until all have ended, and count those that compiled."""
    times, compilers = [], 0
    command, pipe = [sys.executable, "-c", RUN, *MODEL], subprocess.PIPE
    for _ in range(1 if setting.quick else min(setting.repeat, 3)):
        with tempfile.TemporaryDirectory() as folder:
            begin = time()
            environment = os.environ | {"NEUROSIM_CACHE": f"{folder}/cache"}
            commands = [
                [*command, "--out", f"{folder}/{i}", "--seed", str(i)] for i in range(AT_ONCE)
            ]
            with on(CORES):
                runs = [
                    subprocess.Popen(
                        c,
                        cwd=ROOT,
                        env=environment,
                        stdout=pipe,
                        stderr=subprocess.STDOUT,
                        text=True,
                    )
                    for c in commands
                ]
            said = [run.communicate()[0] for run in runs]
            times.append(time() - begin)
        failed = [text for run, text in zip(runs, said, strict=True) if run.returncode]
        if failed:
            raise AssertionError(
                f"{len(failed)} of {AT_ONCE} runs failed; the first printed\n{failed[0][-2000:]}"
            )
        compilers += sum("compiler " in text for text in said)
    note = (
        f"{AT_ONCE} ended without an error each time; "
        f"compilers started: {compilers} in {len(times)} turns, 2 programs each"
    )
    return Row(f"{AT_ONCE} runs at once, empty cache", tuple(times), note=note)
