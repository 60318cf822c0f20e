"""A simulation that stays open: run it in pieces, and change anything in between.

Above `live_session`, `live_numbers`, `live_journal`, `live_moments` and `live_samples`. Start at
`Live`, which `Simulation.live` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np

from neurosim.arguments import checked_methods
from neurosim.errors import (
    DataError,
    DivergenceError,
    ModelError,
    number,
    out_of_range,
    shown,
    whole,
)
from neurosim.model.flow import seconds
from neurosim.model.network import Network
from neurosim.model.schedules import MOST_STEPS
from neurosim.model.state import State
from neurosim.simulation import compatibility
from neurosim.simulation.auxiliary import TIME
from neurosim.simulation.live_choices import (
    Choices,
    check_learns,
    checked_rows,
    of_rows,
    own_simulation,
    places,
    plain,
)
from neurosim.simulation.live_journal import RUN, Journal
from neurosim.simulation.live_moments import Moment, Moments
from neurosim.simulation.live_numbers import changed, different, numbers_of
from neurosim.simulation.live_samples import Samples
from neurosim.simulation.live_session import LiveSession, open_live
from neurosim.simulation.live_units import (
    chosen_units,
    held_arrays,
    kicked,
    moved,
    without_units,
)
from neurosim.simulation.live_view import LiveView
from neurosim.simulation.opening import Simulated, read_data, setting_of
from neurosim.simulation.options import RunOptions, steps_of

Array = np.ndarray
Units = Mapping[str, Any]  # one index or several, by population

SEGMENT = 1000  # steps at most between two looks at the state
RING_BYTES = 8_000_000
FEWEST_SAMPLES, MOST_SAMPLES = 1000, 20_000  # by default


@checked_methods("set", "show", "kick", "place", "clamp", "release", "plastic")
class Live(LiveView):
    """A simulation that stays open; `Simulation.live` opens it and documents the arguments.

    What is refused leaves everything as it was. The numbers do not depend on how a run is divided
    into calls of `run`.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
    >>> live = ns.Simulation(net, ns.Flow.augmented(rho=2)).live([[0, 1]], [[1]])
    >>> live.run("50 ms")
    >>> live.set("flow.rho", 4)
    >>> live.kick(x=0.1, seed=3)
    >>> live.run("20 ms")
    >>> live.time
    0.07
    >>> for action in live.journal:
    ...     print(action)
    run(duration=0.05)
    set(key='flow.rho', value=4.0)
    kick(x=0.1, lam=0.0, seed=3)
    run(duration=0.02)
    """

    def __init__(
        self,
        sim: Simulated,
        X: Any,
        Y: Any = None,
        *,
        plastic: bool = False,
        patterns: Sequence[int] | None = None,
        start: Any = "zero",
        record: Any = ("x", "lam"),
        every: Any = None,
        keep: int | None = None,
    ) -> None:
        own = own_simulation(sim)
        self._given = read_data(own.net, X, Y, copied=True)
        rows = checked_rows(patterns, self._given.count)
        self._start = start
        self._options = RunOptions(record=record, every=every)
        self._recording = self._options.recording(own.dt, len(rows))
        if plastic:
            check_learns(own)
        self._choices = Choices(own, rows, plastic)
        self._keep = None if keep is None else whole("keep", keep, 1, MOST_STEPS)
        self._initial = own.net.copy()
        self._journal = Journal()
        self._first = self._choices
        self._arguments = {
            "plastic": plastic,
            "patterns": list(rows),
            "start": start,
            "record": self._options.record,
            "every": None if every is None else seconds(every, "every"),
            "keep": self._keep,
        }
        self._begin()

    def _begin(self) -> None:
        """Open a session at the start, and forget what was before."""
        self._steps, self._kicks = 0, 0
        self._diverged: DivergenceError | None = None
        self._session = self._open(self._start)
        sizes = [recorded.size for recorded in self._session.recorder.recorded]
        per_sample = 8 * max(sum(sizes), 1)
        affordable = max(RING_BYTES // per_sample, FEWEST_SAMPLES)
        self._samples = Samples(sizes, self._keep or min(affordable, MOST_SAMPLES))
        self._moments = Moments()
        self._remember()

    # --- what can be done

    def run(self, duration: Any) -> None:
        """Run for a time, rounded to steps.

        Raises
        ------
        ModelError
            `duration` is not a time, or below one step.
        DivergenceError
            The state left its bound; `rewind` or `reset` go back.
        """
        steps = steps_of("duration", duration, self.dt)
        self._check_sound()
        while steps:
            length = min(steps, SEGMENT)
            self._run_segment(length)
            steps -= length

    def set(self, key: str, value: Any) -> None:
        """Set one number, at once.

        Parameters
        ----------
        key : str
            A key of `numbers`, named as in a model file: ``"flow.rho"``, ``"flow.tau_x.hidden1"``,
            ``"network.epsilon"``, ``"simulation.transport.theta"``, ...
        value : number, or a time where the number is one
            Nothing else follows from it: tau_lam does not follow rho. ``"flow.theta"`` turns kappa
            and gamma, and keeps their size. With another ``"simulation.dt"`` the clock goes on from
            the next multiple of it.

        Raises
        ------
        ModelError
            An unknown key, or a value that is not allowed.
        """
        self._check_sound()
        sim = changed(self._choices.sim, key, value)
        compatibility.check(sim)
        self._recording = self._options.recording(sim.dt, len(self.patterns))
        choices = replace(self._choices, sim=sim)
        if self._session.fits(setting_of(sim)):
            self._session.adopt(setting_of(sim))
            self._choices = choices
        else:
            self._reopen(choices)
        self._journal.add("set", key=key, value=numbers_of(sim)[key])

    def show(self, pattern: int | Sequence[int]) -> None:
        """Clamp other rows of the data, as many as before; the state is carried over.

        Raises
        ------
        DataError
            A row that does not exist, or another number of rows.
        """
        self._check_sound()
        given: Any = [pattern] if np.ndim(pattern) == 0 else pattern
        rows = checked_rows(given, self._given.count)
        if len(rows) != len(self.patterns):
            raise DataError(
                f"pattern = {shown(pattern)} has {len(rows)} rows; allowed: {len(self.patterns)}, "
                "as many as are simulated; try another sim.live(..., patterns=...)"
            )
        self._session.show(of_rows(self._given, rows))
        self._choices = replace(self._choices, rows=rows)
        self._journal.add("show", pattern=list(rows))

    def kick(
        self,
        x: float = 0.0,
        lam: float = 0.0,
        units: Units | None = None,
        seed: int | None = None,
    ) -> None:
        """Add random numbers to outputs and multipliers.

        Parameters
        ----------
        x, lam : float, unit 1
            Standard deviations, >= 0. The draws are N(0, 1), first for all outputs, then for all
            multipliers.
        units : {population: one index or several}, optional
            All units by default, except those that are clamped.
        seed : int, optional
            By default the number of kicks so far; the journal has it.

        Raises
        ------
        ModelError, DataError
            A value out of range; a unit that does not exist or has no state.
        """
        self._check_sound()
        sizes = number("x", x, least=0), number("lam", lam, least=0)
        seed = self._kicks if seed is None else whole("seed", seed, 0)
        chosen = chosen_units(self._choices.sim.net, units)
        state = State(self.x, self.lam)
        self._session.place(kicked(state, chosen, *sizes, seed))
        self._hold()
        self._kicks += 1
        self._journal.add("kick", x=sizes[0], lam=sizes[1], units=plain(units), seed=seed)

    def place(
        self,
        x: Mapping[str, Mapping[int, float]] | None = None,
        lam: Mapping[str, Mapping[int, float]] | None = None,
    ) -> None:
        """Move single outputs and multipliers to given values, in all patterns.

        Parameters
        ----------
        x, lam : {population: {unit: value}}, unit 1, optional

        Raises
        ------
        ModelError, DataError
            A value that is not finite; a unit that does not exist or has no state.
        """
        self._check_sound()
        net = self._choices.sim.net
        state = State(moved(net, "x", self.x, x or {}), moved(net, "lam", self.lam, lam or {}))
        self._session.place(state)
        self._hold()
        self._journal.add("place", x=plain(x), lam=plain(lam))

    def clamp(self, units: Units, x: float | None = None, lam: float | None = None) -> None:
        """Hold outputs and multipliers of units, until `release`.

        Parameters
        ----------
        units : {population: one index or several}
        x, lam : float, unit 1, optional
            Values to hold; the present ones of each pattern if None.

        Raises
        ------
        ModelError, DataError
            A value that is not finite; a unit that does not exist or has no state; prospective
            messages, which have no meaning for a unit that is held.
        """
        self._check_sound()
        sim = self._choices.sim
        if sim.imperfections.prospective:
            raise ModelError(
                f"clamp({shown(units)}) with prospective = {sim.imperfections.prospective!r}: the "
                "message of a held unit would run ahead of it; allowed: prospective=False"
            )
        chosen = chosen_units(sim.net, units)
        held = held_arrays(self._choices.held, chosen, State(self.x, self.lam), x, lam)
        self._choices = replace(self._choices, held=held)
        self._hold()
        self._journal.add("clamp", units=plain(units), x=x, lam=lam)

    def release(self, units: Units | None = None) -> None:
        """Let clamped units move again, all of them by default.

        Raises
        ------
        DataError
            A unit that does not exist or has no state.
        """
        chosen = chosen_units(self._choices.sim.net, units)
        held = without_units(self._choices.held, chosen)
        self._choices = replace(self._choices, held=held)
        self._hold()
        self._journal.add("release", units=plain(units))

    def plastic(self, on: bool = True) -> None:
        """Let weights move, or keep them fixed.

        Raises
        ------
        ModelError
            Learning that happens between the rows of a log, or that reads modulators.
        """
        self._check_sound()
        if on == self.is_plastic:
            return
        if on:
            check_learns(self._choices.sim)
            self._session.read_weights()
            self._choices.sim.imperfections.impose_signs(self._choices.sim.net)
        self._reopen(replace(self._choices, plastic=on))
        self._journal.add("plastic", on=on)

    def reset(self) -> None:
        """Go back to the start and to the initial weights, with all present choices.

        Clamped units are released. The journal keeps only what set the choices.
        """
        choices = replace(self._choices, held={})
        before = numbers_of(self._first.sim)
        self._restore_weights(choices.sim.net, self._initial)
        self._journal = Journal()
        for key, value in different(before, numbers_of(choices.sim)).items():
            self._journal.add("set", key=key, value=value)
        if choices.rows != self._first.rows:
            self._journal.add("show", pattern=list(choices.rows))
        if choices.plastic != self._first.plastic:
            self._journal.add("plastic", on=choices.plastic)
        self._choices = choices
        self._begin()

    def rewind(self, duration: Any) -> None:
        """Go back by a time, to the state and the choices of that moment.

        The nearest earlier moment that is kept is restored, and what was done after it repeated.

        Raises
        ------
        ModelError
            Not a time, or more than `time` minus the oldest moment that is kept.
        """
        target = self.time - seconds(duration, "duration")
        moment = self._moments.before(target, self.dt / 2)
        if moment is None:
            longest = self.time - self._moments.kept[0].time
            raise out_of_range("duration", duration, f"a time up to {longest:g} s")
        left = self._journal.after(moment.mark, self.dt)
        self._journal.cut(moment.mark, moment.choices.sim.dt)
        self._moments.cut(moment)
        self._samples.cut(moment.time - self.dt / 2)
        self._restore(moment)
        for action in left:
            missing = round((target - self.time) / self.dt)
            if missing <= 0:
                return
            if action.name == RUN:
                self.run(min(action.steps, missing) * self.dt)
            else:
                getattr(self, action.name)(**action.arguments)

    # --- shared by these

    def _run_segment(self, length: int) -> None:
        """Run some steps, and keep samples, a moment and the journal."""
        session = self._session
        first = session.numbered_step()
        try:
            session.run(length)
        except DivergenceError as error:
            self._diverged = self._explained(error)
            raise self._diverged from None
        finally:
            done = session.numbered_step() - first
            self._steps += done
            self._collect(first)
            if done:
                self._journal.add_run(done, self.dt)
        if self._moments.is_due(self._steps):
            self._remember()

    def _collect(self, first: int) -> None:
        """Move new samples into the ring; `first` is the step at which the segment began."""
        rows = self._session.engine.drain()
        if rows and len(rows[0]):
            every = self._recording.every
            origin = self._session.engine.counter("origin")
            begin = origin - (-(first - origin) // every) * every
            steps = begin + every * np.arange(len(rows[0]))
            self._samples.append(steps * self.dt, rows)

    def _explained(self, error: DivergenceError) -> DivergenceError:
        """Return the error with the time since the start, the cause, and ways out."""
        cause, changes = self._session.diagnosis()
        try_ = " or ".join([*(change.name for change in changes[:1]), "live.rewind('2 s')"])
        message = (
            f"the run diverged at t = {self.time:.6g} s in population {error.population!r}, with "
            f"dt = {self.dt * 1e3:.3g} ms; {cause}; try {try_}"
        )
        return DivergenceError(message, time=self.time, population=error.population)

    def _check_sound(self) -> None:
        """Refuse to go on from a state that is not finite."""
        if self._diverged is not None:
            raise ModelError(
                f"nothing goes on from here: {self._diverged}; allowed: rewind and reset"
            )

    def _open(self, start: Any) -> LiveSession:
        choices = self._choices
        given = of_rows(self._given, choices.rows)
        samples = FEWEST_SAMPLES if self._keep is None else self._keep
        session = open_live(choices.sim, given, start, self._recording, samples, choices.plastic)
        session.engine.held = places(choices)
        return session

    def _reopen(self, choices: Choices) -> None:
        """Go on in a new session from the present state, as `relax(start=run)` does."""
        self._session.read_weights()
        run = self._session.snapshot_run()
        run.auxiliary[TIME] = np.array([[self._next_time(choices.sim.dt)]])
        before, self._choices = self._choices, choices
        try:
            self._session = self._open(run)
        except BaseException:
            self._choices = before
            raise

    def _next_time(self, dt: float) -> float:
        """Return the present time, or the next multiple of another step, s."""
        if dt == self.dt:
            return self.time
        return float(ceil(self.time / dt - 1e-6) * dt)

    def _hold(self) -> None:
        """Give the held units their values, now and after each step."""
        held = places(self._choices)
        self._session.hold(held)

    def _remember(self) -> None:
        moment = Moment(
            self.time, self._steps, self._session.snapshot(), self._choices, self._journal.mark()
        )
        self._moments.add(moment)

    def _restore(self, moment: Moment) -> None:
        """Go back to a moment that is kept."""
        now, then = self._choices, moment.choices
        self._choices = then
        self._diverged = None
        self._recording = self._options.recording(then.sim.dt, len(then.rows))
        same = now.plastic == then.plastic and self._session.fits(setting_of(then.sim))
        if same:
            self._session.adopt(setting_of(then.sim))
            self._session.show(of_rows(self._given, then.rows))
            self._hold()
        else:
            self._session = self._open(self._start)
        self._session.go_back(moment.arrays)
        self._session.read_weights()
        self._steps = moment.steps

    @staticmethod
    def _restore_weights(net: Network, initial: Network) -> None:
        """Write initial weights, biases and feedback weights into a network."""
        for kind in ("weights", "biases", "feedback"):
            own = getattr(net, kind)
            for name, values in getattr(initial, kind).items():
                own[name] = values
