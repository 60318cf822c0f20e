"""Fixed weights, compiled; µs per step and time to 1e-6 of backpropagation's lam, against peers.

The peers are JAX, diffrax and NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import neurosim as ns
from tests.benchmarks.peers import Peer, interpreter, missing
from tests.benchmarks.problems import LARGE, WAYS, Problem, relax, simulation, state
from tests.benchmarks.timing import Row, Setting, State, beside, in_turns
from tests.benchmarks.yardsticks import folder, numpy_euler, numpy_loop

NEAR = 1e-6  # of backpropagation's multipliers
LONGEST = 5_000  # steps that a relaxation may take
MANY = 20_000  # steps that are timed where a relaxation takes a few
# Tolerances of step control; each solver gets the fastest one that comes within NEAR.
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
MODULES = ("jax", "diffrax")


@dataclass(frozen=True)
class Outcome:
    """Seconds, final state and number of evaluations of a relaxation."""

    seconds: float
    state: State
    evaluations: int


Contender = Callable[[], Outcome]


def measure(setting: Setting) -> Iterator[Row]:
    """Time steps, relaxations to rest, whole calls, and `adjoint` at dt = tau."""
    if interpreter(*MODULES) is None:
        yield Row("all of these", (), "JAX, diffrax", note=missing(*MODULES))
    makers = (partial(Problem.digits, 64), partial(Problem.random, LARGE, 32))
    for make in makers[:1] if setting.quick else makers:
        saddle, adjoint = make(h=0.2), make(h=1.0, adjoint=True)
        with jax_on(saddle) as jax:
            yield from a_step(saddle, jax, setting)
            yield from to_rest(saddle, jax, setting)
            yield from whole_call(saddle, jax, setting)
        with jax_on(adjoint) as jax:
            yield from four_steps(adjoint, jax, setting)


@contextmanager
def jax_on(problem: Problem) -> Iterator[Peer | None]:
    """Open a JAX process for this problem, where JAX is installed."""
    if interpreter(*MODULES) is None:
        yield None
        return
    path = os.path.join(folder().name, "problem.npz")
    np.savez(
        path,
        X=problem.X,
        Y=problem.Y,
        h=problem.h,
        rho=problem.rho,
        adjoint=problem.adjoint,
        **problem.start(),
    )
    with Peer("jax_peer.py", path, modules=MODULES) as peer:
        yield peer


def a_step(problem: Problem, jax: Peer | None, setting: Setting) -> Iterator[Row]:
    """Time one step."""

    def stepped(function: str, steps: int) -> tuple[float, State]:
        found = asked(jax, function, steps=steps)
        return found.seconds / steps, found.state

    ours = {name: partial(relax, problem, **way) for name, way in WAYS.items()}
    yardsticks = {"NumPy loop": (partial(numpy_euler, problem, plastic=False), "")}
    if jax:
        yardsticks["JAX loop"] = (partial(stepped, "euler"), "<= 1.0")
        yardsticks["diffrax Euler"] = (partial(stepped, "diffrax"), "<= 1.0")
    yield from beside(f"a step, {problem.name}", ours, yardsticks, setting)


def to_rest(problem: Problem, jax: Peer | None, setting: Setting) -> Iterator[Row]:
    """Time until no rate exceeds a bound at which lam is within `NEAR`.

    The bound is found beforehand and is the same for all.
    """
    steps, settle = steps_and_bound(problem)
    ours: dict[str, Contender] = {"neurosim, Euler": partial(settled, problem, settle)}
    controlled = partial(settled, problem, adaptive=True)
    ours["neurosim, adaptive"] = fastest(problem, controlled, [{"settle": settle}])
    theirs: dict[str, Contender] = {"NumPy loop": partial(settled_by_numpy, problem, settle)}
    if jax:
        tsit5 = partial(asked, jax, "tsit5")
        # The exact flow does not need the same time as Euler.
        horizons = [steps * problem.h * more for more in (0.9, 1.0, 1.1, 1.25)]
        theirs["JAX while_loop"] = partial(asked, jax, "settling", settle=settle)
        theirs["JAX loop, given steps"] = partial(asked, jax, "euler", steps=steps)
        theirs["diffrax Tsit5, event"] = fastest(problem, tsit5, [{"settle": settle}])
        theirs["diffrax Tsit5, given end"] = fastest(
            problem, tsit5, [{"horizon": t} for t in horizons]
        )
    yield from race(f"to {NEAR:g}", problem, ours, theirs, setting)


def four_steps(problem: Problem, jax: Peer | None, setting: Setting) -> Iterator[Row]:
    """Time `adjoint` at dt = tau, where four steps are the forward and the backward pass."""
    theirs: dict[str, Contender] = {"NumPy loop": partial(by_numpy, problem, 4)}
    if jax:
        theirs["JAX loop"] = partial(asked, jax, "euler", steps=4)
    yield from race(
        "adjoint, dt = tau", problem, {"neurosim": partial(by_steps, problem, 4)}, theirs, setting
    )


def race(
    what: str,
    problem: Problem,
    ours: dict[str, Contender],
    theirs: dict[str, Contender],
    setting: Setting,
) -> Iterator[Row]:
    """Time each way of neurosim beside each peer, with evaluations and errors in the note."""
    first = {name: run() for name, run in (ours | theirs).items()}
    samples = in_turns(
        {n: lambda r=r: r().seconds for n, r in (ours | theirs).items()}, setting.repeat
    )
    said = {
        n: f"{o.evaluations} evaluations to {errors(problem, o.state):.1e}"
        for n, o in first.items()
    }
    for way in ours:
        for name in theirs:
            note = f"{said[way]}; {said[name]}"
            yield Row(
                f"{what}, {problem.name}\n{way}", samples[way], name, samples[name], "< 1", note
            )


def whole_call(problem: Problem, jax: Peer | None, setting: Setting) -> Iterator[Row]:
    """Time a second whole call: data in, 200 steps, arrays out."""
    sim = simulation(problem, "standalone")

    def ours() -> float:
        begin = perf_counter()
        sim.relax(problem.X, problem.Y, duration=200 * problem.dt)
        return perf_counter() - begin

    ours()
    contenders = {"neurosim": ours} | (
        {"JAX loop": lambda: jax("euler", steps=200)["whole"]} if jax else {}
    )
    samples = in_turns(contenders, setting.repeat)
    what = f"the whole call, 200 steps, {problem.name}\nneurosim"
    note = "includes building, starting and reading, which the other rows leave out"
    yield Row(what, samples["neurosim"], "JAX loop", samples.get("JAX loop", ()), note=note)


def asked(peer: Peer | None, function: str, **arguments: Any) -> Outcome:
    """Call a peer, and return the outcome."""
    assert peer
    found = peer(function, **arguments)
    return Outcome(
        found["seconds"], {n: np.array(v) for n, v in found["state"].items()}, found["evaluations"]
    )


def errors(problem: Problem, found: State) -> float:
    """Return the largest difference of lam from backpropagation's."""
    exact = ns.reference.backprop(problem.network(), problem.X, problem.Y)
    lam1, lam2 = list(exact.lam.values())[-2:]
    errors_1, errors_2 = np.abs(found["lam1"] - lam1), np.abs(found["lam2"] - lam2)
    return max(float(errors_1.max()), float(errors_2.max()))


