"""Equations of a population taken apart for stepping: messages, rates and noise as statements.

Both backends step the same Brian2 `Equations`: one writes these statements into a C++ template, the
other turns them into NumPy calls. Below `plan` and both backends. Start at `take_apart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brian2 import Equations
from brian2.equations.equations import DIFFERENTIAL_EQUATION, SUBEXPRESSION
from brian2.utils.stringtools import get_identifiers, word_substitute

from neurosim.engine.integrators import ADAM
from neurosim.engine.names import LENGTH, MOMENT
from neurosim.errors import ModelError

Statement = tuple[str, str]  # what is assigned, and the expression
Statements = tuple[Statement, ...]
Step = tuple[list[Statement], list[Statement]]  # what is assigned first, then increments


@dataclass(frozen=True)
class Text:
    """The equations of one population, as statements in its variables.

    Attributes
    ----------
    early, late : tuple of Statement
        Messages, sent once per step. The early ones are functions of the net input `a` alone:
        while that stands still, so do they.
    helpers : tuple of Statement
        Other subexpressions.
    order : tuple of str
        All subexpressions, in an order in which they can be evaluated.
    rates : dict of str to str
        Right-hand side of every differential equation, without noise, 1/s.
    noise : dict of str to dict
        Factor of each white noise, by variable and by the name of the noise.
    """

    early: Statements
    late: Statements
    helpers: Statements
    order: tuple[str, ...]
    rates: dict[str, str]
    noise: dict[str, dict[str, str]]

    def with_helpers(self, statements: Iterable[Statement]) -> list[Statement]:
        """Return statements with the helpers that they read, each after what it reads."""
        own = dict(statements)
        helpers = dict(self.helpers)
        wanted: set[str] = set()
        for expression in own.values():
            wanted |= get_identifiers(expression)
        for name in reversed(self.order):
            if name in wanted and name in helpers:
                wanted |= get_identifiers(helpers[name])
        found: list[Statement] = []
        for name in self.order:
            if name in own:
                found.append((name, own.pop(name)))
            elif name in helpers and name in wanted:
                found.append((name, helpers[name]))
        return found + list(own.items())

    def reads(self, name: str) -> bool:
        """Return whether a helper or a rate reads a variable."""
        expressions = list(self.rates.values())
        expressions += [expression for _, expression in self.helpers]
        return any(name in get_identifiers(expression) for expression in expressions)

    def at_stages(self) -> Text:
        """Return the same with the time of a stage within a step in place of the clock's `t`."""
        rates = {name: _at_stage(expression) for name, expression in self.rates.items()}
        return Text(
            _all_at_stage(self.early),
            _all_at_stage(self.late),
            _all_at_stage(self.helpers),
            self.order,
            rates,
            self.noise,
        )


def _at_stage(expression: str) -> str:
    return str(word_substitute(expression, {"t": MOMENT}))


def _all_at_stage(statements: Statements) -> Statements:
    return tuple((name, _at_stage(expression)) for name, expression in statements)


def take_apart(text: str) -> Text:
    r"""Return the statements of a population's equations.

    Parameters
    ----------
    text : str
        The equations in Brian2's notation, as `Plan.equations` returns them.

    Raises
    ------
    ModelError
        Noise that is multiplied with a state, or a variable with a name of the engine.

    Examples
    --------
    >>> sigma = "sigma = tanh(a) : 1 (constant over dt)\na : 1\ntau : second"
    >>> text = take_apart(f"dx/dt = (sigma - x)/tau : 1\n{sigma}")
    >>> text.rates
    {'x': '(sigma - x)/tau'}
    >>> text.early
    (('sigma', 'tanh(a)'),)
    """
    equations = Equations(text)
    for name in {LENGTH, MOMENT} & set(equations):
        raise ModelError(
            f"an extension names a variable {name!r}, which is the engine's own; try another name"
        )
    if equations.stochastic_type == "multiplicative":
        noisy = ", ".join(e.varname for e in equations.values() if _is_noisy(e))
        raise ModelError(
            f"the noise of {noisy} is multiplied with a state; "
            "allowed in an extension: xi with a constant factor"
        )
    messages: list[Statement] = []
    helpers: list[Statement] = []
    order: list[str] = []
    rates: dict[str, str] = {}
    noise: dict[str, dict[str, str]] = {}
    for e in equations.ordered:
        name = e.varname
        if e.type == SUBEXPRESSION:
            own = messages if "constant over dt" in e.flags else helpers
            own.append((name, str(e.expr)))
            order.append(name)
        elif e.type == DIFFERENTIAL_EQUATION:
            rates[name], noise[name] = _drift_and_noise(e)
    early, late = _by_what_they_read(messages, dict(helpers), equations)
    return Text(early, late, tuple(helpers), tuple(order), rates, noise)


def _is_noisy(equation: Any) -> bool:
    return equation.type == DIFFERENTIAL_EQUATION and bool(equation.expr.stochastic_variables)


