"""Runs and logs: what `relax` and `train` return, in memory.

Above `model`, below every module that makes, stores or plots a run. They hold plain arrays, and
xarray datasets that carry the whole model. `traces` builds the datasets, and `files` writes runs
and logs. Start at `Run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.display import html_table
from neurosim.model.flow import Flow
from neurosim.model.frozen import ReadOnly
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.model.values import ByValue

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Array = np.ndarray

HTML_ROWS = 10  # of a log in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Run(ByValue):
    """The final state of a simulation, its traces, and the model that made them.

    Attributes
    ----------
    network : Network
        A copy, with the weights at the end of the run.
    flow : Flow
    settings : dict
        dt (s), method, backend, transport, seed, duration (s), plastic (whether weights moved), and
        everything else that the numbers depend on.
    X, Y : dict of str to array, (patterns, units), unit 1
        Clamped inputs by population; encoded targets by population with a loss.
    x, lam : dict of str to array, (patterns, units), unit 1
        Final outputs and multipliers of every population that is not clamped.
    traces : xarray.Dataset or None
        Recorded variables over (time, pattern, unit); time in s from 0.
    time : float
        Simulated time, s.
    steps : int
        Number of steps; with an adaptive step, of accepted ones.
    interrupted : bool
        Whether Ctrl-C or an error ended the run early.
    auxiliary : dict of str to array, (patterns, entries) or (1, entries)
        The other state from which a run can go on, by ``"population.variable"``; entries that all
        patterns share, such as ``"run.time"``, have one row.
    steps_before : int
        Steps of the runs that this one continues; noise is drawn by the number of the step.
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
    steps_before: int = 0

    def __repr__(self) -> str:
        parts = [f"{name} {text}" for name, text in self._summary().items()]
        return f"Run({self.network!r}; {'; '.join(parts)})"

    def _repr_html_(self) -> str:
        models = {"network": repr(self.network), "flow": repr(self.flow)}
        return html_table("neurosim run", models | self._summary())

    def _summary(self) -> dict[str, str]:
        """Return how long the run was, how it ended and what was recorded, for displays."""
        if self.settled:
            end = "at rest"
        elif self.interrupted:
            end = "interrupted"
        else:
            end = "complete"
        summary = {
            "patterns": str(max((len(values) for values in self.x.values()), default=0)),
            "steps": str(self.steps),
            "time": f"{self.time:g} s",
            "end": end,
        }
        if self.traces is not None:
            names = [str(name) for name in self.traces.data_vars if "." not in str(name)]
            summary["traces"] = f"{', '.join(names)} at {self.traces.sizes['time']} times"
        return summary

    def to_dataframe(self) -> pd.DataFrame:
        """Return a table for pandas: of the traces, or of the final states if nothing was recorded.

        Returns
        -------
        pandas.DataFrame
            One row per time (s), pattern and unit, or per time and synapse; or one row per
            population, pattern and unit with the final x and lam.

        Raises
        ------
        DataError
            Variables of units and of synapses were recorded, which have no rows in common; try
            ``run.traces[["w"]].to_dataframe()``.

        Examples
        --------
        >>> import neurosim as ns
        >>> net = ns.Network.mlp([2, 3, 1], loss="mse", seed=0)
        >>> sim = ns.Simulation(net, ns.Flow.augmented(), backend="numpy")
        >>> sim.relax([[1.0, 0.0]], [[1.0]], duration=0.01).to_dataframe().shape
        (4, 5)
        """
        if self.traces is not None:
            table: pd.DataFrame = self.traces.to_dataframe()
            return table
        import pandas as pd

        tables = []
        for name in self.x:
            patterns, units = np.indices(self.x[name].shape)
            columns = {
                "population": name,
                "pattern": patterns.ravel(),
                "unit": units.ravel(),
                "x": self.x[name].ravel(),
                "lam": self.lam[name].ravel(),
            }
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    @property
    def settled(self) -> bool:
        """Whether the run ended because its state came to rest (``relax(settle=...)``)."""
        return bool(self.settings.get("settled", False))

    @property
    def settle_times(self) -> Array | None:
        """Time at which each pattern settled, s, (patterns,), of ``relax(settle_each=True)``.

        NaN for patterns that did not; None for other runs. From its time on, the traces of a
        pattern hold the state that it keeps.

        Examples
        --------
        >>> import neurosim as ns
        >>> net = ns.Network.mlp([2, 3, 1], loss="mse", seed=0)
        >>> sim = ns.Simulation(net, ns.Flow.adjoint(), dt="2 ms", backend="numpy")
        >>> X, Y = [[1.0, 0.0], [0.0, 0.0]], [[1.0], [0.0]]
        >>> run = sim.relax(X, Y, duration=1, settle=1e-6, settle_each=True)
        >>> run.settle_times.round(3)
        array([0.2, 0. ])
        """
        if "settle_steps" not in self.settings:
            return None
        steps = np.array(self.settings["settle_steps"])
        dt = float(self.settings["dt"])
        return np.where(steps < 0, np.nan, steps * dt)

    @property
    def state(self) -> State:
        """The final outputs and multipliers."""
        return State(self.x, self.lam, self.steps_before + self.steps)


class Log(ReadOnly):
    """The history of a training, and the run at its end.

    Attributes
    ----------
    history : xarray.Dataset
        Over `time` (s): loss, accuracy, validation_loss, validation_accuracy, violation, cosine,
        max_step (s), and with feedback weights angles (degree). Trainings that prune or grow add
        neurons, synapses, change and operations.
    run : Run
        The final state; ``relax(start=log.run)`` goes on from it.
    """

    def __init__(self, history: xr.Dataset | Callable[[], xr.Dataset], run: Run) -> None:
        self._history, self.run = history, run
        self._made = True

    @cached_property
    def history(self) -> xr.Dataset:
        """The rows of the log.

        The dataset is built when it is first read, since importing xarray takes as long as a short
        training.
        """
        return self._history() if callable(self._history) else self._history

    def __repr__(self) -> str:
        names = ", ".join(str(name) for name in self.history.data_vars)
        return f"Log({names}; {self.history.time.size} rows)"

    def _repr_html_(self) -> str:
        table = self.history.to_dataframe()
        return f"{table.to_html(max_rows=HTML_ROWS)}\n{self.run._repr_html_()}"

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or an error ended the training early."""
        return self.run.interrupted
