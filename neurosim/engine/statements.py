"""A population's equations taken apart for stepping: messages, rates and noise as statements.

Both backends step the same Brian2 `Equations`: one writes these statements into a C++ template, the
other turns them into NumPy calls. Start at `take_apart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from brian2 import Equations
from brian2.equations.equations import DIFFERENTIAL_EQUATION, SUBEXPRESSION
from brian2.utils.stringtools import get_identifiers, word_substitute

from neurosim.engine.integrators import ADAM
from neurosim.engine.names import LENGTH, MOMENT
from neurosim.errors import ModelError

Statement = tuple[str, str]  # what is assigned, and the expression


@dataclass(frozen=True)
class Text:
    """The equations of one population, as statements in its variables.

    Attributes
    ----------
    early, late : messages, sent once a step
        The early ones are functions of the net input `a` alone: while that stands still, so do
        they.
    helpers : other subexpressions
    order : of all subexpressions, in which they can be evaluated
    rates : right-hand side of every differential equation, without noise, 1/s
    noise : what each white noise is multiplied with, by variable and name of the noise
    """

    early: tuple[Statement, ...]
    late: tuple[Statement, ...]
    helpers: tuple[Statement, ...]
    order: tuple[str, ...]
    rates: dict[str, str]
    noise: dict[str, dict[str, str]]

    def with_helpers(self, statements: Iterable[Statement]) -> list[Statement]:
        """The statements, with the helpers that they read, in an order in which they can be
        evaluated.
        """
        own, helpers = dict(statements), dict(self.helpers)
        wanted = set().union(*(get_identifiers(e) for e in own.values()))
        for name in reversed(self.order):
            if name in wanted and name in helpers:
                wanted |= get_identifiers(helpers[name])
        first = [n for n in self.order if n in own or (n in helpers and n in wanted)]
        return [(n, own.get(n) or helpers[n]) for n in first] + [
            (n, e) for n, e in own.items() if n not in first
        ]

    def reads(self, name: str) -> bool:
        """Whether a helper or a rate reads this variable."""
        return any(
            name in get_identifiers(e)
            for e in [*self.rates.values(), *(e for _, e in self.helpers)]
        )

    def at_stages(self) -> Text:
        """The same at the time of a stage within a step, where it was the clock's `t`."""

        def moved(expression: str) -> str:
            return str(word_substitute(expression, {"t": MOMENT}))

        return Text(
            tuple((n, moved(e)) for n, e in self.early),
            tuple((n, moved(e)) for n, e in self.late),
            tuple((n, moved(e)) for n, e in self.helpers),
            self.order,
            {n: moved(e) for n, e in self.rates.items()},
            self.noise,
        )


def take_apart(text: str) -> Text:
    """The statements of a population's equations, as `Plan.equations` gives them.

    Raises
    ------
    ModelError
        Noise that is multiplied with a state.
    """
    equations = Equations(text)
    for name in {LENGTH, MOMENT} & set(equations):
        raise ModelError(
            f"an extension names a variable {name!r}, which is the engine's own; try another name"
        )
    if equations.stochastic_type == "multiplicative":
        raise ModelError(
            "an extension multiplies noise with a state; allowed: xi with a constant factor"
        )
    messages: list[Statement] = []
    helpers: list[Statement] = []
    for e in equations.ordered:
        if e.type == SUBEXPRESSION:
            (messages if "constant over dt" in e.flags else helpers).append(
                (e.varname, str(e.expr))
            )
    shared = {e.varname for e in equations.values() if "shared" in e.flags}
    still, early, late = {"a", *shared}, [], []
    for name, expression in messages:
        read = _all_identifiers(expression, dict(helpers)) & set(equations)
        if read <= still and "t" not in get_identifiers(expression):
            early.append((name, expression))
            still.add(name)
        else:
            late.append((name, expression))
    rates, noise = {}, {}
    for e in equations.ordered:
        if e.type == DIFFERENTIAL_EQUATION:
            drift, factors = (
                e.expr.split_stochastic() if e.expr.stochastic_variables else (e.expr, None)
            )
            rates[e.varname] = str(drift) if drift is not None else "0"
            noise[e.varname] = {xi: str(factor) for xi, factor in (factors or {}).items()}
    order = tuple(e.varname for e in equations.ordered if e.type == SUBEXPRESSION)
    return Text(tuple(early), tuple(late), tuple(helpers), order, rates, noise)


