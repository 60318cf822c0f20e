"""Equations of a population taken apart for stepping: messages, rates and noise as statements.

Both backends step the same Brian2 `Equations`: one writes these statements into a C++ template, the
other turns them into NumPy calls. Below `plan` and both backends. Start at `take_apart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from neurosim.engine.quiet import equations as as_equations

from brian2 import Equations
from brian2.equations.equations import DIFFERENTIAL_EQUATION, SUBEXPRESSION
from brian2.utils.stringtools import get_identifiers, word_substitute

from neurosim.engine.draws import NORMAL, Draw, named
from neurosim.engine.integrators import ADAM
from neurosim.engine.names import LENGTH, MOMENT
from neurosim.errors import ModelError

Statement = tuple[str, str]  # target and expression
Statements = tuple[Statement, ...]
Step = tuple[list[Statement], list[Statement]]  # assignments, then increments
KEPT = 256  # texts whose statements are kept


@dataclass(frozen=True)
class Text:
    """The equations of one population, as statements in its variables.

    Attributes
    ----------
    early, late : tuple of Statement
        Messages, computed once per step. The early ones depend on the net input `a` and on shared
        variables alone, and so are constant while `a` is.
    helpers : tuple of Statement
        Other subexpressions.
    order : tuple of str
        All subexpressions, in an order in which they can be evaluated.
    rates : dict of str to str
        Right-hand side of every differential equation, without noise, 1/s.
    noise : dict of str to dict
        Factors of white noise, by variable and by the name of the noise.
    draws : tuple of Draw
        Random numbers that messages, rates and noise read.
    """

    early: Statements
    late: Statements
    helpers: Statements
    order: tuple[str, ...]
    rates: dict[str, str]
    noise: dict[str, dict[str, str]]
    draws: tuple[Draw, ...]

    def with_helpers(self, statements: Iterable[Statement]) -> list[Statement]:
        """Return statements and the helpers that they read, in an order of evaluation."""
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
        """Return a copy that reads the time of the stage (`MOMENT`) in place of the clock's `t`."""
        rates = {name: _at_stage(expression) for name, expression in self.rates.items()}
        return Text(
            _all_at_stage(self.early),
            _all_at_stage(self.late),
            _all_at_stage(self.helpers),
            self.order,
            rates,
            self.noise,
            self.draws,
        )


def _at_stage(expression: str) -> str:
    return str(word_substitute(expression, {"t": MOMENT}))


def _all_at_stage(statements: Statements) -> Statements:
    return tuple((name, _at_stage(expression)) for name, expression in statements)


@lru_cache(maxsize=KEPT)
def take_apart(text: str) -> Text:
    r"""Parse a population's equations into statements.

    The same text gives the same object, as a plan asks for its texts many times.

    Parameters
    ----------
    text : str
        The equations in Brian2's notation, as `Plan.equations` returns them.

    Raises
    ------
    ModelError
        Noise that is multiplied by a state, random numbers that are not those of a step, or a
        variable whose name the engine reserves.

    Examples
    --------
    >>> sigma = "sigma = tanh(a) : 1 (constant over dt)\na : 1\ntau : second"
    >>> text = take_apart(f"dx/dt = (sigma - x)/tau : 1\n{sigma}")
    >>> text.rates
    {'x': '(sigma - x)/tau'}
    >>> text.early
    (('sigma', 'tanh(a)'),)
    """
    equations = as_equations(text)
    for name in {LENGTH, MOMENT} & set(equations):
        raise ModelError(
            f"an extension has a variable {name!r}; this name is reserved; try another name"
        )
    if equations.stochastic_type == "multiplicative":
        noisy = ", ".join(e.varname for e in equations.values() if _is_noisy(e))
        raise ModelError(
            f"the noise of {noisy} is multiplied by a state; "
            "allowed in an extension: xi with a constant factor"
        )
    messages: list[Statement] = []
    helpers: list[Statement] = []
    order: list[str] = []
    rates: dict[str, str] = {}
    noise: dict[str, dict[str, str]] = {}
    draws: list[Draw] = []
    for e in equations.ordered:
        name = e.varname
        if e.type == SUBEXPRESSION:
            own = messages if "constant over dt" in e.flags else helpers
            expression, own_draws = named(name, str(e.expr))
            if own_draws and "shared" in e.flags:
                raise ModelError(
                    f"{name} of an extension is shared and random; allowed: a number per unit; "
                    "try it without (shared)"
                )
            own.append((name, expression))
            draws += own_draws
            order.append(name)
        elif e.type == DIFFERENTIAL_EQUATION:
            rate, noise[name] = _drift_and_noise(e)
            rates[name], own_draws = named(name, rate)
            draws += own_draws
    draws += [_white(xi) for xi in _noises(noise.values())]
    random = {draw.array for draw in draws}
    early, late = _by_what_they_read(messages, dict(helpers), equations, random)
    return Text(early, late, tuple(helpers), tuple(order), rates, noise, tuple(draws))


