"""Detect that a step has changed no state, bit for bit: then no later step does, either.

Start at `Rest`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
EVERY = 10  # steps between two looks


class Rest:
    """Compare the states before and after one step in ten.

    One entry of each state is compared first. Only if none of them moved, the next look compares
    all entries.

    Parameters
    ----------
    states : sequence of array
        Flat views of all states.

    Attributes
    ----------
    is_reached : bool
        Whether the last look saw no state change. Weights or data that change end the rest.
    """

    def __init__(self, states: Sequence[Array]) -> None:
        self.states = states
        self.is_reached = False
        self._is_near = False
        self._before: list[bytes] = []

    def end(self) -> None:
        """Step again, as weights or data have changed."""
        self.is_reached = self._is_near = False
        self._before = []

    def look(self, step: int) -> None:
        """Compare the states after a step, given its number, with those of the step before."""
        if step % EVERY == 0:
            self._before = self._seen()
        elif step % EVERY == 1 and self._before:
            stands = self._before == self._seen()
            self.is_reached = stands and self._is_near
            self._is_near = stands

    def _seen(self) -> list[bytes]:
        if self._is_near:
            return [state.tobytes() for state in self.states]
        return [state[len(state) // 2].tobytes() for state in self.states]
