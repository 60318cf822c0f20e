"""Moments of a live simulation to which it can go back.

Recent moments are close together, older ones further apart, so that their number grows with the
logarithm of the time; their memory is bounded. Start at `Moments`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.simulation.live_journal import Mark

Array = np.ndarray
CLOSEST = 200  # steps from one moment to the next, at least
SHARE = 0.5  # of a moment's age: the gap that may be left around it
MOST_BYTES = 8_000_000
FEWEST = 3  # moments that are kept whatever their memory


@dataclass(frozen=True, eq=False)
class Moment:
    """All that a live simulation needs to go on from a moment.

    Attributes
    ----------
    time : float, s
    steps : int
        Steps since the start.
    arrays : dict of str to array
        As `Session.snapshot` returns them.
    choices : Any
        Settings, rows, held units: what `Live` keeps beside the session.
    mark : Mark
        The place in the journal.
    """

    time: float
    steps: int
    arrays: Mapping[str, Array]
    choices: Any
    mark: Mark


class Moments:
    """Moments in order of time, see the module."""

    def __init__(self) -> None:
        self.kept: list[Moment] = []

    def is_due(self, steps: int) -> bool:
        """Return whether the last moment is at least `CLOSEST` steps old."""
        return not self.kept or steps - self.kept[-1].steps >= CLOSEST

    def add(self, moment: Moment) -> None:
        """Keep a moment; arrays that equal those of the last one are shared with it."""
        if self.kept:
            shared = {}
            last = self.kept[-1].arrays
            for name, values in moment.arrays.items():
                same = name in last and np.array_equal(last[name], values)
                shared[name] = last[name] if same else values
            moment = Moment(moment.time, moment.steps, shared, moment.choices, moment.mark)
        self.kept.append(moment)
        self._thin()

    def before(self, time: float, slack: float) -> Moment | None:
        """Return the last moment that is not after a time (s), give or take `slack`."""
        found = None
        for moment in self.kept:
            if moment.time <= time + slack:
                found = moment
        return found

    def cut(self, moment: Moment) -> None:
        """Forget all moments after one that is kept."""
        del self.kept[self.kept.index(moment) + 1 :]

    @property
    def nbytes(self) -> int:
        """Memory of all arrays, each counted once, bytes."""
        arrays = {}
        for moment in self.kept:
            for values in moment.arrays.values():
                arrays[id(values)] = values.nbytes
        return sum(arrays.values())

    def _thin(self) -> None:
        """Drop moments that are closer together than their age requires, then the oldest."""
        now = self.kept[-1].steps
        i = 1
        while i < len(self.kept) - 1:
            gap = self.kept[i + 1].steps - self.kept[i - 1].steps
            if gap <= SHARE * (now - self.kept[i + 1].steps):
                del self.kept[i]
            else:
                i += 1
        while self.nbytes > MOST_BYTES and len(self.kept) > FEWEST:
            del self.kept[0]
