"""``[[extension]]`` of model files: user-supplied neurons, from text that is not trusted.

The texts are read by the grammar of `model.extension_text`; what reaches `Extension`, and so
Brian2, is printed anew from what was read. Below `schema`. Start at `checked_extension`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosim.errors import ModelError, out_of_range
from neurosim.model.extension import LARGEST, Extension
from neurosim.model.extension_text import (
    PARAMETER,
    READABLE,
    STATE,
    Variable,
    check_expanded,
    printed,
    quantity,
    read_equations,
    read_expression,
)

RATES = ("x", "lam", "dx", "dlam")  # keys that are one expression each
MAX_VALUES = 100_000  # numbers of one parameter


def checked_extension(given: Mapping[str, Any], place: str) -> Extension:
    """Return the extension that a table describes.

    Parameters
    ----------
    given : mapping
        The keys of the table: population, and x, lam, dx, dlam, equations and parameters.
    place : str
        Name of the table, with which messages begin.

    Raises
    ------
    ModelError
        A text that is not of the grammar, a parameter that the equations do not declare, or one
        without a value; the message has the key.

    Examples
    --------
    >>> found = checked_extension({"population": "hidden1", "x": "-max(x, 0)/tau_x"}, "extension")
    >>> found.x
    '-((x + 0 + abs(x - 0)) / 2) / tau_x'
    """
    variables = read_equations(f"{place}.equations", given.get("equations", ""), READABLE)
    names = (*READABLE, *(v.name for v in variables))
    texts = {}
    for key in RATES:
        text = given.get(key, "")
        if text.strip():
            expression = read_expression(f"{place}.{key}", text, names)
            check_expanded(f"{place}.{key}", expression, variables)
            texts[key] = printed(expression)
    values = _parameters(given.get("parameters", {}), variables, place)
    lines = [v.line for v in variables]
    return Extension(given["population"], equations="\n".join(lines), parameters=values, **texts)


def _parameters(
    given: Mapping[str, Any], variables: tuple[Variable, ...], place: str
) -> dict[str, Any]:
    """Return the values of parameters, and initial values of states, in base units."""
    declared = {v.name: v for v in variables if v.kind in (PARAMETER, STATE)}
    found = {}
    for name, value in given.items():
        if name not in declared:
            allowed = ", ".join(declared) or "none, as equations declare no parameter and no state"
            raise out_of_range(f"{place}.parameters", name, allowed)
        key = f"{place}.parameters.{name}"
        found[name] = _numbers(key, value, declared[name].unit)
    for v in variables:
        if v.kind == PARAMETER and v.name not in found:
            raise ModelError(
                f"{place}.parameters.{v.name} is missing; allowed: a number, or a text such as "
                f"'10 ms', for {v.line!r}"
            )
    return found


def _numbers(key: str, value: Any, unit: str, depth: int = 0) -> Any:
    """Return a number, or rows of numbers, in the base unit of a declaration."""
    if isinstance(value, list) and depth < 2:
        if not 0 < len(value) <= MAX_VALUES:
            raise out_of_range(f"entries of {key}", len(value), f"1 to {MAX_VALUES}")
        return [_numbers(key, one, unit, depth + 1) for one in value]
    number = value
    if isinstance(value, str):
        number, dimension = quantity(key, value)
        if dimension not in ("", unit):
            raise out_of_range(key, value, f"a value of the unit {unit}, as declared")
    real = isinstance(number, int | float) and not isinstance(number, bool)
    if not (real and abs(number) <= LARGEST):  # nor nan
        raise out_of_range(key, value, "a finite number, text such as '10 ms', or a list of these")
    return number
