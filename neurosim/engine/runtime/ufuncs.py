"""Statements as NumPy calls that allocate nothing.

Each expression is brought to a normal form into which everything known before the run (gains, time
constants, the step) is folded: a term whose gain is 0 costs nothing, one whose gain is 1 no
multiplication, and what two statements share is computed once, in buffers that are used again.
Start at `Compiler`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
from brian2.core.namespace import DEFAULT_UNITS

from neurosim.engine.statements import Statement

Array = np.ndarray
Node = tuple[
    Any, ...
]  # ("array", name, version), ("sum", constant, ((factor, node), ...)), (operation, *nodes)
Step = tuple[str, str, Node]  # "assign" or "update", the array, the value or the increment
Operand = tuple[
    int, str, Node | None
]  # sign, name in the generated code, the node it is the value of

UFUNCS = {
    "abs": "absolute",
    "arccos": "arccos",
    "arcsin": "arcsin",
    "arctan": "arctan",
    "ceil": "ceil",
    "cos": "cos",
    "cosh": "cosh",
    "exp": "exp",
    "expm1": "expm1",
    "floor": "floor",
    "log": "log",
    "log10": "log10",
    "log1p": "log1p",
    "sign": "sign",
    "sin": "sin",
    "sinh": "sinh",
    "sqrt": "sqrt",
    "tan": "tan",
    "tanh": "tanh",
}
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
PIECE = 2**14  # units whose arrays fit into a cache together
RANDOM = {"randn": np.random.standard_normal, "rand": np.random.random_sample}


class Compiler:
    """Phases of one population's step, compiled together so that they share what they compute.

    Parameters
    ----------
    arrays : dict of str to array
        Live arrays that statements read and write, all flat and of one size (or of size 1).
    scalars : dict of str to float
        What does not change during the run.
    """

    def __init__(
        self, arrays: Mapping[str, Array], scalars: Mapping[str, float], size: int, dtype: Any
    ) -> None:
        self.arrays, self.scalars, self.size, self.dtype = arrays, scalars, size, dtype
        self.versions: Counter[str] = Counter()
        self.local: dict[str, Node] = {}
        self.fresh = count()
        self.phases: list[list[Step]] = []

    def phase(self, assigned: Sequence[Statement] = (), updated: Sequence[Statement] = ()) -> None:
        """One function: assignments in their order, then arrays that grow by increments, all at
        once.

        A name that is no array is a value that later statements, of later phases too, may read.
        """
        steps = []
        for target, expression in assigned:
            node = self._read(expression)
            if target in self.arrays:
                steps.append(("assign", target, node))
                self._changed(target)
            else:
                self.local[target] = node
        steps += [("update", target, self._read(expression)) for target, expression in updated]
        for target, _ in updated:
            self._changed(target)
        self.phases.append(steps)

    def functions(self) -> list[Callable[[], None] | None]:
        """The phases as functions, to be called in their order; None where there is nothing to do."""
        pieces = [
            self._piece(first, min(first + PIECE, self.size))
            for first in range(0, self.size, PIECE)
        ]
        if any(
            self.arrays[target].size != self.size for steps in self.phases for _, target, _ in steps
        ):
            pieces = [self._piece(0, self.size)]  # a shared variable must not move once a piece
        return [_one_after_the_other(actions) for actions in zip(*pieces, strict=True)]

    def _piece(self, first: int, last: int) -> list[Callable[[], None] | None]:
        """The phases for some of the units: few enough for their arrays to stay in the processor's
        cache.
        """
        arrays = {n: a[first:last] if a.size == self.size else a for n, a in self.arrays.items()}
        writer = _Writer(self.phases, arrays, last - first, self.dtype)
        sources = [writer.phase(steps) for steps in self.phases]
        names = {f"np_{u}": getattr(np, u) for u in dir(np) if isinstance(getattr(np, u), np.ufunc)}
        names |= {f"v_{n}": a for n, a in arrays.items()} | writer.names
        made: list[Callable[[], None] | None] = []
        for lines in sources:
            scope: dict[str, Any] = dict(names)
            if lines:
                exec("def step():\n" + "\n".join(f"    {line}" for line in lines), scope)
            made.append(scope.get("step"))
        return made

    def _changed(self, target: str) -> None:
        """The array has another value from here on; local values that read the old one are
        forgotten.
        """
        self.versions[target] += 1
        self.local = {name: node for name, node in self.local.items() if not _reads(node, target)}

    def _read(self, expression: str) -> Node:
        return self._node(ast.parse(expression.strip(), mode="eval").body)

    def _node(self, tree: ast.expr) -> Node:  # noqa: PLR0911 - one answer a kind of node
        match tree:
            case ast.Constant(value=bool() | int() | float() as constant):
                return number(float(constant))
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return scaled(-1.0, self._node(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._node(operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ("logical_not", self._node(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return combined(op, self._node(left), self._node(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return (LOGICAL[type(op)], self._node(left), self._node(right))
            case ast.BoolOp(op=op, values=[first, *rest]):
                node = self._node(first)
                for value in rest:
                    node = (LOGICAL[type(op)], node, self._node(value))
                return node
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, [self._node(a) for a in arguments])
        raise SyntaxError(f"{ast.unparse(tree)!r} cannot be evaluated")

    def _name(self, name: str) -> Node:
        if name in self.local:
            return shared(self.local[name]) if not name.startswith("_") else self.local[name]
        if name in self.arrays:
            return ("array", name, self.versions[name])
        for known in (self.scalars, DEFAULT_UNITS):
            if name in known:
                return number(float(known[name]))
        if name in DEFAULT_CONSTANTS:
            return number(float(DEFAULT_CONSTANTS[name].value))
        raise KeyError(f"The identifier {name!r} could not be resolved.")

    def _call(self, name: str, arguments: list[Node]) -> Node:
        if name in RANDOM:
            return ("random", name, next(self.fresh))
        if name not in DEFAULT_FUNCTIONS:
            raise KeyError(f"The function {name!r} could not be resolved.")
        if all(is_number(a) for a in arguments):
            return number(float(DEFAULT_FUNCTIONS[name].pyfunc(*(a[1] for a in arguments))))
        if name == "int":
            return ("truth" if arguments[0][0] in LOGICAL.values() else "trunc", arguments[0])
        if name in UFUNCS:
            return (UFUNCS[name], *arguments)
        return ("function", name, *arguments)


def _one_after_the_other(actions: Sequence[Callable[[], None] | None]) -> Callable[[], None] | None:
    if len(actions) == 1 or actions[0] is None:
        return actions[0]

    def all_pieces() -> None:
        for action in actions:
            action()  # type: ignore[misc]  # a phase has something to do in every piece or in none

    return all_pieces


def number(value: float) -> Node:
    """A constant, in the normal form of a sum without terms."""
    return ("sum", value, ())


def shared(node: Node) -> Node:
    """A sum that several expressions read: it stays one, and is not spread over theirs."""
    return ("same", node) if node[0] == "sum" and len(node[2]) + bool(node[1]) > 1 else node


def is_number(node: Node) -> bool:
    """Whether nothing of the node depends on an array."""
    return bool(node[0] == "sum" and not node[2])


def added(one: Node, two: Node) -> Node:
    """The sum, flat, each node once."""
    factors: dict[Node, float] = {}
    constant = 0.0
    for node in (one, two):
        own, terms = (node[1], node[2]) if node[0] == "sum" else (0.0, ((1.0, node),))
        constant += own
        for factor, term in terms:
            factors[term] = factors.get(term, 0.0) + factor
    terms = tuple((f, n) for n, f in factors.items() if f)
    if not constant and len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]
    return ("sum", constant, terms)


def scaled(factor: float, node: Node) -> Node:
    """A number times a node."""
    if node[0] != "sum":
        node = ("sum", 0.0, ((1.0, node),))
    return added(
        number(0.0), ("sum", factor * node[1], tuple((factor * f, n) for f, n in node[2] if factor))
    )


def multiplied(one: Node, two: Node) -> Node:
    """The product, with its number in front."""
    if is_number(one) or is_number(two):
        value, other = (one[1], two) if is_number(one) else (two[1], one)
        return scaled(value, other)
    (f, one), (g, two) = split(one), split(two)
    return scaled(f * g, ("multiply", one, two))


def split(node: Node) -> tuple[float, Node]:
    """A node as a number times another."""
    if node[0] == "sum" and not node[1] and len(node[2]) == 1:
        factor, inner = node[2][0]
        return factor, inner
    return 1.0, node


def combined(op: ast.operator, left: Node, right: Node) -> Node:  # noqa: PLR0911 - one answer an operator
    """What an operator makes of its two sides."""
    match op:
        case ast.Add():
            return added(left, right)
        case ast.Sub():
            return added(left, scaled(-1.0, right))
        case ast.Mult():
            return multiplied(left, right)
        case ast.Div():
            if is_number(right):
                return scaled(1.0 / right[1] if right[1] else np.inf, left)
            f, left = split(left)
            g, right = split(right)
            return scaled(f / g, ("divide", left, right))
        case ast.Pow():
            if is_number(left) and is_number(right):
                return number(left[1] ** right[1])
            if is_number(right) and right[1] == 2:
                return multiplied(left, left)
            return ("power", left, right)
        case ast.Mod():
            return ("mod", left, right)
        case ast.FloorDiv():
            return ("floor_divide", left, right)
    raise SyntaxError(f"the operator {type(op).__name__} cannot be evaluated")


class _Writer:
    """Writes phases line by line; a buffer whose value nobody reads any more is used again."""

    def __init__(
        self, phases: Sequence[Sequence[Step]], arrays: Mapping[str, Array], size: int, dtype: Any
    ) -> None:
        self.arrays, self.size, self.dtype = arrays, size, dtype
        self.names: dict[str, Any] = {}
        self.lines: list[str] = []
        self.pools: dict[str, list[str]] = {"b": [], "m": []}  # buffers of numbers, of truth values
        self.values: dict[Node, tuple[int, str]] = {}
        self.uses: Counter[Node] = Counter()
        self.alias: dict[Node, Node] = {}  # the same value, or its negative
        self.changes: Counter[str] = Counter()  # how often an array is written to
        for steps in phases:
            for _, target, node in steps:
                self._count(node)
                self.changes[target] += 1

    def _count(self, node: Node) -> None:
        self.uses[node] += 1
        if self.uses[node] == 1:
            for child in children(node):
                self._count(child)

    def phase(self, steps: Sequence[Step]) -> list[str]:
        """The lines of one function."""
        self.lines = []
        waiting: list[tuple[str, Operand]] = []
        for kind, target, node in steps:
            if kind == "assign":
                self._assign(target, node)
            else:
                waiting.append((target, self._held(self._value(node), steps)))
        for target, (sign, name, owner) in waiting:
            if name != "0.0":
                operation = "add" if sign > 0 else "subtract"
                self.lines.append(
                    f"np_{operation}(v_{target}, {self._fitted(name, target)}, v_{target})"
                )
            self._release(name, owner)
        return self.lines

    def _assign(self, target: str, node: Node) -> None:
        live = f"v_{target}"
        stays = (
            self.uses[node] == 1 or self.changes[target] == 1
        )  # until the last reader has read it
        whole = self.arrays[target].size == self.size
        sign, name, owner = self._value(node, into=live if whole and stays else None)
        if name != live or sign < 0:
            name = self._fitted(name, target)
            self.lines.append(f"np_negative({name}, {live})" if sign < 0 else f"{live}[:] = {name}")
        self._release(name, owner)

    def _held(self, operand: Operand, steps: Sequence[Step]) -> Operand:
        """The operand, or its copy where it is an array that this very phase updates."""
        sign, name, _ = operand
        if name not in {f"v_{target}" for kind, target, _ in steps if kind == "update"}:
            return operand
        buffer = self._buffer("b")
        self.lines.append(f"{buffer}[:] = {name}")
        return sign, buffer, None

    def _fitted(self, name: str, target: str) -> str:
        """A shared variable has one value, which stands in every entry of a buffer."""
        buffer = name in self.names and self.arrays[target].size != self.size
        return f"{name}[:1]" if buffer else name

    def _value(self, node: Node, into: str | None = None) -> Operand:
        """The operand that holds the value of a node; computed where it is not there yet."""
        if is_number(node):
            return (1 if node[1] >= 0 else -1), repr(abs(float(node[1]))), None
        if node[0] == "array":
            return 1, f"v_{node[1]}", None
        if node[0] == "same" and node not in self.values:
            sign, name, owner = self._value(node[1], into)
            self.values[node] = sign, name
            if owner is not None:
                self.alias[node] = owner
        if node not in self.values:
            self.values[node] = (
                self._sum(node, into) if node[0] == "sum" else (1, self._operation(node, into))
            )
        return (*self.values[node], node)

    def _operation(self, node: Node, into: str | None) -> str:
        kind = "m" if node[0] in LOGICAL.values() else "b"
        if node[0] in ("random", "function"):
            out = into or self._buffer("b")
            name = node[1]
            if node[0] == "random":
                self.names[f"random_{name}"] = RANDOM[name]
                self.lines.append(f"{out}[:] = random_{name}({self.size})")
                return out
            operands = [self._value(child) for child in node[2:]]
            self.names[f"f_{name}"] = DEFAULT_FUNCTIONS[name].pyfunc
            self.lines.append(f"{out}[:] = f_{name}({', '.join(map(_signed, operands))})")
            for _, used, owner in operands:
                self._release(used, owner)
            return out
        if node[0] == "truth":
            _, mask, owner = self._value(node[1])
            out = into or self._buffer("b")
            self.lines.append(f"np_multiply({mask}, 1.0, {out})")
            self._release(mask, owner)
            return out
        operands = [self._positive(self._value(child)) for child in node[1:]]
        for _, used, owner in operands:
            self._release(used, owner)
        out = into or self._buffer(kind)
        self.lines.append(f"np_{node[0]}({', '.join(used for _, used, _ in operands)}, {out})")
        return out

    def _sum(self, node: Node, into: str | None) -> tuple[int, str]:
        """Terms with factors of one size are added first and multiplied once."""
        groups: dict[float, list[tuple[int, Node]]] = {}
        for factor, term in node[2]:
            groups.setdefault(abs(factor), []).append((1 if factor > 0 else -1, term))
        left = len(node[2]) - 1 + sum(size != 1 for size in groups) + bool(node[1])

        def out() -> str:
            nonlocal left
            left -= 1
            return into if into and left == 0 else self._buffer("b")

        total: Operand | None = None
        for size, terms in sorted(groups.items(), key=lambda item: item[0] != 1):
            part: Operand | None = None
            for sign, term in terms:
                own, name, owner = self._value(term)
                part = self._plus(part, (sign * own, name, owner), out)
            assert part is not None
            if size != 1:
                sign, name, owner = part
                self._release(name, owner)
                part = (sign, out(), None)
                self.lines.append(f"np_multiply({name}, {size!r}, {part[1]})")
            total = self._plus(total, part, out)
        assert total is not None
        sign, name, owner = total
        if node[1]:
            self._release(name, owner)
            target = out()
            if sign > 0:
                self.lines.append(f"np_add({name}, {float(node[1])!r}, {target})")
            else:
                self.lines.append(f"np_subtract({float(node[1])!r}, {name}, {target})")
            return 1, target
        if owner is not None:
            self.alias[node] = owner
        return sign, name

    def _plus(self, one: Operand | None, two: Operand, out: Callable[[], str]) -> Operand:
        if one is None:
            return two
        (s, a, one_owner), (t, b, two_owner) = one, two
        self._release(a, one_owner)
        self._release(b, two_owner)
        target = out()
        if s == t:
            self.lines.append(f"np_add({a}, {b}, {target})")
            return s, target, None
        first, second = (a, b) if s > 0 else (b, a)
        self.lines.append(f"np_subtract({first}, {second}, {target})")
        return 1, target, None

    def _positive(self, operand: Operand) -> Operand:
        sign, name, owner = operand
        if sign > 0:
            return operand
        if owner is None:
            return 1, f"-{name}", None
        self._release(name, owner)
        target = self._buffer("b")
        self.lines.append(f"np_negative({name}, {target})")
        return 1, target, None

    def _buffer(self, kind: str) -> str:
        if self.pools[kind]:
            return self.pools[kind].pop()
        name = f"{kind}{len(self.names)}"
        self.names[name] = np.empty(self.size, dtype=bool if kind == "m" else self.dtype)
        return name

    def _release(self, name: str, node: Node | None) -> None:
        """One reader less; `node` is None for what has no other reader."""
        if node is not None:
            self.uses[node] -= 1
            if self.uses[node] > 0:
                return
            if node in self.alias:
                self._release(name, self.alias[node])
                return
        if name in self.names and name[0] in "bm":
            self.pools[name[0]].append(name)


def children(node: Node) -> list[Node]:
    """The nodes that a node reads."""
    if node[0] == "sum":
        return [term for _, term in node[2]]
    return [part for part in node[1:] if isinstance(part, tuple)]


def _reads(node: Node, array: str) -> bool:
    return node[:2] == ("array", array) or any(_reads(child, array) for child in children(node))


def _signed(operand: Operand) -> str:
    return operand[1] if operand[0] > 0 else f"-{operand[1]}"
