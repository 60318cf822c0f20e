"""Measure some points of a sweep in a worker: build, train if necessary, and relax them as a batch.

`neurosim.experiments.sweep` describes the whole chain. The failure of a point is a result too.
Start at `SweepTask.work`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim.analysis import rest
from neurosim.data import patterns as user_data
from neurosim.data.datasets import Data
from neurosim.engine.signals import whole_runs
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.experiments import measures as measuring
from neurosim.experiments.designs import Assignment
from neurosim.experiments.measures import DIVERGED, FAILED, Case, Measure
from neurosim.experiments.modelfile import ModelFile
from neurosim.experiments.shares import Report, ignore
from neurosim.model import methods
from neurosim.model.extension import Extension
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.reference.extended import own_states
from neurosim.results.runs import Log, Run
from neurosim.simulation import batch
from neurosim.simulation.batch import LOOKS, End, Point
from neurosim.simulation.simulation import Simulation
from neurosim.simulation.trials import without_trials

Array = np.ndarray

TRAINING = 0.9  # share of a point's work that its training is taken for, where there is one
# keys that may differ between the points of a batch
VALUES = ("flow", "network.seed", "network.gain", "start", "simulation.seed", "train")


@dataclass(frozen=True)
class SweepTask:
    """Points of one structure, which one worker measures.

    Attributes
    ----------
    model : ModelFile
    points : ((index, {key: value}), ...)
    measures : {name: Measure}
    duration : float, s
        Length of each relaxation.
    settle : float
        max |tau dz/dt| below which a point has settled.
    siblings : int
        Number of tasks of this structure, which share a compiled program.
    """

    model: ModelFile
    points: tuple[tuple[int, Assignment], ...]
    measures: Mapping[str, Measure]
    duration: float
    settle: float
    siblings: int = 1

    @property
    def size(self) -> int:
        """Number of points."""
        return len(self.points)

    @property
    def trains(self) -> bool:
        """Whether the points are trained before they are relaxed, where the model trains."""
        return any(measure.learnt for measure in self.measures.values())

    def work(self, report: Report = ignore) -> list[PointResult]:
        """Return the result of every point; `report` takes the points that are done on the way."""
        with warnings.catch_warnings(), without_trials(), whole_runs():
            # the outcome shows whether the step is stable
            warnings.simplefilter("ignore", StabilityWarning)
            built, results = _build(self, report)
            for points in _batches(built):
                results += _relax_and_measure(self, points, report)
        return results

    def singly(self) -> list[SweepTask]:
        """Return one task per point."""
        return [replace(self, points=(point,), siblings=self.size) for point in self.points]

    def lost(self, reason: str) -> list[PointResult]:
        """Return the results of points that kill their worker."""
        return [_failed(index, reason) for index, _ in self.points]


@dataclass(frozen=True)
class PointResult:
    """The result of one point: how its relaxation ended, why, and what was measured.

    `unmeasured` are the measures that raised an error, with its text.
    """

    index: int
    outcome: str
    reason: str
    numbers: dict[str, float]
    unmeasured: Mapping[str, str] = field(default_factory=dict)


def _failed(index: int, reason: str) -> PointResult:
    return PointResult(index, FAILED, reason, {})


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class _BuiltPoint:
    """A point whose data and simulation are built, ready to be relaxed."""

    index: int
    spec: ModelFile
    data: Data
    simulation: Simulation
    log: Log | None

    @property
    def net(self) -> Network:
        """Network of the simulation."""
        return self.simulation.net

    @property
    def can_share_a_network(self) -> bool:
        """Whether points of its structure can be relaxed as one network."""
        return can_share_a_network(self.spec, self.net)


def structure(spec: ModelFile) -> str:
    """Return everything that the points of one batch have in common, as text."""
    tables = spec.tables.model_dump(exclude_none=True)
    for key in VALUES:
        table, _, name = key.partition(".")
        if name:
            tables.get(table, {}).pop(name, None)
        else:
            tables.pop(table, None)
    return json.dumps(tables, sort_keys=True, default=str)


def can_share_a_network(spec: ModelFile, net: Network) -> bool:
    """Return whether points of this model can be relaxed as one network."""
    chosen = spec.tables.simulation.given()
    if spec.tables.extension:  # their parameters are those of one point
        return False
    if any(chosen.get(key) for key in ("imperfections", "prospective", "adaptive")):
        return False
    if chosen.get("transport", "dense") != "dense":
        return False
    if any(population.free for population in net.populations.values()):
        return False
    return chosen.get("method", methods.EULER) in batch.METHODS


def _build(task: SweepTask, report: Report) -> tuple[list[_BuiltPoint], list[PointResult]]:
    """Build and train the points; return those that can be relaxed, and the results of the rest."""
    built: list[_BuiltPoint] = []
    results: list[PointResult] = []
    shared: dict[str, Any] = {}
    for index, assignment in task.points:
        try:
            spec = task.model.changed(assignment)
            built.append(_build_point(index, spec, task.trains, shared))
        except DivergenceError as error:
            results.append(PointResult(index, DIVERGED, f"while training: {error}", {}))
        except Exception as error:  # one point that fails must not end the others
            results.append(_failed(index, _described(error)))
        if task.trains:
            report(TRAINING)
    return built, results


def _build_point(index: int, spec: ModelFile, trains: bool, shared: dict[str, Any]) -> _BuiltPoint:
    """Build a point; points have data sets in `shared`, and networks that are not trained."""
    data_key = "data " + spec.tables.data.model_dump_json()
    if data_key not in shared:
        shared[data_key] = spec.data()
    data = shared[data_key]
    if trains and spec.tables.train is not None:
        simulation = spec.simulation(spec.network())
        return _BuiltPoint(index, spec, data, simulation, spec.train(simulation, data))
    net_key = "network " + spec.tables.network.model_dump_json()
    if net_key not in shared:
        shared[net_key] = spec.network()
    return _BuiltPoint(index, spec, data, spec.simulation(shared[net_key]), None)


def _batches(points: Sequence[_BuiltPoint]) -> Iterator[list[_BuiltPoint]]:
    """Yield the points that are relaxed as one network, of one structure and one sparsity."""
    alike: dict[tuple[str, int], list[_BuiltPoint]] = {}
    for point in points:
        number = 0 if point.can_share_a_network else point.index
        alike.setdefault((structure(point.spec), number), []).append(point)
    for left in alike.values():
        while left:
            first = left[0].net
            same, others = [], []
            for point in left:
                if batch.same_structure(point.net, first):
                    same.append(point)
                else:
                    others.append(point)
            yield same
            left = others


def _relax_and_measure(
    task: SweepTask, points: list[_BuiltPoint], report: Report = ignore
) -> list[PointResult]:
    """Return the results of a batch; if it fails as a whole, of its points one by one."""
    try:
        ends = relax_batch(task, points, report)
    except Exception as error:
        if len(points) == 1:
            return [_failed(points[0].index, _described(error))]
        results = []
        for point in points:
            results += _relax_and_measure(task, [point])
        return results
    kept: dict[Any, Any] = {}
    results = []
    for point, end in zip(points, ends, strict=True):
        results.append(_measure(task, point, end, kept))
    return results


def relax_batch(
    task: SweepTask, points: Sequence[_BuiltPoint], report: Report = ignore
) -> list[End]:
    """Relax points as one network, or one after the other if they cannot share a network.

    `report` takes the shares of the relaxation that are done.

    Returns
    -------
    list of End
        In the order of the points.
    """
    first = points[0]
    weight = 1 - TRAINING if task.trains else 1.0
    if not first.can_share_a_network:
        ends = []
        for point in points:
            ends.append(_relax_alone(task, point))
            report(weight)
        return ends
    clamped = user_data.patterns(first.net, first.data.X)
    targets = user_data.targets(first.net, first.data.Y, len(first.data.X))
    steps = max(1, round(task.duration / first.simulation.dt))
    rows = len(first.data.X) * len(points)
    setting = first.simulation.setting(steps * task.siblings, rows)
    stacked = []
    for point in points:
        stacked.append(Point(point.net, point.simulation.flow, _start(point)))
    per_step = weight * len(points) / steps
    return batch.relax(
        stacked,
        clamped,
        targets,
        setting,
        steps=steps,
        settle=task.settle,
        advance=lambda done: report(done * per_step),
    )


def _start(point: _BuiltPoint) -> State | None:
    """Return the state from which a point of a batch starts; None: x = lam = 0."""
    start = point.spec.start(point.net, point.data)
    if start is not None or point.spec.tables.simulation.start != "forward":
        return start
    from neurosim import reference

    outputs = reference.forward(point.net, point.data.X)
    x = {name: outputs[name] for name in point.net.neurons}
    lam = {name: np.zeros_like(values) for name, values in x.items()}
    return State(x, lam)


def _relax_alone(task: SweepTask, point: _BuiltPoint) -> End:
    """Relax one point by itself, with residuals at as many moments as in `batch.relax`."""
    dt = point.simulation.dt
    keys = point.spec.tables.simulation.given("adaptive", "tolerance", "start")
    extended = point.simulation.extensions
    own = {key.partition(".")[2] for key in own_states(point.net, extended)}
    record = ("x", "lam", *sorted(own))
    keys |= {"duration": task.duration, "settle": task.settle, "record": record}
    steps = max(1, round(task.duration / dt / LOOKS))
    keys["every"] = steps * dt
    start = point.spec.start(point.net, point.data)
    if start is not None:
        keys["start"] = start
    diverged = ""
    try:
        run = point.simulation.relax(point.data.X, point.data.Y, **keys)
    except DivergenceError as error:
        run = error.run
        diverged = error.population
    assert run.traces is not None
    looks = np.asarray(run.traces["time"].values)
    with np.errstate(all="ignore"):
        residuals = [_speed(run, sample, extended) for sample in range(len(looks))]
    return End(replace(run, traces=None), diverged, looks, np.array(residuals))


def _speed(run: Run, sample: int, extensions: Sequence[Extension]) -> float:
    """Return max |tau dz/dt| over outputs and multipliers of a recorded sample, unit 1."""
    assert run.traces is not None
    names = run.traces["population"].values
    recorded = {name: array.values[sample] for name, array in run.traces.items() if array.ndim == 3}
    own = {}
    for key in own_states(run.network, extensions):
        population, _, variable = key.partition(".")
        own[key] = recorded[variable][:, names == population]
    state = replace(
        run,
        x={n: recorded["x"][:, names == n] for n in run.network.neurons},
        lam={n: recorded["lam"][:, names == n] for n in run.network.neurons},
        auxiliary=own,
    )
    return rest.speed(state, extensions)


def _measure(task: SweepTask, point: _BuiltPoint, end: End, kept: dict[Any, Any]) -> PointResult:
    """Return the result of a relaxed point; `kept` is shared between points of a batch."""
    case = Case(point.net, point.simulation.flow, point.data, end, point.log, kept)
    reasons = []
    numbers: dict[str, float] = {}
    unmeasured: dict[str, str] = {}
    if end.diverged:
        reasons.append(f"left its bound in {end.diverged} at t = {end.run.time:.4g} s")
    for name, measure in task.measures.items():
        try:
            with np.errstate(all="ignore"):
                numbers[name] = measuring.evaluate(measure, case)
        except Exception as error:
            unmeasured[name] = _described(error)
            reasons.append(f"{name}: {_described(error)}")
    return PointResult(point.index, case.outcome, "; ".join(reasons), numbers, unmeasured)
