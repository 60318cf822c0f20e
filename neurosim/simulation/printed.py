r"""Print the equations of a simulation: as text in Brian2's notation, and in LaTeX as in a paper.

The LaTeX is made from the equations that the engine uses. Above `equations_text`, below
`simulation`. Start at `Printed.latex`; a projection's own rule adds its lines in `_projection`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from neurosim.engine.plan import moves_activity
from neurosim.errors import yes_or_no
from neurosim.model import typeset
from neurosim.model.equations import lagrangian
from neurosim.model.equations.events import EventSource
from neurosim.model.plasticity import Plasticity
from neurosim.model.rule_text import EQUATION, RANDOM
from neurosim.model.transport import BACKWARD, FORWARD, Spikes
from neurosim.model.typeset import ATOM, PRODUCT, SUM, Names, Piece, upright
from neurosim.simulation.compatibility import Chosen
from neurosim.simulation.equations_text import equations_text, plan_of

Line = tuple[str, str]  # both sides of an equation; the first is empty in a title
CONSTANT = upright("const")
SYNAPTIC = frozenset({"tau_w", "plastic", "back_size"})  # what synapses of a projection share


class Printed:
    """The equations of a simulation in print; base of `Simulation`."""

    @property
    def equations(self: Any) -> str:
        """The ODEs of every population and projection, in Brian2's notation."""
        return equations_text(self)

    def latex(self: Any, values: bool = False) -> str:
        r"""Return all equations of the simulation in LaTeX, as a paper would print them.

        Parameters
        ----------
        values : bool
            Whether gains, time constants and other parameters are filled in. What every unit has of
            its own, such as weights, keeps its symbol.

        Returns
        -------
        str
            One environment ``aligned``: a title for every population and projection, and the
            equations that follow it. Unit i of a population reads unit j of another; c is a unit
            that reads it. ⟨ ⟩ is the mean over the patterns of a batch, [ ] is 1 where a condition
            holds and else 0, U and N are random numbers, uniform and normal, drawn at every step. p
            is 1 while weights are plastic, else 0; s is the sign of a unit under Dale's law.

        Raises
        ------
        ModelError
            An extension whose text Brian2 cannot read.

        Examples
        --------
        >>> import neurosim as ns
        >>> sim = ns.Simulation(ns.Network.mlp([2, 3, 1]), ns.Flow.augmented(rho=2))
        >>> lines = sim.latex().splitlines()
        >>> print(lines[4], lines[6], sep="\n")
        \mu_{i} &= \lambda_{i} + \rho\,g_{i} \\
        g_{i} &= x_{i} - \sigma_{i} \\
        >>> print(sim.latex(values=True).splitlines()[4])
        \mu_{i} &= \lambda_{i} + 2\,g_{i} \\
        """
        return _aligned(_Equations(self, yes_or_no("values", values)).lines())

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"


def _aligned(lines: Iterable[Line]) -> str:
    """Return lines as one environment that aligns them at the sign of equality."""
    rows = []
    for left, right in lines:
        rows.append(f"{left} &= {right}" if left else f"&{right}")
    inner = " \\\\\n".join(rows)
    return f"\\begin{{aligned}}\n{inner}\n\\end{{aligned}}"


