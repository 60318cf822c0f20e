"""Brian2 objects that both backends share: populations, synapses, and the counters of a run.

Populations are `NeuronGroup`s of patterns x units, pattern after pattern. A projection holds its
weights once, whatever the number of patterns. Above `plan`, below both backends. Start at `Groups`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2 import NeuronGroup
from brian2.core.base import BrianObject
from brian2.core.clocks import Clock
from brian2.core.variables import ArrayVariable, Variables
from brian2.groups.group import Group
from brian2.groups.neurongroup import Thresholder
from brian2.units import second

from neurosim.engine.liveness import VALUES, tracks
from neurosim.engine.names import (
    DECAYS,
    LENGTH,
    MOMENT,
    MOMENTS,
    TABLE_ARRAYS,
    bias_group,
    projection_group,
)
from neurosim.engine.plan import Plan
from neurosim.engine.plasticity import SynapseRule
from neurosim.errors import ModelError
from neurosim.model.methods import ADAM
from neurosim.model.populations import PENALTIES
from neurosim.model.transport import BACKWARD, FORWARD

# Order of receiving events in the slot "before_start", after "present"
RECEIVE_ORDER = {FORWARD: -9, BACKWARD: -1}


class Synapses(Group):  # type: ignore[misc]
    """The weights of one projection, or the biases of one population, stored once.

    `w` holds the weights of the existing synapses, row by row of (n_post, n_pre). A sparse
    projection also has `row` (n_post + 1 entries) and `col`, as in SciPy's compressed rows.
    Feedback weights that are not Wᵀ are in `back`, laid out like `w`. `sign` is the sign that the
    outgoing weights of each presynaptic unit keep.

    Parameters
    ----------
    name : str
    size : int
        Number of synapses, summed over all sets of weights.
    clock : Clock
    rows : int
        n_post if the projection is sparse, else 0.
    moments : bool
        Whether Adam moves the weights.
    back : bool
        Whether there are feedback weights that are not Wᵀ.
    signs : int
        n_pre if Dale's law holds, else 0.
    arrays : dict of str to int, optional
        Sizes of further arrays, which a compiled program adds.
    rule : SynapseRule, optional
        Rule other than the built-in one, with its states, parameters and modulators.
    """

    add_to_magic_network = False

    def __init__(
        self,
        name: str,
        size: int,
        clock: Clock,
        rows: int = 0,
        *,
        moments: bool = False,
        back: bool = False,
        signs: int = 0,
        arrays: Mapping[str, int] | None = None,
        rule: SynapseRule | None = None,
    ) -> None:
        super().__init__(name=name, clock=clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", size)
        self.variables.add_arange("i", size=size)
        self.variables.add_array("w", size=size)
        self.variables.add_array("tau_w", size=1, scalar=True, dimensions=second.dim)
        for penalty in PENALTIES:
            self.variables.add_array(penalty, size=1, scalar=True)
        self.variables.add_array("lazy", size=1, scalar=True, dtype=np.int32)
        if back:
            self.variables.add_array("back", size=size)
            self.variables.add_array("back_size", size=1, scalar=True)
        if moments:
            for variable in ("force", *MOMENTS):
                self.variables.add_array(f"{variable}_w", size=size)
        if signs:
            self.variables.add_array("sign", size=signs)
        for variable, count in (arrays or {}).items():
            whole = variable in TABLE_ARRAYS and not variable.endswith("value")
            self.variables.add_array(variable, size=count, dtype=np.int32 if whole else None)
        if rule is not None:
            self._add_rule(rule, size)
        if rows:
            self.variables.add_array("row", size=rows + 1, dtype=np.int32)
            self.variables.add_array("col", size=size, dtype=np.int32)
        self.variables.create_clock_variables(self._clock)
        self._enable_group_attributes()

    def _add_rule(self, rule: SynapseRule, size: int) -> None:
        """Add the arrays of a rule."""
        for variable in (*rule.states, *rule.transient):
            self.variables.add_array(variable, size=size)
        for variable in rule.scalars:
            self.variables.add_array(variable, size=1, scalar=True)
        for draw in rule.draws:
            self.variables.add_array(draw.array, size=size, read_only=True)

    def before_run(self, run_namespace: Any = None) -> None:
        """Prepare nothing."""


class Counters(Group):  # type: ignore[misc]
    """Counters and settings of a run: steps, times, the gate of plasticity, the bound of the state.

    Parameters
    ----------
    clock : Clock
    points : int
        Parameter points that end separately; 0: one simulation.
    populations : int
        Populations whose values are tracked, see `liveness`.
    patterns : int
        Patterns that settle one by one; 0: all at once.
    """

    add_to_magic_network = False
    # "step" counts on where an earlier run ended; "origin" is the step at which this run began, or
    # "began" the time (s) if the steps are adaptive
    WHOLE = (
        "step",
        "origin",
        "steps_before",
        "ticks",
        "n_steps",
        "first_step",
        "present_steps",
        "gate_steps",
        "record_steps",
        "modulator_first",
        "modulator_steps",
        "live_until",
        "evaluations",
        "accepted",
        "noise_key",
        "active",
    )
    FLAGS = ("plastic", "diverged", "settled", "ended", "seed")
    TIMES = ("start", "step_dt", "elapsed", MOMENT, "step_size", "seconds", "began", "last_tick")
    NUMBERS = ("bound", "settle", "tolerance", "residual")
    # step at which a point ended; MOVING, SETTLED, or the number of the population that left its
    # bound
    OF_POINTS = ("ended_at", "ending")
    # by population, see `liveness`: whether it is direct, and the first step of a presentation at
    # which each of its values is computed
    OF_POPULATIONS = ("direct", *(f"{value}_from" for value in VALUES))

    def __init__(
        self, clock: Clock, points: int = 0, populations: int = 0, patterns: int = 0
    ) -> None:
        super().__init__(name="run", clock=clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", 1)
        self._add(self.WHOLE, np.int64)
        self._add(self.FLAGS, np.int32)
        self._add((*self.TIMES, *self.NUMBERS), np.float64)
        self._add((LENGTH, *DECAYS), None)  # None: in the precision of the state
        if points:
            for name in self.OF_POINTS:
                self.variables.add_array(name, size=points, dtype=np.int64)
            self.variables.add_array("residuals", size=points, dtype=np.float64)
        if populations:
            for name in self.OF_POPULATIONS:
                self.variables.add_array(name, size=populations, dtype=np.int64)
        if patterns:
            self.variables.add_array("settled_at", size=patterns, dtype=np.int64)
        self.variables.create_clock_variables(self._clock)
        self._enable_group_attributes()

    def _add(self, names: Iterable[str], dtype: Any) -> None:
        for name in names:
            self.variables.add_array(name, size=1, scalar=True, dtype=dtype)

    def before_run(self, run_namespace: Any = None) -> None:
        """Prepare nothing."""


class Groups:
    """All groups of a plan.

    Parameters
    ----------
    plan : Plan
    clock : Clock
    codeobj_class : type, optional
        Class of Brian2's code objects of populations.
    arrays : dict of str to dict of str to int, optional
        By group of synapses: sizes of the arrays that a compiled program adds, by variable.

    Attributes
    ----------
    counters : Counters
    populations, synapses, biases : dict of str to Group
        Populations by name; weights by projection; biases by population.
    objects : list
        All groups, for the Brian2 network.
    by_name : dict of str to Group
        All groups by their Brian2 names.

    Raises
    ------
    ModelError
        Two objects have the same name.
    """

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        codeobj_class: Any = None,
        arrays: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        self.plan = plan
        self.arrays = arrays or {}
        self.clock = clock
        self.codeobj_class = codeobj_class
        tracked = len(plan.net.neurons) if tracks(plan) else 0
        settling = plan.patterns if plan.settles_each else 0
        self.counters = Counters(clock, plan.points, tracked, settling)
        self.populations = {n: self._population(n) for n in plan.net.populations}
        self.synapses = {name: self._synapses(name) for name in plan.net.projections}
        self.biases = {n: self._biases(n) for n in plan.net.neurons}
        self.objects: list[BrianObject] = [
            self.counters,
            *self.populations.values(),
            *self.synapses.values(),
            *self.biases.values(),
        ]
        self._check_names()
        self.by_name: dict[str, Group] = {o.name: o for o in self.objects if isinstance(o, Group)}

    def _check_names(self) -> None:
        names: list[str] = []
        for item in self.objects:
            names.append(item.name)
            names += [contained.name for contained in item.contained_objects]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ModelError(
                f"population names lead to duplicate names {twice} in the Brian2 network; "
                "rename a population"
            )

    def _synapses(self, projection: str) -> Synapses:
        plan = self.plan
        net = self.plan.net
        q = net.projections[projection]
        w = net.weights[projection]
        sparse = not isinstance(w, np.ndarray)
        # Brian2 has no empty arrays
        count = max(w.nnz, 1) if sparse else w.size
        group = projection_group(projection)
        return Synapses(
            group,
            count * plan.weight_sets,
            self.clock,
            net.populations[q.post].size if sparse else 0,
            moments=plan.method == ADAM,
            back=plan.back(projection) == "back",
            signs=net.populations[q.pre].size if plan.dale else 0,
            arrays=self.arrays.get(group),
            rule=plan.rules.get(group),
        )

    def _biases(self, population: str) -> Synapses:
        size = self.plan.net.biases[population].size * self.plan.weight_sets
        moments = self.plan.method == ADAM
        group = bias_group(population)
        rule = self.plan.rules.get(group)
        return Synapses(group, size, self.clock, moments=moments, rule=rule)

    def _population(self, name: str) -> NeuronGroup:
        """Return a population with its equations and arrays; the engine, not Brian2, steps it."""
        plan = self.plan
        sources = plan.sources_of(name)
        group = NeuronGroup(
            plan.net.populations[name].size * plan.patterns,
            plan.equations(name),
            method="euler",
            clock=self.clock,
            name=name,
            namespace={},
            events={source.event: source.condition for source in sources},
            codeobj_class=self.codeobj_class,
        )
        group.add_to_magic_network = False
        for item in group.contained_objects:
            item.active = isinstance(item, Thresholder)
        for source in sources:
            order = RECEIVE_ORDER[source.variable] - 1
            group.set_event_schedule(source.event, when="before_start", order=order)
        self._add_arrays(name, group)
        return group

    def _add_arrays(self, name: str, group: NeuronGroup) -> None:
        """Add the arrays that no equation declares: random numbers, delay lines, rates, moments."""
        size = len(group)
        for draw in self.plan.draws(name):
            group.variables.add_array(draw.array, size=size, read_only=True)
        for rule in self.plan.rules.values():
            for factor in rule.factors:
                if factor.population == name:
                    group.variables.add_array(factor.array, size=size)
        states = list(group.equations.diff_eq_names)
        for population, line, steps in self.plan.lines:
            if population == name:
                # ring buffer of the messages sent in the last steps; slot that arrives next
                group.variables.add_array(f"line_{line}", size=steps * size)
                group.variables.add_array(f"line_at_{line}", size=1, scalar=True, dtype=np.int32)
        if self.plan.keeps_rates:
            for variable in states:
                shared = group.variables[variable].scalar
                entries = 1 if shared else size
                group.variables.add_array(f"rate_{variable}", size=entries, scalar=shared)
        if self.plan.method == ADAM:
            for variable in states:
                for moment in MOMENTS:
                    group.variables.add_array(f"{moment}_{variable}", size=size)


def arrays_by_pattern(group: Group) -> list[str]:
    """Return the variables of a population that have an entry for each unit, and may be written."""
    found = []
    for name, variable in group.variables.items():
        is_own = isinstance(variable, ArrayVariable) and variable.owner.name == group.name
        if is_own and not variable.read_only and variable.size == len(group):
            found.append(name)
    return found
