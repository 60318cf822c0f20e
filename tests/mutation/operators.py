"""Mutation operators: those of Cosmic Ray that suit formulas, and one for equation text.

Start at `operators`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray import plugins
from cosmic_ray.operators.operator import Operator

CORE = (
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_Pow_Mul",
    "core/ReplaceComparisonOperator_Lt_GtE",
    "core/ReplaceComparisonOperator_LtE_Gt",
    "core/ReplaceComparisonOperator_Gt_LtE",
    "core/ReplaceComparisonOperator_GtE_Lt",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/AddNot",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/NumberReplacer",
    "core/ZeroIterationForLoop",
)
# An operator between two operands, or before one, in Brian2's notation.
IN_TEXT = re.compile(
    r"(?<=[\w)}\s])\*\*|(?<=[\w)}\s])[*/](?=[\w({\s])|[-+](?=\s|[\w({])|>=|<=|[<>]"
)
SWAPPED = {
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "**": "*",
    ">": "<=",
    "<": ">=",
    ">=": "<",
    "<=": ">",
}
EQUATION = re.compile(r"[=*/]|\w [-+] \w")


class EquationText(Operator):
    """Swap one arithmetic operator or comparison of an equation in a string."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield one position per operator in a string that has the form of an equation."""
        for _ in _operators(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Return the string with the operator of that index swapped."""
        found = _operators(node)[index]
        text = node.value[: found.start()] + SWAPPED[found.group()] + node.value[found.end() :]
        return type(node)(text, node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        """Return no examples, as only Cosmic Ray's test suite uses them."""
        return ()


def _operators(node: Any) -> list[re.Match[str]]:
    kinds = (parso.python.tree.String, parso.python.tree.FStringString)
    if not isinstance(node, kinds) or _is_documentation(node) or not EQUATION.search(node.value):
        return []
    return list(IN_TEXT.finditer(node.value))


def _is_documentation(node: Any) -> bool:
    """Return whether a string is a docstring, or part of an error or annotation."""
    if node.parent is not None and node.parent.type == "simple_stmt":
        return True
    while node is not None:
        if node.type in ("raise_stmt", "annassign"):
            return True
        node = node.parent
    return False


def operators() -> dict[str, Operator]:
    """Return every operator by name."""
    found: dict[str, Operator] = {}
    for name in CORE:
        found[name.partition("/")[2]] = plugins.get_operator(name)()
    found["EquationText"] = EquationText()
    return found
