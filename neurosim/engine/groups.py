"""The Brian2 objects that both backends share: populations, synapses, and the run's own counters.

Populations are `NeuronGroup`s of patterns x units, pattern after pattern; a projection holds its
weights once, whatever the number of patterns. Start at `Groups`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import NeuronGroup
from brian2.core.base import BrianObject
from brian2.core.clocks import Clock
from brian2.core.variables import Variables
from brian2.groups.group import Group
from brian2.groups.neurongroup import Thresholder
from brian2.units import second

from neurosim.engine.names import DECAYS, LENGTH, MOMENT, MOMENTS, bias_group, projection_group
from neurosim.engine.plan import Plan
from neurosim.errors import ModelError
from neurosim.model.methods import STAGED
from neurosim.model.populations import PRICES
from neurosim.model.transport import BACKWARD, FORWARD

HEAR = {
    FORWARD: -9,
    BACKWARD: -1,
}  # when events are heard, after "present", in the slot before the step


class Synapses(Group):  # type: ignore[misc]
    """The weights of one projection (or the biases of one population), stored once.

    `w` holds the synapses that exist: row by row of (n_post, n_pre), sparse ones with `row` (n_post
    + 1) and `col`, as in SciPy's compressed rows. Feedback weights of their own are in `back`, laid
    out as `w` is; `sign` is what each presynaptic neuron's weights keep, if they do.
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
    ) -> None:
        super().__init__(name=name, clock=clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", size)
        self.variables.add_arange("i", size=size)
        self.variables.add_array("w", size=size)
        self.variables.add_array("tau_w", size=1, scalar=True, dimensions=second.dim)
        for price in PRICES:
            self.variables.add_array(price, size=1, scalar=True)
        self.variables.add_array("lazy", size=1, scalar=True, dtype=np.int32)
        if back:
            self.variables.add_array("back", size=size)
            self.variables.add_array("back_size", size=1, scalar=True)
        for of_adam in ("force", *MOMENTS) if moments else ():
            self.variables.add_array(f"{of_adam}_w", size=size)
        if signs:
            self.variables.add_array("sign", size=signs)
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
    WHOLE = (
        "step",
        "ticks",
        "n_steps",
        "first_step",
        "present_steps",
        "gate_steps",
        "record_steps",
        "evaluations",
        "accepted",
    )
    FLAGS = ("plastic", "diverged", "settled", "ended", "seed")
    TIMES = ("start", "step_dt", "elapsed", MOMENT, "step_size", "seconds")
    NUMBERS = ("bound", "settle", "tolerance", "residual")
    OF_POINTS = (
        "ended_at",
        "ending",
    )  # step; SETTLED, or the number of the population that left its bound

    def __init__(self, clock: Clock, points: int = 0) -> None:
        super().__init__(name="run", clock=clock, when="groups")
        self.variables = Variables(self)
        self.variables.add_constant("N", 1)
        for name in self.WHOLE:
            self.variables.add_array(name, size=1, scalar=True, dtype=np.int64)
        for name in self.FLAGS:
            self.variables.add_array(name, size=1, scalar=True, dtype=np.int32)
        for name in (*self.TIMES, *self.NUMBERS):
            self.variables.add_array(name, size=1, scalar=True, dtype=np.float64)
        for name in (
            LENGTH,
            *DECAYS,
        ):  # dt, and what moments still lack, in the precision of the state
            self.variables.add_array(name, size=1, scalar=True)
        if points:
            for name in self.OF_POINTS:
                self.variables.add_array(name, size=points, dtype=np.int64)
            self.variables.add_array("residuals", size=points, dtype=np.float64)
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

    def __init__(self, plan: Plan, clock: Clock, codeobj_class: Any = None) -> None:
        self.plan, self.codeobj_class = plan, codeobj_class
        net = plan.net
        self.clock = clock
        self.counters = Counters(clock, plan.points)
        self.populations = {n: self._population(n) for n in net.populations}
        self.synapses: dict[str, Synapses] = {}
        for name, q in net.projections.items():
            w = net.weights[name]
            sparse = not isinstance(w, np.ndarray)
            size = (max(w.nnz, 1) if sparse else w.size) * plan.weight_sets
            rows = net.populations[q.post].size if sparse else 0
            signs = net.populations[q.pre].size if plan.dale else 0
            self.synapses[name] = Synapses(
                projection_group(name),
                size,
                clock,
                rows,
                moments=plan.method == "adam",
                back=plan.back(name) == "back",
                signs=signs,
            )
        sizes = {n: net.populations[n].size * plan.weight_sets for n in net.neurons}
        self.biases = {
            n: Synapses(bias_group(n), size, clock, moments=plan.method == "adam")
            for n, size in sizes.items()
        }
        self.objects: list[BrianObject] = [
            self.counters,
            *self.populations.values(),
            *self.synapses.values(),
            *self.biases.values(),
        ]
        names = [each.name for o in self.objects for each in (o, *o.contained_objects)]
        if len(set(names)) < len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise ModelError(
                f"population names give {twice} twice in the Brian2 network; rename one of them"
            )
        self.by_name: dict[str, Group] = {o.name: o for o in self.objects if isinstance(o, Group)}

    def _population(self, name: str) -> NeuronGroup:
        """A population whose equations are there to be read and set; its steps are the engine's."""
        plan = self.plan
        size = plan.net.populations[name].size * plan.patterns
        event_sources = [o for o in plan.event_sources if o.population == name]
        group = NeuronGroup(
            size,
            plan.equations(name),
            method="euler",
            clock=self.clock,
            name=name,
            namespace={},
            events={o.event: o.condition for o in event_sources},
            codeobj_class=self.codeobj_class,
        )
        group.add_to_magic_network = False
        for item in group.contained_objects:
            item.active = isinstance(item, Thresholder)
        for o in event_sources:
            group.set_event_schedule(o.event, when="before_start", order=HEAR[o.variable] - 1)
        for own, line, steps in plan.lines:
            if (
                own == name
            ):  # what was said at each of the last steps, the next to arrive at `line_at`
                group.variables.add_array(f"line_{line}", size=steps * size)
                group.variables.add_array(f"line_at_{line}", size=1, scalar=True, dtype=np.int32)
        if plan.settles or plan.method in STAGED:
            for variable in group.equations.diff_eq_names:
                shared = group.variables[variable].scalar
                group.variables.add_array(
                    f"rate_{variable}", size=1 if shared else size, scalar=shared
                )
        for variable in group.equations.diff_eq_names if plan.method == "adam" else ():
            for moment in MOMENTS:
                group.variables.add_array(f"{moment}_{variable}", size=size)
        return group
