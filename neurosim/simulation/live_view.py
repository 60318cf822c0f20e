"""Read a live simulation: its state, its choices, its samples and its journal.

Above `live_session`, below `live`. Start at `LiveView`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.arguments import checked_methods
from neurosim.model.flow import Flow, seconds
from neurosim.model.network import Network
from neurosim.results.runs import Run
from neurosim.simulation.live_choices import Choices
from neurosim.simulation.live_journal import Action, Journal
from neurosim.simulation.live_moments import Moments
from neurosim.simulation.live_numbers import numbers_of
from neurosim.simulation.live_samples import Samples
from neurosim.simulation.live_session import LiveSession
from neurosim.simulation.opening import Data
from neurosim.simulation.options import Recording

if TYPE_CHECKING:
    import xarray as xr


Array = np.ndarray


@checked_methods("traces")
class LiveView:
    """All of a live simulation that can be read; `Live` adds what can be done."""

    _choices: Choices
    _given: Data
    _journal: Journal
    _recording: Recording
    _samples: Samples
    _session: LiveSession
    _steps: int
    _first: Choices
    _initial: Network
    _moments: Moments
    _arguments: dict[str, Any]
    source: Any = None  # the model file that it was opened from, if any

    @property
    def network(self) -> Network:
        """A copy of the network, with the present weights, biases and feedback weights."""
        self._session.read_weights()
        return self._choices.sim.net.copy()

    @property
    def flow(self) -> Flow:
        """The present gains and time constants."""
        return self._choices.sim.flow

    @property
    def simulation(self) -> Any:
        """A copy of the simulation with all present choices, and with the present weights."""
        twin = copy.copy(self._choices.sim)
        twin.net = self.network
        return twin

    @property
    def opened(self) -> tuple[Any, dict[str, Any]]:
        """The simulation at the start, with its initial weights, and the arguments of `live`."""
        twin = copy.copy(self._first.sim)
        twin.net = twin.net.sharing(
            weights=self._initial.weights,
            biases=self._initial.biases,
            feedback=self._initial.feedback,
        ).copy()
        return twin, dict(self._arguments)

    @property
    def data(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """All inputs and targets, (rows, units) by population."""
        return dict(self._given.clamped), dict(self._given.targets)

    @property
    def dt(self) -> float:
        """Step, s."""
        return self._choices.sim.dt

    @property
    def time(self) -> float:
        """Simulated time, s."""
        return self._session.numbered_step() * self.dt

    @property
    def steps(self) -> int:
        """Steps since the start."""
        return self._steps

    @property
    def x(self) -> dict[str, Array]:
        """Outputs of every population that is not clamped, (patterns, units), unit 1."""
        return self._session.read("x")

    @property
    def lam(self) -> dict[str, Array]:
        """Multipliers of every population that is not clamped, (patterns, units), unit 1."""
        return self._session.read("lam")

    @property
    def weights(self) -> dict[str, Any]:
        """Present weights by projection, (n_post, n_pre), unit 1."""
        return dict(self.network.weights)

    @property
    def X(self) -> dict[str, Array]:
        """Inputs that are clamped now, (patterns, units) by population."""
        return dict(self._session.shown()[0])

    @property
    def Y(self) -> dict[str, Array]:
        """Targets that are clamped now, (patterns, units) by population with a loss."""
        return dict(self._session.shown()[1])

    @property
    def patterns(self) -> tuple[int, ...]:
        """The rows of the data that are shown now."""
        return self._choices.rows

    @property
    def count(self) -> int:
        """Number of rows of the data."""
        return self._given.count

    @property
    def is_plastic(self) -> bool:
        """Whether weights move."""
        return self._choices.plastic

    @property
    def numbers(self) -> dict[str, float]:
        """Everything that `set` can set, with its present value; times in s, angles in radians."""
        return numbers_of(self._choices.sim)

    @property
    def held(self) -> dict[str, list[int]]:
        """The units that are clamped, by population."""
        found: dict[str, list[int]] = {}
        for (population, _), units in self._choices.held.items():
            found[population] = sorted({*found.get(population, ()), *units})
        return found

    @property
    def journal(self) -> tuple[Action, ...]:
        """Everything that was done since the start, in order.

        `reset` leaves only what set the present choices. After more than `MOST_ACTIONS` actions the
        oldest are lost (`journal_is_complete`).
        """
        return tuple(self._journal.actions)

    @property
    def journal_is_complete(self) -> bool:
        """Whether the journal holds all that was done."""
        return self._journal.complete

    def __repr__(self) -> str:
        sim = self._choices.sim
        moving = "weights move" if self.is_plastic else "weights fixed"
        return f"Live({sim.net!r}; t = {self.time:g} s; {len(self.patterns)} patterns; {moving})"

    def traces(self, last: Any = None) -> xr.Dataset | None:
        """Return the recorded samples that are kept, or those of the last seconds.

        Parameters
        ----------
        last : time, optional
            All that are kept if None.

        Returns
        -------
        xarray.Dataset or None
            As `Run.traces`, with the time in s since the start; None where nothing is recorded.

        Raises
        ------
        ModelError
            `last` is not a time.
        """
        since = -np.inf if last is None else self.time - seconds(last, "last")
        times, rows = self._samples.last(since)
        if not self._recording.variables:
            return None
        found: xr.Dataset = self._session.recorder.dataset(times, rows, self._session.settings())
        return found

    def samples(self, since: float = -np.inf) -> tuple[Array, dict[str, Array]]:
        """Return the kept samples from a time on (s), as plain arrays.

        Returns
        -------
        (samples,) array
            Times, s.
        dict of str to (samples, patterns, units) array
            By recorded variable, the units of all populations side by side as in `traces`.
        """
        times, rows = self._samples.last(since)
        count = len(self.patterns)
        found = {}
        for recorded, values in zip(self._session.recorder.recorded, rows, strict=True):
            found[recorded.variable] = values.reshape(len(times), count, values.shape[1] // count)
        return times, found

    @property
    def recorded(self) -> list[str]:
        """The populations whose units `samples` holds, in their order side by side."""
        named: set[str] = set()
        for recorded in self._session.recorder.recorded:
            named |= {part.name for part in recorded.parts}
        return [n for n in self._choices.sim.net.populations if n in named]

    def as_run(self) -> Run:
        """Return the present state and the kept samples as a run, for measures, files and plots."""
        return replace(self.as_plain_run(), traces=self.traces())

    def as_plain_run(self) -> Run:
        """Return `as_run` without traces."""
        self._session.read_weights()
        run = self._session.snapshot_run()
        return replace(run, time=self.time, steps=self._steps)

    @property
    def oldest(self) -> float:
        """The earliest time to which `Live.rewind` can go back, s."""
        return self._moments.kept[0].time
