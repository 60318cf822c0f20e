"""Turn the equations of populations and weights into the functions of a step.

The functions are NumPy calls (`ufuncs`) or Brian2's Cython code objects. Above `arrays`, below
`messages`, `rates` and the steppers. Start at `ActionMaker.make`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2.core.variables import ArrayVariable

from neurosim.engine import brian
from neurosim.engine.groups import Groups
from neurosim.engine.names import DECAYS, LENGTH, MOMENT, MOMENTS
from neurosim.engine.plan import moves_activity
from neurosim.engine.plasticity import PARAMETER, SynapseRule
from neurosim.engine.runtime.arrays import CLOCK, Action, each, live, single
from neurosim.engine.statements import Statement, Text, adam, descended, stepped
from neurosim.model.methods import ADAM, SEMI_IMPLICIT, STAGED
from neurosim.model.transport import BACKWARD, FORWARD

Array = np.ndarray
Statements = Sequence[Statement]
ActionList = list[Action]
Functions = list[Action | None]  # one per phase; None where there is nothing to do
Arrays = Mapping[str, Array]
Phase = tuple[Statements, Statements]  # assignments, then increments
NOTHING: Mapping[str, float] = {}
OWN_NAMES = (*CLOCK, "N")  # variables of every group that no equation names
ADAM_ARRAYS = ("w", "force_w", *(f"{moment}_w" for moment in MOMENTS))


@dataclass
class Actions:
    """The functions of one segment, by purpose.

    Attributes
    ----------
    states : list of (population, variable)
        Every state variable.
    early : dict of str to list
        By population: early messages, which follow from its net input alone.
    sent : list
        Altered messages forward, before net inputs are computed.
    late : dict of str to list
        By population: late messages, after net inputs are computed.
    weighted : list
        Messages that plasticity reads with weights of patterns.
    rates : list
        Rates of change, where the plan keeps them.
    update, multipliers : dict of str to list
        By population: the step of the state; that of multipliers that move afterwards
        (semi-implicit).
    alone : dict of (population, variable) to list
        The step of each state of a direct population (`liveness`).
    copies : list
        Evaluation of what a sample needs (`Plan.sampled`).
    descents : list
        Adam's step of weights and biases.
    """

    states: list[tuple[str, str]] = field(default_factory=list)
    early: dict[str, ActionList] = field(default_factory=dict)
    sent: ActionList = field(default_factory=list)
    late: dict[str, ActionList] = field(default_factory=dict)
    weighted: ActionList = field(default_factory=list)
    rates: ActionList = field(default_factory=list)
    update: dict[str, ActionList] = field(default_factory=dict)
    multipliers: dict[str, ActionList] = field(default_factory=dict)
    alone: dict[tuple[str, str], ActionList] = field(default_factory=dict)
    copies: ActionList = field(default_factory=list)
    descents: ActionList = field(default_factory=list)


def of_first_patterns(actions: Actions, patterns: int, of: int) -> Actions:
    """Return the actions of a step of the first patterns alone, made of those of all patterns.

    Parameters
    ----------
    actions : Actions
    patterns, of : int
        Number of these patterns, and of all.
    """
    from neurosim.engine.runtime.ufuncs import of_first

    def shortened(functions: ActionList) -> ActionList:
        return [of_first(function, patterns, of) for function in functions]

    found = Actions(states=actions.states)
    for name in ("sent", "weighted", "rates"):
        setattr(found, name, shortened(getattr(actions, name)))
    for name in ("early", "late", "update", "multipliers"):
        by_population = getattr(actions, name)
        setattr(found, name, {key: shortened(own) for key, own in by_population.items()})
    return found


class ActionMaker:
    """Make the functions of each segment, with its gains and time constants as numbers.

    Functions are reused in the next segment where statements, arrays and constants are unchanged.

    Parameters
    ----------
    groups : Groups
    target : "numpy" or "cython"
    numbers : dict of str to array
        Counters and settings of the run (`groups.Counters`).
    """

    def __init__(self, groups: Groups, target: str, numbers: Arrays) -> None:
        self.groups = groups
        self.plan = groups.plan
        self.target = target
        self.numbers = numbers
        self.texts = {n: self.plan.text(n) for n in self.plan.net.populations}
        self._answers: dict[Any, Any] = {}  # of `_ask`
        self.known: dict[Any, Functions] = {}  # of the last segment; keys as in `_compiled`
        self.made: dict[Any, Functions] = {}  # of this segment

    def make(self, learns: bool, direct: Collection[str] = ()) -> Actions:
        """Return the functions of all populations and weights.

        Parameters
        ----------
        learns : bool
            Whether weights may move in this segment; else messages that only they read are left
            out.
        direct : collection of str
            Populations whose states do not depend on their old values, see `liveness`.
        """
        self.known = self.made
        self.made = {}
        actions = Actions()
        for name, text in self.texts.items():
            stepped_text = text.at_stages() if self.plan.method in STAGED else text
            self._add_messages(name, stepped_text, actions)
            self._add_rates(name, stepped_text, actions)
            late = self._late(name, stepped_text, learns)
            if self.plan.method in STAGED:
                actions.late[name] = self._assignments(name, late)
            elif name in direct:
                self._add_direct_step(name, stepped_text, late, actions)
            else:
                self._add_step(name, stepped_text, late, actions)
            actions.weighted += self._assignments(name, self._ask("weighted_messages", name))
            actions.copies += self._assignments(name, self._ask("sampled", name))
        if self.plan.method == ADAM:
            self._add_descents(actions)
        return actions

    def _ask(self, question: str, *given: Any) -> Any:
        """Return the answer of a method of the plan; a plan never changes, so it is asked once."""
        key = question, *given
        if key not in self._answers:
            self._answers[key] = getattr(self.plan, question)(*given)
        return self._answers[key]

    def factors(self, rule: SynapseRule) -> ActionList:
        """Return functions that evaluate the factors of a rule into arrays of its populations."""
        parameters = {f"{PARAMETER}{name}": value for name, value in rule.rule.constants.items()}
        by_population: dict[str, list[Statement]] = {}
        for factor in rule.factors:
            own = by_population.setdefault(factor.population, [])
            own.append((factor.array, factor.expression))
        found: Functions = []
        for population, statements in by_population.items():
            phase: Phase = (self.texts[population].with_helpers(statements), [])
            found += self._numpy(population, [phase], parameters)
        return present(found)

    def compiled(
        self, statements: Statements, arrays: Arrays, scalars: Mapping[str, float], size: int
    ) -> ActionList:
        """Return assignments to arrays of one size, in order, as a list of functions."""
        return present(self._compiled([(statements, [])], arrays, scalars, size))

    def _add_messages(self, name: str, text: Text, actions: Actions) -> None:
        """Add altered messages forward, and the early messages."""
        early = text.with_helpers(text.early)
        altered = self._ask("sent", name, FORWARD)
        actions.early[name] = self._assignments(name, early)
        actions.sent += self._assignments(name, altered)

    def _add_rates(self, name: str, text: Text, actions: Actions) -> None:
        """List the state variables; add their rates of change if the plan keeps them."""
        rates = []
        for variable, expression in text.rates.items():
            actions.states.append((name, variable))
            rates.append((f"rate_{variable}", expression))
        if self.plan.keeps_rates:
            actions.rates += self._assignments(name, text.with_helpers(rates))

    def _late(self, name: str, text: Text, learns: bool) -> Statements:
        """Return the statements of late messages, or none if nothing reads them."""
        if not learns and not self._ask("late_is_read", name):
            return []
        altered = self._ask("sent", name, BACKWARD)
        return text.with_helpers([*text.late, *altered])

    def _add_step(self, name: str, text: Text, late: Statements, actions: Actions) -> None:
        """Add the late messages and the step of the state."""
        plan = self.plan
        leaks = self._ask("leaks", name)
        now = list(text.rates)
        afterwards = []  # variables that read the violation of the new outputs
        if plan.method == SEMI_IMPLICIT and "lam" in now:
            now.remove("lam")
            afterwards.append("lam")
        if plan.method == ADAM:
            assigned, increments = descended(text, now)
        else:
            assigned, increments = stepped(text, now, leaks)
        increments += moves_activity(plan, name)
        phases: list[Phase] = [(late, []), (assigned, increments)]
        first, second = self._functions(name, phases)
        actions.late[name] = present([first])
        actions.update[name] = present([second])
        if afterwards:
            phase = stepped(text, afterwards, leaks)
            actions.multipliers[name] = present(self._functions(name, [phase]))

    def _add_direct_step(self, name: str, text: Text, late: Statements, actions: Actions) -> None:
        """Add the late messages and the step of each state, which share no values."""
        actions.late[name] = self._assignments(name, late)
        for variable in text.rates:
            phase = stepped(text, [variable], {})
            actions.alone[name, variable] = present(self._functions(name, [phase]))

    def _add_descents(self, actions: Actions) -> None:
        """Add Adam's steps of the weights of every projection, then of all biases."""
        for synapses in self.groups.synapses.values():
            actions.descents += self._descent(synapses)
        for biases in self.groups.biases.values():
            actions.descents += self._descent(biases)

    def _descent(self, group: Any) -> ActionList:
        arrays = {variable: live(group, variable) for variable in ADAM_ARRAYS}
        size = len(arrays["w"])
        for name in DECAYS:
            arrays[name] = self.numbers[name]
        scalars = {LENGTH: self.plan.dt}
        for variable in ("tau_w", "l2"):
            scalars[variable] = single(group, variable)
        phase = adam("w", "force_w - l2*w")
        return present(self._compiled([phase], arrays, scalars, size))

    def _assignments(self, name: str, assigned: Statements) -> ActionList:
        """Return assignments as a list of one function, or an empty list."""
        return present(self._functions(name, [(assigned, [])]))

    def _functions(self, name: str, phases: Sequence[Phase]) -> Functions:
        """Return one function per phase; None for an empty phase."""
        if self.target == "cython":
            return [self._cython(name, *phase) for phase in phases]
        # phases share no values if prospective messages read the feedback of the last step, or if
        # user-supplied objects may change anything in between
        separate = not self.plan.shortcuts or self.plan.imperfections.prospective
        if not separate:
            return self._numpy(name, phases)
        made: Functions = []
        for phase in phases:
            made += self._numpy(name, [phase])
        return made

    def _numpy(
        self, name: str, phases: Sequence[Phase], more: Mapping[str, float] = NOTHING
    ) -> Functions:
        """Return phases of a population as NumPy calls, compiled together to share values.

        `more` are further constants that the statements read.
        """
        if not any(assigned or updated for assigned, updated in phases):
            return [None] * len(phases)
        group = self.groups.populations[name]
        states = set(self.texts[name].rates)
        states |= {f"rate_{variable}" for variable in states}
        size = len(group)
        dt = self.plan.dt
        scalars = {"dt": dt, LENGTH: dt, "N": float(size), **more}
        arrays = {"t": live(self.groups.clock, "t")}
        for variable in (MOMENT, *DECAYS):
            arrays[variable] = self.numbers[variable]
        for variable, found in group.variables.items():
            if variable in OWN_NAMES or not isinstance(found, ArrayVariable):
                continue
            value = np.atleast_1d(found.get_value())
            if found.scalar and variable not in states:
                scalars[variable] = float(value[0])
            else:
                arrays[variable] = value
        return self._compiled(phases, arrays, scalars, size)

    def _compiled(
        self,
        phases: Sequence[Phase],
        arrays: Arrays,
        scalars: Mapping[str, float],
        size: int,
    ) -> Functions:
        """Return phases as NumPy calls, reusing those of the last segment where possible."""
        from neurosim.engine.runtime.ufuncs import Compiler

        places = []
        for variable, array in arrays.items():
            address = array.__array_interface__["data"][0]
            places.append((variable, address, array.size))
        key = repr(phases), tuple(places), tuple(scalars.items())
        if key not in self.known:
            compiler = Compiler(arrays, scalars, size, self.plan.precision)
            for assigned, updated in phases:
                compiler.phase(assigned, updated)
            self.known[key] = compiler.functions()
        self.made[key] = self.known[key]
        return self.made[key]

    def _cython(self, name: str, assigned: Statements, updated: Statements) -> Action | None:
        """Return one phase as a function that calls Brian2's code objects, or None."""
        group = self.groups.populations[name]
        statements = list(assigned)
        for variable, increment in updated:
            statements.append((variable, f"{variable} + {increment}"))
        # units read the old values of shared variables, so these come last
        parts: ActionList = []
        for shared in (False, True):
            own = self._reading(name, statements, shared)
            if any(variable in group.variables for variable, _ in own):
                parts.append(brian.code_object(group, own, self.plan.dt, self.groups.counters))
        return partial(each, parts) if parts else None

    def _reading(self, name: str, statements: Statements, shared: bool) -> Statements:
        """Return statements that assign shared variables, or variables of units, and locals."""
        variables = self.groups.populations[name].variables
        helpers = dict(self.texts[name].helpers)  # Brian2 substitutes these itself
        found = []
        for target, expression in statements:
            local = target not in variables
            if target not in helpers and (local or variables[target].scalar == shared):
                found.append((target, expression))
        return found


def present(actions: Sequence[Action | None]) -> ActionList:
    """Return the actions that are not None."""
    return [action for action in actions if action is not None]
