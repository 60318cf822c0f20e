"""Validate the outputs and multipliers that a user hands in as a start or an operating point.

Above `network`, below everything that simulates or differentiates. Start at `checked_state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import DataError, ModelError
from neurosim.model.arrays import real_array
from neurosim.model.network import Network
from neurosim.model.state import State

Array = np.ndarray


def checked_state(net: Network, name: str, given: Any, count: int, others: str = "") -> State:
    """Return copies of the outputs and multipliers of a Run, a State or another such object.

    Parameters
    ----------
    net : Network
    name : str
        Name of the argument, for messages.
    given : Run, State, or any object with mappings `x` and `lam`
    count : int
        Number of patterns.
    others : str
        Other values that are allowed, for messages.

    Raises
    ------
    ModelError
        An object without `x` and `lam`.
    DataError
        Arrays of another shape, or with other values than finite real numbers.
    """
    parts = {}
    for part in ("x", "lam"):
        arrays = getattr(given, part, None)
        if not isinstance(arrays, Mapping):
            raise ModelError(
                f"{name} is a {type(given).__name__}; allowed: {others}a Run or a State, with "
                "x and lam by population"
            )
        parts[part] = _by_population(net, f"{name}.{part}", arrays, count)
    return State(parts["x"], parts["lam"])


def _by_population(
    net: Network, name: str, given: Mapping[str, Any], count: int
) -> dict[str, Array]:
    found = {}
    for n in net.neurons:
        expected = count, net.populations[n].size
        shape = np.shape(given[n]) if n in given else None
        if shape != expected:
            raise DataError(
                f"{name}[{n!r}] has shape {shape}; allowed: (patterns, units) = {expected}"
            )
        found[n] = real_array(f"{name}[{n!r}]", given[n], booleans=False)
    return found
