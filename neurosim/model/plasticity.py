"""Plasticity: a local learning rule, written as lines of equations.

The text is checked by the small grammar of `formulas` and never evaluated. Above `formulas`, below
`populations`; `equations.plasticity` splits the text into products. Start at `Plasticity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from neurosim.errors import ModelError, out_of_range, shown, unknown
from neurosim.model import dimensions, formulas, rule_text
from neurosim.model.rule_text import (
    ASSIGNMENT,
    DECLARATION,
    DEFINITION,
    EQUATION,
    FUNCTIONS,
    NOISE,
    OF_UNIT,
    RANDOM,
    TIMES,
    WEIGHT,
)
from neurosim.model.values import ByValue

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True)
class Equation:
    """One differential equation dz/dt = rate + noise xi.

    Attributes
    ----------
    variable : str
    rate, noise : sympy.Expr
        In 1/s and in 1/sqrt(s).
    """

    variable: str
    rate: sympy.Expr
    noise: sympy.Expr


@dataclass(frozen=True, eq=False, init=False)
class Plasticity(ByValue):
    """A learning rule of the synapses of a projection, or of the biases of a population.

    Parameters
    ----------
    *equations : str
        Lines such as ``"dw/dt = (e - decay*w)/tau_w : 1"``, all of dimension 1. A line without
        d/dt, such as ``"h = x_post - 0.5 : 1"``, names an expression for the lines below. Equations
        step in the order written; each reads what earlier ones wrote.
    parameters : dict of str to number, time or rate
        Shared parameters such as ``{"tau_e": 50*ms}``; a name of a variable gives its initial
        value, else 0.
    modulators : sequence of str
        Numbers broadcast to all synapses, such as a reward; `Simulation.train` and
        `Simulation.stream` take their values.
    after : str
        Assignments after each step, separated by ``;``, such as ``"w = max(w, 0)"``. They read the
        synapse's variables, parameters, modulators and ``dt``, not the two ends, and may use
        ``rand()`` (uniform from 0 to 1) and ``randn()`` (normal); each call is a new number.
    gated : sequence of str
        Variables that are frozen while the gate of a schedule is closed (`plastic_from`).
    reset : sequence of str
        Variables that start anew at each presentation.

    Raises
    ------
    ModelError
        Text that is not a plain formula, a name that a synapse cannot read, or units that do not
        fit.

    Notes
    -----
    Readable are `w` and the rule's own variables; every variable of the two ends, with `_pre` and
    `_post`: `x_pre`, `delta_post`, `lam_post`, `mu_post`, `g_post`, `a_post`, `sigma_post`,
    `dsigma_post`, and what an `Extension` declares; the time `t`, the step `dt`, `tau_w`;
    parameters and modulators. So a rule is local by construction. `x_pre` and `delta_post` are the
    messages as the synapse receives them. Functions are those of activations, and ``floor``,
    without comparisons (``floor(rand() + p)`` is 1 with probability p). ``xi`` is white noise, one
    number per synapse and step, the same in all lines.

    Weights are shared by the patterns of a batch: a right-hand side is evaluated for each pattern
    and averaged, so ``abs(delta_post*x_pre)`` is a mean of absolute values. To read the step that a
    weight took, keep its old value: ``after="moved = moved + abs(w - old); old = w"``.

    Examples
    --------
    >>> from brian2 import ms
    >>> rule = Plasticity(
    ...     "dw/dt = (e - decay*w)/tau_w : 1",
    ...     "de/dt = (delta_post*x_pre - e)/tau_e : 1",
    ...     parameters={"tau_e": 50*ms, "decay": 1e-3},
    ... )
    >>> rule.variables
    ('w', 'e')
    """

    equations: tuple[str, ...] = ()
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    modulators: tuple[str, ...] = ()
    after: str = ""
    gated: tuple[str, ...] = (WEIGHT,)
    reset: tuple[str, ...] = ()

    def __init__(
        self,
        *equations: str,
        parameters: Mapping[str, Any] | None = None,
        modulators: Iterable[str] = (),
        after: str = "",
        gated: Iterable[str] = (WEIGHT,),
        reset: Iterable[str] = (),
    ) -> None:
        given: dict[str, Any] = {
            "equations": rule_text.lines("equations", equations),
            "modulators": rule_text.names("modulators", modulators),
            "gated": rule_text.names("gated", gated),
            "reset": rule_text.names("reset", reset),
        }
        for key, value in given.items():
            object.__setattr__(self, key, value)
        if not isinstance(after, str) or not after.isascii():
            raise out_of_range("after", after, "ASCII text such as 'w = max(w, 0)'")
        object.__setattr__(self, "after", "; ".join(rule_text.parts(after)))
        object.__setattr__(self, "parameters", rule_text.parameters_of(parameters))
        self._check()

    # --- names

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Variables of each synapse: `w`, then the rule's own in the order of their equations."""
        found = [WEIGHT]
        for line in self.equations:
            match = EQUATION.fullmatch(line) or DECLARATION.fullmatch(line)
            if match and match[1] not in found:
                found.append(match[1])
        return tuple(found)

    @property
    def own_variables(self) -> tuple[str, ...]:
        """Variables of each synapse other than `w`."""
        return self.variables[1:]

    @cached_property
    def constants(self) -> dict[str, float]:
        """Values of the shared parameters, in SI units."""
        found = {}
        for name, given in self.parameters.items():
            if name not in self.variables:
                found[name] = dimensions.quantity(name, given).value
        return found

    @cached_property
    def initial(self) -> dict[str, float]:
        """Initial values of the rule's own variables."""
        values = dict.fromkeys(self.own_variables, 0.0)
        for name in self.own_variables:
            if name in self.parameters:
                values[name] = dimensions.quantity(name, self.parameters[name]).value
        return values

    @cached_property
    def ends_read(self) -> frozenset[tuple[str, str]]:
        """Variables of the two ends that the rule reads, as (name, "pre" or "post")."""
        found = set()
        for match in OF_UNIT.finditer(" ".join((*self.equations, self.after))):
            found.add((match[1], match[2]))
        return frozenset(found)

    @property
    def is_random(self) -> bool:
        """Whether synapses draw random numbers."""
        text = " ".join((*self.equations, self.after))
        return bool(RANDOM.search(text)) or re.search(rf"\b{NOISE}\b", text) is not None

    @property
    def runs_ungated(self) -> bool:
        """Whether any variable moves while the gate is closed."""
        return any(name not in self.gated for name in self.own_variables)

    # --- expressions

    @cached_property
    def flow(self) -> tuple[Equation, ...]:
        """The differential equations in their order, parsed, with named expressions put in."""
        found = []
        for variable, formula in self._parsed:
            rate, noise = _without_noise(variable, formula)
            found.append(Equation(variable, rate, noise))
        return tuple(found)

    @cached_property
    def assignments(self) -> tuple[tuple[str, sympy.Expr], ...]:
        """The assignments after a step: variable and expression; draws are symbols.

        The symbol ``rand_1`` stands for the first call of ``rand()``, ``randn_2`` for a second
        call, of ``randn()``.
        """
        found = []
        draws = 0
        for line in rule_text.parts(self.after):
            match = ASSIGNMENT.fullmatch(line)
            if match is None or match[1] not in self.variables:
                allowed = f"assignments to {', '.join(self.variables)}, such as 'w = max(w, 0)'"
                hint = "w = w + 0.1" if re.search(r"[-+*/]=", line) else ""
                raise out_of_range("after", line, allowed, hint)
            expression = match[2].strip()
            names = []
            while call := RANDOM.search(expression):
                draws += 1
                names.append(f"{call[1]}_{draws}")
                expression = f"{expression[: call.start()]}{names[-1]}{expression[call.end() :]}"
            readable = (*self.variables, *self._shared, *names)
            self._check_names(line, expression, readable, ends=False)
            try:
                formula = formulas.parse(expression, readable, f"after of {match[1]}", FUNCTIONS)
            except ModelError as error:  # with the calls as they were written
                text = re.sub(r"\b(randn?)_\d+\b", r"\1()", str(error))
                raise ModelError(f"{text}, rand(), randn()") from error
            powers = self._powers | dict.fromkeys(names, 0)
            dimensions.check(f"after = {line!r}", expression, powers, 0)
            found.append((match[1], formula))
        return tuple(found)

    @cached_property
    def gradient_decay(self) -> float | None:
        """Decay c if the rule is dw/dt = (delta_post x_pre - c w)/tau_w, the built-in one; or None.

        Then the engine's own steps of plasticity apply.
        """
        import sympy

        is_plain = self.variables == (WEIGHT,) and not self.after and self.gated == (WEIGHT,)
        if not is_plain or len(self.flow) != 1 or self.is_random or self.reset:
            return None
        symbol = {name: sympy.Symbol(name, real=True) for name in ("tau_w", "w")}
        message = sympy.Symbol("delta_post", real=True) * sympy.Symbol("x_pre", real=True)
        rest = sympy.expand(self.flow[0].rate * symbol["tau_w"] - message)
        decay = sympy.expand(-rest / symbol["w"])
        if not {str(name) for name in decay.free_symbols} <= set(self.constants):
            return None
        values = {sympy.Symbol(name, real=True): own for name, own in self.constants.items()}
        value = float(decay.subs(values))
        return value if value >= 0 else None

    # --- checks

    @property
    def _shared(self) -> tuple[str, ...]:
        return (*self.constants, *self.modulators, *TIMES)

    @cached_property
    def _powers(self) -> dict[str, int]:
        """Power of the second of every name that is not of a unit."""
        found = dict.fromkeys((*self.variables, *self.modulators), 0) | TIMES
        for name in self.constants:
            found[name] = dimensions.quantity(name, self.parameters[name]).power
        return found

    @cached_property
    def _parsed(self) -> tuple[tuple[str, sympy.Expr], ...]:
        """Variable and right-hand side of every differential equation."""
        import sympy

        named: dict[str, sympy.Expr] = {}
        found = []
        for line in self.equations:
            if DECLARATION.fullmatch(line):
                continue
            equation, definition = EQUATION.fullmatch(line), DEFINITION.fullmatch(line)
            match = equation or definition
            assert match is not None
            variable, expression = match[1], match[2].strip()
            of_units = [f"{name}_{end}" for name, end in sorted(self.ends_read)]
            readable = [*self.variables, *self._shared, *of_units, *named]
            if equation:
                readable.append(NOISE)
            self._check_names(line, expression, readable, ends=True)
            formula = formulas.parse(
                expression, readable, line.partition("=")[0].strip(), FUNCTIONS
            )
            powers = self._powers | dict.fromkeys([*of_units, *named], 0)
            dimensions.check(f"{line!r}", expression, powers, -1 if equation else 0)
            values = {sympy.Symbol(name, real=True): own for name, own in named.items()}
            formula = formula.subs(values)
            if equation:
                found.append((variable, formula))
            else:
                rule_text.check_new(variable, (*self.variables, *self._shared, *named))
                named[variable] = formula
        return tuple(found)

    def _check_names(
        self, line: str, expression: str, readable: Iterable[str], *, ends: bool
    ) -> None:
        """Refuse a name that no synapse can read, with what it can."""
        called = set(re.findall(r"([A-Za-z_]\w*)\s*\(", expression))
        for name in re.findall(r"\b[A-Za-z_]\w*", expression):
            is_of_unit = ends and OF_UNIT.fullmatch(name)
            if name not in readable and name not in called and not is_of_unit:
                raise rule_text.unreadable(line, name, readable, ends=ends)

    def _check(self) -> None:
        if not self.equations and not self.after:
            raise ModelError("a rule has no equations; allowed: lines such as 'dw/dt = ... : 1'")
        for line in self.equations:
            if not any(form.fullmatch(line) for form in (EQUATION, DEFINITION, DECLARATION)):
                allowed = "'dw/dt = ... : 1', 'name = ... : 1', or 'name : 1'"
                raise out_of_range("equation", line, allowed, "one on each line")
        declared = [
            EQUATION.fullmatch(line) or DECLARATION.fullmatch(line) for line in self.equations
        ]
        several = [match[1] for match in declared if match]
        for name in several:
            if several.count(name) > 1:
                raise ModelError(f"{name} is given twice in a rule; allowed: one line for each")
        taken: list[str] = []
        for name in (*self.own_variables, *self.modulators, *self.parameters):
            if name not in self.own_variables or name not in taken:
                rule_text.check_new(name, taken)
            taken.append(name)
        for key in ("gated", "reset"):
            for name in getattr(self, key):
                if name not in self.variables:
                    raise unknown(key, name, self.variables)
        if WEIGHT in self.reset:
            raise out_of_range("reset", WEIGHT, "variables of the rule other than w")
        moved = {equation.variable for equation in self.flow}
        moved |= {name for name, _ in self.assignments}
        if WEIGHT not in moved:
            raise ModelError(
                f"{self.equations} leave w as it is; allowed: an equation dw/dt = ... : 1, or "
                "after='w = ...'"
            )
        self._check_all_read()

    def _check_all_read(self) -> None:
        """Refuse a parameter or a modulator that nothing reads."""
        text = " ".join((*self.equations, self.after))
        for line in self.equations:
            match = DEFINITION.fullmatch(line)
            if match and len(re.findall(rf"\b{match[1]}\b", text)) < 2:
                raise ModelError(
                    f"{shown(line)} is read by no line of the rule; allowed: expressions that are"
                )
        for key, names in (("parameters", self.constants), ("modulators", self.modulators)):
            for name in names:
                if not re.search(rf"\b{name}\b", text):
                    raise ModelError(
                        f"{key} = {name!r} is read by no line of the rule; allowed: names that are"
                    )

    def __repr__(self) -> str:
        given = [repr(line) for line in self.equations]
        for key, default in (
            ("parameters", {}),
            ("modulators", ()),
            ("after", ""),
            ("gated", (WEIGHT,)),
            ("reset", ()),
        ):
            value = getattr(self, key)
            if value != default:
                given.append(f"{key}={value!r}")
        return f"Plasticity({', '.join(given)})"

    def describe(self) -> dict[str, Any]:
        """Return the arguments that are not default, as plain values for `from_description`."""
        found: dict[str, Any] = {"equations": list(self.equations)}
        if self.parameters:
            found["parameters"] = dict(self.parameters)
        for key in ("modulators", "reset"):
            if getattr(self, key):
                found[key] = list(getattr(self, key))
        if self.after:
            found["after"] = self.after
        if self.gated != (WEIGHT,):
            found["gated"] = list(self.gated)
        return found

    @classmethod
    def from_description(cls, given: Mapping[str, Any]) -> Plasticity:
        """Return the rule that `describe` described.

        Raises
        ------
        ModelError
            An unknown key, or a value that is not allowed.
        """
        allowed = ("equations", "parameters", "modulators", "after", "gated", "reset")
        for key in given:
            if key not in allowed:
                raise unknown("key of a rule", key, allowed)
        others = {key: value for key, value in given.items() if key != "equations"}
        lines = given.get("equations", ())
        return cls(*([lines] if isinstance(lines, str) else lines), **others)


def _without_noise(variable: str, formula: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    """Return the rate without white noise, and the factor of the noise.

    Raises
    ------
    ModelError
        The noise is not a term of the form factor*xi, or its factor reads the two ends.
    """
    import sympy

    xi = sympy.Symbol(NOISE, real=True)
    if xi not in formula.free_symbols:
        return formula, sympy.Integer(0)
    expanded = sympy.expand(formula)
    factor, rate = expanded.coeff(xi, 1), expanded.coeff(xi, 0)
    linear = sympy.expand(expanded - rate - factor * xi) == 0
    reads_ends = any(OF_UNIT.fullmatch(str(name)) for name in factor.free_symbols)
    if not linear or reads_ends:
        raise ModelError(
            f"d{variable}/dt has the noise {shown(str(factor))}*xi; allowed: a term factor*xi, "
            "whose factor reads the synapse's own variables and parameters"
        )
    return rate, factor
