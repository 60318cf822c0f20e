"""Many parameter points relaxed as one Brian2 network, each to its own end.

Above `session`, whose engine it drives: points of one structure are stacked as further patterns,
with gains and time constants of each unit's own, and with a matrix for every set of weights. No
point sees another: what settles rests, what diverges stays within its own rows, and the result is
that of as many single runs. Start at `relax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.engine.loading import Key, parameters
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

Array = np.ndarray
LOOKS = 16  # times that a relaxation is looked at, evenly spaced
METHODS = FIXED_STEP  # an adaptive step would be one for all points


@dataclass(frozen=True)
class Point:
    """One parameter point of a structure: its network, its flow, and where x and lam start."""

    net: Network
    flow: Flow
    start: State | None = None  # x = lam = 0


@dataclass(frozen=True)
class End:
    """How the relaxation of one point went.

    Attributes
    ----------
    run : Run
        As `Simulation.relax` leaves it, without traces.
    diverged : str
        The population that left its bound first, or "".
    looks : (looks,), s
        When the point was looked at on the way.
    residuals : (looks,)
        max |tau dz/dt| over outputs and multipliers then.
    """

    run: Run
    diverged: str = ""
    looks: Array = field(default_factory=lambda: np.empty(0), repr=False)
    residuals: Array = field(default_factory=lambda: np.empty(0), repr=False)


def relax(
    points: Sequence[Point],
    clamped: Mapping[str, Array],
    targets: Mapping[str, Array],
    setting: Setting,
    *,
    steps: int,
    settle: float,
    advance: Callable[[int], None] = lambda steps: None,
) -> list[End]:
    """Relax all points from their starts, weights fixed, until each has settled or diverged, or
    `steps` are over.

    Parameters
    ----------
    points : sequence of Point
        Networks of one structure: the same populations, projections and losses.
    clamped, targets : dict of str to array, (patterns, units)
        Of every point alike.
    setting : Setting
        dt, method and backend; its net and flow are not read.
    steps : int
    settle : float
        A point ends once max |tau dz/dt| over its outputs and multipliers is below it.
    advance : callable
        Told of the steps that are done, for a bar.

    Returns
    -------
    list of End
        In the order of `points`, each equal to that of a single run to rounding.

    Raises
    ------
    ModelError
        Points whose structures differ.
    """
    from neurosim.engine.build import build

    order, sets = _by_weights(points, setting.backend == "standalone")
    crowd = [points[i] for i in order]
    count = len(next(iter(clamped.values())))
    plan = Plan(
        crowd[0].net,
        count * len(crowd),
        setting.dt,
        setting.method,
        precision=setting.precision,
        settles=True,
        shortcuts=setting.shortcuts,
        points=len(crowd),
        weight_sets=sets,
    )
    engine = build(plan, setting.backend, (), setting.threads)
    engine.load(
        {
            ("run", "bound"): divergence_bound(clamped, targets),
            ("run", "settle"): settle,
            ("run", "residual"): np.inf,
        }
    )
    engine.load(_stacked(crowd, count, sets, 0.0 if plan.method in STAGED else plan.dt))
    shown = {(n, "x"): v for n, v in clamped.items()} | {(n, "y"): v for n, v in targets.items()}
    engine.load({key: np.tile(v, (len(crowd), 1)) for key, v in shown.items()})
    times, residuals = [], []
    for length in _segments(steps):
        engine.run(length, 0)
        advance(length)
        times.append(engine.counter("step") * setting.dt)
        residuals.append(engine.value("run", "residuals"))
        if engine.counter("settled"):
            break
    ends = _Ends(plan, setting, clamped, targets, np.array(times), np.array(residuals), steps)
    found = dict(zip(order, ends.read(engine, crowd), strict=True))
    return [found[i] for i in range(len(points))]


def _by_weights(points: Sequence[Point], compiled: bool) -> tuple[list[int], int]:
    """Points in an order in which those with the same weights are together, and how many sets of
    weights they need.

    A compiled program holds one set or one a point, so that all crowds of a size share it.
    """
    groups: dict[bytes, list[int]] = {}
    known: dict[int, bytes] = {}
    for i, point in enumerate(points):
        if not same_structure(point.net, points[0].net):
            raise ModelError(
                f"points of different structures: {point.net!r} beside {points[0].net!r}"
            )
        if id(point.net) not in known:
            known[id(point.net)] = _weights_key(point.net)
        groups.setdefault(known[id(point.net)], []).append(i)
    order = [i for group in groups.values() for i in group]
    equal = len(groups) == 1 or (
        not compiled and len({len(group) for group in groups.values()}) == 1
    )
    return order, len(groups) if equal else len(points)


def _weights_key(net: Network) -> bytes:
    import hashlib

    digest = hashlib.sha256()
    for w in (*net.weights.values(), *net.biases.values(), *map(net.returning, net.feedback)):
        for part in [w] if isinstance(w, np.ndarray) else [w.indptr, w.indices, w.data]:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()


def same_structure(one: Network, other: Network) -> bool:
    """Whether two networks differ in nothing but numbers of weights and biases; with a sparse
    projection, in none.
    """
    if one is other:
        return True
    dense = all(isinstance(w, np.ndarray) for net in (one, other) for w in net.weights.values())
    return one.describe() == other.describe() and (
        dense or _weights_key(one) == _weights_key(other)
    )


def _stacked(crowd: Sequence[Point], count: int, sets: int, step: float) -> dict[Key, Any]:
    """Parameters and starts of all points as the engine holds them."""
    net, each = crowd[0].net, [parameters(p.net, p.flow, step) for p in crowd]
    own = {n: count * net.populations[n].size for n in net.neurons}
    first = each[:: len(crowd) // sets]  # of every set of weights
    values: dict[Key, Any] = {}
    for group, variable in each[0]:
        if (
            group in own and variable in lagrangian.OWN
        ):  # a number a point, for each unit of its patterns
            values[group, variable] = np.repeat([e[group, variable] for e in each], own[group])
        elif variable in ("w", "back"):
            values[group, variable] = np.concatenate([np.ravel(e[group, variable]) for e in first])
        else:
            values[group, variable] = each[0][group, variable]
    for n, size in own.items():
        for v in ("x", "lam"):
            starts = [
                np.zeros(size) if p.start is None else np.ravel(getattr(p.start, v)[n])
                for p in crowd
            ]
            values[n, v] = np.concatenate(starts)
    return values


def _segments(steps: int) -> Iterator[int]:
    """Lengths between two looks: multiples of the guard's, so that it looks at the same steps as in
    one run.
    """
    length = max(GUARD_EVERY, math.ceil(steps / LOOKS / GUARD_EVERY) * GUARD_EVERY)
    while steps > 0:
        yield min(length, steps)
        steps -= length


@dataclass(frozen=True)
class _Ends:
    """What an engine has left, point by point."""

    plan: Plan
    setting: Setting
    clamped: Mapping[str, Array]
    targets: Mapping[str, Array]
    times: Array
    residuals: Array
    steps: int

    def read(self, engine: Any, crowd: Sequence[Point]) -> list[End]:
        """One end a point."""
        neurons = self.plan.net.neurons
        ending, ended_at = (engine.value("run", name) for name in ("ending", "ended_at"))
        state = {
            (n, v): engine.value(n, v).reshape(len(crowd), -1, self.plan.net.populations[n].size)
            for n in neurons
            for v in ("x", "lam")
        }
        ends = []
        for i, point in enumerate(crowd):
            steps = int(ended_at[i]) if ending[i] != MOVING else self.steps
            settings = {
                **self.setting.described,
                "backend": self.setting.backend,
                "plastic": False,
                "duration": steps * self.setting.dt,
                "settled": bool(ending[i] == SETTLED),
            }
            run = Run(
                network=point.net,
                flow=point.flow,
                settings=settings,
                X=dict(self.clamped),
                Y=dict(self.targets),
                x={n: state[n, "x"][i] for n in neurons},
                lam={n: state[n, "lam"][i] for n in neurons},
                time=steps * self.setting.dt,
                steps=steps,
            )
            diverged = neurons[ending[i] - 1] if ending[i] > 0 else ""
            looked = self.times <= run.time + self.setting.dt / 2
            ends.append(End(run, diverged, self.times[looked], self.residuals[looked, i]))
        return ends