def _drift_and_noise(equation: Any) -> tuple[str, dict[str, str]]:
    """Return a right-hand side without noise, and the factors of its noises."""
    if not _is_noisy(equation):
        return str(equation.expr), {}
    drift, factors = equation.expr.split_stochastic()
    noise = {xi: str(factor) for xi, factor in factors.items()}
    return ("0" if drift is None else str(drift)), noise


def _by_what_they_read(
    messages: Iterable[Statement], helpers: Mapping[str, str], equations: Equations
) -> tuple[Statements, Statements]:
    """Return messages that read the net input and shared variables alone, and the others."""
    still = {"a"}
    still |= {e.varname for e in equations.values() if "shared" in e.flags}
    early = []
    late = []
    for name, expression in messages:
        read = _all_identifiers(expression, helpers) & set(equations)
        if read <= still and "t" not in get_identifiers(expression):
            early.append((name, expression))
            still.add(name)
        else:
            late.append((name, expression))
    return tuple(early), tuple(late)


def _all_identifiers(expression: str, helpers: Mapping[str, str]) -> set[str]:
    """Return the names that an expression reads, through helpers too."""
    found: set[str] = set()
    waiting = [expression]
    while waiting:
        for name in get_identifiers(waiting.pop()) - found:
            found.add(name)
            if name in helpers:
                waiting.append(helpers[name])
    return found - set(helpers)


def suffixed(statements: Iterable[Statement], own: Iterable[str], suffix: str) -> list[Statement]:
    """Return statements with a suffix on the population's own names.

    Examples
    --------
    >>> suffixed([("x", "x + h*g")], ["x", "g"], "hidden1")
    [('x_hidden1', 'x_hidden1 + h*g_hidden1')]
    """
    statements = list(statements)
    names = set(own)
    names |= {target for target, _ in statements}
    change = {name: f"{name}_{suffix}" for name in names}
    found = []
    for target, expression in statements:
        found.append((change[target], word_substitute(expression, change)))
    return found


def abstract_code(statements: Iterable[Statement]) -> str:
    """Return statements as Brian2's code generation reads them."""
    lines = [f"{target} = {expression}" for target, expression in statements]
    return "\n".join(lines)


def stepped(text: Text, variables: Sequence[str], leaks: Mapping[str, str]) -> Step:
    """Return one explicit Euler step of some variables.

    Parameters
    ----------
    text : Text
    variables : sequence of str
    leaks : dict of str to str
        Leak of a variable, 1/s. The step is exact in it: exponential Euler.

    Returns
    -------
    assigned, increments : list of Statement
        What is assigned first, and the increment of each variable.
    """
    wanted = [(f"_rate_{v}", text.rates[v]) for v in variables]
    lengths = dict.fromkeys(variables, LENGTH)
    for v in variables:
        if v in leaks:
            leak = leaks[v]
            lengths[v] = f"_reach_{v}"
            wanted.append((lengths[v], f"{LENGTH}*exprel(-{LENGTH}*({leak}))"))
    noises: set[str] = set()
    increments = []
    for v in variables:
        length = lengths[v]
        terms = [f"{length}*_rate_{v}"]
        for xi, factor in text.noise[v].items():
            noises.add(xi)
            terms.append(f"({factor})*{xi}")
        increments.append((v, " + ".join(terms)))
    assigned = text.with_helpers(wanted)
    for xi in sorted(noises):
        assigned.append((xi, f"sqrt({LENGTH})*randn()"))
    return assigned, increments


def descended(text: Text, variables: Sequence[str]) -> Step:
    """Return one step of Adam of some variables along tau dz/dt; values as in `stepped`."""
    rates = [(f"_rate_{v}", text.rates[v]) for v in variables]
    assigned = text.with_helpers(rates)
    increments: list[Statement] = []
    for v in variables:
        before, after = adam(v, f"tau_{v}*_rate_{v}")
        assigned += before
        increments += after
    return assigned, increments


def adam(v: str, force: str) -> Step:
    """Return one step of Adam of the variable `v` along a force, by dt/tau_v.

    Returns
    -------
    assigned, increments : list of Statement

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """
    beta_1, beta_2, floor = ADAM
    new_1 = 1 - beta_1
    new_2 = 1 - beta_2
    assigned = [
        (f"push_{v}", force),
        (f"mean_{v}", f"{beta_1!r}*first_{v} + {new_1!r}*push_{v}"),
        (f"square_{v}", f"{beta_2!r}*second_{v} + {new_2!r}*push_{v}*push_{v}"),
    ]
    direction = f"(mean_{v}/(1 - first_lacks))/(sqrt(square_{v}/(1 - second_lacks)) + {floor!r})"
    increments = [
        (v, f"{LENGTH}/tau_{v}*{direction}"),
        (f"first_{v}", f"mean_{v} - first_{v}"),
        (f"second_{v}", f"square_{v} - second_{v}"),
    ]
    return assigned, increments
