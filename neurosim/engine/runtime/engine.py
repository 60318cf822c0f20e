"""Engine of Brian2's runtime mode: `step.Machine`, called from Brian2's schedule.

Where only `Machine` takes part in a step, the slots are called without Brian2's loop. Messages are
sent in a slot before the one in which the state moves (`slots`). Start at `RuntimeEngine`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from time import perf_counter
from typing import Any

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2 import second
from brian2.core.base import BrianObject
from brian2.core.network import Network as BrianNetwork
from threadpoolctl import ThreadpoolController

from neurosim.engine import brian, garbage
from neurosim.engine.engine import Engine, Factory, Key, World
from neurosim.engine.groups import RECEIVE_ORDER, Groups
from neurosim.engine.memory import arrays_of, state_of
from neurosim.engine.names import FIRST, LENGTH
from neurosim.engine.plan import Plan
from neurosim.engine.runtime.arrays import counters, live, single
from neurosim.engine.runtime.presenter import Presenter
from neurosim.engine.runtime.records import Recorder
from neurosim.engine.runtime.step import Machine
from neurosim.engine.runtime.updates import ActionMaker
from neurosim.engine.user_objects import add_user_objects
from neurosim.model.transport import BACKWARD, FORWARD

Array = np.ndarray


class RuntimeEngine(Engine):
    """One Brian2 network in this process.

    Parameters
    ----------
    plan : Plan
    factories : sequence of callable
        User-supplied functions of the network that return objects for it.
    threads : int
        Threads that BLAS uses.
    target : "numpy" or "cython"
    """

    def __init__(self, plan: Plan, factories: Sequence[Factory], threads: int, target: str) -> None:
        super().__init__(plan, threads)
        self.target = target
        self._stopped = self._ended = False
        with self._scope():
            self.groups = Groups(plan, brian.make_clock(plan.dt))
            garbage.tidy(self.groups.objects)
            self.maker = ActionMaker(self.groups, target, counters(self.groups))
            self.presenter = Presenter(self.groups)
            self.recorder = Recorder(self.groups)
            self.slots = [Step(self.groups.clock, *slot) for slot in slots(plan, bool(factories))]
            self.network = BrianNetwork(*self.groups.objects, *self.slots, name="neurosim_network")
            self.added = add_user_objects(self.network, factories, self.groups)
            # whether no object of Brian2 or of the user takes part in a step
            self.plain = not (factories or plan.event_sources or plan.extensions)
            brian.adopt(self.network)

    def begin_anew(self, plan: Plan, threads: int) -> None:
        """Become the engine of another run of the same structure, as if it had just been built.

        Parameters
        ----------
        plan : Plan
            Of the same structure (`standalone.key.structure_key`).
        threads : int
        """
        added = self.added
        super().__init__(plan, threads)
        self.added = added
        self._stopped = False
        self.groups.plan = self.maker.plan = plan
        for _, array in arrays_of(self.groups.by_name):
            if not array.read_only:
                array.get_value()[:] = 0
        self.network.t_ = 0.0
        self.presenter = Presenter(self.groups)
        self.recorder = Recorder(self.groups)

    def forget(self) -> None:
        """Release the data and the samples of a run that is over."""
        self.plan = self.groups.plan = self.maker.plan = replace(self.plan, recorded=())
        self.presenter = Presenter(self.groups)
        self.recorder = Recorder(self.groups)

    @cached_property
    def bytes(self) -> int:
        """Memory of all arrays."""
        return sum(int(a.get_value().nbytes) for _, a in arrays_of(self.groups.by_name))

    @cached_property
    def remembered(self) -> Mapping[Key, bool]:
        assert self.added is not None
        return {**state_of(self.plan, self.groups.by_name), **self.added.state}

    def _group(self, name: str) -> Any:
        """Return a group of the simulation, or a user-supplied one by its place."""
        assert self.added is not None
        if name in self.added.groups:
            return self.added.groups[name]
        found = self.groups.by_name.get(name)
        return self.network[name] if found is None else found

    def has(self, group: str, variable: str) -> bool:
        return variable in self._group(group).variables

    def size(self, group: str, variable: str) -> int:
        return int(self._group(group).variables[variable].size)

    def stop(self) -> None:
        self._stopped = self._ended = True
        self.network.stop()

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        super().load(values)
        for (group, variable), value in values.items():
            live(self._group(group), variable)[:] = np.ravel(value)
        if ("run", "step") in values:
            self.network.t_ = self.settings["step"] * self.plan.dt

    def value(self, group: str, variable: str) -> Array:
        return live(self._group(group), variable).copy()

    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        self.presenter.load(data, order)

    def modulate(self, values: Mapping[str, Array], length: int) -> None:
        self.presenter.modulate(values, length, self.counter("step"))

    def ask(self, world: World) -> None:
        self.presenter.world = world

    def run(self, n_steps: int) -> None:
        self.load({("run", "n_steps"): n_steps, ("run", "ticks"): 0, ("run", LENGTH): self.plan.dt})
        self.load(self.live())
        # Brian2's own loop is needed only where its objects take part in a step
        plain = self.target == "numpy" and self.plain
        scope = contextlib.nullcontext() if plain else self._scope()
        with (
            scope,
            _blas().limit(limits=self.threads, user_api="blas"),
            np.errstate(all="ignore"),
        ):
            defers = {n: self.defers(n, n_steps) for n in self.plan.net.projections}
            machine = Machine(
                self.groups,
                self.maker,
                self.presenter,
                self.recorder,
                defers,
                self.end,
                self.held,
            )
            machine.stopped = lambda: self._stopped
            for step in self.slots:
                step.bind(machine)
            begin = perf_counter()
            try:
                if plain:
                    self._run_slots(n_steps)
                else:
                    with garbage.quick_run():
                        begin = perf_counter()
                        self.network.run(n_steps * self.plan.dt * second, namespace={})
            finally:
                machine.close()
                self.loop_time += perf_counter() - begin
        if not plain:
            brian.keep_code(self.groups.objects)

    def end(self) -> None:
        """End the segment with this step."""
        self._ended = True
        self.network.stop()

    def _run_slots(self, n_steps: int) -> None:
        """Run steps as `Network.run` does, without its preparations, which take milliseconds."""
        clock = self.groups.clock
        timestep, t, dt = live(clock, "timestep"), live(clock, "t"), single(clock, "dt")
        first = round(self.network.t_ / dt)
        timestep[0], t[0] = first, first * dt
        parts = [slot.run for slot in self.slots]
        self._ended = False
        while timestep[0] < first + n_steps and not self._ended:
            self.network.t_ = t[0]
            for part in parts:
                part()
            timestep[0] += 1
            t[0] = timestep[0] * dt
        self.network.t_ = t[0]

    def recorded(self, number: int, first: int, last: int) -> Array:
        rows = self.recorder.rows(number, first - self.first_sample, last - self.first_sample)
        return rows.astype(self.plan.precision, copy=False)

    def drain(self) -> list[Array]:
        """Return the rows of every recorded variable since the last call, and forget them."""
        return self.recorder.drain()

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        brian_is_set = brian.scope(target=self.target, precision=self.plan.precision)
        with brian_is_set, brian.explained(bool(self.plan.extensions)):
            yield


class Step(BrianObject):  # type: ignore[misc]
    """Call one method of the machine in one slot of Brian2's schedule."""

    add_to_magic_network = False

    def __init__(self, clock: Any, method: str, when: str, order: int) -> None:
        super().__init__(clock=clock, when=when, order=order, name=f"run_{method}")
        self.method = method

    def bind(self, machine: Machine) -> None:
        """Call the method of this machine from now on."""
        self.run = getattr(machine, self.method)


def slots(plan: Plan, seeds: bool) -> list[tuple[str, str, int]]:
    """Return the methods of `Machine` that make a step: name, slot in the schedule, order in it.

    `seeds` is whether each step seeds the random numbers that user-supplied objects draw.
    """
    found = []
    if seeds:
        found.append(("seed_objects", "before_start", FIRST))
    if plan.event_sources:
        if plan.presentation:
            found.append(("present", "before_start", -20))
        # just before each of the two, Brian2's thresholds find the units that send
        found.append(("send_events", "before_start", RECEIVE_ORDER[FORWARD]))
        found.append(("send_events_back", "before_start", RECEIVE_ORDER[BACKWARD]))
    else:
        found.append(("send", "before_start", 0))
    if plan.recorded:
        found.append(("record", "start", -20))
    return [*found, ("step", "groups", 0), ("finish", "end", 100)]


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    import scipy.linalg.blas  # noqa: F401 - threadpoolctl controls only loaded libraries

    return ThreadpoolController()
