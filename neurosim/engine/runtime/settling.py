"""Patterns that settle one by one: those that have settled leave the step.

The rows of active patterns stay in front. Where a pattern settles, its row changes places with the
last active one, and products and updates take only the rows before it. At the end of a segment all
rows are where they were. `standalone/include/ns_settling.h` does the same in compiled programs.
Above `arrays`, below `step`. Start at `Settling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from neurosim.engine.groups import Groups, arrays_by_pattern
from neurosim.engine.names import MOVING
from neurosim.engine.runtime.arrays import live

Array = np.ndarray


class Settling:
    """The order of the patterns in one segment.

    Parameters
    ----------
    groups : Groups
    settled_at : array of int, (patterns,)
        Step at which each pattern settled, by its place in the data; `MOVING` until then.

    Attributes
    ----------
    active : int
        Number of patterns that move. Their rows are the first ones.
    pattern_at : array of int, (patterns,)
        Number of the pattern whose values are in each row.
    """

    def __init__(self, groups: Groups, settled_at: Array) -> None:
        self.settled_at = settled_at
        self.count = self.active = groups.plan.patterns
        self.pattern_at = np.arange(self.count)
        self.arrays = [values.reshape(self.count, -1) for values in _of_patterns(groups)]

    def follow(self, values: Array) -> None:
        """Let another array, (patterns, entries), be in the order of the patterns."""
        self.arrays.append(values)

    def resume(self) -> None:
        """Leave out the patterns that settled in earlier segments.

        The rows are then in the order that an undivided run has, so that products round alike.
        """
        for step in np.unique(self.settled_at[self.settled_at != MOVING]):
            self._leave(self.settled_at[self.pattern_at[: self.active]] == step)

    def settle(self, which: Array, step: int) -> None:
        """Leave out active patterns from now on.

        Parameters
        ----------
        which : array of bool, (active,)
        step : int
        """
        self.settled_at[self.pattern_at[: self.active][which]] = step
        self._leave(which)

    def _leave(self, which: Array) -> None:
        left = self.active - np.count_nonzero(which)
        free = np.flatnonzero(which[:left])  # rows of patterns that leave, before the new end
        moved = left + np.flatnonzero(~which[left:])  # rows of patterns that stay, behind it
        for values in (self.pattern_at, *self.arrays):
            values[free], values[moved] = values[moved], values[free]
        self.active = int(left)

    def restore(self) -> None:
        """Bring all rows back to their places in the data; all patterns are active again."""
        rows = np.argsort(self.pattern_at)
        moved = np.flatnonzero(rows != np.arange(self.count))
        for values in (*self.arrays, self.pattern_at):
            values[moved] = values[rows[moved]]
        self.active = self.count

    def places(self, entries: Array, units: int) -> Array:
        """Return where entries of an array of (patterns, units), numbered in the data, are now."""
        row_of = np.argsort(self.pattern_at)
        pattern, unit = np.divmod(entries, units)
        found: Array = row_of[pattern] * units + unit
        return found


def _of_patterns(groups: Groups) -> list[Array]:
    """Return the flat arrays that have a row for each pattern."""
    found = []
    for group in groups.populations.values():
        for variable in arrays_by_pattern(group):
            if not variable.startswith("rate_"):  # evaluated anew before they are read
                found.append(live(group, variable))
    return found


class FirstPatterns:
    """The first patterns of all groups, as if there were no others.

    What builds the parts of a step reads groups alone, so it builds them for these patterns.

    Parameters
    ----------
    groups : Groups
    patterns : int
    """

    def __init__(self, groups: Groups, patterns: int) -> None:
        self.plan = copy(groups.plan)  # with all that it has found out, which is of any patterns
        vars(self.plan)["patterns"] = patterns
        self.clock, self.counters = groups.clock, groups.counters
        self.synapses, self.biases = groups.synapses, groups.biases
        share = patterns, groups.plan.patterns
        self.populations = {n: _FirstUnits(own, *share) for n, own in groups.populations.items()}

    @cached_property
    def by_name(self) -> Mapping[str, Any]:
        """All groups by their Brian2 names."""
        own = (*self.synapses.values(), *self.biases.values())
        return {"run": self.counters, **self.populations, **{group.name: group for group in own}}


class _FirstUnits:
    """The units of the first patterns of one population."""

    def __init__(self, group: Any, patterns: int, of: int) -> None:
        self.group, self.size = group, len(group)
        self.first = self.size * patterns // of
        self.variables = self

    def __getitem__(self, name: str) -> Any:
        return _FirstValues(self.group.variables[name], self.size, self.first)


class _FirstValues:
    """The values of one variable of these units."""

    def __init__(self, variable: Any, size: int, first: int) -> None:
        self.variable, self.size, self.first = variable, size, first

    def get_value(self) -> Array:
        """Return a flat view."""
        values: Array = self.variable.get_value()
        return values[: self.first] if values.size == self.size else values
