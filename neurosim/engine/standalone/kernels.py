"""The code objects of a program's step, from neurosim's templates. Start at `Kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import neurosim.engine.quiet  # noqa: F401

from brian2.core.variables import Variables
from brian2.devices.device import get_device
from brian2.groups.group import Group
from brian2.utils.stringtools import word_substitute

from neurosim.engine import brian, integrators
from neurosim.engine.groups import RECEIVE_ORDER, Groups, Synapses, arrays_by_pattern
from neurosim.engine.liveness import may_be_direct
from neurosim.engine.names import DECAYS, FIRST, TABLE_ARRAYS
from neurosim.engine.plan import moves_activity
from neurosim.engine.plasticity import PARAMETER, SynapseRule
from neurosim.engine.standalone.code import BlockCode, ProgramCode, StateCode
from neurosim.engine.standalone.rules import rule_block
from neurosim.engine.statements import (
    Statement,
    Text,
    abstract_code,
    adam,
    descended,
    stepped,
    suffixed,
)
from neurosim.errors import ModelError
from neurosim.model.methods import (
    ADAM,
    ADAPTIVE,
    EULER,
    RUNGE_KUTTA,
    SEMI_IMPLICIT,
    STAGED,
)
from neurosim.model.populations import PENALTIES
from neurosim.model.transport import BACKWARD, FORWARD

CLOCK = ("t", "dt", "t_in_timesteps")
OF_ADAM = ("force_w", "first_w", "second_w")
OF_FEEDBACK = ("back", "back_size")
OF_SPARSE = ("row", "col")
OF_PROGRAM = ("copy", "memory", *TABLE_ARRAYS)
OF_SYNAPSES = (
    "w",
    "tau_w",
    *PENALTIES,
    "lazy",
    "sign",
    *OF_SPARSE,
    *OF_FEEDBACK,
    *OF_ADAM,
    *OF_PROGRAM,
)


class Kernels(Group):  # type: ignore[misc]
    """Make a few code objects that together do the step of a program.

    Parameters
    ----------
    groups : Groups
    program : ProgramCode
    seeds : bool
        Whether each step seeds the random numbers that user-supplied objects draw.

    Attributes
    ----------
    last : list
        Code objects that are called once more after the last step.
    """

    add_to_magic_network = False

    def __init__(self, groups: Groups, program: ProgramCode, seeds: bool = False) -> None:
        super().__init__(name="transport", clock=groups.clock, when="groups")
        self.groups, self.plan = groups, groups.plan
        self.program = program
        self.last: list[Any] = []
        self.variables = Variables(self)
        self.variables.add_constant("N", 1)
        self.variables.create_clock_variables(self._clock)
        self._refer_to_everything()
        self._enable_group_attributes()
        if seeds:
            self._kernel("seed", "before_start", FIRST)
        if self.plan.presentation:
            self._kernel("present", "before_start", -20)
        self._add_messages()
        if self.plan.recorded:
            self._add_recording()
        self._add_step()
        self._kernel("finish", "end", 100)
        if _leaves_something(self.program):
            self.last.append(self._kernel("save", "end", 101))

    def before_run(self, run_namespace: Any = None) -> None:
        """Prepare nothing."""

    def _add_messages(self) -> None:
        """Add the kernels of messages; Brian2's thresholds run just before those of events."""
        blocks = Blocks(self)
        blocks.messages()
        if self.plan.event_sources:
            self._kernel("send_events_forward", "before_start", RECEIVE_ORDER[FORWARD], blocks)
            after = Blocks(self)
            after.weighted()
            self._kernel("send_events_backward", "before_start", RECEIVE_ORDER[BACKWARD], after)
        else:
            blocks.weighted()
            self._kernel("messages", "before_start", 0, blocks)

    def _add_recording(self) -> None:
        """Add the kernel of samples; it first evaluates recorded subexpressions into arrays."""
        copies = Blocks(self)
        for name in self.plan.net.populations:
            copies.add("copies", name, self.plan.sampled(name))
        if any(q.copy and q.learns_on_way_back for q in self.program.projections):
            self._kernel("copy_weights", "before_start", -10)
        self.last.append(self._kernel("record", "start", -20, copies))

    def _add_step(self) -> None:
        """Add the kernel that moves states and weights by the integration method."""
        method, blocks = self.plan.method, Blocks(self)
        if method in STAGED:
            blocks.messages(stages=True)
            blocks.weighted()
            blocks.rates(stages=True)
            own = {"states": self._states()}
            if method == ADAPTIVE:
                self._kernel("adaptive", "groups", 0, blocks, **own, **_dormand_prince())
            else:
                nodes, weights = integrators.TABLEAUS[method]
                self._kernel(
                    "runge_kutta", "groups", 0, blocks, **own, nodes=nodes, weights=weights
                )
        elif method == ADAM:
            blocks.descents()
            memories = zip(DECAYS, integrators.ADAM[:2], strict=True)
            self._kernel("adam", "groups", 0, blocks, decays=dict(memories))
        else:
            blocks.rules()
            blocks.updates()
            self._kernel("update", "groups", 0, blocks)

    def _kernel(
        self, template: str, when: str, order: int, blocks: Blocks | None = None, **more: Any
    ) -> Any:
        """Add the code object of a template, which reads the program, the blocks and `more`."""
        given = {"array": self._array_name, "blocks": (), **vars(self.program), **more}
        given["of_patterns"] = self._of_patterns()
        code: dict[str, str] = {}
        if blocks is not None:
            given["blocks"], code = blocks.found, blocks.code
        kernel = brian.Kernel(self, template, when=when, order=order, code=code or "", **given)
        self.contained_objects.append(kernel)
        return kernel

    def _array_name(self, name: str) -> str:
        """Return the C++ name of a variable's array."""
        return str(get_device().get_array_name(self.variables[name]))

    def _refer_to_everything(self) -> None:
        """Add a reference to every variable that a template may read to this group."""
        groups = self.groups
        for name, group in groups.populations.items():
            for variable, found in group.variables.items():
                if variable not in CLOCK and not hasattr(found, "expr"):
                    self._refer(f"{variable}_{name}", group, variable)
        for synapses in groups.synapses.values():
            for variable in OF_SYNAPSES:
                if variable in synapses.variables:
                    self._refer(f"{variable}_{synapses.name}", synapses, variable)
            self._refer_to_rule(synapses)
        for name, biases in groups.biases.items():
            self._refer_to_biases(name, biases)
        for variable in groups.counters.variables:
            if variable not in (*CLOCK, "N"):
                self._refer(variable, groups.counters, variable)

    def _refer_to_biases(self, population: str, biases: Group) -> None:
        self._refer(f"b_{population}", biases, "w")
        self._refer(f"tau_w_{biases.name}", biases, "tau_w")
        more: tuple[str, ...] = ()
        if self.plan.method == ADAM:
            more = ("w", "l2", *OF_ADAM)
        elif biases.name in self.plan.rules:
            more = ("w", "l2")
        for variable in more:
            self._refer(f"{variable}_{biases.name}", biases, variable)
        self._refer_to_rule(biases)

    def _refer_to_rule(self, synapses: Group) -> None:
        rule = self.plan.rules.get(synapses.name)
        if rule is not None:
            draws = [draw.array for draw in rule.draws]
            for variable in (*rule.states, *rule.transient, *rule.scalars, *draws):
                self._refer(f"{variable}_{synapses.name}", synapses, variable)

    def _refer(self, name: str, group: Group, variable: str) -> None:
        if name in self.variables:
            raise ModelError(
                f"names of populations and variables lead to a duplicate name {name!r}; "
                "rename a population"
            )
        self.variables.add_reference(name, group, variable)

    def _of_patterns(self) -> list[tuple[str, int]]:
        """Return the arrays with a row for each pattern, and its numbers in them."""
        found = []
        for name, group in self.groups.populations.items() if self.plan.settles_each else ():
            units = self.plan.net.populations[name].size
            for variable in arrays_by_pattern(group):
                found.append((f"{variable}_{name}", units))
        return found

    def _states(self) -> list[StateCode]:
        """List the state variables that a method with stages keeps copies of."""
        sizes: list[dict[str, Any]] = []
        numbers = {n: number for number, n in enumerate(self.plan.net.neurons, start=1)}
        for name, group in self.groups.populations.items():
            # Brian2 has an unordered set; sorted, a structure has one program in all processes
            for variable in sorted(group.equations.diff_eq_names):
                size = group.variables[variable].size
                own = {"n": size, "owner": numbers.get(name, 1)}
                sizes.append({"variable": f"{variable}_{name}", **own})
        if self.plan.method in RUNGE_KUTTA:
            sizes += self._weights_as_states()
        first = 10 * len(self.program.projections)
        return [StateCode(id=id, **given) for id, given in enumerate(sizes, start=first)]

    def _weights_as_states(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for q in self.program.projections:
            own = {"n": q.size, "projection": q}
            found.append({"variable": f"w_{q.name}", **own})
            if q.feedback_learns:
                found.append({"variable": f"back_{q.name}", **own})
        for p in self.program.populations:
            found.append({"variable": f"b_{p.name}", "n": p.n_biases, "biases_of": p})
        return found


def _leaves_something(program: ProgramCode) -> bool:
    """Return whether a process leaves a memory, late weights, or patterns out of order."""
    keeps = any(q.defers_changes or q.memory for q in program.projections)
    return keeps or program.settles_each


def _dormand_prince() -> dict[str, Any]:
    """Return the coefficients as the template `adaptive.cpp` reads them."""
    stages, nodes, errors = integrators.DORMAND_PRINCE
    share = integrators.SETTLING_SHARE
    return {"stages": stages, "nodes": nodes, "errors": errors, "share": share}


class Blocks:
    """Collect statements of all populations as blocks of Brian2's abstract code.

    Attributes
    ----------
    code : dict of str to str
        Abstract code, by block.
    found : list of BlockCode
        Descriptions of the blocks for the templates.
    """

    def __init__(self, kernels: Kernels) -> None:
        self.kernels, self.plan = kernels, kernels.plan
        self.code: dict[str, str] = {}
        self.found: list[BlockCode] = []

    def messages(self, stages: bool = False) -> None:
        """Add the messages of a step, or of a stage."""
        for name in self.plan.net.populations:
            text = self._text(name, stages)
            late = text.with_helpers([*text.late, *self.plan.sent(name, BACKWARD)])
            only_plastic = not self.plan.late_is_read(name)
            self.add("sent", name, self.plan.sent(name, FORWARD))
            self.add("early", name, text.with_helpers(text.early))
            self.add("late", name, late, only_plastic=only_plastic)

    def weighted(self) -> None:
        """Add the messages that plasticity reads with weights of patterns."""
        for name in self.plan.net.populations:
            self.add("weighted", name, self.plan.weighted_messages(name))

    def rates(self, stages: bool = False) -> None:
        """Add the right-hand sides, which are evaluated into arrays."""
        for name in self.plan.net.populations:
            text = self._text(name, stages)
            for part in self._split(name, text):
                rates = [(f"rate_{variable}", text.rates[variable]) for variable in part]
                self.add("rates", name, text.with_helpers(rates))

    def updates(self) -> None:
        """Add one explicit Euler step of every state variable, from the old values."""
        method, net = self.plan.method, self.plan.net
        if self.plan.settles:
            self.rates()
        for name in net.populations:
            text = self._text(name)
            leaks = self.plan.leaks(name)
            later: list[str] = []
            if method == SEMI_IMPLICIT and "lam" in text.rates:
                later = ["lam"]
            for part in self._split(name, text):
                now = [variable for variable in part if variable not in later]
                assigned, increments = stepped(text, now, leaks)
                if "x" in part:
                    increments += moves_activity(self.plan, name)
                self.add("update", name, in_place(assigned, increments))
            if method == EULER and text.rates and may_be_direct(self.plan, name):
                for variable in ("x", "lam"):
                    own = in_place(*stepped(text, [variable], leaks))
                    self.add(f"update_{variable}", name, own)
            if later:
                self.add("early", name, text.with_helpers(text.early))
                self.add("multipliers", name, in_place(*stepped(text, later, leaks)))

    def rules(self) -> None:
        """Add the factors and the steps of user-written learning rules."""
        for rule in self.plan.rules.values():
            self._add_factors(rule)
            group = self.kernels.groups.by_name[rule.group]
            for gate_is_open in (True, False):
                for number, step in enumerate(rule.steps(gate_is_open)):
                    statements = step.statements
                    if step.direct is not None:
                        statements = (rule.summed(step.direct),)
                    kind = rule_block(rule.group, gate_is_open, number)
                    self._block(kind, group, rule.group, statements, rule.size)

    def _add_factors(self, rule: SynapseRule) -> None:
        """Add the functions of both ends; parameters are those of the synapses."""
        parameters = {f"{PARAMETER}{name}": f"{name}_{rule.group}" for name in rule.rule.constants}
        for population in dict.fromkeys(factor.population for factor in rule.factors):
            own = []
            for factor in rule.factors:
                if factor.population == population:
                    own.append((factor.array, word_substitute(factor.expression, parameters)))
            text = self._text(population)
            self.add(f"factors_{rule.group}", population, text.with_helpers(own))

    def descents(self) -> None:
        """Add one Adam step of outputs and multipliers, then of weights and biases.

        Weights and biases move along `force_w`.
        """
        for name in self.plan.net.populations:
            text = self._text(name)
            if text.rates:
                self.add("update", name, in_place(*descended(text, list(text.rates))))
        groups = self.kernels.groups
        for group in (*groups.synapses.values(), *groups.biases.values()):
            self._add_weights(group)

    def _add_weights(self, group: Synapses) -> None:
        statements = in_place(*adam("w", "force_w - l2*w"))
        self._block("weights", group, group.name, statements, group.variables["w"].size)

    def add(
        self,
        kind: str,
        population: str,
        statements: Sequence[Statement],
        only_plastic: bool = False,
    ) -> None:
        """Add a block of one population, unless it is empty."""
        if not statements:
            return
        group = self.kernels.groups.populations[population]
        size = self.plan.patterns * self.plan.net.populations[population].size
        self._block(kind, group, population, statements, size, only_plastic)

    def _block(
        self,
        kind: str,
        group: Group,
        owner: str,
        statements: Sequence[Statement],
        size: int,
        only_plastic: bool = False,
    ) -> None:
        name = f"{kind}_{owner}_{len(self.code)}"
        own = [variable for variable in group.variables if variable not in CLOCK]
        self.code[name] = abstract_code(suffixed(statements, own, owner))
        self.found.append(
            BlockCode(kind=kind, name=name, owner=owner, n=size, only_plastic=only_plastic)
        )

    def _text(self, population: str, stages: bool = False) -> Text:
        text = self.plan.text(population)
        return text.at_stages() if stages else text

    def _split(self, population: str, text: Text) -> list[list[str]]:
        """Split the states into those of units and shared ones.

        The shared ones move last, as units read their old values.
        """
        variables = self.kernels.groups.populations[population].variables
        shared = [variable for variable in text.rates if variables[variable].scalar]
        of_units = [variable for variable in text.rates if variable not in shared]
        return [part for part in (of_units, shared) if part]


def in_place(assigned: Sequence[Statement], increments: Sequence[Statement]) -> list[Statement]:
    """Return the assignments, then statements that add each increment to its variable."""
    updates = [(variable, f"{variable} + {increment}") for variable, increment in increments]
    return [*assigned, *updates]
