"""Brian2's runtime mode: a step on the groups' live arrays, in two or three objects of the network.

Before a step messages are sent, in the slot of the groups the state moves (`machine.Machine`).
Start at `RuntimeEngine`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any

import brian2
import numpy as np
from brian2 import second
from brian2.core.base import BrianObject
from brian2.core.network import Network as BrianNetwork
from threadpoolctl import ThreadpoolController

from neurosim.engine import brian
from neurosim.engine.engine import Engine, Factory, World, add_user_objects, kinds_of
from neurosim.engine.groups import HEAR, Groups
from neurosim.engine.names import LENGTH
from neurosim.engine.plan import Plan
from neurosim.engine.runtime.points import live
from neurosim.engine.runtime.projections import Action
from neurosim.engine.runtime.step import Machine
from neurosim.model.transport import BACKWARD, FORWARD

Array = np.ndarray


class RuntimeEngine(Engine):
    """One Brian2 network in this process."""

    def __init__(self, plan: Plan, factories: Sequence[Factory], threads: int, target: str) -> None:
        super().__init__(plan, threads)
        self.target, self.random = (
            target,
            bool(plan.extensions or factories or plan.imperfections.draws),
        )
        with self._scope():
            self.groups = Groups(plan, brian.make_clock(plan.dt))
            brian.tidy(self.groups.objects)
            self.machine = Machine(self.groups, target)
            slots = [("messages", "before_start", 0), ("step", "groups", 0), ("finish", "end", 100)]
            if (
                plan.event_sources
            ):  # Brian2 looks who has something to say just before each of the two
                slots[:1] = [("present", "before_start", -20)] if plan.presentation else []
                slots += [
                    ("speak", "before_start", HEAR[FORWARD]),
                    ("reply", "before_start", HEAR[BACKWARD]),
                ]
            slots += [("record", "start", -20)] if plan.recorded else []
            steps = [
                Step(
                    getattr(self.machine, name),
                    self.groups.clock,
                    when=when,
                    order=order,
                    name=f"run_{name}",
                )
                for name, when, order in slots
            ]
            self.network = BrianNetwork(*self.groups.objects, *steps, name="neurosim_network")
            self.machine.stop = self.network.stop
            add_user_objects(self.network, factories)
            brian.adopt(self.network)

    def kinds(self, population: str) -> dict[str, str]:
        return kinds_of(self.groups.populations[population].equations)

    def size(self, group: str, variable: str) -> int:
        return int(self.groups.by_name[group].variables[variable].size)

    def stop(self) -> None:
        self.network.stop()

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        super().load(values)
        for (group, variable), value in values.items():
            live(self.network[group], variable)[:] = np.ravel(value)
        if ("run", "step") in values:
            self.network.t_ = self.settings["step"] * self.plan.dt

    def value(self, group: str, variable: str) -> Array:
        return live(self.network[group], variable).copy()

    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        self.machine.sources = [(self.machine.units(*key), rows) for key, rows in data.items()]
        self.machine.queue = order

    def ask(self, world: World) -> None:
        self.machine.world = world

    def run(self, n_steps: int, seed: int) -> None:
        self.load({("run", "n_steps"): n_steps, ("run", "ticks"): 0, ("run", LENGTH): self.plan.dt})
        with (
            self._scope(),
            _blas().limit(limits=self.threads, user_api="blas"),
            np.errstate(all="ignore"),
        ):
            self.machine.prepare({n: self.defers(n, n_steps) for n in self.plan.net.projections})
            if self.random:
                brian2.seed(seed)
            with brian.quick_run():
                begin = perf_counter()
                try:
                    self.network.run(n_steps * self.plan.dt * second, namespace={})
                finally:
                    self.machine.close()
                    self.loop_time += perf_counter() - begin
        brian.keep_code(self.groups.objects)

    def recorded(self, number: int, first: int, last: int) -> Array:
        rows = self.machine.rows[number][first - self.first_sample : last - self.first_sample]
        return np.reshape(rows, (len(rows), self.plan.recorded[number].size)).astype(
            self.plan.precision, copy=False
        )

    @contextlib.contextmanager
    def _scope(self) -> Iterator[None]:
        with (
            brian.scope(target=self.target, precision=self.plan.precision),
            brian.explained(bool(self.plan.extensions)),
        ):
            yield


class Step(BrianObject):  # type: ignore[misc]
    """Something done once a step in one slot of Brian2's schedule."""

    add_to_magic_network = False

    def __init__(self, action: Action, clock: Any, *, when: str, order: int, name: str) -> None:
        super().__init__(clock=clock, when=when, order=order, name=name)
        self.run = action


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    import scipy.linalg.blas  # noqa: F401 - its library must be there to be controlled

    return ThreadpoolController()