def _all_identifiers(expression: str, helpers: dict[str, str]) -> set[str]:
    """What an expression reads, through helpers too."""
    found: set[str] = set()
    todo = [expression]
    while todo:
        for name in get_identifiers(todo.pop()) - found:
            found.add(name)
            if name in helpers:
                todo.append(helpers[name])
    return found - set(helpers)


def suffixed(statements: Iterable[Statement], own: Iterable[str], suffix: str) -> list[Statement]:
    """The statements with the population's own names told apart from those of other populations."""
    statements = list(statements)
    names = {*own, *(target for target, _ in statements)}
    change = {name: f"{name}_{suffix}" for name in names}
    return [
        (change[target], word_substitute(expression, change)) for target, expression in statements
    ]


def abstract_code(statements: Iterable[Statement]) -> str:
    """As Brian2's code generation reads it."""
    return "\n".join(f"{target} = {expression}" for target, expression in statements)


def stepped(
    text: Text, variables: Sequence[str], leaks: Mapping[str, str]
) -> tuple[list[Statement], list[Statement]]:
    """One explicit step: what is assigned first, and the increment of each variable.

    With leaks (1/s), exact in them: exponential Euler.
    """
    reaches = {v: f"{LENGTH}*exprel(-{LENGTH}*({leaks[v]}))" for v in variables if v in leaks}
    wanted = [(f"_rate_{v}", text.rates[v]) for v in variables] + [
        (f"_reach_{v}", e) for v, e in reaches.items()
    ]
    rates = text.with_helpers(wanted)
    draws = [
        (xi, f"sqrt({LENGTH})*randn()")
        for xi in sorted({xi for v in variables for xi in text.noise[v]})
    ]
    increments = []
    for v in variables:
        reach = f"_reach_{v}" if v in reaches else LENGTH
        noise = [f"({factor})*{xi}" for xi, factor in text.noise[v].items()]
        increments.append((v, " + ".join([f"{reach}*_rate_{v}", *noise])))
    return [*rates, *draws], increments


def descended(text: Text, variables: Sequence[str]) -> tuple[list[Statement], list[Statement]]:
    """One step of Adam of every variable along tau dz/dt: what is assigned first, and the
    increments.
    """
    assigned = text.with_helpers([(f"_rate_{v}", text.rates[v]) for v in variables])
    increments: list[Statement] = []
    for v in variables:
        before, after = adam(v, f"tau_{v}*_rate_{v}")
        assigned += before
        increments += after
    return assigned, increments


def adam(v: str, force: str) -> tuple[list[Statement], list[Statement]]:
    """One step of Adam of the variable `v` along a force, by dt/tau_v.

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """
    beta_1, beta_2, floor = ADAM
    assigned = [
        (f"push_{v}", force),
        (f"mean_{v}", f"{beta_1!r}*first_{v} + {1 - beta_1!r}*push_{v}"),
        (f"square_{v}", f"{beta_2!r}*second_{v} + {1 - beta_2!r}*push_{v}*push_{v}"),
    ]
    unit = f"(mean_{v}/(1 - first_lacks))/(sqrt(square_{v}/(1 - second_lacks)) + {floor!r})"
    increments = [
        (v, f"{LENGTH}/tau_{v}*{unit}"),
        (f"first_{v}", f"mean_{v} - first_{v}"),
        (f"second_{v}", f"square_{v} - second_{v}"),
    ]
    return assigned, increments
