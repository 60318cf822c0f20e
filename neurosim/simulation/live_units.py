"""Units that are kicked, moved and held by a live simulation. Start at `chosen_units`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurosim.errors import DataError, number, shown, unknown, whole
from neurosim.model.network import Network
from neurosim.model.state import State

Array = np.ndarray
Chosen = dict[str, list[int]]  # indices by population
# by population and variable: the values of each held unit, (patterns,)
Held = Mapping[tuple[str, str], Mapping[int, Array]]


def chosen_units(net: Network, units: Mapping[str, Any] | None) -> Chosen:
    """Return the indices of units by population, in the order of the network.

    Parameters
    ----------
    net : Network
    units : {population: one index or several}, optional
        All units that have a state by default.

    Raises
    ------
    DataError
        A population or a unit that does not exist or has no state.
    """
    with_state = [n for n in net.neurons if not net.populations[n].free]
    if units is None:
        return {n: list(range(net.populations[n].size)) for n in with_state}
    if not isinstance(units, Mapping):
        raise DataError(f"units = {shown(units)}; allowed: a mapping such as {{'hidden1': [0, 2]}}")
    for name in units:
        if name not in with_state:
            raise DataError(f"{unknown('population of units', name, with_state)}")
    found: Chosen = {}
    for name in with_state:
        if name in units:
            found[name] = _indices(name, units[name], net.populations[name].size)
    return found


def _indices(population: str, given: Any, size: int) -> list[int]:
    several = given if isinstance(given, Sequence | np.ndarray | range) else [given]
    if isinstance(several, str):
        several = [several]
    try:
        found = [whole(f"unit of {population}", unit, 0, size - 1) for unit in several]
    except Exception as error:
        raise DataError(f"{error}") from None
    return list(dict.fromkeys(found))


def kicked(state: State, chosen: Chosen, x: float, lam: float, seed: int) -> State:
    """Return a state with x N(0, 1) added to outputs, then lam N(0, 1) to multipliers."""
    rng = np.random.default_rng(seed)

    def added(sd: float, values: Mapping[str, Array]) -> dict[str, Array]:
        own = {n: array.copy() for n, array in values.items()}
        for n, units in chosen.items():
            own[n][:, units] += sd * rng.normal(size=(len(own[n]), len(units)))
        return own

    outputs = added(x, state.x)
    return State(outputs, added(lam, state.lam))


def moved(
    net: Network,
    variable: str,
    values: Mapping[str, Array],
    given: Mapping[str, Mapping[int, float]],
) -> dict[str, Array]:
    """Return arrays of one variable with single units at given values, in all patterns.

    Raises
    ------
    DataError, ModelError
        A unit that does not exist; a value that is not finite.
    """
    found = {n: array.copy() for n, array in values.items()}
    units = {n: list(own) for n, own in given.items()}
    for n, indices in chosen_units(net, units).items():
        for unit in indices:
            found[n][:, unit] = number(f"{variable} of unit {unit} of {n}", given[n][unit])
    return found


def held_arrays(
    held: Held, chosen: Chosen, state: State, x: float | None, lam: float | None
) -> Held:
    """Return the held units with more of them, or with other values.

    Values that are None are the present ones.

    Raises
    ------
    ModelError
        A value that is not finite.
    """
    found = {key: dict(units) for key, units in held.items()}
    for variable, value, values in (("x", x, state.x), ("lam", lam, state.lam)):
        for n, units in chosen.items():
            own = found.setdefault((n, variable), {})
            for unit in units:
                own[unit] = values[n][:, unit].copy()
                if value is not None:
                    own[unit][:] = number(variable, value)
    return {key: units for key, units in found.items() if units}


def without_units(held: Held, chosen: Chosen) -> Held:
    """Return the held units without some."""
    found = {}
    for (n, variable), units in held.items():
        left = {unit: values for unit, values in units.items() if unit not in chosen.get(n, ())}
        if left:
            found[n, variable] = left
    return found
