"""Synapses x patterns from 1e3 to 1e8, x, lam and w flowing, compiled: time and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from tests.benchmarks.problems import LARGE, SMALL, WAYS, Array, Problem, State, train
from tests.benchmarks.processes import finished, python
from tests.benchmarks.timing import Row, Setting, in_turns
from tests.benchmarks.yardsticks import cpp_euler

Sizes = tuple[int, int, int]
WIDTHS = (26, 95, 311, 995, 3157)  # of n-n-10 nets: 1e3 to 1e7 synapses
WIDEST = 9995  # 1e8 synapses, which take minutes per turn
LOOP = "C++ loop"  # by hand for one pattern, OpenBLAS for more


def measure(setting: Setting) -> Iterator[Row]:
    """Time growing numbers of patterns, and growing widths with one pattern; measure memory."""
    most = 2 if setting.quick else 5
    widths = (*WIDTHS, WIDEST)[: most + 1]
    families: dict[str, list[tuple[Sizes, int]]] = {
        "64-32-10, 1 to 40,000 patterns": [
            (SMALL, k) for k in (1, 4, 40, 400, 4_000, 40_000)[: most + 1]
        ],
        "784-128-10, 1 to 1,000 patterns": [(LARGE, k) for k in (1, 10, 100, 1_000)[:most]],
        "n-n-10, one pattern": [((n, n, 10), 1) for n in widths],
    }
    found = {name: timed(cases, setting) for name, cases in families.items()}
    for name, (work, times) in found.items():
        yield from slopes(name, work, times)
    every = {who: np.hstack([times[who] for _, times in found.values()]) for who in (*WAYS, LOOP)}
    yield from slopes(
        "all of these nets", np.concatenate([work for work, _ in found.values()]), every
    )
    widest = (WIDEST, WIDEST, 10)
    for sizes, patterns in ((LARGE, 1_000), (LARGE, 784), (SMALL, 40_000), (widest, 1))[
        : 1 if setting.quick else 4
    ]:
        for way in WAYS:
            yield memory(sizes, patterns, way, setting)


def timed(cases: list[tuple[Sizes, int]], setting: Setting) -> tuple[Array, dict[str, Array]]:
    """Return synapses x patterns by case, and seconds per step by contender, (turns, cases)."""
    work = np.array([synapses(sizes) * patterns for sizes, patterns in cases])
    problems = [Problem.random(sizes, patterns) for sizes, patterns in cases]
    loop = "hand" if all(patterns == 1 for _, patterns in cases) else "blas"
    runs: dict[str, Callable[[Problem, int], tuple[float, State]]] = {
        way: partial(train, **options) for way, options in WAYS.items()
    }
    runs[LOOP] = partial(cpp_euler, loop)
    turns = range(min(setting.repeat, 3))
    times = {
        who: np.array([[a_step(run, p, setting) for p in problems] for _ in turns])
        for who, run in runs.items()
    }
    return work, times


def slopes(name: str, work: Array, times: dict[str, Array]) -> Iterator[Row]:
    """Yield the slopes of log time over log work, without and with shortcuts, beside the loop."""
    found = {
        who: tuple(float(np.polyfit(np.log(work), np.log(one), 1)[0]) for one in own)
        for who, own in times.items()
    }
    for way in WAYS:
        shown = ", ".join(
            f"{t:.2g} s at {w:.1e}"
            for t, w in zip(np.median(times[way], axis=0), work, strict=True)
        )
        yield Row(f"slope, {name}\n{way}", found[way], LOOP, found[LOOP], "<= 1.05", shown, "1")


def a_step(
    run: Callable[[Problem, int], tuple[float, State]], problem: Problem, setting: Setting
) -> float:
    """Return seconds per step."""
    guess = run(problem, 20)[0]
    steps = setting.steps(guess)
    return guess if steps == 20 else run(problem, steps)[0]


def synapses(sizes: Sizes) -> int:
    """Return the number of synapses, without biases."""
    return sizes[0] * sizes[1] + sizes[1] * sizes[2]


def memory(sizes: Sizes, patterns: int, way: str, setting: Setting) -> Row:
    """Compare the peak memory of a training with the size of its states, data and weights.

    Python and program are counted together; the memory of a tiny net is subtracted.
    """
    counted = sizes[0] + sizes[2] + 2 * sum(sizes[1:])
    size = 8 * (synapses(sizes) + sum(sizes[1:]) + patterns * counted)

    def peak(sizes: Sizes, patterns: int) -> float:
        return float(finished(python("train_once.py", *sizes, patterns, way), memory=True).peak)

    peak(sizes, patterns), peak((4, 4, 4), 2)  # compiles
    few = min(setting.repeat, 3)
    samples = in_turns(
        {"tiny": lambda: peak((4, 4, 4), 2), "ours": lambda: peak(sizes, patterns)}, few
    )
    grown = tuple(a - b for a, b in zip(samples["ours"], samples["tiny"], strict=True))
    what = f"peak memory, {'-'.join(map(str, sizes))}, {patterns} patterns\n{way}"
    note = "of Python and program together; that of a tiny net, with all libraries, is subtracted: "
    note += f"{np.median(samples['tiny']) / 2**20:.0f} MiB"
    return Row(
        what, grown, "x, lam, inputs, targets, weights", (float(size),) * few, "<= 3", note, "B"
    )
