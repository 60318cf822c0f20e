"""What a worker does with some points of a sweep: build, train if need be, relax together, measure.

Above `measures`, below `sweep`. A point that fails is a result like any other. Start at `work`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurosim.data import patterns as user_data
from neurosim.data.datasets import Data
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.experiments import measures as measuring
from neurosim.experiments.designs import Assignment
from neurosim.experiments.measures import Case, Measure
from neurosim.experiments.modelfile import ModelFile
from neurosim.model.network import Network
from neurosim.reference.ode import right_hand_side
from neurosim.results.runs import Log, Run
from neurosim.simulation import batch as together
from neurosim.simulation.batch import LOOKS, End, Point
from neurosim.simulation.simulation import Simulation

Array = np.ndarray

VALUES = (
    "flow",
    "network.seed",
    "network.gain",
    "start",
    "simulation.seed",
    "train",
)  # keys a crowd may differ in


@dataclass(frozen=True)
class Task:
    """Points of one structure.

    Attributes
    ----------
    points : ((index, {key: value}), ...)
    duration : s
    settle : float
    of : int
        How many tasks like this there are, which share a program.
    """

    model: ModelFile
    points: tuple[tuple[int, Assignment], ...]
    measures: Mapping[str, Measure]
    duration: float
    settle: float
    of: int = 1

    @property
    def size(self) -> int:
        """How many points."""
        return len(self.points)

    def work(self) -> list[Found]:
        """What is found of every point."""
        return work(self)

    def singly(self) -> list[Task]:
        """The same points, a task each."""
        return [replace(self, points=(point,), of=len(self.points)) for point in self.points]

    def lost(self, reason: str) -> list[Found]:
        """What is found if it kills whoever does it."""
        return [failed(index, reason) for index, _ in self.points]


@dataclass(frozen=True)
class Found:
    """What was found of one point."""

    index: int
    outcome: str
    reason: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class _Ready:
    """A point that can be relaxed."""

    index: int
    spec: ModelFile
    data: Data
    simulation: Simulation
    log: Log | None

    @property
    def net(self) -> Network:
        return self.simulation.net


def structure(spec: ModelFile) -> str:
    """What the points of one network have in common, as text."""
    tables = spec.tables.model_dump(exclude_none=True)
    for key in VALUES:
        table, _, name = key.partition(".")
        if name:
            tables.get(table, {}).pop(name, None)
        else:
            tables.pop(table, None)
    return json.dumps(tables, sort_keys=True, default=str)


def together_in(spec: ModelFile, net: Network) -> bool:
    """Whether points of this model can be simulated as one network."""
    chosen = spec.tables.simulation
    dense = chosen.transport in (None, "dense") and not any(
        p.free for p in net.populations.values()
    )
    whole = not chosen.imperfections and not chosen.prospective
    return (
        dense and whole and not chosen.adaptive and (chosen.method or "euler") in together.METHODS
    )


def work(task: Task) -> list[Found]:
    """What is found of every point of a task."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)  # what does not hold is an outcome here
        ready, found = _prepare(task)
        for group in _grouped(ready):
            found += _relaxed(task, group)
    return found


def failed(index: int, error: BaseException | str) -> Found:
    """A point without numbers, and why."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return Found(index, "failed", text, {})


def _prepare(task: Task) -> tuple[list[_Ready], list[Found]]:
    ready, found = [], []
    trains = any(m.learnt for m in task.measures.values())
    kept: dict[str, Data] = {}
    nets: dict[str, Network] = {}
    for index, assignment in task.points:
        try:
            spec = task.model.changed(assignment)
            key = spec.tables.data.model_dump_json()
            data = kept[key] if key in kept else kept.setdefault(key, spec.data())
            learns = trains and spec.tables.train is not None
            key = f"{index if learns else ''}{spec.tables.network.model_dump_json()}"
            simulation = spec.simulation(
                nets[key] if key in nets else nets.setdefault(key, spec.network())
            )
            log = spec.train(simulation, data) if learns else None
            ready.append(_Ready(index, spec, data, simulation, log))
        except DivergenceError as error:
            found.append(Found(index, "diverged", f"while training: {error}", {}))
        except Exception as error:  # whatever a point does is its own outcome
            found.append(failed(index, error))
    return ready, found


def _grouped(ready: Sequence[_Ready]) -> Iterator[list[_Ready]]:
    """Points that go into one network: of one structure, in their weights' sparsity too."""
    alike: dict[tuple[str, int], list[_Ready]] = {}
    for r in ready:
        key = structure(r.spec), 0 if together_in(r.spec, r.net) else r.index
        alike.setdefault(key, []).append(r)
    for left in alike.values():
        while left:
            own = [r for r in left if together.same_structure(r.net, left[0].net)]
            yield own
            left = [r for r in left if not together.same_structure(r.net, own[0].net)]


