"""Runs and logs: what a simulation hands back, in memory and on disk.

Above `engine` and `reference`, below `simulation`: plain arrays and xarray datasets that carry the whole
model. Start at `Run`; `save` and `load` are its way to netCDF and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.flow import Flow
from neurosim.network import Network

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray


@dataclass(frozen=True)
class State:
    """Outputs and multipliers of every population that is not clamped, (patterns, units), unit 1."""

    x: Mapping[str, Array]
    lam: Mapping[str, Array]


@dataclass(frozen=True)
class Run:
    """What a simulation left behind.

    Attributes
    ----------
    network : Network
        A copy, with the weights at the end of the run.
    flow : Flow
    settings : dict
        dt (s), method, backend, transport, seed, duration (s) and whatever else chose the numbers.
    X, Y : dict of str to array
        Clamped inputs by population; encoded targets by population with a loss.
    x, lam : dict of str to array, (patterns, units), unit 1
        Final outputs and multipliers of every population that is not clamped.
    traces : xarray.Dataset or None
        What was recorded, over (time, pattern, unit); time in s from 0.
    time : float
        Simulated time, s.
    steps : int
    interrupted : bool
        Ctrl-C came before the end.
    """

    network: Network
    flow: Flow
    settings: dict[str, Any]
    X: dict[str, Array]
    Y: dict[str, Array]
    x: dict[str, Array]
    lam: dict[str, Array]
    traces: xr.Dataset | None = None
    time: float = 0.0
    steps: int = 0
    interrupted: bool = False
    auxiliary: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> State:
        """The final outputs and multipliers."""
        return State(self.x, self.lam)


@dataclass(frozen=True)
class Log:
    """What training left behind.

    Attributes
    ----------
    history : xarray.Dataset
        Over `time` (s): loss, accuracy, validation_loss, validation_accuracy, violation, cosine, max_step.
    run : Run
        The final state; `relax(start=log.run)` goes on from it.
    """

    history: xr.Dataset
    run: Run

    @property
    def interrupted(self) -> bool:
        """Ctrl-C came before the end."""
        return self.run.interrupted
