"""The state of a simulation: outputs and multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurosim.model.display import short_repr
from neurosim.model.values import ByValue

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class State(ByValue):
    """Outputs and multipliers of every population that is not clamped.

    Attributes
    ----------
    x : dict of str to array, (patterns, units), unit 1
        Outputs, by population.
    lam : dict of str to array, (patterns, units), unit 1
        Multipliers, by population.
    steps_before : int
        Steps of the runs that led to this state. A run that goes on from it draws the noise of the
        steps that follow.
    """

    x: Mapping[str, Array]
    lam: Mapping[str, Array]
    steps_before: int = 0

    __repr__ = short_repr
