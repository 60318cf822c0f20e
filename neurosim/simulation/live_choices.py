"""Choices of a live simulation, checked before anything changes. Start at `Choices`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.errors import DataError, ModelError, out_of_range, shown, whole
from neurosim.model.feedback import MIRROR
from neurosim.simulation.live_units import Held
from neurosim.simulation.modulators import modulators_of
from neurosim.simulation.opening import Data, Simulated

Array = np.ndarray


@dataclass(frozen=True)
class Choices:
    """Choices that a live simulation keeps; `held` is by population and variable."""

    sim: Simulated
    rows: tuple[int, ...]
    plastic: bool
    held: Held = field(default_factory=dict)


def own_simulation(sim: Simulated) -> Simulated:
    """Return a copy on weights of its own, with a backend that can stay open.

    Raises
    ------
    ModelError
        A compiled program, user-supplied Brian2 objects, or a method that only a training has.
    """
    if sim.requested_backend == "standalone":
        raise out_of_range(
            "backend", "standalone", "numpy or cython: a compiled program cannot stay open", "numpy"
        )
    if sim.factories:
        raise ModelError(
            f"live with {len(sim.factories)} user-supplied Brian2 objects, whose state cannot be "
            "rewound; allowed: extensions; try Extension(population, equations=...)"
        )
    own = copy.copy(sim)
    if own.requested_backend == "auto":
        own.backend = "numpy"
    own.net = sim.net.copy()
    return own


def check_learns(sim: Simulated) -> None:
    """Refuse learning that a live simulation cannot do."""
    for name, q in sim.net.projections.items():
        if q.feedback == MIRROR:
            raise out_of_range(
                f"feedback of {name}",
                q.feedback,
                "another kind while live: this one learns between the rows of a training's log",
                "kolen_pollack",
            )
    names = modulators_of(sim.net)
    if names:
        raise ModelError(
            f"plastic with rules that read the modulators {', '.join(names)}; allowed: rules "
            "without; try Simulation.train(modulators=...)"
        )


def checked_rows(patterns: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """Return rows of the data, all by default.

    Raises
    ------
    DataError
        No row, or one that does not exist.
    """
    if patterns is None:
        return tuple(range(count))
    rows = [] if isinstance(patterns, str) else list(patterns)
    if not rows:
        raise DataError(f"patterns = {shown(patterns)}; allowed: at least one row, or None for all")
    try:
        return tuple(whole("patterns", row, 0, count - 1) for row in rows)
    except ModelError as error:
        raise DataError(f"{error}") from None


def of_rows(given: Data, rows: Sequence[int]) -> Data:
    """Return some rows of the data."""
    chosen = list(rows)
    x = {n: values[chosen] for n, values in given.clamped.items()}
    y = {n: values[chosen] for n, values in given.targets.items()}
    return Data(x, y, len(chosen))


def places(choices: Choices) -> dict[tuple[str, str], tuple[Array, Array]]:
    """Return the held units as the engine takes them: indices into flat arrays, and values."""
    found = {}
    for (population, variable), units in choices.held.items():
        size = choices.sim.net.populations[population].size
        patterns = np.arange(len(choices.rows)) * size
        places = np.concatenate([patterns + unit for unit in units])
        found[population, variable] = places, np.concatenate(list(units.values()))
    return found


def plain(value: Any) -> Any:
    """Return a mapping with plain keys and values, as a script writes it."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {plain(key): plain(own) for key, own in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple | range):
        return [plain(own) for own in value]
    return value
