"""The state of a simulation: outputs and multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class State:
    """Outputs and multipliers of every population that is not clamped, (patterns, units), unit 1."""

    x: Mapping[str, Array]
    lam: Mapping[str, Array]
