"""Facts about user-written learning rules that the C++ templates read.

Below `code`, which describes everything else. Start at `rule_code`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurosim.engine.plan import Plan
from neurosim.engine.plasticity import FIRST, SynapseRule
from neurosim.engine.standalone.shared import SharedCode, shared_code
from neurosim.model.equations.plasticity import POST, PRE, at


@dataclass(frozen=True, kw_only=True)
class SumCode:
    """The sum over patterns of f(post) g(pre), at every synapse; None stands for 1."""

    array: str  # variable of the synapses that holds it
    post: str | None  # variable that holds f
    pre: str | None  # variable that holds g


@dataclass(frozen=True, kw_only=True)
class RuleStepCode:
    """One part of a step of a rule."""

    kind: str  # of its block of statements
    direct: str | None  # variable that the block adds each pattern to; None: it is run once
    places: tuple[tuple[str, str, str], ...]  # array at the synapses, variable, end that has it


@dataclass(frozen=True, kw_only=True)
class RuleCode:
    """A user-written rule of the weights of a projection, or of biases."""

    group: str  # Brian2 group of the synapses
    size: int  # synapses
    m: int  # postsynaptic units
    n: int  # presynaptic units; 1 for biases
    sparse: bool  # whether the synapses are compressed rows
    shared: SharedCode | None  # how sites share the weights, if they do
    sites: int  # that share the biases; 1 for weights
    factors: str  # kind of the blocks that evaluate f and g
    sums: tuple[SumCode, ...]
    open: tuple[RuleStepCode, ...]  # while weights are plastic
    closed: tuple[RuleStepCode, ...]  # while the gate is closed
    reset: tuple[tuple[str, str], ...]  # variables that start anew, and variables of their starts


@dataclass(frozen=True, kw_only=True)
class ModulatorCode:
    """A number over time that is broadcast to synapses."""

    file: str  # of its values
    variables: tuple[str, ...]  # that hold the present value


def modulator_codes(plan: Plan) -> tuple[ModulatorCode, ...]:
    """Describe the modulators that the rules of a plan read."""
    variables: dict[str, list[str]] = {}
    for group, rule in plan.rules.items():
        for name in rule.rule.modulators:
            variables.setdefault(name, []).append(f"{name}_{group}")
    found = []
    for name, own in variables.items():
        found.append(ModulatorCode(file=f"data/modulator_{name}.bin", variables=tuple(own)))
    return tuple(found)


def rule_code(plan: Plan, group: str) -> RuleCode | None:
    """Describe the rule of a group of synapses; None for the built-in one."""
    rule = plan.rules.get(group)
    if rule is None:
        return None
    sums = []
    for one in rule.sums:
        factors: list[str | None] = []
        for factor in (one.post, one.pre):
            factors.append(None if factor is None else f"{factor.array}_{factor.population}")
        sums.append(SumCode(array=f"{one.array}_{group}", post=factors[0], pre=factors[1]))
    net = plan.net
    reset = [(f"{name}_{group}", f"{FIRST}{name}_{group}") for name in rule.rule.reset]
    return RuleCode(
        group=group,
        size=rule.size,
        m=net.populations[rule.ends[POST]].size,
        n=1 if rule.of_biases else net.populations[rule.ends[PRE]].size,
        sparse=_is_sparse(plan, rule),
        shared=None if rule.of_biases else shared_code(net.between(rule.target), plan.patterns),
        sites=rule.sites,
        factors=f"factors_{group}",
        sums=tuple(sums),
        open=_rule_steps(rule, True),
        closed=_rule_steps(rule, False),
        reset=tuple(reset),
    )


def _rule_steps(rule: SynapseRule, gate_is_open: bool) -> tuple[RuleStepCode, ...]:
    found = []
    for number, step in enumerate(rule.steps(gate_is_open)):
        direct, places = None, []
        if step.direct is not None:
            direct = f"{step.direct.array}_{rule.group}"
            for name, end in rule.reads(step.direct):
                variable = f"{rule.variable(name, end)}_{rule.ends[end]}"
                places.append((f"{at(name, end)}_{rule.group}", variable, end))
        kind = rule_block(rule.group, gate_is_open, number)
        found.append(RuleStepCode(kind=kind, direct=direct, places=tuple(places)))
    return tuple(found)


def rule_block(group: str, gate_is_open: bool, number: int) -> str:
    """Return the kind of the block of statements of one part of a rule's step."""
    return f"{'open' if gate_is_open else 'closed'}{number}_{group}"


def _is_sparse(plan: Plan, rule: SynapseRule) -> bool:
    return not rule.of_biases and not isinstance(plan.net.weights[rule.target], np.ndarray)
