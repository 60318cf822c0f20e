"""Presentations: the rows of the data set that are clamped at the same time.

Above `arrays`, below `step`. Start at `Presenter`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.engine.engine import World
from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import live, units

Array = np.ndarray


class Presenter:
    """Clamp rows of a data set; `Engine.present` and `Engine.ask` provide them.

    Attributes
    ----------
    world : World or None
        Writes the rows of the next presentation when one ends; returns False to end the run.
    """

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.sources: list[tuple[Array, Array]] = []  # array of a population, data for it
        self.order = np.empty(0, dtype=np.int64)
        self.world: World | None = None
        plan = groups.plan
        adaptive = sorted({o.population for o in plan.event_sources if o.adaptive})
        self.clamped_at = [live(groups.populations[n], "clamped_at") for n in adaptive]

    def load(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        """Set the data by (population, variable), and the order in which rows are clamped."""
        self.sources = [(units(self.groups, *key), rows) for key, rows in data.items()]
        self.order = order

    def show(self, number: int, t: Array) -> None:
        """Clamp the rows of presentation `number` (from 0) at time t (s)."""
        patterns = self.groups.plan.patterns
        rows = self.order[number * patterns : (number + 1) * patterns]
        for array, data in self.sources:
            array[:] = data[rows]
        for clamped_at in self.clamped_at:
            clamped_at[:] = t
