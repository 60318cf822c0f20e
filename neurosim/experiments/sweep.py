"""Parameter sweeps: many points of a model file, relaxed in crowds, on every core or a cluster,
into one dataset.

Above everything that simulates or measures. The driver checks every point before anything runs,
cuts the points into tasks of one structure, and writes what workers send back;
`neurosim.experiments.sweep_task` is what a worker does. Start at `sweep`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, NeurosimError, out_of_range
from neurosim.experiments import designs, measures, modelfile
from neurosim.experiments import pool as workers
from neurosim.experiments.designs import Assignment, Design, Refined, label
from neurosim.experiments.modelfile import ModelFile
from neurosim.experiments.sweep_store import Table
from neurosim.experiments.sweep_task import Task, structure, together_in
from neurosim.model.flow import seconds
from neurosim.simulation.progress import bar

if TYPE_CHECKING:
    import xarray as xr

DURATION = (
    500  # times the slowest neuron's time constant: of a relaxation where the model says nothing
)
SETTLE = 1e-6
CROWD = 200_000  # units times patterns times points of one network, at most
TASKS = 4  # a worker, so that nobody waits long for the last one,
# but units times patterns times points a task: below it steps cost what NumPy calls cost
WORTH_A_TASK = 50_000
UNITS = {
    "flow.tau_x": "s",
    "flow.tau_lam": "s",
    "flow.tau_w": "s",
    "simulation.dt": "s",
    "flow.theta": "rad",
}


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
    relaxes; it trains first where the model has ``[train]`` and a measure is of what was learnt. A
    point that diverges or fails is recorded as such.

    Parameters
    ----------
    model : path, name of a built-in model, or ModelFile
    parameters : {dotted key of the model: values}
        Such as ``{"flow.rho": [0.5, 1, 2], "network.seed": range(5)}``.
    measure : name, callable, sequence or mapping of them
        Names are those of `neurosim.measures.MEASURES`; a callable gets a `neurosim.measures.Case`
        and returns a number.
    out : path, optional
        A folder (zarr), written as points are done. A sweep that was killed goes on from it.
    jobs : int
        Worker processes on this machine (joblib).
    scheduler : address, dask cluster or dask client, optional
        Points go there instead (``pip install 'neurosim[cluster]'``).
    design : "grid", "random", "lhs", "sobol" or "refine"
        All combinations; draws from the box that the values span; or a grid whose cells are halved
        along the boundary of what settles.
    points, rounds, seed : int
        Of the designs that draw; of "refine"; of the draw.
    duration : time, optional
        Of each relaxation; ``simulation.duration`` by default, else 500 times the slowest neuron.
    settle : float, optional
        max |tau dz/dt| below which a point has settled; ``simulation.settle`` by default, else
        1e-6.
    overrides : sequence of str
        Keys that are the same at every point, ``"flow.gamma=1"``.
    progress : bool
        A bar with the time left, on standard error.

    Returns
    -------
    xarray.Dataset
        A dimension a parameter, or "point" with a coordinate a parameter; a variable a measure, and
        `outcome` ("settled", "ringing", "settling", "diverged" or "failed") and `reason`.

    Raises
    ------
    ModelError
        A key, a value, a measure or an option that cannot be, before anything runs.
    FileError
        Something else at `out`.
    """
    plan = _plan(
        model, parameters, measure, design, points, rounds, seed, duration, settle, overrides
    )
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise out_of_range("jobs", jobs, "a whole number >= 1", "2")
    table = _table(plan, None if out is None else Path(out))
    complete = False
    try:
        with workers.open_pool(jobs, scheduler) as pool:
            _run(plan, table, pool, progress)
        complete = True
    finally:
        table.close(complete)
    return table.dataset()


@dataclass(frozen=True)
class _Plan:
    """A sweep that has been checked."""

    model: ModelFile
    design: Design
    measures: dict[str, measures.Measure]
    duration: float
    settle: float

    @cached_property
    def first(self) -> list[Assignment]:
        """Points that are known from the start."""
        return (
            self.design.grid() if isinstance(self.design, Refined) else self.design
        ).assignments()

    def task(self, points: Sequence[tuple[int, Assignment]], of: int = 1) -> Task:
        """Points of one structure, as a worker gets them."""
        duration = self.duration or _duration(self.model.changed(points[0][1]))
        return Task(self.model, tuple(points), self.measures, duration, self.settle, of)

    @cached_property
    def kinds(self) -> list[str]:
        """What each of them may share a network with."""
        return [structure(self.model.changed(assignment)) for assignment in self.first]