def steps_and_bound(problem: Problem) -> tuple[int, float]:
    """Return the Euler steps after which lam stays within `NEAR`, and a bound of the rates.

    The rates first fall below the bound at that step or soon after.
    """
    step, z, moving = numpy_loop(problem, plastic=False)
    far, rates = [], []
    for _ in range(1000):
        far.append(errors(problem, z) > NEAR)
        step()
        rates.append(moving())
    steps = int(np.flatnonzero(far).max()) + 1
    if steps == len(far):
        raise AssertionError(f"{problem.name} does not come to rest in {steps} steps")
    return steps, 0.999 * min(rates[:steps])


def settled(problem: Problem, settle: float, **options: Any) -> Outcome:
    """Relax until rates are below `settle`, and return the outcome.

    The seconds are the mean time per evaluation of a run a hundred times as long, times the number
    of evaluations, as the clock of a compiled program may have steps of 4 ms.
    """
    sim = simulation(problem, "standalone")
    relaxed = partial(sim.relax, problem.X, problem.Y, **options)
    run = relaxed(duration=LONGEST * problem.dt, settle=settle)
    left, count = state(run, sim.net), evaluations(run)
    more = relaxed(duration=100 * run.time, settle=1e-300)
    return Outcome(sim.loop_time / evaluations(more) * count, left, count)


def evaluations(run: ns.Run) -> int:
    """Return the number of evaluations of the right-hand sides; a step of Euler takes one."""
    return int(run.settings.get("evaluations", run.steps))


def by_steps(problem: Problem, steps: int) -> Outcome:
    """Relax for a number of steps, each timed as the mean of `MANY`."""
    return Outcome(relax(problem, MANY)[0] * steps, relax(problem, steps)[1], steps)


def by_numpy(problem: Problem, steps: int) -> Outcome:
    """Run the NumPy loop for a number of steps, timed in the same way."""
    seconds = numpy_euler(problem, MANY, plastic=False)[0] * steps
    return Outcome(seconds, numpy_euler(problem, steps, plastic=False)[1], steps)


def settled_by_numpy(problem: Problem, settle: float) -> Outcome:
    """Run the NumPy loop until rates are below `settle`.

    They are checked only every 10 steps, as a check costs as much as half a step.
    """
    step, z, moving = numpy_loop(problem, plastic=False)
    begin, steps = perf_counter(), 0
    while steps == 0 or (steps < LONGEST and moving() > settle):
        for _ in range(10):
            step()
        steps += 10
    return Outcome(perf_counter() - begin, z, steps)


def fastest(
    problem: Problem, run: Callable[..., Outcome], options: list[dict[str, Any]]
) -> Contender:
    """Return the fastest run that comes within `NEAR`; if there is none, the last one tried."""
    tried = []
    for tolerance in TOLERANCES:
        tried += [partial(run, tolerance=tolerance, **more) for more in options]
    near = [t for t in tried if errors(problem, t().state) <= NEAR]
    return min(near, key=lambda t: min(t().seconds for _ in range(3)), default=tried[-1])
