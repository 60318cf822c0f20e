"""A world that answers to what a network does: asked once a frame, it says what is shown next.

Below `simulation`, which runs the network in between. Start at `World`; `WorldLoop` is one of
them at work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurosim.data import patterns as data
from neurosim.errors import DataError
from neurosim.model.network import Network

Array = np.ndarray
World = Callable[
    [Array], tuple[Any, Any] | None
]  # outputs (patterns, units) -> X and Y of the next frame, None: the end


class WorldLoop:
    """A world, and the rows of a data set that it writes frame by frame.

    Parameters
    ----------
    world : World
    net : Network
    clamped, targets : dict of str to array, (frames * patterns, units)
        Where its answers go.
    patterns : int
        Shown at once.
    outputs : callable
        The output population's x as it stands, (patterns, units).
    """

    def __init__(
        self,
        world: World,
        net: Network,
        clamped: Mapping[str, Array],
        targets: Mapping[str, Array],
        patterns: int,
        outputs: Callable[[], Array],
    ) -> None:
        self.world, self.net, self.patterns, self.outputs = world, net, patterns, outputs
        self.clamped, self.targets = clamped, targets
        self.frames, self.asked = len(next(iter(clamped.values()))) // patterns, 0
        self.failed: Exception | None = None

    def __call__(self) -> bool:
        """Ask for the next frame; False once the world has ended, or failed."""
        if self.asked == self.frames:
            return True
        try:
            answer = self.world(self.outputs())
            if answer is not None:
                self._write(*answer)
        except Exception as error:  # the run ends in order, then it is raised
            self.failed, answer = error, None
        self.asked += answer is not None
        return answer is not None

    def _write(self, X: Any, Y: Any) -> None:
        rows = slice(self.asked * self.patterns, (self.asked + 1) * self.patterns)
        shown = data.patterns(self.net, X)
        count = len(next(iter(shown.values())))
        if count != self.patterns:
            raise DataError(
                f"the world shows {count} patterns; allowed: {self.patterns}, patterns= of interact"
            )
        told = data.targets(self.net, Y, count)
        for kept, new in ((self.clamped, shown), (self.targets, told)):
            for name, values in new.items():
                kept[name][rows] = values
