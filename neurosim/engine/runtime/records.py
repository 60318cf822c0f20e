"""Record a run: one row per recorded variable and sample.

Above `arrays`, below `step`. Start at `Recorder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.names import projection_group
from neurosim.engine.plan import Recorded
from neurosim.engine.runtime.arrays import live

Array = np.ndarray
# Returns where entries are now, from their places in an array of (patterns, units), and the units
Places = Callable[[Array, int], Array]


@dataclass
class _Column:
    """One recorded variable: the arrays that hold its values, and the rows taken so far."""

    recorded: Recorded
    # per population or projection: its array, indices into that, indices into a row, and the units
    # of a pattern (0: not by pattern)
    parts: list[tuple[Array, Any, Any, int]]
    rows: list[Array] = field(default_factory=list)

    def take(self, places: Places | None) -> None:
        """Append a row of the current values."""
        row = np.full(self.recorded.size, np.nan)
        for values, source, position, units in self.parts:
            now = source if places is None or not units else places(source, units)
            row[position] = values[now]
        self.rows.append(row)


class Recorder:
    """Record all segments of a run; rows stay in memory, or are passed to `Recorded.write`.

    Attributes
    ----------
    weights : dict of str to array
        By projection: a copy of recorded weights whose changes may be deferred. The machine brings
        the copy up to date before each sample, and never the weights themselves.
    places : callable or None
        Where entries of populations are now, if patterns are not in the order of the data.
    """

    def __init__(self, groups: Groups) -> None:
        self.columns: list[_Column] = []
        self.places: Places | None = None
        self.weights: dict[str, Array] = {}
        for recorded in groups.plan.recorded:
            parts = []
            for part in recorded.parts:
                array = groups.plan.array_name(part.name, recorded.variable)
                values = live(groups.by_name[projection_group(part.name)], array)
                is_weight = part.name in groups.synapses and recorded.variable == "w"
                if is_weight and groups.plan.may_defer(part.name):
                    values = self.weights[part.name] = values.copy()
                own = groups.plan.net.populations.get(part.name)
                units = own.size if own is not None else 0
                parts.append((values, part.source, part.position, units))
            self.columns.append(_Column(recorded, parts))
        self.written = 0  # samples passed to `Recorded.write`
        self.writes = any(r.write is not None for r in groups.plan.recorded)

    def take(self) -> None:
        """Take one sample of every variable."""
        for column in self.columns:
            column.take(self.places)
        if self.writes and any(self._is_full(column) for column in self.columns):
            self.flush()

    def flush(self) -> None:
        """Pass the rows taken since the last call to `Recorded.write`."""
        if not self.writes:
            return
        for column in self.columns:
            if column.recorded.write is not None and column.rows:
                column.recorded.write(self.written, np.array(column.rows))
        self.written += len(self.columns[0].rows)
        for column in self.columns:
            column.rows.clear()

    def drain(self) -> list[Array]:
        """Return the rows taken since the last call, (samples, entries) per variable."""
        found = []
        for column in self.columns:
            found.append(np.reshape(column.rows, (len(column.rows), column.recorded.size)))
            column.rows.clear()
        return found

    def rows(self, number: int, first: int, last: int) -> Array:
        """Return rows `first` to `last` - 1 of one recorded variable, (samples, entries)."""
        column = self.columns[number]
        rows = column.rows[first:last]
        return np.reshape(rows, (len(rows), column.recorded.size))

    @staticmethod
    def _is_full(column: _Column) -> bool:
        return column.recorded.write is not None and len(column.rows) >= column.recorded.rows