def _noises(factors: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the names of all white noise, in alphabetical order."""
    names: set[str] = set()
    for own in factors:
        names |= set(own)
    return sorted(names)


def _white(xi: str) -> Draw:
    """Return the draw of which an increment of white noise is made."""
    return Draw(f"{NORMAL}_of_{xi}", normal=True)


def _is_noisy(equation: Any) -> bool:
    return equation.type == DIFFERENTIAL_EQUATION and bool(equation.expr.stochastic_variables)


def _drift_and_noise(equation: Any) -> tuple[str, dict[str, str]]:
    """Return a right-hand side without noise, and the factors of its noise terms."""
    if not _is_noisy(equation):
        return str(equation.expr), {}
    drift, factors = equation.expr.split_stochastic()
    noise = {xi: str(factor) for xi, factor in factors.items()}
    return ("0" if drift is None else str(drift)), noise


def _by_what_they_read(
    messages: Iterable[Statement],
    helpers: Mapping[str, str],
    equations: Equations,
    random: set[str],
) -> tuple[Statements, Statements]:
    """Split messages into those that read only the net input and shared variables, and others.

    `random` are the names of the arrays of random numbers.
    """
    still = {"a"}
    still |= {e.varname for e in equations.values() if "shared" in e.flags}
    early = []
    late = []
    for name, expression in messages:
        read = _all_identifiers(expression, helpers) & (set(equations) | random)
        if read <= still and "t" not in get_identifiers(expression):
            early.append((name, expression))
            still.add(name)
        else:
            late.append((name, expression))
    return tuple(early), tuple(late)


def _all_identifiers(expression: str, helpers: Mapping[str, str]) -> set[str]:
    """Return the names that an expression reads, with helpers replaced by what they read."""
    found: set[str] = set()
    waiting = [expression]
    while waiting:
        for name in get_identifiers(waiting.pop()) - found:
            found.add(name)
            if name in helpers:
                waiting.append(helpers[name])
    return found - set(helpers)


def suffixed(statements: Iterable[Statement], own: Iterable[str], suffix: str) -> list[Statement]:
    """Return statements with a suffix on their targets and on the names in `own`.

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
    """Return statements as Brian2's abstract code, one per line."""
    lines = [f"{target} = {expression}" for target, expression in statements]
    return "\n".join(lines)


def stepped(text: Text, variables: Sequence[str], leaks: Mapping[str, str]) -> Step:
    """Return one explicit Euler step of the given variables.

    Parameters
    ----------
    text : Text
    variables : sequence of str
    leaks : dict of str to str
        Leaks l (1/s) by variable. For these the step h is exact in the leak, as in exponential
        Euler: a rate acts for (1 - e^(-l h))/l, and the variance of noise for (1 - e^(-2 l h))/2l.

    Returns
    -------
    assigned, increments : list of Statement
        Assignments that come first, and the increment of each variable.
    """
    wanted = [(f"_rate_{v}", text.rates[v]) for v in variables]
    lengths = dict.fromkeys(variables, LENGTH)
    for v in variables:
        if v in leaks:
            leak = leaks[v]
            lengths[v] = f"_reach_{v}"
            wanted.append((lengths[v], f"{LENGTH}*exprel(-{LENGTH}*({leak}))"))
    increments = []
    for v in variables:
        length = lengths[v]
        terms = [f"{length}*_rate_{v}"]
        share = f"*sqrt(exprel(-2*{LENGTH}*({leaks[v]})))" if v in leaks else ""
        for xi, factor in text.noise[v].items():
            terms.append(f"({factor}){share}*{xi}")
        increments.append((v, " + ".join(terms)))
    assigned = text.with_helpers(wanted)
    for xi in _noises(text.noise[v] for v in variables):
        assigned.append((xi, f"sqrt({LENGTH})*{_white(xi).array}"))
    return assigned, increments


def descended(text: Text, variables: Sequence[str]) -> Step:
    """Return one Adam step of the given variables along tau dz/dt, in the form of `stepped`."""
    rates = [(f"_rate_{v}", text.rates[v]) for v in variables]
    assigned = text.with_helpers(rates)
    increments: list[Statement] = []
    for v in variables:
        before, after = adam(v, f"tau_{v}*_rate_{v}")
        assigned += before
        increments += after
    return assigned, increments


def adam(v: str, force: str) -> Step:
    """Return one Adam step of the variable `v` along a force, with the learning rate dt/tau_v.

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
