"""Compile statements into NumPy calls that allocate no memory.

Each expression is brought to a normal form (`nodes`), with all constants of the run folded in:
gains, time constants, the step. A term whose gain is 0 costs nothing, a gain of 1 costs no
multiplication. Nodes become lines of code (`writer`). Start at `Compiler`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
from brian2.core.namespace import DEFAULT_UNITS

from neurosim.engine.runtime.arrays import each
from neurosim.engine.runtime.nodes import (
    CONDITIONS,
    LOGICAL,
    Node,
    combined,
    is_number,
    number,
    reads,
    scaled,
    shared,
)
from neurosim.engine.runtime.writer import Write, Writer
from neurosim.engine.statements import Statement

Array = np.ndarray
Function = Callable[[], None]

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
PIECE = 2**14  # units per piece, so that all arrays of a piece fit into the processor's cache


class Compiler:
    """Compile the phases of one population's step together, so that they share values.

    Parameters
    ----------
    arrays : dict of str to array
        Flat live arrays that statements read and write, of `size` entries or of one.
    scalars : dict of str to float
        Values that are constant in these phases.
    size : int
        Entries of the arrays.
    dtype : dtype
        Precision of intermediate values.

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> compiler = Compiler({"x": x}, {"h": 0.5}, size=2, dtype=float)
    >>> compiler.phase(updated=[("x", "-h*x")])
    >>> decay, = compiler.functions()
    >>> decay()
    >>> x
    array([0.5, 1. ])
    """

    def __init__(
        self, arrays: Mapping[str, Array], scalars: Mapping[str, float], size: int, dtype: Any
    ) -> None:
        self.arrays = arrays
        self.scalars = scalars
        self.size = size
        self.dtype = dtype
        self.versions: Counter[str] = Counter()  # number of changes so far, by array
        self.local: dict[str, Node] = {}  # values of names that are not arrays
        self.phases: list[list[Write]] = []

    def phase(self, assigned: Sequence[Statement] = (), updated: Sequence[Statement] = ()) -> None:
        """Add a phase: assignments in order, then increments, all from the old values.

        Assigning to a name that is not an array defines a local value, which later statements and
        later phases may read.
        """
        writes: list[Write] = []
        for target, expression in assigned:
            node = self._read(expression)
            if target in self.arrays:
                writes.append(("assign", target, node))
                self._change(target)
            else:
                self.local[target] = node
        for target, expression in updated:
            writes.append(("update", target, self._read(expression)))
        for target, _ in updated:
            self._change(target)
        self.phases.append(writes)

    def functions(self) -> list[Function | None]:
        """Return the phases as functions, to be called in order; None for an empty phase."""
        bounds = [(first, first + PIECE) for first in range(0, self.size, PIECE)]
        if self._writes_shared_variables():
            bounds = [(0, self.size)]  # one piece, else a shared variable would move once per piece
        pieces = [self._piece(first, min(last, self.size)) for first, last in bounds]
        return [_one_after_the_other(functions) for functions in zip(*pieces, strict=True)]

    def _writes_shared_variables(self) -> bool:
        for writes in self.phases:
            if any(self.arrays[target].size != self.size for _, target, _ in writes):
                return True
        return False

    def _piece(self, first: int, last: int) -> list[Function | None]:
        """Return the phases for units `first` to `last` - 1."""
        arrays = {
            name: array[first:last] if array.size == self.size else array
            for name, array in self.arrays.items()
        }
        writer = Writer(self.phases, arrays, last - first, self.dtype)
        sources = [writer.phase(writes) for writes in self.phases]
        names = {f"np_{name}": ufunc for name, ufunc in vars(np).items() if _is_ufunc(ufunc)}
        names |= {f"v_{name}": array for name, array in arrays.items()}
        names |= writer.names
        names["bounds"] = first, last, self.size
        names["long"] = [name for name in names if _has_size(names[name], last - first)]
        made: list[Function | None] = []
        for lines in sources:
            # constants that overflow are written as inf or nan
            scope: dict[str, Any] = {"inf": np.inf, "nan": np.nan, **names}
            if lines:
                body = "\n".join(f"    {line}" for line in lines)
                exec(f"def step():\n{body}", scope)
            made.append(scope.get("step"))
        return made

    def _change(self, target: str) -> None:
        """Give an array a new version; drop the local values that read the old one."""
        self.versions[target] += 1
        self.local = {name: node for name, node in self.local.items() if not reads(node, target)}

    def _read(self, expression: str) -> Node:
        return self._node(ast.parse(expression.strip(), mode="eval").body)

    def _node(self, tree: ast.expr) -> Node:  # noqa: PLR0911 - one return per kind of node
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
                return self._call(name, [self._node(argument) for argument in arguments])
        raise SyntaxError(
            f"{ast.unparse(tree)!r} cannot be evaluated; "
            "allowed: numbers, names, + - * / ** % //, comparisons and functions"
        )

    def _name(self, name: str) -> Node:
        if name in self.local:
            node = self.local[name]
            return node if name.startswith("_") else shared(node)
        if name in self.arrays:
            return ("array", name, self.versions[name])
        for known in (self.scalars, DEFAULT_UNITS):
            if name in known:
                return number(float(known[name]))
        if name in DEFAULT_CONSTANTS:
            return number(float(DEFAULT_CONSTANTS[name].value))
        raise KeyError(f"The identifier {name!r} could not be resolved.")

    def _call(self, name: str, arguments: list[Node]) -> Node:
        if name not in DEFAULT_FUNCTIONS:
            raise KeyError(f"The function {name!r} could not be resolved.")
        if all(is_number(argument) for argument in arguments):
            values = [argument[1] for argument in arguments]
            return number(float(DEFAULT_FUNCTIONS[name].pyfunc(*values)))
        if name == "int":
            kind = "truth" if arguments[0][0] in CONDITIONS else "trunc"
            return (kind, arguments[0])
        if name in UFUNCS:
            return (UFUNCS[name], *arguments)
        return ("function", name, *arguments)


def _is_ufunc(value: Any) -> bool:
    return isinstance(value, np.ufunc)


def _one_after_the_other(functions: Sequence[Function | None]) -> Function | None:
    """Return one function for all pieces; a phase is empty in all pieces or in none."""
    own = [function for function in functions if function is not None]
    if len(own) <= 1:
        return own[0] if own else None
    return partial(each, own)


def of_first(function: Any, patterns: int, of: int) -> Function:
    """Return a function of `Compiler.functions` for the first of all patterns alone.

    Parameters
    ----------
    function : callable
    patterns, of : int
        Number of these patterns, and of all.
    """
    pieces = function.args[0] if isinstance(function, partial) else [function]
    found = []
    for piece in pieces:
        first, last, size = piece.__globals__["bounds"]
        entries = size // of * patterns
        if first < entries:
            found.append(_shortened(piece, min(entries, last) - first))
    return found[0] if len(found) == 1 else partial(each, found)


def _has_size(value: Any, size: int) -> bool:
    return isinstance(value, np.ndarray) and value.size == size


def _shortened(piece: Any, left: int) -> Function:
    """Return a piece for the first `left` entries of its arrays."""
    scope = dict(piece.__globals__)
    for name in scope["long"]:
        scope[name] = scope[name][:left]
    return FunctionType(piece.__code__, scope)
