"""Time to 1e-6 of backpropagation's lam: every method against Euler, each at its own best step.

A method gets the step, of those in `STEPS`, with which it needs the fewest evaluations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

import neurosim as ns
from tests.benchmarks.problems import LARGE, TAU, Problem
from tests.benchmarks.timing import Row, Setting, in_turns

NEAR = 1e-6  # of backpropagation's multipliers
STEPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5)  # dt / tau
LONGEST = 600  # steps
TIMED = 20_000  # steps of a sample, as a relaxation takes a millisecond
METHODS = {"euler": 1, "semi_implicit": 1, "exponential_euler": 1, "heun": 2, "rk4": 4}
TARGET = 0.6
FLOWS = {
    "augmented(1)": ns.Flow.augmented(1.0, tau_x=TAU),
    "damped": ns.Flow.damped(tau_x=TAU),
    "rotated(75°)": ns.Flow.rotated(np.radians(75), tau_x=TAU),
}


@dataclass(frozen=True)
class Best:
    """The step of a method, dt / tau, and how many of them it takes."""

    method: str
    h: float
    steps: int

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the right-hand sides."""
        return self.steps * METHODS[self.method]


def measure(setting: Setting) -> Iterator[Row]:
    """Time every method on every flow."""
    makers = (partial(Problem.digits, 64), partial(Problem.random, LARGE, 32))
    for make in makers[:1] if setting.quick else makers:
        problem = make()
        for name, flow in FLOWS.items():
            yield from to_rest(problem, name, flow, setting)


def to_rest(problem: Problem, name: str, flow: ns.Flow, setting: Setting) -> Iterator[Row]:
    """Time the methods on one flow."""
    found = {}
    for method in METHODS:
        best = best_of(problem, flow, method)
        if best is not None:
            found[method] = best
    contenders = {method: partial(seconds, problem, flow, own) for method, own in found.items()}
    samples = in_turns(contenders, setting.repeat)
    euler = found["euler"]
    for method, own in found.items():
        if method == "euler":
            continue
        note = f"{own.evaluations} evaluations at {own.h:g} tau; "
        note += f"{euler.evaluations} at {euler.h:g} tau"
        what = f"{name}, {problem.name}\n{method}"
        yield Row(what, samples[method], "Euler", samples["euler"], f"<= {TARGET}", note)


def best_of(problem: Problem, flow: ns.Flow, method: str) -> Best | None:
    """Return the step with the fewest steps after which lam stays within `NEAR`, if any does."""
    exact = ns.reference.multipliers(problem.network(), problem.X, problem.Y)
    truth = np.hstack(list(exact.values()))
    found = None
    for h in STEPS:
        sim = ns.Simulation(problem.network(), flow, dt=h * TAU, method=method, backend="numpy")
        try:
            run = sim.relax(problem.X, problem.Y, duration=LONGEST * h * TAU, record="lam")
        except ns.DivergenceError:
            continue
        far = np.abs(run.traces.lam.values - truth).max(axis=(1, 2)) > NEAR
        steps = int(np.flatnonzero(far).max()) + 1
        if steps < LONGEST and (found is None or steps < found.steps):
            found = Best(method, h, steps)
    return found


def seconds(problem: Problem, flow: ns.Flow, best: Best) -> float:
    """Return the time of the steps to rest in a compiled program, from a long run."""
    sim = ns.Simulation(problem.network(), flow, dt=best.h * TAU, method=best.method)
    sim.relax(problem.X, problem.Y, duration=TIMED * sim.dt)
    return sim.loop_time / TIMED * best.steps
