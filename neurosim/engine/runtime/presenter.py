"""Presentations: the rows of the data set that are clamped at the same time; modulators.

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
        # values of modulators, their arrays; steps per value, first step
        self.modulators: list[tuple[Array, list[Array]]] = []
        self.length, self.first = 1, 0

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

    def modulate(self, values: Mapping[str, Array], length: int, first: int) -> None:
        """Set the values of modulators: one for every `length` steps, from step `first` on."""
        self.modulators = []
        for name, own in values.items():
            arrays = []
            for group, rule in self.groups.plan.rules.items():
                if name in rule.rule.modulators:
                    arrays.append(live(self.groups.by_name[group], name))
            self.modulators.append((own, arrays))
        self.length, self.first = length, first

    def broadcast(self, step: int) -> None:
        """Set the modulators of this step."""
        number = (step - self.first) // self.length
        for values, arrays in self.modulators:
            for array in arrays:
                array[:] = values[number]
