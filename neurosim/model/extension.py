"""User-supplied terms, noise and equations of a population."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from neurosim.arguments import checked_methods
from neurosim.errors import ModelError, out_of_range
from neurosim.model.arrays import own
from neurosim.model.frozen import FrozenDict
from neurosim.model.values import ByValue


@checked_methods("__init__")
@dataclass(frozen=True, eq=False)
class Extension(ByValue):
    """User-supplied terms and equations on one population, in Brian2's notation.

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

    Raises
    ------
    ModelError
        A value of another type; a number such as 9**9**9, on which SymPy would work without end.
    """

    population: str
    x: str = ""
    lam: str = ""
    equations: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("population", "x", "lam", "equations"):
            check_numbers(f"{key} of an extension", getattr(self, key))
        copies = FrozenDict({name: own(value) for name, value in self.parameters.items()})
        object.__setattr__(self, "parameters", copies)


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
