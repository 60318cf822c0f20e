"""Read and restore the state of an engine beside x and lam, so that one run can go on from another.

Below `session`. This auxiliary state is made of the variables of user-supplied differential
equations, the last messages and the counts of events, the memory of imperfections, and messages in
flight. Keys are "population.variable", values (patterns, entries per pattern). Start at
`read_auxiliary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from neurosim.engine.loading import Key
from neurosim.engine.names import DIFFERENTIAL
from neurosim.engine.plan import Plan

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
COUNTS = ("events_", "plastic_events_")  # prefixes of counts, which start at 0 in every run


def read_auxiliary(plan: Plan, engine: Engine) -> dict[str, Array]:
    """Return the current values of all auxiliary state variables."""
    found = {}
    for population, variable in _variables(plan, engine):
        values = engine.value(population, variable)
        found[f"{population}.{variable}"] = values.reshape(plan.patterns, -1)
    for population, name, steps in plan.lines:
        found[f"{population}.line_{name}"] = _in_flight(plan, engine, population, name, steps)
    return found


def resumed(plan: Plan, engine: Engine, stored: Mapping[str, Array]) -> dict[Key, Array]:
    """Return the part of an earlier run's auxiliary state that this engine goes on from.

    Counts of events are left out, and so are variables of another name or shape, since the model
    may have changed in between.
    """
    present = read_auxiliary(plan, engine)
    found: dict[Key, Array] = {}
    for name, values in stored.items():
        population, variable = name.split(".")[:2]
        fits = name in present and np.shape(values) == present[name].shape
        if fits and not variable.startswith(COUNTS):
            found[population, variable] = values
    for population, name, steps in plan.lines:
        key = (population, f"line_{name}")
        if key in found:
            by_pattern = found[key].reshape(plan.patterns, steps, -1)
            found[key] = by_pattern.swapaxes(0, 1)  # the engine's: (steps, patterns, units)
    return found


def _variables(plan: Plan, engine: Engine) -> list[Key]:
    """List the auxiliary state variables, except messages in flight."""
    found: list[Key] = []
    for extension in plan.extensions:
        for variable, kind in engine.kinds(extension.population).items():
            if kind == DIFFERENTIAL and variable not in ("x", "lam"):
                found.append((extension.population, variable))
    for source in plan.event_sources:
        population = source.population
        for kind in ("sent", "events", "plastic_events"):
            found.append((population, f"{kind}_{source.name}"))
        received = (population, source.received)
        if received not in found:  # without a delay, it is what was sent
            found.append(received)
    for n, p in plan.net.populations.items():
        for variable in plan.imperfections.memory(p.clamped):
            found.append((n, variable))
    return found


def _in_flight(plan: Plan, engine: Engine, population: str, name: str, steps: int) -> Array:
    """Return the messages that are sent and not yet received, the next to arrive first.

    Returns
    -------
    (patterns, steps * units)
    """
    line = engine.value(population, f"line_{name}")
    position = int(engine.value(population, f"line_at_{name}")[0])
    by_step = line.reshape(steps, plan.patterns, -1)
    in_order = np.roll(by_step, -position, axis=0)
    return in_order.swapaxes(0, 1).reshape(plan.patterns, -1)
