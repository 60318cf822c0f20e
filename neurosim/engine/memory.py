"""State from which a run can go on: every array of an engine, less what follows from the others.

A new array belongs to the state unless a rule here says why it does not, so it cannot be forgotten.
Above `plan` and `statements`, below both backends. Start at `state_of`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import neurosim.engine.quiet  # noqa: F401

from brian2.core.variables import ArrayVariable
from brian2.groups.group import Group
from brian2.utils.stringtools import get_identifiers

from neurosim.engine.names import DECAYS, OWN, SAMPLE_WEIGHT, TABLE_ARRAYS
from neurosim.engine.plan import Plan, moves_activity
from neurosim.engine.statements import Statement, Text
from neurosim.model.methods import ADAM, ADAPTIVE
from neurosim.model.populations import PENALTIES
from neurosim.model.transport import BACKWARD, FORWARD

Key = tuple[str, str]  # group and variable
# Written anew before they are read: units that send now, rates, copies for samples, Adam's forces,
# sums of a rule
TRANSIENT = ("_", "rate_", "recorded_", "force_", "copy", "rule_")
# Of synapses: parameters (as are all single numbers), and the choice of a shortcut, which every
# segment makes anew
CONSTANT = ("tau_w", "lazy", "row", "col", "sign", "back_size", *TABLE_ARRAYS, *PENALTIES)


def arrays_of(groups: Mapping[str, Group]) -> Iterator[tuple[Key, ArrayVariable]]:
    """Yield the arrays of Brian2 groups by (group, variable), without references to others'."""
    for name, group in groups.items():
        for variable, found in group.variables.items():
            if isinstance(found, ArrayVariable) and found.owner.name == name:
                yield (name, variable), found


def state_of(plan: Plan, groups: Mapping[str, Group]) -> dict[Key, bool]:
    """Return the state beside x, lam, weights and biases.

    Parameters
    ----------
    plan : Plan
    groups : dict of str to Group
        All Brian2 groups of an engine, by name.

    Returns
    -------
    dict of (group, variable) to bool
        Whether a statement moves the variable. If not, it is a constant in a run that loads it
        with the parameters of the equations.
    """
    moving = {n: _moving(plan, n) for n in plan.net.populations}
    recomputed = {n: _recomputed(plan, n) for n in plan.net.populations}
    found: dict[Key, bool] = {}
    for (group, variable), array in arrays_of(groups):
        if array.read_only:
            continue
        if group == "run":
            if variable in _counters(plan):
                found[group, variable] = True
        elif variable.startswith(TRANSIENT):
            continue
        elif group in moving:
            if variable not in OWN and variable not in recomputed[group]:
                found[group, variable] = variable in moving[group]
        elif variable not in ("w", "back", *CONSTANT) and not array.scalar:
            found[group, variable] = True
    return found


def _counters(plan: Plan) -> tuple[str, ...]:
    """Return the numbers of a run that its next steps read."""
    if plan.method == ADAPTIVE:
        return ("step_size",)
    return DECAYS if plan.method == ADAM else ()


def _moving(plan: Plan, population: str) -> set[str]:
    """Return the variables that statements write, and those that follow equations."""
    found = set(plan.text(population).rates)
    return found | {target for target, _ in _step(plan, population)}


def _recomputed(plan: Plan, population: str) -> set[str]:
    """Return the variables that every step writes before anything reads them."""
    read: set[str] = set(plan.text(population).rates)  # a step adds to their old values
    written: set[str] = set()
    for target, expression in _step(plan, population):
        read |= get_identifiers(expression) - written
        written.add(target)
    return written - read


def _step(plan: Plan, population: str) -> Iterator[Statement]:
    """Yield what a step assigns in a population, in order, and what it reads for that.

    Sums over synapses and over units, and messages that arrive, are assignments that read nothing
    of the kind that is looked for here.
    """
    text = plan.text(population)
    sums = [("log_partition", "x"), ("y_total", "y")]
    sent = plan.sent(population, FORWARD)
    if sent:
        yield from sums
        yield from sent
        yield "received_x", "sent_x"
    yield from _thresholds(plan, text, population, FORWARD)
    yield "a", ""
    yield from text.with_helpers(text.early)
    yield from sums
    yield from text.with_helpers([*text.late, *plan.sent(population, BACKWARD)])
    if sent:
        yield "received_delta", "sent_delta"
    yield from _thresholds(plan, text, population, BACKWARD)
    yield "feedback", ""
    weighted = plan.weighted_messages(population)
    if weighted:
        yield SAMPLE_WEIGHT, ""  # as other data, it is clamped when a run or presentation begins
        yield from weighted
    yield from text.with_helpers((f"_rate_{v}", rate) for v, rate in text.rates.items())
    for variable, increment in moves_activity(plan, population):
        yield variable, f"{variable} + {increment}"


def _thresholds(plan: Plan, text: Text, population: str, direction: str) -> Iterator[Statement]:
    """Yield the conditions under which units send events."""
    for source in plan.sources_of(population):
        if source.variable == direction:
            yield from text.with_helpers([("_sends", source.condition)])