def _relaxed(task: Task, group: list[_Ready]) -> list[Found]:
    relax = _as_one if together_in(group[0].spec, group[0].net) else _alone
    try:
        ends = relax(task, group)
    except Exception as error:
        if len(group) == 1:
            return [failed(group[0].index, error)]
        return [found for r in group for found in _relaxed(task, [r])]
    kept: dict[Any, Any] = {}
    return [_measured(task, r, end, kept) for r, end in zip(group, ends, strict=True)]


def _as_one(task: Task, group: list[_Ready]) -> list[End]:
    """All points as one network."""
    first = group[0]
    clamped, targets, count = _patterns(first)
    steps = max(1, round(task.duration / first.simulation.dt))
    points = [Point(r.net, r.simulation.flow, _start(r)) for r in group]
    setting = first.simulation.setting(steps * task.of, count * len(points))
    return together.relax(points, clamped, targets, setting, steps=steps, settle=task.settle)


def _start(r: _Ready) -> Any:
    start = r.spec.start(r.net, r.data)
    if start is None and r.spec.tables.simulation.start == "forward":
        from neurosim import reference
        from neurosim.model.state import State

        x = reference.forward(r.net, r.data.X)
        return State(
            {n: x[n] for n in r.net.neurons}, {n: np.zeros_like(x[n]) for n in r.net.neurons}
        )
    return start


def _patterns(r: _Ready) -> tuple[dict[str, Array], dict[str, Array], int]:
    clamped = user_data.patterns(r.net, r.data.X)
    count = len(r.data.X)
    return clamped, user_data.targets(r.net, r.data.Y, count), count


def _alone(task: Task, group: list[_Ready]) -> list[End]:
    """Points one after the other: events, adaptive steps."""
    return [_single(task, r) for r in group]


def _single(task: Task, r: _Ready) -> End:
    dt = r.simulation.dt
    every = max(1, round(task.duration / dt / LOOKS)) * dt
    keys = r.spec.tables.simulation.given("adaptive", "tolerance", "start")
    keys |= {
        "duration": task.duration,
        "settle": task.settle,
        "record": ("x", "lam"),
        "every": every,
    }
    keys["start"] = r.spec.start(r.net, r.data) or keys.get("start", "zero")
    diverged = ""
    try:
        run = r.simulation.relax(r.data.X, r.data.Y, **keys)
    except DivergenceError as error:
        run, diverged = error.run, error.population
    assert run.traces is not None
    looks = np.asarray(run.traces["time"].values)
    with np.errstate(all="ignore"):
        residuals = [_residual(r, run, i) for i in range(len(looks))]
    return End(replace(run, traces=None), diverged, looks, np.array(residuals))


def _residual(r: _Ready, run: Run, sample: int) -> float:
    """max |tau dz/dt| of a recorded state."""
    assert run.traces is not None
    names = run.traces["population"].values
    x, lam = (
        {n: run.traces[v].values[sample][:, names == n] for n in r.net.neurons}
        for v in ("x", "lam")
    )
    flow = r.simulation.flow
    rates = right_hand_side(r.net, flow, x, lam, run.X, run.Y, plastic=False)
    return max(
        float(np.abs(part[n]).max()) * flow.time(tau, n)
        for part, tau in ((rates.x, "tau_x"), (rates.lam, "tau_lam"))
        for n in r.net.neurons
    )


def _measured(task: Task, r: _Ready, end: End, kept: dict[Any, Any]) -> Found:
    case = Case(r.net, r.simulation.flow, r.data, end, r.log, kept)
    reason = f"left its bound in {end.diverged} at t = {end.run.time:.4g} s" if end.diverged else ""
    numbers: dict[str, float] = {}
    for name, measure in task.measures.items():
        try:
            with np.errstate(all="ignore"):
                numbers |= measuring.take({name: measure}, case)
        except Exception as error:
            reason = "; ".join(filter(None, [reason, f"{name}: {type(error).__name__}: {error}"]))
    return Found(r.index, case.outcome, reason, numbers)
