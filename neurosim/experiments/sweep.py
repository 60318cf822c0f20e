"""Parameter sweeps: relax a model at many parameter points, and measure each.

The path of a point, from the model file to the dataset:

1. `neurosim.experiments.modelfile` reads the **model file**; `ModelFile.changed` returns the model
   of one point.
2. A **design** (`neurosim.experiments.designs`) chooses the **points**: one value per parameter.
3. A `Sweep` holds model, design and measures. It checks every point before anything runs, and cuts
   the points into **tasks** (`SweepTask`): points of one structure, in limited number.
4. A **pool** (`neurosim.experiments.pool`) distributes the tasks to **workers**: this process,
   joblib's or Dask's.
5. A worker builds the points of its task, trains them if necessary, and relaxes them as one network
   (`relax_batch` in `neurosim.experiments.sweep_task`, `neurosim.simulation.batch` below it). It
   measures each (`neurosim.experiments.measures`) and returns one `PointResult` per point.
6. `sweep` enters these into the `ResultTable` (`neurosim.experiments.sweep_store`), which writes
   them to the **store** on disk at once, so that a killed sweep resumes.
7. `ResultTable.dataset` is the xarray **dataset** that `sweep` returns.

Start at `sweep`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import ModelError, NeurosimError, number, whole
from neurosim.experiments import designs, measures, modelfile, pool
from neurosim.experiments.designs import Assignment, Design, Drawn, Grid, Refined, label
from neurosim.experiments.measures import Measure
from neurosim.experiments.modelfile import ModelFile
from neurosim.experiments.parameters import in_base_units, unit_of
from neurosim.experiments.shares import ignore
from neurosim.experiments.sweep_store import ResultTable
from neurosim.experiments.sweep_task import SweepTask, can_share_a_network, structure
from neurosim.model.flow import seconds
from neurosim.results import capacity
from neurosim.simulation.progress import bar, unlabelled

if TYPE_CHECKING:
    import xarray as xr

NumberedPoint = tuple[int, Assignment]

# length of a relaxation where the model has none, in time constants of the slowest neuron
DEFAULT_DURATION = 500
DEFAULT_SETTLE = 1e-6
LARGEST_BATCH = 200_000  # units times patterns times points of one network
MOST_JOBS = 4096
LARGEST_QUEUE = 16  # points of a task that are relaxed one after the other
BYTES_PER_POINT = 2000  # of its values, structure, outcome and reason
TASKS_PER_WORKER = 4  # so that no worker is idle for long at the end
# units times patterns times points of a task, below which the overhead of NumPy's calls dominates
WORTH_A_TASK = 50_000


@checked
def sweep(
    model: str | Path | ModelFile,
    parameters: Mapping[str, Any],
    *,
    measure: Any = "settle_time",
    out: str | Path | None = None,
    jobs: int = 1,
    scheduler: Any = None,
    design: str = "grid",
    points: int | None = None,
    rounds: int = 3,
    seed: int = 0,
    duration: Any = None,
    settle: float | None = None,
    overrides: Sequence[str] = (),
    progress: bool = False,
) -> xr.Dataset:
    """Relax a model at many parameter points and measure each.

    Points of one structure are simulated as one network (`neurosim.simulation.batch`). A sweep
    relaxes; it trains first if the model has ``[train]`` and a measure is of learnt weights. A
    point that diverges or fails is recorded as such.

    Parameters
    ----------
    model : path, name of a built-in model, or ModelFile
    parameters : {dotted key of the model: values}
        Such as ``{"flow.rho": [0.5, 1, 2], "network.seed": range(5)}``. Times may be texts or
        Brian2 quantities; the dataset has them in seconds.
    measure : name, callable, sequence or mapping of them
        Names are those of `neurosim.measures.MEASURES`; a callable takes a `neurosim.measures.Case`
        and returns a number.
    out : path, optional
        A folder (zarr), written as points are done. A sweep that was killed resumes from it. By
        default results are in memory only.
    jobs : int
        Worker processes on this machine (joblib).
    scheduler : address, Dask cluster or Dask client, optional
        Where tasks run instead (``pip install 'neurosim[cluster]'``).
    design : "grid", "random", "lhs", "sobol" or "refine"
        All combinations; points drawn from the box that the values span, whole numbers where the
        key is one (of seeds, one of the values is drawn); or a grid whose cells are halved where
        only some of their corners settle.
    points, rounds, seed : int
        Number of points that are drawn; rounds of "refine"; seed of the draw.
    duration : time, optional
        Length of each relaxation; by default ``simulation.duration``, else 500 time constants of
        the slowest neuron.
    settle : float, optional
        max |tau dz/dt| below which a point has settled; by default ``simulation.settle``, else
        1e-6.
    overrides : sequence of str
        Keys with the same value at every point, ``"flow.gamma=1"``.
    progress : bool
        Show a bar with the time left, on standard error.

    Returns
    -------
    xarray.Dataset
        One dimension per parameter, or "point" with one coordinate per parameter; one variable per
        measure, and `outcome` ("settled", "ringing", "settling", "diverged" or "failed") and
        `reason`. The attribute `scale` of a coordinate of numbers is "log" if the values of the
        parameter are spaced geometrically, else "linear".

    Raises
    ------
    ModelError
        An invalid key, value, measure or option, or more points than fit, before anything runs.
    FileError
        The path `out` holds something other than this sweep.

    Examples
    --------
    >>> import neurosim as ns
    >>> data = ns.sweep("xor", {"flow.rho": [1.0, 2.0]}, duration=0.5, settle=1e-3)
    >>> data.outcome.values.tolist()
    ['settled', 'settled']
    """
    jobs = whole("jobs", jobs, 1, MOST_JOBS)
    spec = _model(model, overrides)
    chosen = measures.select(measure)
    values = in_base_units(parameters)
    made = designs.make(design, values, points=points, rounds=rounds, seed=seed)
    folder = None if out is None else Path(out)
    capacity.check_table(math.prod(made.shape), len(chosen), BYTES_PER_POINT, folder)
    planned = plan(spec, made, chosen, duration=duration, settle=settle)
    table = planned.table(folder)
    complete = False
    try:
        with pool.open_pool(jobs, scheduler) as workers:
            _run(planned, table, workers, progress)
        complete = True
    finally:
        table.close(complete)
    return table.dataset()


def _model(model: str | Path | ModelFile, overrides: Sequence[str]) -> ModelFile:
    if not isinstance(model, ModelFile):
        return modelfile.load(model, overrides)
    if overrides:
        raise ModelError(
            f"overrides = {list(overrides)} beside a ModelFile; allowed: one of them; "
            "try model.changed({'flow.rho': 2.0})"
        )
    return model


def plan(
    model: ModelFile,
    design: Design,
    chosen: Mapping[str, Measure],
    *,
    duration: Any = None,
    settle: float | None = None,
) -> Sweep:
    """Return a sweep after checking its points, as far as possible without running them.

    Parameters
    ----------
    model : ModelFile
    design : Design
    chosen : {name: Measure}
    duration, settle
        As for `sweep`.

    Raises
    ------
    ModelError
        An invalid key, value or option.
    """
    if model.tables.stream is not None:
        raise ModelError(
            f"model {model.name!r} has [stream]; allowed in a sweep: models that relax, "
            "or train first"
        )
    given = model.tables.simulation.given("settle", "duration", "accelerate")
    if "accelerate" in given:
        raise ModelError(
            f"simulation.accelerate = {given['accelerate']!r} in a sweep, whose measures are of "
            "the flow in time; allowed: plain steps; try to remove it"
        )
    if settle is None:
        settle = given.get("settle", DEFAULT_SETTLE)
    if duration is None:
        duration = given.get("duration")
    length = None if duration is None else seconds(duration, "duration")
    planned = Sweep(model, design, chosen, length, number("settle", settle, above=0))
    planned.check()
    return planned


@dataclass(frozen=True)
class Sweep:
    """A model, its parameter points, and the measures of each point.

    Attributes
    ----------
    model : ModelFile
    design : Design
    measures : {name: Measure}
    duration : float or None, s
        Length of each relaxation; None: `DEFAULT_DURATION` times the slowest time constant.
    settle : float
        max |tau dz/dt| below which a point has settled.
    """

    model: ModelFile
    design: Design
    measures: Mapping[str, Measure]
    duration: float | None
    settle: float

    @cached_property
    def first_points(self) -> list[Assignment]:
        """Points that are known from the start."""
        if isinstance(self.design, Refined):
            return self.design.grid().assignments()
        return self.design.assignments()

    @cached_property
    def first_structures(self) -> list[str]:
        """Structures of these points; points of one structure may share a network."""
        return [structure(self.model.changed(point)) for point in self.first_points]

    @property
    def rounds(self) -> int:
        """Rounds of refinement after the first points."""
        if isinstance(self.design, Refined):
            return self.design.rounds
        return 0

    def check(self) -> None:
        """Check keys, values, flow, network and simulation of every point, without running any.

        Raises
        ------
        ModelError
            An invalid key, value or combination of them at some point.
        """
        structures: set[str] = set()
        flows: set[str] = set()
        networks: set[str] = set()
        for point, kind in zip(self.first_points, self.first_structures, strict=True):
            flow = _values_of(point, "flow.")
            network = _values_of(point, "network.")
            if kind in structures and flow in flows and network in networks:
                continue
            spec = self.model.changed(point)
            spec.flow()
            if network not in networks:
                spec.network()
            if kind not in structures:
                spec.simulation(spec.network())
                spec.schedule()
                spec.check_start()
            if not structures:
                spec.data()  # an error here would recur at every point
            structures.add(kind)
            flows.add(flow)
            networks.add(network)

    def task(self, points: Sequence[NumberedPoint], siblings: int = 1) -> SweepTask:
        """Return the task of points of one structure."""
        duration = self.duration
        if duration is None:
            duration = _default_duration(self.model.changed(points[0][1]))
        return SweepTask(self.model, tuple(points), self.measures, duration, self.settle, siblings)

    def tasks(self, points: Sequence[NumberedPoint], workers: int) -> list[SweepTask]:
        """Cut points into tasks of one structure, the largest first."""
        weighed: list[tuple[float, SweepTask]] = []
        for alike in self._by_structure(points).values():
            weight, shared = self._weight(alike[0][1])
            size = _points_per_task(len(alike), weight, shared, workers)
            count = math.ceil(len(alike) / size)
            for first in range(0, len(alike), size):
                part = alike[first : first + size]
                weighed.append((weight * len(part), self.task(part, count)))
        weighed.sort(key=itemgetter(0), reverse=True)
        return [task for _, task in weighed]

    def _by_structure(self, points: Sequence[NumberedPoint]) -> dict[str, list[NumberedPoint]]:
        groups: dict[str, list[NumberedPoint]] = {}
        for index, point in points:
            if index < len(self.first_structures):
                kind = self.first_structures[index]
            else:
                kind = structure(self.model.changed(point))
            groups.setdefault(kind, []).append((int(index), point))
        return groups

    def _weight(self, point: Assignment) -> tuple[float, bool]:
        """Return units times patterns of a point, and whether it can share a network."""
        spec = self.model.changed(point)
        try:
            net = spec.network()
            data = spec.data()
        except NeurosimError:  # recorded by the worker, as the outcome of the point
            return 1.0, False
        units = sum(net.populations[name].size for name in net.neurons)
        weight = float(units * len(data.X))
        learnt = any(measure.learnt for measure in self.measures.values())
        if learnt and spec.tables.train is not None:
            return weight, False
        return weight, can_share_a_network(spec, net)

    def table(self, path: Path | None) -> ResultTable:
        """Return the table of the results, including those that `path` already holds."""
        parameters = {}
        for key, values in self.design.values.items():
            parameters[key] = [label(value) for value in values]
        about = {
            "model": modelfile.dump(self.model.effective()),
            "parameters": parameters,
            "design": _described(self.design),
            "measures": list(self.measures),
            "settings": {"duration": self.duration or 0.0, "settle": self.settle},
            "title": self.model.name,
        }
        variables = {}
        for name, measure in self.measures.items():
            variables[name] = {"units": measure.unit, "long_name": measure.about or name}
        if isinstance(self.design, Grid):
            dims = tuple(self.design.values)
            shape = self.design.shape
            coordinates = {}
            for key, values in self.design.values.items():
                coordinates[key] = self.coordinate(key, key, values)
        else:
            dims = ("point",)
            shape = (len(self.first_points),)
            coordinates = self.point_coordinates(self.first_points)
        return ResultTable(dims, shape, coordinates, variables, about, path)

    def point_coordinates(self, points: Sequence[Assignment]) -> dict[str, Any]:
        """Return one coordinate per parameter along the dimension "point"."""
        coordinates = {}
        for key in self.design.values:
            coordinates[key] = self.coordinate(key, "point", [point[key] for point in points])
        return coordinates

    def coordinate(self, key: str, dim: str, values: Sequence[Any]) -> tuple[str, Any, Any]:
        """Return dimension, values (numbers or text) and attributes of a coordinate."""
        labels = [label(value) for value in values]
        if all(isinstance(value, int | float) for value in labels):
            scale = designs.scale_of(self.design.values[key])
            return dim, np.array(labels), {"units": unit_of(key), "long_name": key, "scale": scale}
        texts = [str(value) for value in labels]
        return dim, np.array(texts), {"units": "1", "long_name": key}


def _values_of(point: Assignment, table: str) -> str:
    """Return the values of a point for the keys of one table, as text."""
    return repr([value for key, value in point.items() if key.startswith(table)])


def _points_per_task(count: int, weight: float, shared: bool, workers: int) -> int:
    """Return how many of `count` points of one structure go into one task.

    `weight` is the size of one point, `shared` whether points share a network.
    """
    tasks, limit = TASKS_PER_WORKER, LARGEST_QUEUE
    if shared:
        worth = int(weight * count / (workers * WORTH_A_TASK))
        tasks = min(TASKS_PER_WORKER, max(1, worth))
        limit = int(LARGEST_BATCH / weight)
    return max(1, min(math.ceil(count / (tasks * workers)), limit))


def _default_duration(spec: ModelFile) -> float:
    tau_x = spec.flow().tau_x
    if isinstance(tau_x, Mapping):
        tau_x = max(tau_x.values())
    return DEFAULT_DURATION * tau_x


def _described(design: Design) -> dict[str, Any]:
    if isinstance(design, Drawn):
        return {"kind": design.kind, "points": design.points, "seed": design.seed}
    if isinstance(design, Refined):
        return {"kind": designs.REFINE}
    return {"kind": designs.GRID}


def _run(planned: Sweep, table: ResultTable, workers: pool.Pool, progress: bool) -> None:
    """Measure the points that are not done, round by round."""
    points = planned.first_points
    failures = measures.Failures()
    for level in range(planned.rounds + 1):
        if level:
            points = _with_next_round(planned, table, points, level)
        title = f"round {level} of {planned.rounds}" if planned.rounds else "sweeping"
        done = table.done[: len(points)]
        pending = [(int(i), points[i]) for i in np.flatnonzero(~done)]
        shows = progress and bool(pending)
        with bar(shows, title, len(points), int(done.sum())) as advance:
            tasks = planned.tasks(pending, workers.size)
            for results in workers.run(tasks, unlabelled(advance) if shows else ignore):
                for result in results:
                    table.put(result.index, result.outcome, result.reason, result.numbers)
                    failures.note(points[result.index], result.unmeasured)
                table.flush()
                advance(len(results), f"{table.done.sum()} points")
    failures.close(len(points))


def _with_next_round(
    planned: Sweep, table: ResultTable, points: list[Assignment], level: int
) -> list[Assignment]:
    """Return the points, followed by those that the next round of refinement adds."""
    assert isinstance(planned.design, Refined)
    settled = [outcome == measures.SETTLED for outcome in table.outcomes[: len(points)]]
    points = points + planned.design.next_round(points, settled, level)
    if len(points) > table.shape[0]:
        table.extend(planned.point_coordinates(points))
    return points


def summary(data: xr.Dataset) -> dict[str, str]:
    """Summarise a sweep by heading: points and outcomes, range and median of each measure."""
    outcomes = np.ravel(data["outcome"].values)
    counts = []
    for outcome in measures.OUTCOMES:
        count = int((outcomes == outcome).sum())
        if count:
            counts.append(f"{count} {outcome}")
    rows = {"points": f"{outcomes.size}: " + ", ".join(counts)}
    for name in json.loads(data.attrs["measures"]):
        values = data[name].values[np.isfinite(data[name].values)]
        rows[name] = _range_and_median(values, data[name].attrs.get("units", "1"))
    reasons = np.ravel(data["reason"].values)
    for reason, outcome in zip(reasons, outcomes, strict=True):
        if reason and outcome != measures.DIVERGED:
            rows["first reason"] = reason
            break
    return rows


def _range_and_median(values: np.ndarray, unit: str) -> str:
    if not values.size:
        return "none"
    span = f"{values.min():.4g} to {values.max():.4g}"
    if unit != "1":
        span += f" {unit}"
    return f"{span}, median {np.median(values):.4g}"