class _Equations:
    """The lines of one simulation, with symbols or with values."""

    def __init__(self, chosen: Chosen, filled: bool) -> None:
        self.chosen, self.filled = chosen, filled
        self.plan = plan_of(chosen, learns=True)
        self.net, self.flow = chosen.net, chosen.flow

    def lines(self) -> Iterator[Line]:
        """Yield the lines of all populations, then of all projections."""
        for name in self.net.populations:
            own = list(self._population(name))
            if own:
                yield "", upright(f"{name}: {self.net.populations[name].size} units")
                yield from own
        for name in self.net.projections:
            pre, _, post = name.partition("->")
            yield "", rf"{upright(pre)}\rightarrow {upright(post)}"
            yield from self._projection(name)

    # --- populations

    def _population(self, name: str) -> Iterator[Line]:
        declared = self._declared(name)
        names = self._names(name, declared)
        clamped = self.net.populations[name].clamped
        for equation in declared.values():
            if equation.type == "differential equation":
                yield typeset.differential(equation.varname, str(equation.expr), names)
            elif equation.type == "subexpression":
                yield typeset.equation(equation.varname, str(equation.expr), names)
        if "rho_lam" in declared and not self.filled:
            yield typeset.equation("rho_lam", lagrangian.RHO_LAM, names)
        if not clamped:
            yield names("a")[0], self._net_input(name)
            yield from self._sums(name, names)
        yield from self._messages(name, names)
        if not clamped:
            yield from self._biases(name)

    def _declared(self, name: str) -> Any:
        """Return the equations of a population as Brian2 reads them."""
        from neurosim.engine.quiet import equations

        self.plan.check_texts()
        return equations(self.plan.equations(name))

    def _names(self, name: str, declared: Any) -> Names:
        shared = [e.varname for e in declared.values() if "shared" in e.flags]
        own: dict[str, Piece] = _units(declared)
        values: dict[str, float | str] = {}
        if self.filled:
            for variable, value in self._numbers(name).items():
                if variable in declared and declared[variable].type == "parameter":
                    values[variable] = _printed_value(value, declared[variable].dim)
        if terms := self._feedback(name):
            own["feedback"] = " + ".join(terms), PRODUCT if len(terms) == 1 else SUM
        else:
            values["feedback"] = 0.0  # nothing reads the population
        return Names("i", frozenset(shared), values, own)

    def _numbers(self, name: str) -> dict[str, Any]:
        """Return the parameters of a population that are single numbers, by name."""
        plan, imperfections = self.plan, self.chosen.imperfections
        clamped = self.net.populations[name].clamped
        found: dict[str, Any] = {} if clamped else self._shared(name)
        if imperfections.own_times:
            found = {key: value for key, value in found.items() if key not in lagrangian.TIMES}
        for source in plan.sources_of(name):
            found |= source.constants(self.flow, plan.dt)
            found.pop("activity", None)  # a state, of which this is the start
        found |= imperfections.constants(clamped)
        for extension in self.chosen.extensions:
            if extension.population == name:
                found |= extension.parameters
        return {key: value for key, value in found.items() if np.size(value) == 1}

    def _shared(self, name: str) -> dict[str, float]:
        return lagrangian.shared(self.net, self.flow, name, self.plan.dt)

    def _net_input(self, name: str) -> str:
        """Return b + W x, a sum for every projection onto a population."""
        terms = [typeset.symbol("b", "i")[0]]
        for q in self.net.incoming(name):
            x = typeset.symbol(self.plan.received(q.name, FORWARD), "j")[0]
            terms.append(rf"\sum_{{j\in {upright(q.pre)}}} w_{{ij}}\,{x}")
        return " + ".join(terms)

    def _feedback(self, name: str) -> list[str]:
        """Return the terms of B delta, a sum for every projection from a population."""
        terms = []
        for q in self.net.outgoing(name):
            weight = "w_{ci}" if self.plan.back(q.name) == "w" else "B_{ic}"
            delta = typeset.symbol(self.plan.received(q.name, BACKWARD), "c")[0]
            terms.append(rf"\sum_{{c\in {upright(q.post)}}} {weight}\,{delta}")
        return terms

    def _sums(self, name: str, names: Names) -> Iterator[Line]:
        """Yield the sums over a population that its loss reads."""
        if name in self.plan.partitions:
            yield names("log_partition")[0], r"\log \sum_{j} e^{x_{j}}"
        if name in self.plan.totals:
            yield names("y_total")[0], r"\sum_{j} y_{j}"

    def _messages(self, name: str, names: Names) -> Iterator[Line]:
        """Yield how the messages of a population differ from x and delta."""
        plan = self.plan
        if not self.net.populations[name].clamped:
            rates = {variable: f"_rate_{variable}" for variable in ("x", "lam")}
            for direction in (FORWARD, BACKWARD):
                for target, text in self.chosen.imperfections.sent(direction, rates):
                    left, right = typeset.equation(target, text, names)
                    yield _assigned(left, right) if left in right else (left, right)
        for population, line, steps in plan.lines:
            if population == name:
                yield self._delayed(line, steps, names)
        for source in plan.sources_of(name):
            yield from _events(source, names)
        for target, text in moves_activity(plan, name):
            left, right = typeset.equation(target, f"{target} + ({text})", names)
            yield rf"{left}\left(t + \Delta t\right)", right

    def _delayed(self, line: str, steps: int, names: Names) -> Line:
        """Return the message that a unit receives some steps after it was sent."""
        sent, received = (names(f"{word}_{line}")[0] for word in ("sent", "received"))
        delay = rf"{steps}\,\Delta t"
        if self.filled:
            delay = typeset.time(steps * self.plan.dt)
        return rf"{received}\left(t\right)", rf"{sent}\left(t - {delay}\right)"

    def _biases(self, name: str) -> Iterator[Line]:
        own = self.net.populations[name]
        if own.plastic_bias and own.own_bias_rule is not None:
            yield from self._rule(own.own_bias_rule, name, "i")
            return
        delta = self.plan.bias_plasticity_reads(name)
        text = lagrangian.bias(self.net.populations[name], delta)
        values = self._plasticity_values(name)
        yield from _declarations(text, Names("i", SYNAPTIC, values))

    # --- projections

    def _projection(self, name: str) -> Iterator[Line]:
        """Yield the equations of a projection's synapses; i is postsynaptic, j presynaptic."""
        q = self.net.projections[name]
        reads = [self.plan.plasticity_reads(name, v) for v in (FORWARD, BACKWARD)]
        values = self._plasticity_values(q.post)
        if self.filled and q.feedback_size is not None:
            values["back_size"] = q.feedback_size
        own = {"w_to_post": (r"w_{i\cdot}", ATOM), "w_from_pre": (r"w_{\cdot j}", ATOM)}
        own["back"] = "B_{ji}", ATOM
        names = Names("ij", SYNAPTIC, values, own)
        if q.plastic and q.own_rule is not None:
            yield from self._rule(q.own_rule, q.post, "ij")
        else:
            yield from _declarations(lagrangian.projection(q, *reads), names)
        for text in lagrangian.proximal_steps(q):
            left, right = typeset.equation("w", text, names)
            yield _assigned(left, right)
        if self.plan.dale and q.plastic:
            yield _assigned("w_{ij}", r"w_{ij}\,\left[w_{ij}\,s_{j} \geq 0\right]")

    def _rule(self, rule: Plasticity, post: str, index: str) -> Iterator[Line]:
        """Yield the lines of a user-written rule; angle brackets are the mean over patterns."""
        ends = {"post": "i", "pre": "j"}
        own = {}
        for variable, end in rule.ends_read:
            own[f"{variable}_{end}"] = typeset.symbol(variable, ends[end])
        if index == "i":
            own["x_pre"] = "1", ATOM  # biases are weights from a unit whose output is 1
        values = self._plasticity_values(post)
        for name, value in rule.constants.items() if self.filled else ():
            is_time = str(rule.parameters[name]).endswith(" s")
            values[name] = typeset.time(value) if is_time else value
        shared = SYNAPTIC | set(rule.constants) | set(rule.modulators) | {"t", "dt"}
        names = Names(index, frozenset(shared), values, own)
        differ = {f"{name}_{end}" for name, end in rule.ends_read}  # between patterns
        for line in rule.equations:
            left, _, right = line.rpartition(":")[0].partition("=")
            text = right.strip()
            if not text:
                continue
            reads = differ & set(re.findall(r"\w+", text))
            match = EQUATION.fullmatch(line)
            if match is not None and reads:
                text = f"mean({text})"
            if match is None:
                if reads:
                    differ.add(left.strip())
                yield typeset.equation(left.strip(), text, names)
            else:
                yield typeset.differential(match[1], text, names)
        for line in rule.after.split("; ") if rule.after else ():
            variable, _, right = line.partition("=")
            text = RANDOM.sub(r"\1_1_of_w", right)
            yield _assigned(*typeset.equation(variable.strip(), text, names))

    def _plasticity_values(self, post: str) -> dict[str, float | str]:
        if not self.filled:
            return {}
        return {"tau_w": typeset.time(self.flow.time("tau_w", post))}


