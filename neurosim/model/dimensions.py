"""Dimensions of the formulas of a learning rule: powers of the second.

All variables of a network are dimensionless, so times and rates are the only dimensions. Below
`plasticity`. Start at `check`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from neurosim.errors import ModelError, number, out_of_range, shown
from neurosim.model.flow import seconds

ALLOWED = "a number, a time such as '50 ms', or a rate such as '5 Hz'"
RATE = re.compile(r"\s*([-+0-9.eE]+)\s*(Hz|kHz)\s*")
HERTZ = {"Hz": 1.0, "kHz": 1e3}
ANY = None  # dimension of the number 0, which may be added to anything


@dataclass(frozen=True)
class Quantity:
    """A number of SI units.

    Attributes
    ----------
    value : float
    power : int
        Power of the second: 0 for a number, 1 for a time, -1 for a rate.
    """

    value: float
    power: int

    @property
    def plain(self) -> float | str:
        """The quantity as files hold it."""
        if self.power == 0:
            return self.value
        return f"{self.value!r} {'s' if self.power > 0 else 'Hz'}"


def quantity(name: str, given: Any) -> Quantity:
    """Return a user-supplied number, time or rate.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    given : number, Brian2 quantity, or text

    Raises
    ------
    ModelError
        Anything else.

    Examples
    --------
    >>> quantity("tau_e", "50 ms"), quantity("decay", 0.1).plain
    (Quantity(value=0.05, power=1), 0.1)
    """
    if isinstance(given, str):
        rate = RATE.fullmatch(given)
        if rate:
            return Quantity(_float(name, rate[1]) * HERTZ[rate[2]], -1)
        try:
            return Quantity(seconds(given, name), 1)
        except ModelError as error:
            raise out_of_range(name, given, ALLOWED) from error
    own = getattr(given, "dim", None)
    if own is None:
        return Quantity(number(name, given), 0)
    power = own.get_dimension("second")
    others = [size for index, size in enumerate(own._dims) if index != TIME and size]
    if others or power not in (-1, 0, 1):
        raise out_of_range(name, given, ALLOWED)
    return Quantity(number(name, float(given)), int(power))


TIME = 2  # place of the second among Brian2's seven dimensions


def _float(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise out_of_range(name, text, ALLOWED) from error


def check(line: str, expression: str, powers: Mapping[str, int], power: int) -> None:
    """Check the dimension of an expression, which `formulas.parse` has read before.

    Parameters
    ----------
    line : str
        The line of the rule, for messages.
    expression : str
    powers : dict of str to int
        Power of the second of every name.
    power : int
        That of the whole expression.

    Raises
    ------
    ModelError
        Another dimension, or parts that do not fit together.

    Examples
    --------
    >>> check("dw/dt", "x_pre/tau_w", {"x_pre": 0, "tau_w": 1}, -1)
    """
    known: dict[str, Fraction] = {name: Fraction(own) for name, own in powers.items()}
    known["xi"] = Fraction(-1, 2)
    found = _Dimensions(line, known).of(ast.parse(expression.strip(), mode="eval").body)
    if found is not ANY and found != power:
        hint = "; try to divide by tau_w, or by a time such as '50 ms' in parameters="
        hint = hint if power == -1 else ""
        raise ModelError(
            f"{line} has the unit {_unit(found)} on its right-hand side; allowed: {_unit(power)}"
            f"{hint}"
        )


def _unit(power: Fraction | int) -> str:
    if power == 0:
        return "1"
    return "s" if power == 1 else f"s^{power}"


class _Dimensions:
    """Find the dimension of every part of an expression."""

    def __init__(self, line: str, known: Mapping[str, Fraction]) -> None:
        self.line, self.known = line, known

    def of(self, node: ast.expr) -> Fraction | None:
        """Return the power of the second of a node; `ANY` for the number 0."""
        if isinstance(node, ast.Constant):
            return Fraction(0) if node.value else ANY
        if isinstance(node, ast.Name):
            return self.known[node.id]
        if isinstance(node, ast.UnaryOp):
            return self.of(node.operand)
        if isinstance(node, ast.BinOp):
            return self._combined(node)
        if isinstance(node, ast.Call):
            return self._called(node)
        raise self._mismatch(node, "is not part of a formula")

    def _combined(self, node: ast.BinOp) -> Fraction | None:
        left, right = self.of(node.left), self.of(node.right)
        if isinstance(node.op, ast.Add | ast.Sub):
            return self._same(node, left, right)
        if isinstance(node.op, ast.Pow):
            exponent = _constant(node.right)
            if not left:
                return left
            if exponent is None:
                raise self._mismatch(node, "has a unit and an exponent that is not a number")
            return left * exponent
        if left is ANY:
            return ANY
        sign = 1 if isinstance(node.op, ast.Mult) else -1
        return ANY if right is ANY else left + sign * right

    def _called(self, node: ast.Call) -> Fraction | None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        given = [self.of(argument) for argument in node.args]
        if name in ("max", "min"):
            return self._same(node, *given)
        if name == "abs":
            return given[0]
        if name == "sqrt":
            return ANY if given[0] is ANY else given[0] / 2
        if name != "sign" and any(given):
            raise self._mismatch(node, "has an argument with a unit")
        return Fraction(0)

    def _same(self, node: ast.expr, one: Fraction | None, two: Fraction | None) -> Fraction | None:
        if one is ANY:
            return two
        if two is ANY or one == two:
            return one
        raise self._mismatch(node, f"joins the units {_unit(one)} and {_unit(two)}")

    def _mismatch(self, node: ast.expr, why: str) -> ModelError:
        return ModelError(
            f"{self.line}: {shown(ast.unparse(node))} {why}; allowed: parts of equal units; "
            "try to divide by a time such as tau_w"
        )


def _constant(node: ast.expr) -> Fraction | None:
    """Return the value of a number with a sign, exactly; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(node.value).limit_denominator(64)
    return None
