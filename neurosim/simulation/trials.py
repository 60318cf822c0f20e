"""Try changes on a run that diverged, before they are advised.

Above `remedies` and `session`, below `segments`. Start at `advice`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np

from neurosim.errors import NeurosimError
from neurosim.model.state import State
from neurosim.simulation.options import Recording, Setting, Work
from neurosim.simulation.remedies import Change
from neurosim.simulation.session import Session
from neurosim.simulation.stability_monitor import divergence_bound
from neurosim.simulation.start import initial_state

# One trial takes at most so many steps, and so many products of a synapse and a pattern: about 2 s.
MOST_STEPS = 20_000
MOST_PRODUCTS = 1_000_000_000
BEYOND = 2  # times its own duration: a relaxation that only grows more slowly shows it then
CALM = 1e-3  # times the bound: a state beyond it at the end of a trial is on its way out
LEAST = 2.0  # times the time at which the run diverged: a trial that is shorter shows nothing

_trying: ContextVar[bool] = ContextVar("_trying", default=True)


@contextmanager
def without_trials() -> Iterator[None]:
    """Run without trials, where a divergence is a result: in sweeps, studies and trials."""
    before = _trying.set(False)
    try:
        yield
    finally:
        _trying.reset(before)


def advice(session: Session) -> str:
    """Return the probable cause of a divergence, and a change that keeps the run within its bound.

    Changes are tried one after the other on the run that diverged, from its start, with the NumPy
    backend, until one succeeds.

    Parameters
    ----------
    session : Session
        After the divergence.
    """
    cause, changes = session.diagnosis()
    reason = _untried(session)
    if reason:
        return f"{cause}; try {changes[0].name} ({reason})"
    failed: list[str] = []
    skipped: list[str] = []
    for change in changes:
        trial = _Trial(session, change)
        if not trial.affordable:
            skipped.append(change.name)
            continue
        if trial.holds():
            others = f"; {' and '.join(failed)} did not help" if failed else ""
            return f"{cause}; try {change.name}: tried on this run, {trial.reach}{others}"
        failed.append(change.name)
    if skipped:
        others = f"; {' and '.join(failed)} did not help" if failed else ""
        return f"{cause}; try {skipped[0]} (not tried on this run, which would take long){others}"
    return (
        f"{cause}; tried on this run without success: {', '.join(failed)}; try smaller weights or "
        "inputs"
    )


def _untried(session: Session) -> str:
    """Return why changes cannot be tried on this run; empty if they can."""
    work = session.work
    if not _trying.get():
        return "not tried on this run"
    if session.initial is None:
        return "not tried, as the run began from a checkpoint or its network is large"
    if work.interactive or session.setting.factories:
        return "not tried, as the run has user-supplied parts"
    if work.descent is not None or work.stepping.adaptive:
        return "not tried on this run, which has no fixed step"
    return ""


@dataclass(frozen=True)
class _Trial:
    """One change, tried on a run from its start."""

    session: Session
    change: Change

    @property
    def setting(self) -> Setting:
        """The choices of the run with the change, on the weights of its start."""
        session = self.session
        assert session.initial is not None
        own = {"net": session.initial.copy(), "backend": "numpy", **self.change.setting}
        return replace(session.setting, **own)

    @property
    def ratio(self) -> float:
        """Steps of the trial per step of the run."""
        dt = self.session.setting.dt
        return float(dt / self.change.setting.get("dt", dt))

    @property
    def whole(self) -> int:
        """Steps of the trial up to the end of the run."""
        return max(round(self.session.work.steps * self.ratio), 1)

    @property
    def steps(self) -> int:
        """Steps of the trial: to the end of the run or beyond, or as many as are affordable."""
        net = self.session.net
        synapses = sum(int(w.size) for w in net.weights.values())
        products = 2 * max(synapses, 1) * self.session.count
        goal = self.whole if self.session.work.schedule else BEYOND * self.whole
        return min(goal, MOST_STEPS, MOST_PRODUCTS // products)

    @property
    def affordable(self) -> bool:
        """Whether the trial lasts well beyond the time at which the run diverged."""
        least = LEAST * self.session.steps * self.ratio
        return self.steps >= min(self.whole, least)

    @property
    def reach(self) -> str:
        """How far the trial went, in words."""
        if self.steps >= self.whole:
            return "it stays within the bound to the end"
        seconds = self.steps * self.session.setting.dt / self.ratio
        return f"it stays within the bound for the first {seconds:.3g} s"

    def holds(self) -> bool:
        """Run the trial; return whether it stays within the bound, and ends well within it."""
        with warnings.catch_warnings(), np.errstate(all="ignore"), without_trials():
            warnings.simplefilter("ignore")
            try:
                end = self._run()
            except NeurosimError:  # it diverges, or the change does not go with this model
                return False
        far = CALM * divergence_bound(self.session.clamped, self.session.targets)
        values = [*end.x.values(), *end.lam.values()]
        return all(bool((np.abs(v) < far).all()) for v in values)

    def _run(self) -> State:
        session = self.session
        work = self._work()
        start = session.start
        if self.change.start:
            first = {n: values[: session.count] for n, values in session.clamped.items()}
            fresh = initial_state(session.net, self.change.start, first)
            start = replace(fresh, steps_before=start.steps_before)
        trial = Session(self.setting, session.clamped, session.targets, start, work)
        schedule = work.schedule
        left = self.steps
        lengths = schedule.segments(one=False) if schedule else [self.steps]
        for number, length in enumerate(lengths):
            if schedule and schedule.batch:
                trial.present(schedule.order(number), schedule.length, schedule.gate)
            trial.mirror(number + (schedule.begin if schedule else 0))
            trial.run(min(length, left))
            left -= length
            if left <= 0 or trial.settled:
                break
        return trial.state

    def _work(self) -> Work:
        """Return the work of the trial, in its own steps."""
        work = self.session.work
        schedule = work.schedule
        total = self.whole
        if schedule is not None and schedule.batch:
            length = max(round(schedule.length * self.ratio), 1)
            gate = round(schedule.gate * self.ratio)
            total = schedule.total // schedule.length * length
            schedule = replace(schedule, total=total, length=length, gate=gate)
        elif schedule is not None:
            schedule = replace(schedule, total=total)
        return replace(work, steps=max(total, self.steps), recording=Recording(), schedule=schedule)
