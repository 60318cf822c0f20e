"""Hold entries of the state at their values while all others move.

A method that adds increments gets the values back right after each increment, before anything
reads them. A method with stages reads rates of 0. Both keep the values to the last bit. Start at
`hold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import live
from neurosim.engine.runtime.rates import Rates
from neurosim.engine.runtime.updates import Actions

Array = np.ndarray
Held = Mapping[tuple[str, str], tuple[Array, Array]]  # by group and variable: places and values
NONE_HELD: Held = {}


def hold(groups: Groups, held: Held, actions: Actions, rates: Rates) -> None:
    """Let the functions of a segment leave the held entries at their values.

    Parameters
    ----------
    groups : Groups
    held : dict of (population, "x" or "lam") to (places, values)
        Places are indices into the flat array of the variable.
    actions : Actions
        The functions of the segment; what restores the values is appended.
    rates : Rates
    """
    for (population, variable), (places, values) in held.items():
        group = groups.populations[population]
        restore = partial(np.put, live(group, variable), places, values)
        actions.update.setdefault(population, []).append(restore)
        if actions.multipliers:
            actions.multipliers.setdefault(population, []).append(restore)
        if groups.plan.keeps_rates:
            rates.held.append((live(group, f"rate_{variable}"), places))