def _plan(
    model: Any,
    parameters: Mapping[str, Any],
    measure: Any,
    design: str,
    points: int | None,
    rounds: int,
    seed: int,
    duration: Any,
    settle: float | None,
    overrides: Sequence[str],
) -> _Plan:
    if isinstance(model, ModelFile):
        if overrides:
            raise ModelError(
                "overrides beside a ModelFile; allowed: one of them; try "
                "model.changed({'flow.rho': 2.0})"
            )
        spec = model
    else:
        spec = modelfile.load(model, overrides)
    chosen = measures.chosen(measure)
    made = designs.make(design, parameters, points=points, rounds=rounds, seed=seed)
    if spec.tables.stream is not None:
        raise ModelError(
            "the model has [stream]; allowed in a sweep: models that relax, or train first"
        )
    rest = settle if settle is not None else spec.tables.simulation.settle
    rest = SETTLE if rest is None else rest
    if isinstance(rest, bool) or not isinstance(rest, int | float) or not 0 < rest < math.inf:
        raise out_of_range("settle", rest, "a number > 0", "1e-6")
    time = duration if duration is not None else spec.tables.simulation.duration
    plan = _Plan(
        spec, made, chosen, 0.0 if time is None else seconds(time, "duration"), float(rest)
    )
    _check(plan)
    return plan


def checked(
    model: ModelFile,
    parameters: Mapping[str, Any],
    measure: Any,
    *,
    duration: Any = None,
    settle: float | None = None,
) -> _Plan:
    """A grid that is not swept, but whose corners can be: what `neurosim.tune` searches in."""
    return _plan(model, parameters, measure, "grid", None, 1, 0, duration, settle, ())


def _check(plan: _Plan) -> None:
    """Every point as far as it can be seen without running: keys, values, flow, network and
    simulation.
    """
    seen: set[str] = set()
    tried: set[tuple[str, str]] = set()
    for assignment, kind in zip(plan.first, plan.kinds, strict=True):
        parts = {
            t: repr([v for k, v in assignment.items() if k.startswith(t)])
            for t in ("flow.", "network.")
        }
        if kind in seen and set(parts.items()) <= tried:
            continue
        spec = plan.model.changed(assignment)
        spec.flow()
        if ("network.", parts["network."]) not in tried:
            spec.network()
        tried |= set(parts.items())
        if kind not in seen:
            seen.add(kind)
            spec.simulation(spec.network())
            spec.schedule()
            if len(seen) == 1:
                spec.data()  # what fails at the first point would fail at all
            if spec.tables.start is not None and spec.tables.simulation.start is not None:
                raise ModelError("simulation.start beside [start]; allowed: one of them")


def _table(plan: _Plan, path: Path | None) -> Table:
    about = {
        "model": modelfile.dump(plan.model.effective()),
        "parameters": {k: [label(v) for v in values] for k, values in plan.design.values.items()},
        "design": _design_attributes(plan.design),
        "measures": list(plan.measures),
        "settings": {"duration": plan.duration, "settle": plan.settle},
        "title": plan.model.name,
    }
    described = {n: {"units": m.unit, "long_name": m.about or n} for n, m in plan.measures.items()}
    if isinstance(plan.design, designs.Grid):
        dims, shape = tuple(plan.design.values), plan.design.shape
        coordinates = {k: (k, _column(v), _units(k)) for k, v in plan.design.values.items()}
    else:
        dims, shape = ("point",), (len(plan.first),)
        coordinates = _point_coordinates(plan.first)
    return Table(dims, shape, coordinates, described, about, path)


def _design_attributes(design: Design) -> dict[str, Any]:
    if isinstance(design, designs.Drawn):
        return {"kind": design.kind, "points": design.points, "seed": design.seed}
    return {"kind": "refine" if isinstance(design, Refined) else "grid"}


def _point_coordinates(assignments: Sequence[Assignment]) -> dict[str, Any]:
    return {k: ("point", _column([a[k] for a in assignments]), _units(k)) for k in assignments[0]}


def _column(values: Sequence[Any]) -> np.ndarray:
    """The values of a parameter as a coordinate: numbers, or text."""
    labels = [label(v) for v in values]
    return np.array(
        labels if all(isinstance(v, int | float) for v in labels) else [str(v) for v in labels]
    )


