"""Learning rules bound to the arrays of an engine: what a synapse reads, where, and its steps.

Above `model.equations.plasticity`, below `plan`, which makes them. Start at `SynapseRule`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from neurosim.engine.draws import NORMAL, Draw
from neurosim.engine.names import LENGTH, SAMPLE_WEIGHT, bias_group, projection_group
from neurosim.errors import ModelError
from neurosim.model.equations.plasticity import POST, PRE, SHARE, Direct, Split, at, split
from neurosim.model.network import Network
from neurosim.model.plasticity import Plasticity
from neurosim.model.rule_text import OF_UNIT, WEIGHT
from neurosim.model.transport import BACKWARD, FORWARD
from neurosim.model.weights import synapses

Statement = tuple[str, str]  # target and expression
XI = f"{NORMAL}_of_xi"  # array of the draws of white noise
PARAMETER = "rule_of_"  # prefix of a parameter where it is read at a population
FACTOR = "rule_factor"  # prefix of the arrays of f and g
FIRST = "rule_first_"  # prefix of the values with which `reset` begins


class Planned(Protocol):
    """The part of a `Plan` that rules read."""

    @property
    def net(self) -> Network: ...

    @property
    def patterns(self) -> int: ...

    @property
    def weighted(self) -> bool: ...

    def plastic_message(self, projection: str, variable: str) -> str: ...

    def variables(self, population: str) -> Mapping[str, bool]: ...


@dataclass(frozen=True)
class Factor:
    """A function of one end's variables, evaluated per pattern and unit.

    Attributes
    ----------
    population : str
    array : str
        Variable of the population that holds it.
    expression : str
        Its formula; empty if the array is a variable that messages have written already.
    """

    population: str
    array: str
    expression: str


@dataclass(frozen=True)
class Sum:
    """The sum over patterns of f(post) g(pre), with the factors as arrays; None for 1."""

    array: str
    post: Factor | None
    pre: Factor | None


@dataclass(frozen=True)
class Step:
    """One part of a step of a rule: a sum that does not separate, or statements in order."""

    direct: Direct | None
    statements: tuple[Statement, ...]


@dataclass(frozen=True, eq=False)
class SynapseRule:
    """The rule of one group of synapses, in the plan of an engine.

    Parameters
    ----------
    plan : Plan
    rule : Plasticity
    target : str
        The projection; the population if the synapses are its biases.
    """

    plan: Planned
    rule: Plasticity
    target: str

    @property
    def of_biases(self) -> bool:
        """Whether the synapses are biases."""
        return self.target in self.plan.net.populations

    @property
    def group(self) -> str:
        """Name of the Brian2 group of the synapses."""
        return bias_group(self.target) if self.of_biases else projection_group(self.target)

    @property
    def size(self) -> int:
        """Number of synapses; at least 1, as Brian2 has no empty arrays."""
        net = self.plan.net
        if self.of_biases:
            return net.biases[self.target].size
        return max(synapses(net.weights[self.target]).size, 1)

    @property
    def sites(self) -> int:
        """Number of sites that share the biases; 1 where the synapses are weights."""
        if not self.of_biases:
            return 1
        net = self.plan.net
        return int(net.populations[self.target].size // net.biases[self.target].size)

    @property
    def ends(self) -> dict[str, str]:
        """Population of each end; biases have no presynaptic one."""
        if self.of_biases:
            return {POST: self.target}
        q = self.plan.net.projections[self.target]
        return {PRE: q.pre, POST: q.post}

    def variable(self, name: str, end: str) -> str:
        """Return the variable of a population that a name of the rule stands for.

        `x_pre` and `delta_post` are the messages as the synapse receives them.
        """
        message = {POST: BACKWARD, PRE: FORWARD}[end]
        if name != message:
            return name
        if not self.of_biases:
            return self.plan.plastic_message(self.target, message)
        for q in self.plan.net.incoming(self.target):
            return self.plan.plastic_message(q.name, message)
        return message

    def check(self) -> None:
        """Refuse variables that the two ends do not have.

        Raises
        ------
        ModelError
            The message has the variables that there are.
        """
        for name, end in sorted(self.rule.ends_read):
            if self.of_biases and end == PRE:
                if name != FORWARD:
                    raise ModelError(
                        f"the rule of the biases of {self.target} reads {name}_pre; "
                        "allowed: x_pre, which is 1, and variables with _post"
                    )
                continue
            allowed = self.plan.variables(self.ends[end])
            if self.variable(name, end) not in allowed:
                known = ", ".join(sorted(f"{own}_{end}" for own in allowed))
                raise ModelError(
                    f"the rule of {self.target} reads {name}_{end}, which {self.ends[end]} does "
                    f"not have; allowed: {known}"
                )

    @property
    def split(self) -> Split:
        """The rule as products and moves."""
        return split(self.rule, self.of_biases)

    @property
    def draws(self) -> tuple[Draw, ...]:
        """Random numbers of each synapse and step."""
        found = []
        if any(move.noise for move in self.split.moves):
            found.append(Draw(XI, normal=True))
        text = " ".join(expression for _, expression in self.split.after)
        for name in sorted(set(re.findall(r"\brandn?_\d+\b", text))):
            found.append(Draw(name, normal=name.startswith(NORMAL)))
        return tuple(found)

    @property
    def scalars(self) -> tuple[str, ...]:
        """Shared numbers of the group: parameters, modulators, starts of `reset`, 1 / patterns."""
        starts = [f"{FIRST}{name}" for name in self.rule.reset]
        return (*self.rule.constants, *self.rule.modulators, *starts, SHARE)

    @property
    def values(self) -> dict[str, float]:
        """Values of the shared numbers and of the states at the start of a run, by variable."""
        found = {**self.rule.constants, **self.rule.initial, SHARE: 1.0 / self.plan.patterns}
        for name in self.rule.reset:
            found[f"{FIRST}{name}"] = self.rule.initial[name]
        return found | dict.fromkeys(self.rule.modulators, 0.0)

    @property
    def states(self) -> tuple[str, ...]:
        """Variables of each synapse beside `w`."""
        return self.rule.own_variables

    @property
    def transient(self) -> tuple[str, ...]:
        """Arrays of each synapse that every step writes before it reads them."""
        places: dict[str, None] = {}
        for move in self.split.moves:
            if move.direct is not None:
                places |= {at(*read): None for read in self.reads(move.direct)}
        return (*self.split.arrays, *places)

    def reads(self, direct: Direct) -> tuple[tuple[str, str], ...]:
        """Return the variables of the two ends that a sum reads at every synapse."""
        return (*direct.read, (SAMPLE_WEIGHT, POST)) if self.plan.weighted else direct.read

    @property
    def sums(self) -> tuple[Sum, ...]:
        """The sums of products, with factors as arrays of the populations."""
        known: dict[tuple[str, str], Factor] = {}
        found = []
        for product in self.split.products:
            factors: list[Factor | None] = []
            for end, text in ((POST, product.post), (PRE, product.pre)):
                if not text and not (end == POST and self.plan.weighted):
                    factors.append(None)
                    continue
                if (end, text) not in known:
                    known[end, text] = self._factor(end, text, len(known))
                factors.append(known[end, text])
            found.append(Sum(product.array, *factors))
        return tuple(found)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Factors that a step has to evaluate into arrays of their own."""
        found: dict[str, Factor] = {}
        for one in self.sums:
            for factor in (one.post, one.pre):
                if factor is not None and factor.expression:
                    found[factor.array] = factor
        return tuple(found.values())

    def _factor(self, end: str, text: str, number: int) -> Factor:
        population = self.ends[end]
        if end == POST and self.plan.weighted:
            return self._weighted_factor(population, text, number)
        match = OF_UNIT.fullmatch(text)
        if match:
            variable = self.variable(match[1], end)
            if self.plan.variables(population)[variable]:  # an array
                return Factor(population, variable, "")
        return Factor(population, f"{FACTOR}{number}_{self.group}", self.at_population(text))

    def _weighted_factor(self, population: str, text: str, number: int) -> Factor:
        """Return f times the weight of each pattern."""
        if not text:
            return Factor(population, SAMPLE_WEIGHT, "")
        expression = f"{SAMPLE_WEIGHT}*({self.at_population(text)})"
        return Factor(population, f"{FACTOR}{number}_{self.group}", expression)

    def at_population(self, text: str) -> str:
        """Return an expression in one end's variables, with the names of its population."""

        def name(match: re.Match[str]) -> str:
            unit = OF_UNIT.fullmatch(match[0])
            if unit:
                return self.variable(unit[1], unit[2])
            return f"{PARAMETER}{match[0]}" if match[0] in self.rule.constants else match[0]

        return re.sub(r"\b[A-Za-z]\w*", name, text)

    def steps(self, gate_is_open: bool) -> tuple[Step, ...]:
        """Return one step of the variables that may move, from sums over patterns.

        z += h rate + sqrt(h) noise N(0, 1); the decay l2 of the network's penalties acts on `w`.
        """
        found: list[Step] = []
        statements: list[Statement] = []
        for move in self.split.moves:
            if not self._moves(move.variable, gate_is_open):
                continue
            rate = move.rate
            if move.variable == WEIGHT:
                rate = f"{rate} - l2*w/tau_w"
            text = f"{move.variable} + {LENGTH}*({rate})"
            if move.noise:
                text += f" + sqrt({LENGTH})*({move.noise})*{XI}"
            if move.direct is not None:
                found.append(Step(None, tuple(statements)))
                found.append(Step(move.direct, ()))
                statements = []
            statements.append((move.variable, _in_steps(text)))
        for variable, expression in self.split.after:
            if self._moves(variable, gate_is_open):
                statements.append((variable, _in_steps(expression)))
        found.append(Step(None, tuple(statements)))
        return tuple(step for step in found if step.direct is not None or step.statements)

    def _moves(self, variable: str, gate_is_open: bool) -> bool:
        return gate_is_open or variable not in self.rule.gated

    def summed(self, direct: Direct) -> Statement:
        """Return the statement that adds one pattern to a sum that does not separate."""
        summand = _in_steps(direct.expression)
        if self.plan.weighted:
            summand = f"{at(SAMPLE_WEIGHT, POST)}*({summand})"
        return direct.array, f"{direct.array} + {summand}"


def _in_steps(text: str) -> str:
    """Return an expression with the length of a step in place of `dt`."""
    return re.sub(r"\bdt\b", LENGTH, text)


def rules_of(plan: Planned) -> dict[str, SynapseRule]:
    """Return the rules of a plan other than the built-in one, by Brian2 group."""
    found = {}
    net = plan.net
    for name, q in net.projections.items():
        if q.own_rule is not None and q.plastic:
            found[projection_group(name)] = SynapseRule(plan, q.own_rule, name)
    for name in net.neurons:
        p = net.populations[name]
        if p.own_bias_rule is not None and p.plastic_bias:
            found[bias_group(name)] = SynapseRule(plan, p.own_bias_rule, name)
    return found
