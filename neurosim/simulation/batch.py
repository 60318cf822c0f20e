"""Relax a batch of parameter points as one Brian2 network, each point to its own end.

Points of one structure are stacked as further patterns; every unit has its own gains and time
constants, and every set of weights its own matrix. Points do not interact: one that
settles stays at rest, one that diverges affects its own rows only, and each result equals that of a
single run to within rounding. Above `engine` and `stability_monitor`, below sweeps. Start at
`relax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.loading import Key, parameters, shared_tables
from neurosim.engine.names import GUARD_EVERY
from neurosim.engine.plan import Plan
from neurosim.engine.runtime.points import MOVING, SETTLED
from neurosim.errors import ModelError
from neurosim.model.equations import lagrangian
from neurosim.model.flow import Flow
from neurosim.model.methods import FIXED_STEP, STAGED
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.results.runs import Run
from neurosim.simulation.options import Setting
from neurosim.simulation.stability_monitor import divergence_bound

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
Arrays = Mapping[str, Array]
LOOKS = 16  # moments, evenly spaced, at which the residuals of a relaxation are read
METHODS = FIXED_STEP  # all points would share one adaptive step


@dataclass(frozen=True)
class Point:
    """One parameter point: its network, its flow, and where x and lam start (0 by default)."""

    net: Network
    flow: Flow
    start: State | None = None


@dataclass(frozen=True)
class End:
    """The end of one point's relaxation.

    Attributes
    ----------
    run : Run
        As `Simulation.relax` returns it, without traces.
    diverged : str
        The population that left its bound first, or "".
    looks : (looks,), s
        Times until the end at which the residual was read.
    residuals : (looks,), unit 1
        max |tau dz/dt| over outputs and multipliers z at these times.
    """

    run: Run
    diverged: str = ""
    looks: Array = field(default_factory=lambda: np.empty(0), repr=False)
    residuals: Array = field(default_factory=lambda: np.empty(0), repr=False)


def _ignore(steps: int) -> None:
    """Show no progress."""


def relax(
    points: Sequence[Point],
    clamped: Arrays,
    targets: Arrays,
    setting: Setting,
    *,
    steps: int,
    settle: float,
    advance: Callable[[int], None] = _ignore,
) -> list[End]:
    """Relax all points with fixed weights until each has settled or diverged, for `steps` at most.

    Parameters
    ----------
    points : sequence of Point
        Networks of one structure: the same populations, projections and losses.
    clamped, targets : dict of str to array, (patterns, units)
        Inputs and targets, the same for every point.
    setting : Setting
        dt, method, backend and precision; its net and flow are not read.
    steps : int
        Largest number of steps.
    settle : float, unit 1
        A point ends once max |tau dz/dt| over its outputs and multipliers z is below it.
    advance : callable
        Takes the number of steps since the last call, for a progress bar; by default ignores it.

    Returns
    -------
    list of End
        In the order of `points`, each equal to within rounding to that of a single run.

    Raises
    ------
    ModelError
        Points whose structures differ.
    """
    from neurosim.engine.build import build

    order, sets = _by_weights(points, setting.backend == "standalone")
    batch = [points[i] for i in order]
    count = len(next(iter(clamped.values())))
    plan = Plan(
        batch[0].net,
        count * len(batch),
        setting.dt,
        setting.method,
        precision=setting.precision,
        settles=True,
        shortcuts=setting.shortcuts,
        points=len(batch),
        weight_sets=sets,
    )
    engine = build(plan, setting.backend, (), setting.threads)
    bound = divergence_bound(clamped, targets)
    numbers = {"bound": bound, "settle": settle, "residual": np.inf}
    for name, value in numbers.items():
        engine.load({("run", name): value})
    engine.load(_stacked(batch, count, sets, 0.0 if plan.method in STAGED else plan.dt))
    engine.load(shared_tables(plan, engine))
    for variable, given in (("x", clamped), ("y", targets)):
        for n, values in given.items():
            engine.load({(n, variable): np.tile(values, (len(batch), 1))})
    times, residuals = [], []
    for length in _segments(steps):
        engine.run(length)
        advance(length)
        times.append(engine.counter("step") * setting.dt)
        residuals.append(engine.value("run", "residuals"))
        if engine.counter("settled"):
            break
    ends = _Ends(plan, setting, clamped, targets, np.array(times), np.array(residuals), steps)
    found = dict(zip(order, ends.read(engine, batch), strict=True))
    return [found[i] for i in range(len(points))]


def same_structure(one: Network, other: Network) -> bool:
    """Return whether two networks differ at most in the values of their weights and biases.

    If either has sparse or shared weights, the values must be equal, too.
    """
    if one is other:
        return True
    if one.describe() != other.describe():
        return False
    weights = [*one.weights.values(), *other.weights.values()]
    if all(isinstance(w, np.ndarray) and w.ndim == 2 for w in weights):
        return True
    return _weights_key(one) == _weights_key(other)


def _by_weights(points: Sequence[Point], compiled: bool) -> tuple[list[int], int]:
    """Order points so that those with the same weights are neighbours; count their weight sets.

    A compiled program holds one set for all points or one per point, so that all batches of one
    size share at most two programs.
    """
    groups: dict[bytes, list[int]] = {}
    keys: dict[int, bytes] = {}
    first = points[0].net
    for i, point in enumerate(points):
        net = point.net
        if not same_structure(net, first):
            raise ModelError(
                f"points of different structures: {net!r} beside {first!r}; "
                "allowed: one structure; try one batch for each"
            )
        if id(net) not in keys:  # many points share a network
            keys[id(net)] = _weights_key(net)
        groups.setdefault(keys[id(net)], []).append(i)
    order: list[int] = []
    for group in groups.values():
        order += group
    sizes = {len(group) for group in groups.values()}
    shared = len(groups) == 1 or (len(sizes) == 1 and not compiled)
    return order, len(groups) if shared else len(points)


def _weights_key(net: Network) -> bytes:
    """Return a hash of all weights, biases and feedback weights."""
    import hashlib

    digest = hashlib.sha256()
    feedback = [net.returning(name) for name in net.feedback]
    for w in (*net.weights.values(), *net.biases.values(), *feedback):
        parts = [w]
        if not isinstance(w, np.ndarray):
            parts = [w.indptr, w.indices, w.data]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()


def _stacked(batch: Sequence[Point], count: int, sets: int, step: float) -> dict[Key, Any]:
    """Return the parameters and initial states of all points, by the engine's keys."""
    net = batch[0].net
    each = [parameters(p.net, p.flow, step) for p in batch]
    first_of_sets = each[:: len(batch) // sets]
    sizes = {n: count * net.populations[n].size for n in net.neurons}
    values: dict[Key, Any] = {}
    for key, shared in each[0].items():
        group, variable = key
        if group in sizes and variable in lagrangian.OWN:
            # one number per point, repeated for each unit of its patterns
            values[key] = np.repeat([e[key] for e in each], sizes[group])
        elif variable in ("w", "back"):
            matrices = [np.ravel(e[key]) for e in first_of_sets]
            values[key] = np.concatenate(matrices)
        else:
            values[key] = shared
    for n, size in sizes.items():
        for v in ("x", "lam"):
            starts = [_start(p, n, v, size) for p in batch]
            values[n, v] = np.concatenate(starts)
    return values


def _start(point: Point, population: str, variable: str, size: int) -> Array:
    """Return x or lam at the start, flat."""
    if point.start is None:
        return np.zeros(size)
    return np.ravel(getattr(point.start, variable)[population])


def _segments(steps: int) -> Iterator[int]:
    """Yield the steps between two readings of the residuals.

    All but the last are multiples of `GUARD_EVERY`, so that the engine checks the bound at the same
    steps as in an undivided run.
    """
    length = max(GUARD_EVERY, math.ceil(steps / LOOKS / GUARD_EVERY) * GUARD_EVERY)
    while steps > 0:
        yield min(length, steps)
        steps -= length


@dataclass(frozen=True)
class _Ends:
    """Read the ends of all points from an engine after a relaxation."""

    plan: Plan
    setting: Setting
    clamped: Arrays
    targets: Arrays
    times: Array
    residuals: Array
    steps: int

    def read(self, engine: Engine, batch: Sequence[Point]) -> list[End]:
        """Return one end per point."""
        ending, ended_at = engine.value("run", "ending"), engine.value("run", "ended_at")
        x = self._by_point(engine, "x", len(batch))
        lam = self._by_point(engine, "lam", len(batch))
        found = []
        for i, point in enumerate(batch):
            steps = int(ended_at[i]) if ending[i] != MOVING else self.steps
            time = steps * self.setting.dt
            run = Run(
                network=point.net,
                flow=point.flow,
                settings={
                    **self.setting.described,
                    "backend": self.setting.backend,
                    "plastic": False,
                    "duration": time,
                    "settled": bool(ending[i] == SETTLED),
                },
                X=dict(self.clamped),
                Y=dict(self.targets),
                x={n: values[i] for n, values in x.items()},
                lam={n: values[i] for n, values in lam.items()},
                time=time,
                steps=steps,
            )
            diverged = self.plan.net.neurons[ending[i] - 1] if ending[i] > 0 else ""
            on_the_way = self.times <= time + self.setting.dt / 2
            residuals = self.residuals[on_the_way, i]
            found.append(End(run, diverged, self.times[on_the_way], residuals))
        return found

    def _by_point(self, engine: Engine, variable: str, points: int) -> dict[str, Array]:
        """Return (points, patterns, units) of one variable, by population."""
        net = self.plan.net
        found = {}
        for n in net.neurons:
            values = engine.value(n, variable)
            found[n] = values.reshape(points, -1, net.populations[n].size)
        return found
