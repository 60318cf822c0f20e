"""Close the loop between a network and a world: outputs go to the world, frames come back.

Below `running`, which runs the network between two frames. Start at `World`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurosim.data import patterns as data
from neurosim.errors import DataError, number, shown
from neurosim.model.network import Network

Array = np.ndarray
Arrays = Mapping[str, Array]
World = Callable[[Array], tuple[Any, ...] | None]
"""Takes the outputs, (patterns, units); returns X and Y of the next frame, or None to end.

A third value is a dict with the modulators of the rules during that frame.
"""


class WorldLoop:
    """Write the frames of a world into the rows of a data set, one frame per call.

    Parameters
    ----------
    world : World
    net : Network
    clamped, targets : dict of str to array, (frames * patterns, units)
        The rows to write.
    patterns : int
        Patterns per frame.
    outputs : callable
        Returns the output population's current x, (patterns, units).
    modulators : dict of str to array, (frames,)
        The values to write, by name.

    Attributes
    ----------
    shown : int
        Number of frames written so far.
    failed : Exception or None
        The error that the world, or a frame that does not fit, has raised.
    """

    def __init__(
        self,
        world: World,
        net: Network,
        clamped: Arrays,
        targets: Arrays,
        patterns: int,
        outputs: Callable[[], Array],
        modulators: Arrays,
    ) -> None:
        self.world, self.net, self.patterns, self.outputs = world, net, patterns, outputs
        self.modulators = modulators
        self.clamped, self.targets = clamped, targets
        self.frames = len(next(iter(clamped.values()))) // patterns
        self.shown = 0
        self.failed: Exception | None = None

    def __call__(self) -> bool:
        """Write the next frame; return False once the world has ended or failed.

        The world is not called again once all rows are written.
        """
        if self.shown == self.frames:
            return True
        try:
            frame = self.world(self.outputs())
            if frame is None:
                return False
            self._modulate(frame)
            self._write(*data.pair("the frame that the world returned", frame[:2]))
        except Exception as error:  # `interact` raises it once the run has ended cleanly
            self.failed = error
            return False
        self.shown += 1
        return True

    def _modulate(self, frame: tuple[Any, ...]) -> None:
        """Write the modulators of the next frame, its third value.

        Raises
        ------
        DataError
            A modulator without a value, or a value that no rule reads.
        """
        given = frame[2] if len(frame) == 3 else {}
        if not isinstance(given, Mapping) or set(given) != set(self.modulators):
            names = ", ".join(self.modulators) or "none"
            raise DataError(
                f"the world returned the modulators {shown(given)}; allowed: a value of each that "
                f"rules read ({names}); try (X, Y, {{name: value}})"
            )
        for name, value in given.items():
            self.modulators[name][self.shown] = number(f"modulator {name}", value)

    def _write(self, X: Any, Y: Any) -> None:
        rows = slice(self.shown * self.patterns, (self.shown + 1) * self.patterns)
        inputs = data.patterns(self.net, X)
        count = len(next(iter(inputs.values())))
        if count != self.patterns:
            raise DataError(
                f"the world returned {count} pattern(s); allowed: {self.patterns}, "
                f"the number given to interact; try interact(..., patterns={count})"
            )
        targets = data.targets(self.net, Y, count)
        for name, values in inputs.items():
            self.clamped[name][rows] = values
        for name, values in targets.items():
            self.targets[name][rows] = values
