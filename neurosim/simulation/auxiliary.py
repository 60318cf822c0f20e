"""Read and restore the state of an engine beside x and lam, so that one run can go on from another.

Below `session`. `Engine.memory` says which arrays belong to this auxiliary state: the variables of
user-supplied differential equations, the last messages, the memory of imperfections and of
optimisers, messages in flight, ... Keys are "group.variable", where a group is a population or the
synapses of a projection; values are (patterns, entries per pattern), or (1, entries) for what all
patterns share. ``"run.time"`` is the time, s, up to which the clock has run. Start at
`read_auxiliary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.added import LOST
from neurosim.engine.loading import Key
from neurosim.engine.names import MEMORY, projection_group
from neurosim.engine.plan import Plan
from neurosim.model.methods import ADAPTIVE
from neurosim.model.network import Network
from neurosim.model.weights import synapses

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
Arrays = Mapping[str, Array]
COUNTS = ("events_", "plastic_events_")  # prefixes of counts, which start at 0 in every run
TIME = "run.time"
CLAMPED_AT = "clamped_at"  # time at which the present patterns were clamped, s


def read_auxiliary(plan: Plan, engine: Engine) -> dict[str, Array]:
    """Return the current values of all auxiliary state variables, and the time."""
    found = {TIME: np.array([[_time(plan, engine)]])}
    lines = _lines(plan)
    places = {place for _, place in lines.values()}
    added = engine.added
    if added is not None:
        for name in added.lost:
            found[f"{name}.{LOST}"] = np.ones((1, 1))
    for key in engine.memory:
        group, variable = key
        values = engine.value(*key)
        if key in lines:
            steps, place = lines[key]
            values = _in_flight(plan, values, steps, int(engine.value(*place)[0]))
        elif key in places or (variable == MEMORY and values[0] == 0):
            continue
        if added is not None and group in added.groups:
            if not added.is_initial(key, values):
                found[f"{group}.{variable}"] = values.astype(float).reshape(1, -1)
            continue
        shared = group not in plan.net.populations or values.size < plan.patterns
        rows = 1 if shared else plan.patterns
        found[f"{group}.{variable}"] = values.reshape(rows, -1)
    return found


def resumed(plan: Plan, engine: Engine, stored: Arrays) -> dict[Key, Any]:
    """Return the part of an earlier run's auxiliary state that this engine goes on from.

    Counts of events are left out, and so are variables of another name or shape, since the model
    may have changed in between.

    Raises
    ------
    ModelError
        A user-supplied object whose state is not kept, or that is another one.
    """
    if engine.added is not None:
        engine.added.check(stored)
    lines = _lines(plan)
    found: dict[Key, Any] = _clock(plan, float(np.ravel(stored.get(TIME, 0.0))[0]))
    now = found["run", "step"] * plan.dt
    for key in engine.memory:
        group, variable = key
        values = stored.get(f"{group}.{variable}")
        if variable == CLAMPED_AT:
            found[key] = now if values is None else values
            continue
        if values is None or variable.startswith(COUNTS):
            continue
        if np.size(values) != engine.size(*key) or not _same_patterns(plan, key, values):
            continue
        if key in lines:
            by_pattern = np.reshape(values, (plan.patterns, lines[key][0], -1))
            values = by_pattern.swapaxes(0, 1)  # the engine's: (steps, patterns, units)
        found[key] = values
    return found


def going_on(start: Any, net: Network, clamped: Arrays, targets: Arrays) -> dict[str, Array]:
    """Return the auxiliary state of an earlier run that still means something.

    Parameters
    ----------
    start : Run, State or str
    net : Network
        The network of the next run. What a program keeps beside its weights is left out if they
        are not those of the earlier run.
    clamped, targets : dict of str to array, (patterns, units)
        The data of the next run. If they are not those of the earlier one, they are clamped now.
    """
    found: dict[str, Array] = dict(getattr(start, "auxiliary", {}))
    for name in getattr(start, "network", net).projections:
        if not _same_weights(start, net, name):
            found.pop(f"{projection_group(name)}.{MEMORY}", None)
    if not _same(getattr(start, "X", {}), clamped) or not _same(getattr(start, "Y", {}), targets):
        for key in [key for key in found if key.endswith(f".{CLAMPED_AT}")]:
            del found[key]
    return found


def _same(one: Arrays, other: Arrays) -> bool:
    """Return whether two sets of patterns are equal."""
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def _same_weights(start: Any, net: Network, projection: str) -> bool:
    """Return whether a projection has the weights, both ways, with which a run ended."""
    before = getattr(start, "network", None)
    if before is None or projection not in net.weights:
        return False
    for one, other in (
        (before.weights, net.weights),
        (before.feedback, net.feedback),
    ):
        if (projection in one) != (projection in other):
            return False
        if projection in one:
            values = synapses(one[projection]), synapses(other[projection])
            if not np.array_equal(*values):
                return False
    return True


def _same_patterns(plan: Plan, key: Key, values: Array) -> bool:
    """Return whether stored values are of as many patterns as are simulated at once."""
    group, _ = key
    rows = len(np.atleast_2d(values))
    return group not in plan.net.populations or rows in (1, plan.patterns)


def _time(plan: Plan, engine: Engine) -> float:
    """Return the time up to which the clock has run, s."""
    if plan.method == ADAPTIVE:
        return float(engine.value("run", "began")[0] + engine.value("run", "elapsed")[0])
    return engine.counter("step") * plan.dt


def _clock(plan: Plan, time: float) -> dict[Key, Any]:
    """Return the numbers with which the clock goes on from a time, s.

    Fixed steps go on from the nearest multiple of dt, so that step k of an earlier run and of this
    one are at the same time, to the last bit.
    """
    if plan.method == ADAPTIVE:
        return {("run", "step"): 0, ("run", "origin"): 0, ("run", "began"): time}
    step = round(time / plan.dt)
    return {("run", "step"): step, ("run", "origin"): step}


def _lines(plan: Plan) -> dict[Key, tuple[int, Key]]:
    """Return the number of steps of each delay line, and its place, by (population, variable)."""
    found = {}
    for population, name, steps in plan.lines:
        found[population, f"line_{name}"] = steps, (population, f"line_at_{name}")
    return found


def _in_flight(plan: Plan, line: Array, steps: int, place: int) -> Array:
    """Return the messages that are sent and not yet received, the next to arrive first.

    Returns
    -------
    (patterns, steps * units)
    """
    by_step = line.reshape(steps, plan.patterns, -1)
    in_order = np.roll(by_step, -place, axis=0)
    return in_order.swapaxes(0, 1).reshape(plan.patterns, -1)
