"""The Brian2 objects that both backends share: populations, synapses, and the run's own counters.

Populations are `NeuronGroup`s of patterns x units, pattern after pattern; a projection holds its weights
once, whatever the number of patterns. Start at `Groups`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import Equations, NeuronGroup
from brian2.core.base import BrianObject
from brian2.core.clocks import Clock
from brian2.core.variables import Variables
from brian2.equations.equations import PARAMETER, SingleEquation
from brian2.groups.group import CodeRunner, Group
from brian2.stateupdaters.explicit import euler
from brian2.units import second
from brian2.units.fundamentalunits import DIMENSIONLESS

from neurosim import lagrangian
from neurosim.engine.brian import rename
from neurosim.engine.plan import Plan, bias_group, projection_group
from neurosim.errors import ModelError


class Synapses(Group):  # type: ignore[misc]
    """The weights of one projection (or the biases of one population), stored once.

    `w` holds the synapses that exist: row by row of (n_post, n_pre), sparse ones with `row` (n_post + 1)
    and `col`, as in SciPy's compressed rows.
    """

    add_to_magic_network = False

    def __init__(self, name: str, size: int, clock: Clock, rows: int = 0) -> None:
        super().__init__(name=name, clock=clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", size)
        self.variables.add_arange("i", size=size)
        self.variables.add_array("w", size=size)
        self.variables.add_array("tau_w", size=1, scalar=True, dimensions=second.dim)
        for price in ("l1", "l2"):
            self.variables.add_array(price, size=1, scalar=True)
        if rows:
            self.variables.add_array("row", size=rows + 1, dtype=np.int32)
            self.variables.add_array("col", size=size, dtype=np.int32)
        self.variables.create_clock_variables(self._clock)
        self._enable_group_attributes()

    def before_run(self, run_namespace: Any = None) -> None:
        """Nothing to prepare."""


class Counters(Group):  # type: ignore[misc]
    """What a run counts and is told: steps, the gate of plasticity, the bound of the state."""

    add_to_magic_network = False
    WHOLE = ("step", "ticks", "n_steps", "first_step", "present_steps", "gate_steps", "record_steps")

    def __init__(self, clock: Clock) -> None:
        super().__init__(name="run", clock=clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", 1)
        for name in self.WHOLE:
            self.variables.add_array(name, size=1, scalar=True, dtype=np.int64)
        for name in ("plastic", "diverged", "seed"):
            self.variables.add_array(name, size=1, scalar=True, dtype=np.int32)
        for name in ("bound", "start"):
            self.variables.add_array(name, size=1, scalar=True)
        self.variables.create_clock_variables(self._clock)
        self._enable_group_attributes()

    def before_run(self, run_namespace: Any = None) -> None:
        """Nothing to prepare."""


class Groups:
    """All groups of a plan, by name.

    Attributes
    ----------
    populations, synapses : dict of str to Group
        By population; by projection, and by population for biases.
    objects : list
        What goes into the Brian2 network.
    """

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan = plan
        net = plan.net
        self.clock = clock
        self.counters = Counters(clock)
        self.populations = {n: self._population(n) for n in net.populations}
        self.synapses: dict[str, Synapses] = {}
        for name, q in net.projections.items():
            w = net.weights[name]
            sparse = not isinstance(w, np.ndarray)
            size = max(w.nnz, 1) if sparse else w.size
            rows = net.populations[q.post].size if sparse else 0
            self.synapses[name] = Synapses(projection_group(name), size, clock, rows)
        self.biases = {n: Synapses(bias_group(n), net.populations[n].size, clock) for n in net.neurons}
        self.objects: list[BrianObject] = [
            self.counters, *self.populations.values(), *self.synapses.values(), *self.biases.values()
        ]  # fmt: skip
        if plan.method == "semi_implicit":
            self.objects += [self._multipliers(n) for n in net.neurons]
        self.objects += [self._copies(n) for n in net.neurons if plan.copied(n)]
        names = [each.name for o in self.objects for each in (o, *o.contained_objects)]
        if len(set(names)) < len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise ModelError(f"population names give {twice} twice in the Brian2 network; rename one of them")
        self.by_name: dict[str, Group] = {o.name: o for o in self.objects if isinstance(o, Group)}

    def _population(self, name: str) -> NeuronGroup:
        plan = self.plan
        size = plan.net.populations[name].size * plan.patterns
        clamped = plan.net.populations[name].clamped
        group = NeuronGroup(
            size,
            plan.equations(name),
            method=outputs_first if plan.method == "semi_implicit" and not clamped else "euler",
            clock=self.clock,
            name=name,
            namespace={},
        )
        group.add_to_magic_network = False
        if not clamped:
            rename(group.subexpression_updater, f"{name}_messages")
        return group

    def _copies(self, name: str) -> CodeRunner:
        """Values for the recorder that no array holds, evaluated after all messages of the step came in."""
        code = "\n".join(f"recorded_{v} = {v}" for v in self.plan.copied(name))
        return self._runner(name, "copies", code, when="start", order=-30)

    def _multipliers(self, name: str) -> CodeRunner:
        """The second half of a semi-implicit step, after the net inputs were sent again."""
        code = lagrangian.multiplier_update(self.plan.net, name, self.plan.extension(name).lam)
        return self._runner(name, "multipliers", code, when="synapses", order=1)

    def _runner(self, population: str, what: str, code: str, *, when: str, order: int) -> CodeRunner:
        runner = CodeRunner(
            self.populations[population],
            "stateupdate",
            code=code,
            clock=self.clock,
            when=when,
            order=order,
            name=f"{population}_{what}",
            check_units=False,
        )
        runner.add_to_magic_network = False
        return runner


def outputs_first(equations: Equations, variables: Any, method_options: Any = None) -> str:
    """Explicit Euler of everything but the multipliers, as a Brian2 state update method."""
    rest = [e for e in equations.values() if e.varname != "lam"]
    code: str = euler(Equations([*rest, SingleEquation(PARAMETER, "lam", DIMENSIONLESS)]), variables, method_options)
    return code