def _declarations(text: str, names: Names) -> Iterator[Line]:
    """Yield the lines of equations of synapses or biases; text after "#" is left out."""
    for line in text.splitlines():
        statement = line.partition("#")[0].rpartition(":")[0]
        left, _, right = statement.partition("=")
        variable = left.strip()
        if not right:
            yield names(variable)[0], CONSTANT
        elif variable.endswith("/dt"):
            variable = variable.removesuffix("/dt").removeprefix("d")
            yield typeset.differential(variable, right, names)
        else:
            yield typeset.equation(variable, right, names)


def _events(source: EventSource, names: Names) -> Iterator[Line]:
    """Yield the update of the value last sent, and the condition under which a unit sends."""
    target = f"sent_{source.name}"
    now = source.variable
    if isinstance(source.rule, Spikes):
        now = f"{target} + theta_{source.name}*sign({source.variable} - {target})"
    left, right = typeset.equation(target, now, names)
    condition = typeset.expression(source.condition, names)
    yield _assigned(left, rf"{right}\quad {upright('if')}\quad {condition}")
    if source.silent:
        left, right = typeset.equation(f"ready_{source.name}", f"t + silence_{source.name}", names)
        yield _assigned(left, rf"{right}\quad {upright('then')}")


def _assigned(left: str, right: str) -> Line:
    return "", rf"{left} \leftarrow {right}"


def _units(declared: Any) -> dict[str, Piece]:
    """Return the units that equations name, such as ms, unless they declare such a variable."""
    from neurosim.engine.quiet import brian2

    found = {}
    for name in declared.identifiers - declared.names:
        unit = getattr(brian2, name, None)
        if isinstance(unit, brian2.Unit):
            found[name] = upright(str(unit)), ATOM
    return found


def _printed_value(value: Any, dimensions: Any) -> float | str:
    """Return a parameter as a number, or as LaTeX with its unit."""
    from neurosim.engine.quiet import brian2

    found = float(np.ravel(np.asarray(value))[0])
    if dimensions.is_dimensionless:
        return found
    if dimensions is brian2.second.dim:
        return typeset.time(found)
    unit = str(brian2.get_unit(dimensions))
    return rf"{typeset.number(found)[0]}\,{upright(unit)}"
