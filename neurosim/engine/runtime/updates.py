"""What populations and weights do in a step, as functions made from their equations, in Brian2's
runtime mode.

They are NumPy calls (`ufuncs`) or Brian2's Cython code objects. Those of the last run serve the
next one where statements, arrays and constants are the same. Start at `Actions.make`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from brian2.core.variables import ArrayVariable

from neurosim.engine import brian
from neurosim.engine.groups import Groups
from neurosim.engine.names import DECAYS, LENGTH, MOMENT, MOMENTS
from neurosim.engine.plan import moves_activity
from neurosim.engine.runtime.points import live
from neurosim.engine.runtime.projections import Action
from neurosim.engine.statements import Statement, Text, adam, descended, stepped
from neurosim.model.equations import lagrangian
from neurosim.model.methods import STAGED
from neurosim.model.transport import BACKWARD, FORWARD

Array = np.ndarray
Phase = tuple[
    Sequence[Statement], Sequence[Statement]
]  # what is assigned, then what grows by increments
CLOCK = ("t", "dt", "t_in_timesteps")


class Actions:
    """The functions of one step, by what they are for; with every gain and time constant as it was
    when they were made.

    Attributes
    ----------
    early : dict of str to list
        By population: what follows from its net input alone.
    said, late : list
        What is said of a state before net inputs are taken, and what follows from them.
    rates : list
        Rates of change, for methods that look at them.
    update, multipliers : list
        The step of the state; of multipliers that move by themselves after it (semi-implicit).
    copies : list
        What is worked out only to be recorded.
    descents : list
        Adam's step of weights and biases.
    """

    def __init__(self, groups: Groups, target: str, numbers: Mapping[str, Array]) -> None:
        self.groups, self.plan, self.target, self.numbers = groups, groups.plan, target, numbers
        self.texts = {n: self.plan.text(n) for n in self.plan.net.populations}
        self.made: dict[Any, list[Action | None]] = {}

    def make(self, learns: bool) -> None:
        """The functions of every population and of all weights, none where there is nothing to do."""
        self.known, self.made = self.made, {}
        self.early: dict[str, list[Action]] = {}
        self.sent: list[Action] = []
        self.late: list[Action] = []
        self.rates: list[Action] = []
        self.update: list[Action] = []
        self.multipliers: list[Action] = []
        self.copies: list[Action] = []
        for name, own in self.texts.items():
            text = own.at_stages() if self.plan.method in STAGED else own
            self.early[name] = self._one(name, text.with_helpers(text.early))
            self.sent += self._one(name, self.plan.sent(name, FORWARD))
            if self.plan.settles or self.plan.method in STAGED:
                self.rates += self._one(
                    name, text.with_helpers([(f"rate_{v}", e) for v, e in text.rates.items()])
                )
            self._move(name, text, learns)
            copied = [(f"recorded_{v}", v) for v in self.plan.copied(name)]
            self.copies += self._one(name, own.with_helpers(copied))
        weights = (
            [*self.groups.synapses.values(), *self.groups.biases.values()]
            if self.plan.method == "adam"
            else []
        )
        self.descents = present([self._descent(group) for group in weights])

    def _move(self, name: str, text: Text, learns: bool) -> None:
        """What follows from the errors of a population, and the step of its state."""
        plan = self.plan
        late = [*text.late, *plan.sent(name, BACKWARD)]
        sent = text.with_helpers(late) if learns or plan.late_is_read(name) else []
        if plan.method in STAGED:
            self.late += self._one(name, sent)
            return
        leaky = plan.method == "exponential_euler" and name in plan.net.neurons
        leaks = lagrangian.leak(plan.net, name) if leaky else {}
        later = ["lam"] if plan.method == "semi_implicit" and "lam" in text.rates else []
        now = [v for v in text.rates if v not in later]
        assigned, increments = (
            descended(text, now) if plan.method == "adam" else stepped(text, now, leaks)
        )
        moves = assigned, [*increments, *moves_activity(plan, name)]
        first, second = self._made(name, [(sent, []), moves])
        self.late += present([first])
        self.update += present([second])
        if later:
            self.multipliers += present(self._made(name, [stepped(text, later, leaks)]))

    def _one(self, name: str, assigned: Sequence[Statement]) -> list[Action]:
        """One phase of assignments."""
        return present(self._made(name, [(assigned, [])]))

    def _made(self, name: str, phases: Sequence[Phase]) -> list[Action | None]:
        return self._cython(name, phases) if self.target == "cython" else self._numpy(name, phases)

    def _numpy(self, name: str, phases: Sequence[Phase]) -> list[Action | None]:
        between = (
            not self.plan.shortcuts or self.plan.imperfections.prospective
        )  # a look-ahead reads the old feedback
        if len(phases) > 1 and between:  # somebody may change what they read between them
            return [action for phase in phases for action in self._numpy(name, [phase])]
        if not any(assigned or updated for assigned, updated in phases):
            return [None] * len(phases)
        group = self.groups.populations[name]
        states = {v for n in self.texts[name].rates for v in (n, f"rate_{n}")}
        arrays = {"t": self.groups.clock.variables["t"].get_value()}
        arrays |= {n: self.numbers[n] for n in (MOMENT, *DECAYS)}
        scalars = {"dt": self.plan.dt, LENGTH: self.plan.dt, "N": float(len(group))}
        for variable, found in group.variables.items():
            if variable in (*CLOCK, "N") or not isinstance(found, ArrayVariable):
                continue
            value = np.atleast_1d(found.get_value())
            if found.scalar and variable not in states:
                scalars[variable] = float(value[0])
            else:
                arrays[variable] = value
        return self._functions(phases, arrays, scalars, len(group))

    def _descent(self, group: Any) -> Action | None:
        """Adam's step of the weights of one projection, or of the biases of one population."""
        own = {v: live(group, v) for v in ("w", "force_w", *(f"{m}_w" for m in MOMENTS))}
        prices = {v: float(live(group, v)[0]) for v in ("tau_w", "l2")} | {LENGTH: self.plan.dt}
        arrays = own | {n: self.numbers[n] for n in DECAYS}
        return self._functions([adam("w", "force_w - l2*w")], arrays, prices, len(own["w"]))[0]

    def _functions(
        self,
        phases: Sequence[Phase],
        arrays: Mapping[str, Array],
        scalars: Mapping[str, float],
        size: int,
    ) -> list[Action | None]:
        """Phases as NumPy calls: the last run's where it had the same ones, on the same arrays and
        constants.
        """
        from neurosim.engine.runtime.ufuncs import Compiler

        places = tuple((n, a.__array_interface__["data"][0], a.size) for n, a in arrays.items())
        key = repr(phases), places, tuple(scalars.items())
        if key not in self.known:
            compiler = Compiler(arrays, scalars, size, self.plan.precision)
            for assigned, updated in phases:
                compiler.phase(assigned, updated)
            self.known[key] = compiler.functions()
        self.made[key] = self.known[key]
        return self.made[key]

    def _cython(self, name: str, phases: Sequence[Phase]) -> list[Action | None]:
        group = self.groups.populations[name]
        made: list[Action | None] = []
        helpers = dict(self.texts[name].helpers)  # Brian2 puts them in by itself
        for assigned, updated in phases:
            parts: list[Action] = []
            statements = [*assigned, *((v, f"{v} + {increment}") for v, increment in updated)]
            for shared in (False, True):  # units read the old values of shared variables
                own = [
                    (v, e)
                    for v, e in statements
                    if v not in helpers
                    and (v not in group.variables or group.variables[v].scalar == shared)
                ]
                if any(v in group.variables for v, _ in own):
                    parts.append(brian.code_object(group, own, self.plan.dt, self.groups.counters))
            made.append(partial(each, parts) if parts else None)
        return made


def present(actions: Sequence[Action | None]) -> list[Action]:
    """Those that have anything to do."""
    return [action for action in actions if action is not None]


def each(actions: Sequence[Action]) -> None:
    """One after the other."""
    for action in actions:
        action()
