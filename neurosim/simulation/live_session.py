"""A session that stays open: its numbers, patterns and held units change between segments.

Above `session`, below `live`. Start at `LiveSession`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.loading import Key, initial_values
from neurosim.engine.plan import Plan
from neurosim.model.state import State
from neurosim.model.transport import BACKWARD, FORWARD
from neurosim.simulation.auxiliary import CLAMPED_AT, going_on
from neurosim.simulation.opening import Data, Simulated, setting_of
from neurosim.simulation.options import Recording, Setting, Work
from neurosim.simulation.session import Session
from neurosim.simulation.stability_monitor import StabilityMonitor, divergence_bound
from neurosim.simulation.start import initial_state, steps_before

if TYPE_CHECKING:
    from neurosim.engine.runtime.engine import RuntimeEngine

Array = np.ndarray
STATE = ("w", "back", "row", "col")  # of synapses: loaded with the parameters, but they move
# choices of a setting that a plan is made from, beside the network and extensions
OF_PLANS = ("dt", "method", "transports", "imperfections")


class LiveSession(Session):
    """A `Session` on the NumPy or the Cython backend, whose choices may change; see `adopt`."""

    engine: RuntimeEngine

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.engine.may_defer = False
        self._loaded = self._numbers(self.plan, self.setting)

    def fits(self, setting: Setting) -> bool:
        """Return whether `adopt` can take these choices: they differ in numbers alone."""
        now = self.setting
        same = setting.net is now.net and setting.extensions is now.extensions
        if same and all(getattr(setting, name) == getattr(now, name) for name in OF_PLANS):
            return True  # only the flow differs, which is not part of a plan
        return bool(_structure(self._planned(setting)) == _structure(self.plan))

    def adopt(self, setting: Setting) -> None:
        """Go on with other gains, time constants, thresholds and other numbers; see `fits`."""
        plan = self._planned(setting)
        numbers = self._numbers(plan, setting)
        new: dict[Key, Any] = {}
        for key, value in numbers.items():
            if not np.array_equal(value, self._loaded[key]):
                new[key] = value
        self.engine.load(new)
        self._loaded = numbers
        self.setting, self.plan = setting, plan
        self.net, self.flow = setting.net, setting.flow
        self.recorder.net, self.recorder.flow = setting.net, setting.flow
        self.monitor = StabilityMonitor(plan, setting.flow, setting.dt)

    def show(self, given: Data) -> None:
        """Clamp other patterns, as many as before, and carry the state over."""
        self.clamped, self.targets = given.clamped, given.targets
        values: dict[Key, Any] = dict(self._data())
        values["run", "bound"] = divergence_bound(given.clamped, given.targets)
        now = self.engine.counter("step") * self.plan.dt
        for key in self.engine.memory:
            if key[1] == CLAMPED_AT:
                values[key] = now
        self.engine.load(values)

    def go_back(self, arrays: Mapping[str, Array]) -> None:
        """Restore the arrays of an earlier `snapshot`, also after a divergence."""
        self.engine.load({("run", "diverged"): 0})
        self.restore(arrays)

    def place(self, state: State) -> None:
        """Replace outputs and multipliers."""
        values: dict[Key, Array] = {(n, "x"): x for n, x in state.x.items()}
        for n, lam in state.lam.items():
            values[n, "lam"] = lam
        self.engine.load(values)
        self.state = self._read_state()

    def hold(self, held: Mapping[Key, tuple[Array, Array]]) -> None:
        """Give entries of the state their values, and keep these from now on.

        `held` has places and values by (population, variable).
        """
        values: dict[Key, Array] = {}
        for key, (places, own) in held.items():
            values[key] = self.engine.value(*key)
            values[key][places] = own
        self.engine.load(values)
        self.engine.held = held
        self.state = self._read_state()

    def read(self, variable: str) -> dict[str, Array]:
        """Return outputs or multipliers, (patterns, units) by population."""
        return self._by_population(variable, self.net.neurons)

    def settings(self) -> dict[str, Any]:
        """Return the choices as plain values, for traces."""
        return self._settings()

    def numbered_step(self) -> int:
        """Return the number of the present step on the clock."""
        return self.engine.counter("step")

    def _planned(self, setting: Setting) -> Plan:
        """Return the plan with other choices, and with what is recorded now."""
        return replace(
            self.plan,
            net=setting.net,
            dt=setting.dt,
            method=setting.method,
            extensions=setting.extensions,
            transports=setting.transports,
            imperfections=setting.imperfections,
        )

    def _numbers(self, plan: Plan, setting: Setting) -> dict[Key, Any]:
        """Return the values of all parameters of the equations."""
        found = initial_values(plan, setting.flow, setting.dt, self.engine)
        for key in list(found):
            group, variable = key
            moves = group not in plan.net.populations and variable in STATE
            if moves or self.engine.remembered.get(key):
                del found[key]
        return found


def open_live(
    sim: Simulated,
    given: Data,
    start: Any,
    recording: Recording,
    samples: int,
    plastic: bool,
) -> LiveSession:
    """Return a session on these patterns, at its start, as `opening.open_session` does.

    Parameters
    ----------
    sim : Simulation
    given : Data
    start : "zero", "forward", Run or State
    recording : Recording
    samples : int
        Samples that are kept at most.
    plastic : bool
        Whether weights may move.
    """
    state = initial_state(sim.net, start, given.clamped)
    state = replace(state, steps_before=steps_before(start))
    work = Work(steps=samples * recording.every, plastic=plastic, recording=recording)
    auxiliary = going_on(start, sim.net, given.clamped, given.targets)
    return LiveSession(setting_of(sim), given.clamped, given.targets, state, work, auxiliary)


def _structure(plan: Plan) -> Any:
    """Return all of a plan that a change of numbers leaves as it is."""
    plan = replace(plan, recorded=())
    texts: dict[str, Any] = {}
    for n in plan.net.populations:
        messages = plan.sent(n, FORWARD), plan.sent(n, BACKWARD)
        texts[n] = plan.equations(n), plan.leaks(n), messages
    sources = []
    for source in plan.event_sources:
        kind = type(source.rule), source.adaptive, source.silent, source.delay_steps(plan.dt)
        sources.append((source.population, source.name, source.projections, kind))
    projections = []
    for q in plan.net.projections.values():
        projections.append((q.name, q.proximal, q.feedback, q.plastic))
    draws = [plan.draws(n) for n in plan.net.populations]
    return texts, sources, projections, (plan.dt, plan.method, plan.lines, draws)