def _units(key: str) -> dict[str, str]:
    return {"units": UNITS.get(key, "1"), "long_name": key}


def _run(plan: _Plan, table: Table, pool: workers.Pool, progress: bool) -> None:
    assignments = plan.first
    rounds = plan.design.rounds if isinstance(plan.design, Refined) else 0
    for level in range(rounds + 1):
        if level and isinstance(plan.design, Refined):
            alike = [outcome == "settled" for outcome in table.outcomes[: len(assignments)]]
            assignments = assignments + plan.design.next_round(assignments, alike, level)
            if len(assignments) > table.shape[0]:
                table.extend(_point_coordinates(assignments))
        pending = [(i, assignments[i]) for i in np.flatnonzero(~table.done[: len(assignments)])]
        title = f"round {level} of {rounds}" if rounds else "sweeping"
        with bar(
            progress and bool(pending), title, len(assignments), len(assignments) - len(pending)
        ) as advance:
            for found in pool.run(_tasks(plan, pending, pool.size)):
                for point in found:
                    table.put(point.index, point.outcome, point.reason, point.numbers)
                table.flush()
                advance(len(found), f"{table.done.sum()} points")


def _tasks(plan: _Plan, pending: Sequence[tuple[int, Assignment]], size: int) -> list[Task]:
    """Points of one structure together, largest networks first; no more in one than a network may
    hold.
    """
    groups: dict[str, list[tuple[int, Assignment]]] = {}
    for index, assignment in pending:
        kind = (
            plan.kinds[index]
            if index < len(plan.kinds)
            else structure(plan.model.changed(assignment))
        )
        groups.setdefault(kind, []).append((int(index), assignment))
    tasks: list[tuple[float, Task]] = []
    for points in groups.values():
        spec = plan.model.changed(points[0][1])
        weight, crowded = _weight(plan, spec)
        each = (
            TASKS
            if not crowded
            else min(TASKS, max(1, int(weight * len(points) / (size * WORTH_A_TASK))))
        )
        share = math.ceil(len(points) / (each * size))
        most = max(1, min(share, int(CROWD / weight) if crowded else 16))
        for first in range(0, len(points), most):
            own = points[first : first + most]
            task = plan.task(own, math.ceil(len(points) / most))
            tasks.append((weight * len(own), task))
    return [task for _, task in sorted(tasks, key=lambda pair: -pair[0])]


def _weight(plan: _Plan, spec: ModelFile) -> tuple[float, bool]:
    """Units times patterns of a point, and whether it can be simulated with others."""
    try:
        net, data = spec.network(), spec.data()
    except NeurosimError:  # recorded where it runs
        return 1.0, False
    trains = spec.tables.train is not None and any(m.learnt for m in plan.measures.values())
    units = sum(net.populations[n].size for n in net.neurons)
    return float(units * len(data.X)), together_in(spec, net) and not trains


def _duration(spec: ModelFile) -> float:
    flow = spec.flow()
    times = flow.tau_x.values() if isinstance(flow.tau_x, Mapping) else [flow.tau_x]
    return DURATION * max(times)


def summary(data: xr.Dataset) -> dict[str, str]:
    """What a sweep found, by heading: points and outcomes, range and median of each measure."""
    outcomes = np.ravel(data["outcome"].values)
    counts = {o: int((outcomes == o).sum()) for o in measures.OUTCOMES}
    rows = {"points": f"{outcomes.size}: " + ", ".join(f"{n} {o}" for o, n in counts.items() if n)}
    for name in describe(data)["measures"]:
        values = data[name].values[np.isfinite(data[name].values)]
        unit = data[name].attrs.get("units", "1")
        shown = "" if unit == "1" else f" {unit}"
        span = f"{values.min():.4g} to {values.max():.4g}{shown}" if values.size else "none"
        rows[name] = f"{span}, median {np.median(values):.4g}" if values.size else span
    reasons = [
        r
        for r, o in zip(np.ravel(data["reason"].values), outcomes, strict=True)
        if r and o != "diverged"
    ]
    return rows | ({"first reason": reasons[0]} if reasons else {})


def describe(data: xr.Dataset) -> dict[str, Any]:
    """What a sweep says of itself: its design, settings and parameters, as plain values."""
    return {
        key: json.loads(data.attrs[key]) for key in ("design", "settings", "parameters", "measures")
    }
