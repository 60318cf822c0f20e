"""Modulators of learning rules: numbers over time that are broadcast to all synapses.

Above `options`, below `running`. Start at `Modulation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.errors import ModelError, number, out_of_range, unknown
from neurosim.model.arrays import real_array
from neurosim.model.network import Network
from neurosim.model.schedules import StepSchedule
from neurosim.simulation.session import Session

Array = np.ndarray
Given = Mapping[str, Any]
ALLOWED = "a number, an array with one number per presentation or frame, or a function of time (s)"


@dataclass(frozen=True)
class Modulation:
    """The values of all modulators of a run.

    Attributes
    ----------
    values : dict of str to array, (presentations,)
        Of those that are constant during a presentation; of one entry where there are none.
    functions : dict of str to callable
        Of time, s, evaluated at the beginning of each step.
    length : int
        Steps per presentation; those of the whole run where there are none.
    """

    values: Mapping[str, Array] = field(default_factory=dict)
    functions: Mapping[str, Callable[[float], Any]] = field(default_factory=dict)
    length: int = 1

    def load(self, session: Session, steps: int) -> None:
        """Load the values of the next `steps` steps of a session into its engine."""
        if not self.values and not self.functions:
            return
        first = session.steps
        if not self.functions:
            begin = first // self.length
            end = -(-(first + steps) // self.length)
            values = {name: own[begin:end] for name, own in self.values.items()}
            session.engine.modulate(values, self.length)
            return
        numbers = np.arange(first, first + steps)
        values = {}
        for name, own in self.values.items():
            values[name] = own[numbers // self.length]
        clock = session.engine.counter("step")  # counts on where a run goes on from another
        for name, function in self.functions.items():
            found = np.empty(steps)
            for i in range(steps):
                time = (clock + i) * session.dt
                found[i] = number(f"modulator {name}(t)", function(time))
            values[name] = found
        session.engine.modulate(values, 1)


def modulation(net: Network, given: Any, plan: StepSchedule, *, frames: bool = False) -> Modulation:
    """Check the modulators of a run.

    Parameters
    ----------
    net : Network
    given : dict of str to number, array or callable, or None
    plan : StepSchedule
    frames : bool
        Whether a world gives their values, frame by frame.

    Raises
    ------
    ModelError
        A modulator that no rule reads, one without a value, or another kind of value.
    """
    names = modulators_of(net)
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise out_of_range("modulators", given, f"{{name: {ALLOWED}}}")
    for name in given:
        if name not in names:
            raise unknown("modulator", name, names)
    count, length = 1, plan.total
    if plan.batch:
        count, length = plan.total // plan.length, plan.length
    values, functions = {}, {}
    for name in names:
        if frames:
            values[name] = np.zeros(count)
        elif name not in given:
            raise ModelError(
                f"a rule reads the modulator {name!r}, which has no value; "
                f"try modulators={{{name!r}: 1.0}}, or {ALLOWED}"
            )
        elif callable(given[name]):
            functions[name] = given[name]
        else:
            values[name] = _series(name, given[name], count, plan)
    return Modulation(values, functions, length)


def modulators_of(net: Network) -> tuple[str, ...]:
    """Return the modulators that the rules of a network read."""
    found: dict[str, None] = {}
    for q in net.projections.values():
        if q.own_rule is not None and q.plastic:
            found |= dict.fromkeys(q.own_rule.modulators)
    for name in net.neurons:
        p = net.populations[name]
        if p.own_bias_rule is not None and p.plastic_bias:
            found |= dict.fromkeys(p.own_bias_rule.modulators)
    return tuple(found)


def _series(name: str, given: Any, count: int, plan: StepSchedule) -> Array:
    """Return one number per presentation."""
    array = real_array(f"modulator {name}", given, error=ModelError, allowed=ALLOWED)
    if array.ndim == 0:
        return np.full(count, float(array))
    if not plan.batch:
        allowed = "a number or a function of time, as nothing is presented in turn"
        raise out_of_range(f"modulator {name}", f"an array of shape {array.shape}", allowed)
    if array.shape != (count,):
        allowed = f"one of shape {(count,)}, a number per presentation (whole batches only)"
        raise out_of_range(f"modulator {name}", f"an array of shape {array.shape}", allowed)
    return array
