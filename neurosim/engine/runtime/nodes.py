"""Normal form of expressions, with everything that is constant during a run folded in.

A node is a nested tuple, so equal expressions have equal nodes:

====================================================  ========================================
node                                                  value
====================================================  ========================================
``("array", name, version)``                          an array after `version` changes
``("sum", constant, ((factor, node), ...))``          constant + Σ factor node; also a number
``("same", node)``                                    a sum that is computed once and shared
``("truth", node)``                                   a condition as 1 or 0
``("function", name, *nodes)``                        one of Brian2's functions
``(operation, *nodes)``                               one of NumPy's ufuncs
====================================================  ========================================

Below `ufuncs`, which turns expressions into nodes, and `writer`, which turns nodes into code.
Start at `combined`.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

Node = tuple[Any, ...]

LOGICAL = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.And: "logical_and",
    ast.Or: "logical_or",
    ast.Not: "logical_not",
}
CONDITIONS = frozenset(LOGICAL.values())  # operations whose values are truth values


def number(value: float) -> Node:
    """Return the node of a constant: a sum without terms."""
    return ("sum", value, ())


def shared(node: Node) -> Node:
    """Return a node that is computed once, and not merged into the sums that read it."""
    if node[0] != "sum":
        return node
    _, constant, terms = node
    parts = len(terms) + bool(constant)
    return ("same", node) if parts > 1 else node


def is_number(node: Node) -> bool:
    """Return whether a node is a constant."""
    return bool(node[0] == "sum" and not node[2])


def added(one: Node, two: Node) -> Node:
    """Return the sum, flattened, with equal terms collected."""
    factors: dict[Node, float] = {}
    constant = 0.0
    for node in (one, two):
        own_constant, own_terms = _as_sum(node)
        constant += own_constant
        for factor, term in own_terms:
            factors[term] = factors.get(term, 0.0) + factor
    terms = tuple((factor, term) for term, factor in factors.items() if factor)
    if len(terms) == 1 and not constant:
        factor, term = terms[0]
        if factor == 1:
            return term
    return ("sum", constant, terms)


def _as_sum(node: Node) -> tuple[float, tuple[tuple[float, Node], ...]]:
    """Return the constant and the terms of a node."""
    if node[0] == "sum":
        return node[1], node[2]
    return 0.0, ((1.0, node),)


def scaled(factor: float, node: Node) -> Node:
    """Return a number times a node."""
    constant, terms = _as_sum(node)
    products = tuple((factor * own, term) for own, term in terms if factor)
    return added(number(0.0), ("sum", factor * constant, products))


def multiplied(one: Node, two: Node) -> Node:
    """Return the product, with numerical factors moved to the front."""
    if is_number(one):
        return scaled(one[1], two)
    if is_number(two):
        return scaled(two[1], one)
    factor_one, one = split(one)
    factor_two, two = split(two)
    return scaled(factor_one * factor_two, ("multiply", one, two))


def divided(one: Node, two: Node) -> Node:
    """Return the quotient; division by a number becomes multiplication by its reciprocal."""
    if is_number(two):
        return scaled(1.0 / two[1] if two[1] else np.inf, one)
    factor_one, one = split(one)
    factor_two, two = split(two)
    return scaled(factor_one / factor_two, ("divide", one, two))


def raised(base: Node, exponent: Node) -> Node:
    """Return the power; a square becomes a product."""
    if is_number(base) and is_number(exponent):
        return number(base[1] ** exponent[1])
    if is_number(exponent) and exponent[1] == 2:
        return multiplied(base, base)
    return ("power", base, exponent)


def split(node: Node) -> tuple[float, Node]:
    """Return a node as a number times another node; the number is 1 unless it has one term."""
    if node[0] == "sum":
        _, constant, terms = node
        if len(terms) == 1 and not constant:
            factor, inner = terms[0]
            return factor, inner
    return 1.0, node


def combined(op: ast.operator, left: Node, right: Node) -> Node:
    """Return the node of a binary operator.

    Raises
    ------
    SyntaxError
        The operator is not supported in equations.
    """
    match op:
        case ast.Add():
            found = added(left, right)
        case ast.Sub():
            found = added(left, scaled(-1.0, right))
        case ast.Mult():
            found = multiplied(left, right)
        case ast.Div():
            found = divided(left, right)
        case ast.Pow():
            found = raised(left, right)
        case ast.Mod():
            found = ("mod", left, right)
        case ast.FloorDiv():
            found = ("floor_divide", left, right)
        case _:
            name = type(op).__name__
            raise SyntaxError(f"the operator {name} cannot be evaluated; try + - * / ** % //")
    return found


def children(node: Node) -> list[Node]:
    """Return the nodes that a node is made of."""
    if node[0] == "sum":
        return [term for _, term in node[2]]
    return [part for part in node[1:] if isinstance(part, tuple)]


def reads(node: Node, array: str) -> bool:
    """Return whether the value of a node depends on an array."""
    if node[:2] == ("array", array):
        return True
    return any(reads(child, array) for child in children(node))
