"""User-supplied terms, right-hand sides, noise and equations of a population."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurosim.arguments import checked_methods
from neurosim.errors import ModelError, out_of_range, shown
from neurosim.model.arrays import own
from neurosim.model.frozen import FrozenDict
from neurosim.model.values import ByValue


@checked_methods("__init__")
@dataclass(frozen=True, eq=False)
class Extension(ByValue):
    """User-supplied terms, right-hand sides and equations of one population, in Brian2's notation.

    By name, all texts may read the variables of ``sim.equations``, per unit: x and lam; the net
    input a; sigma and dsigma, the activation and its slope at a; g = x - sigma; mu; delta, which is
    sent back; feedback, the sum of the messages received from there; dL_dx, which is mu - feedback
    plus the slope of the loss; and dV_dx and y of a population with a loss, G and dG of one whose
    constraint is not `lin`. Shared are the gains kappa, gamma and rho, and the time constants tau_x
    and tau_lam (s). `t` is the time.

    Parameters
    ----------
    population : str
        Name of the population. A clamped one accepts only `equations`, because it has no dx/dt and
        dlam/dt.
    x : str
        Term in 1/s added to dx/dt, e.g. ``"I/tau_x"`` or ``"0.1*sqrt(2/tau_x)*xi"``. A step adds
        the factor of xi times sqrt(dt) N(0, 1) (Euler-Maruyama); with exponential_euler it is exact
        in the leak.
    lam : str
        Term in 1/s added to dlam/dt.
    equations : str
        Additional equations, e.g. ``"dI/dt = -I/tau_I + 0.1*sqrt(2/tau_I)*xi : 1"`` and parameters
        such as ``"tau_I : second (shared)"``. Random functions are rand() and randn(), drawn once
        per unit and step.
    parameters : dict of str to value
        Initial values of the variables that `equations` declares: Brian2 quantities, numbers, or
        arrays (patterns, units).
    dx, dlam : str
        Right-hand sides in 1/s in place of the flow's own, which `x` and `lam` only add to; both
        are not allowed for the same state. The stable step is then not computed (`max_step` of a
        log is NaN), and exponential_euler takes an Euler step of that state.

    Raises
    ------
    ModelError
        A value of another type; `x` beside `dx`, or `lam` beside `dlam`; a number such as 9**9**9,
        on which SymPy would work without end.

    Examples
    --------
    `neurosim.analysis.check.check` and ``neurosim check`` say whether the state at rest is still
    backpropagation's, and by how much it is off. Here, how far multipliers and outputs are:

    >>> import neurosim as ns
    >>> net, X, Y = ns.Network.mlp([2, 4, 1], loss="mse", seed=1), [[0.0, 1.0]], [[1.0]]
    >>> def off(extension):
    ...     sim = ns.Simulation(net, ns.Flow.damped(), extensions=extension)
    ...     run = sim.relax(X, Y, duration="3 s")
    ...     found = ns.alignment(run, ns.reference.backprop(net, X, Y))
    ...     return max(found.error["hidden1"], found.x_error["hidden1"])

    A current that adapts each unit to its own output moves the state at rest:

    >>> adaptation = Extension(
    ...     "hidden1",
    ...     x="-c/tau_x",
    ...     equations='''dc/dt = (strength*x - c)/tau_c : 1
    ...                  strength : 1 (shared)
    ...                  tau_c : second (shared)''',
    ...     parameters={"strength": 0.2, "tau_c": 0.1},
    ... )
    >>> bool(off(adaptation) > 0.01)
    True

    A second compartment, the dendrite v, low-passes the feedback. At rest v is the feedback:

    >>> dendrite = Extension(
    ...     "hidden1",
    ...     dx="(-kappa*(dL_dx + feedback - v) - gamma*g)/tau_x",
    ...     dlam="(kappa*g - gamma*(dL_dx + feedback - v))/tau_lam",
    ...     equations='''dv/dt = (feedback - v)/tau_v : 1
    ...                  tau_v : second (shared)''',
    ...     parameters={"tau_v": 0.02},
    ... )
    >>> bool(off(dendrite) < 1e-9)
    True

    A refractory gain: a unit that was violated a moment ago moves less:

    >>> refractory = Extension(
    ...     "hidden1",
    ...     dx="(-kappa*dL_dx - gamma*g)/(tau_x*(1 + 5*tired))",
    ...     equations='''dtired/dt = (abs(g) - tired)/tau_r : 1
    ...                  tau_r : second (shared)''',
    ...     parameters={"tau_r": 0.03},
    ... )
    >>> bool(off(refractory) < 1e-9)
    True
    """

    population: str
    x: str = ""
    lam: str = ""
    equations: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    dx: str = field(default="", kw_only=True)
    dlam: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for key in ("population", *TEXTS):
            check_numbers(f"{key} of an extension", getattr(self, key))
        check_replaced((self,))
        copies = FrozenDict({name: own(value) for name, value in self.parameters.items()})
        object.__setattr__(self, "parameters", copies)


STATES = ("x", "lam")
TEXTS = ("x", "lam", "dx", "dlam", "equations")


def replaced(extensions: Iterable[Extension]) -> dict[tuple[str, str], str]:
    """Return the right-hand sides that extensions replace, by population and state."""
    found = {}
    for e in extensions:
        for state in STATES:
            text = getattr(e, f"d{state}")
            if text.strip():
                found[e.population, state] = text
    return found


def merged(population: str, extensions: Iterable[Extension]) -> Extension:
    """Return all extensions of a population as one."""
    own = [e for e in extensions if e.population == population]
    values: dict[str, Any] = {}
    for e in own:
        values |= e.parameters
    return Extension(
        population,
        _sum(e.x for e in own),
        _sum(e.lam for e in own),
        "\n".join(e.equations for e in own if e.equations.strip()),
        values,
        dx="".join(e.dx for e in own),
        dlam="".join(e.dlam for e in own),
    )


def _sum(terms: Iterable[str]) -> str:
    """Return the sum of the terms that are not empty."""
    return " + ".join(f"({term})" for term in terms if term.strip())


def check_replaced(extensions: Sequence[Extension]) -> None:
    """Refuse a right-hand side that is replaced twice, or replaced and added to.

    Raises
    ------
    ModelError
        The message has the population and both texts.
    """
    for place, e in enumerate(extensions):
        for state in STATES:
            text = getattr(e, f"d{state}")
            if not text.strip():
                continue
            for other_place, other in enumerate(extensions):
                added = getattr(other, state)
                twice = getattr(other, f"d{state}")
                own = f"d{state} = {shown(text)} of an extension of {e.population}"
                if other.population == e.population and added.strip():
                    raise ModelError(
                        f"{own} beside {state} = {shown(added)}; allowed: d{state} in place of the "
                        f"flow's own d{state}/dt, or {state} added to it; try one d{state} with "
                        "both"
                    )
                is_other = other_place != place  # the same object may stand twice
                if is_other and other.population == e.population and twice.strip():
                    raise ModelError(
                        f"{own} beside d{state} = {shown(twice)}; allowed: one d{state} of a "
                        "population; try their sum"
                    )


def extensions_of(given: Any) -> tuple[Extension, ...]:
    """Return one extension, or several, as a tuple.

    Raises
    ------
    ModelError
        Anything else.
    """
    if isinstance(given, Extension):
        return (given,)
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in several:
        if not isinstance(one, Extension):
            raise out_of_range("extensions", one, "Extension(...), or a sequence of them")
    return several


# an expression within equations: what follows "=" up to the unit
EXPRESSION = re.compile(r"=([^=:\n#]*)(?=[:#\n]|$)")


def check_numbers(name: str, text: str) -> None:
    """Refuse powers of numbers that no float can hold, before SymPy computes them exactly.

    Raises
    ------
    ModelError
        The message has the power.
    """
    for expression in (text, *EXPRESSION.findall(text)):
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # equations, or not plain Python: Brian2 has the message
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
                _value(name, node)


def _value(name: str, node: ast.expr) -> float | None:
    """Return the value of an expression of numbers as a float; None if it has variables."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        number = node.value
        return float(number) if abs(number) < LARGEST else _refused(name, node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(name, node.operand)
        return value if value is None or isinstance(node.op, ast.UAdd) else -value
    if not isinstance(node, ast.BinOp) or type(node.op) not in OPERATORS:
        return None
    left, right = _value(name, node.left), _value(name, node.right)
    if left is None or right is None:
        return None
    try:
        found = OPERATORS[type(node.op)](left, right)
    except (ArithmeticError, ValueError):
        return _refused(name, node)
    return found if isinstance(found, float) else None


LARGEST = 1e300
OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def _refused(name: str, node: ast.expr) -> float:
    raise ModelError(
        f"{name} contains {ast.unparse(node)[:40]}, which is not a finite number; "
        f"allowed: numbers below {LARGEST:g}"
    )
