"""Write nodes as lines of NumPy calls with preallocated buffers.

Common subexpressions are computed once. A buffer is reused after the last reader of its value.
Above `nodes`, below `ufuncs`. Start at `Writer.phase`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2.core.functions import DEFAULT_FUNCTIONS

from neurosim.engine.runtime.nodes import CONDITIONS, Node, children, is_number

Array = np.ndarray
Write = tuple[str, str, Node]  # "assign" or "update", array, its value or increment
Writes = Sequence[Write]
NUMBERS, TRUTHS = "b", "m"  # kinds of buffers: numbers, truth values; first letters of names
Terms = list[tuple[int, Node]]  # signs and nodes


class Operand(NamedTuple):
    """A value in the generated code: its sign, its name, and the node whose value it is."""

    sign: int
    name: str
    node: Node | None  # None for a value that has no other reader


class Writer:
    """Write the phases of one population as code.

    Parameters
    ----------
    phases : sequence of sequences of Write
    arrays : dict of str to array
        Live arrays, of `size` entries or of one.
    size : int
        Entries of buffers.
    dtype : dtype
        Precision of the buffers.

    Attributes
    ----------
    names : dict of str to object
        Buffers and functions that the code refers to.
    """

    def __init__(
        self, phases: Sequence[Writes], arrays: Mapping[str, Array], size: int, dtype: Any
    ) -> None:
        self.arrays = arrays
        self.size = size
        self.dtype = dtype
        self.names: dict[str, Any] = {}
        self.lines: list[str] = []
        # free buffers, by kind
        self.pools: dict[str, list[str]] = {}
        self.pools[NUMBERS] = []
        self.pools[TRUTHS] = []
        self.values: dict[Node, tuple[int, str]] = {}  # sign and name of computed nodes
        self.uses: Counter[Node] = Counter()  # number of readers still to come
        self.alias: dict[Node, Node] = {}  # from a node to the one whose buffer holds its value
        self.changes: Counter[str] = Counter()  # number of writes, by array
        for writes in phases:
            for _, target, node in writes:
                self._count(node)
                self.changes[target] += 1

    def _count(self, node: Node) -> None:
        self.uses[node] += 1
        if self.uses[node] == 1:
            for child in children(node):
                self._count(child)

    def phase(self, writes: Writes) -> list[str]:
        """Return the lines of one function: assignments in order, then all updates at once."""
        self.lines = []
        updated = {f"v_{target}" for kind, target, _ in writes if kind == "update"}
        increments: list[tuple[str, Operand]] = []
        for kind, target, node in writes:
            if kind == "assign":
                self._assign(target, node)
            else:
                increment = self._held(self.value(node), updated)
                increments.append((target, increment))
        for target, increment in increments:
            self._update(target, increment)
        return self.lines

    def _assign(self, target: str, node: Node) -> None:
        array = f"v_{target}"
        # in place only if the value stays there until its last reader has read it
        stays = self.uses[node] == 1 or self.changes[target] == 1
        in_place = stays and self._is_whole(target)
        into = array if in_place else None
        sign, name, owner = self.value(node, into)
        if name != array or sign < 0:
            name = self._fitted(name, target)
            if sign < 0:
                self.call("negative", name, into=array)
            else:
                self.copy(name, into=array)
        self.release(name, owner)

    def _update(self, target: str, increment: Operand) -> None:
        array = f"v_{target}"
        sign, name, owner = increment
        if name != "0.0":
            operation = "add" if sign > 0 else "subtract"
            self.call(operation, array, self._fitted(name, target), into=array)
        self.release(name, owner)

    def _held(self, operand: Operand, updated: set[str]) -> Operand:
        """Return the operand, or a copy of it if it is an array that this phase updates."""
        if operand.name not in updated:
            return operand
        buffer = self.buffer(NUMBERS)
        self.copy(operand.name, into=buffer)
        return Operand(operand.sign, buffer, None)

    def _is_whole(self, target: str) -> bool:
        """Return whether an array has one entry per unit, unlike a shared variable."""
        return self.arrays[target].size == self.size

    def _fitted(self, name: str, target: str) -> str:
        """Return a value in the shape of a target; a shared variable takes the first entry."""
        if name in self.names and not self._is_whole(target):
            return f"{name}[:1]"
        return name

    def value(self, node: Node, into: str | None = None) -> Operand:
        """Return the value of a node; write the lines that compute it unless they exist.

        `into` names an array that may hold the value.
        """
        if is_number(node):
            constant = float(node[1])
            return Operand(sign_of(constant), repr(abs(constant)), None)
        if node[0] == "array":
            return Operand(1, f"v_{node[1]}", None)
        if node not in self.values:
            self.values[node] = self._computed(node, into)
        return Operand(*self.values[node], node)

    def _computed(self, node: Node, into: str | None) -> tuple[int, str]:
        if node[0] == "same":
            sign, name, owner = self.value(node[1], into)
            if owner is not None:
                self.alias[node] = owner
            return sign, name
        if node[0] == "sum":
            return _SumWriter(self, node, into).write()
        return 1, self._operation(node, into)

    def _operation(self, node: Node, into: str | None) -> str:
        kind = node[0]
        if kind == "function":
            return self._brian_function(node[1], node[2:], into)
        if kind == "truth":
            return self._truth(node[1], into)
        operands = []
        for child in node[1:]:
            operands.append(self._positive(self.value(child)))
        names = [operand.name for operand in operands]
        for operand in operands:
            self.release(operand.name, operand.node)
        out = into or self.buffer(TRUTHS if kind in CONDITIONS else NUMBERS)
        self.call(kind, *names, into=out)
        return out

    def _brian_function(self, name: str, arguments: Sequence[Node], into: str | None) -> str:
        out = into or self.buffer(NUMBERS)
        operands = [self.value(argument) for argument in arguments]
        signed = ", ".join(_signed(operand) for operand in operands)
        function = f"f_{name}"
        self.names[function] = DEFAULT_FUNCTIONS[name].pyfunc
        self.copy(f"{function}({signed})", into=out)
        for operand in operands:
            self.release(operand.name, operand.node)
        return out

    def _truth(self, condition: Node, into: str | None) -> str:
        _, mask, owner = self.value(condition)
        out = into or self.buffer(NUMBERS)
        self.call("multiply", mask, "1.0", into=out)
        self.release(mask, owner)
        return out

    def _positive(self, operand: Operand) -> Operand:
        sign, name, owner = operand
        if sign > 0:
            return operand
        if owner is None:
            return Operand(1, f"-{name}", None)
        self.release(name, owner)
        out = self.buffer(NUMBERS)
        self.call("negative", name, into=out)
        return Operand(1, out, None)

    def call(self, ufunc: str, *operands: str, into: str) -> None:
        """Add a line that writes the value of a ufunc into an array."""
        arguments = ", ".join([*operands, into])
        self.lines.append(f"np_{ufunc}({arguments})")

    def copy(self, value: str, into: str) -> None:
        """Add a line that writes a value into an array."""
        self.lines.append(f"{into}[:] = {value}")

    def buffer(self, kind: str) -> str:
        """Return the name of a free buffer of a kind, allocated if there is none."""
        if self.pools[kind]:
            return self.pools[kind].pop()
        name = f"{kind}{len(self.names)}"
        dtype = bool if kind == TRUTHS else self.dtype
        self.names[name] = np.empty(self.size, dtype=dtype)
        return name

    def release(self, name: str, node: Node | None) -> None:
        """Count one reader less; free the buffer after the last reader."""
        if node is not None:
            self.uses[node] -= 1
            if self.uses[node] > 0:
                return
            if node in self.alias:
                self.release(name, self.alias[node])
                return
        kind = name[0]
        if name in self.names and kind in self.pools:
            self.pools[kind].append(name)


class _SumWriter:
    """Write one sum: terms whose factors have equal size are added first and multiplied once."""

    def __init__(self, writer: Writer, node: Node, into: str | None) -> None:
        self.writer = writer
        self.node = node
        self.into = into
        _, self.constant, terms = node
        # signs and terms, by the absolute value of their factors
        self.groups: dict[float, Terms] = {}
        for factor, term in terms:
            group = self.groups.setdefault(abs(factor), [])
            group.append((sign_of(factor), term))
        # number of calls still to come; the last may write directly into `into`
        self.left = len(terms) - 1
        self.left += sum(size != 1 for size in self.groups)
        self.left += bool(self.constant)

    def write(self) -> tuple[int, str]:
        """Return the sign and the name of the sum."""
        total: Operand | None = None
        for size in sorted(self.groups, key=_is_scaling):
            group = self._group(size, self.groups[size])
            total = self._plus(total, group)
        assert total is not None
        sign, name, owner = total
        if not self.constant:
            if owner is not None:
                self.writer.alias[self.node] = owner
            return sign, name
        self.writer.release(name, owner)
        out = self._out()
        constant = repr(float(self.constant))
        if sign > 0:
            self.writer.call("add", name, constant, into=out)
        else:
            self.writer.call("subtract", constant, name, into=out)
        return 1, out

    def _group(self, size: float, terms: Terms) -> Operand:
        """Return the signed sum of terms, times the common size of their factors."""
        total: Operand | None = None
        for sign, term in terms:
            own, name, owner = self.writer.value(term)
            total = self._plus(total, Operand(sign * own, name, owner))
        assert total is not None
        if size == 1:
            return total
        sign, name, owner = total
        self.writer.release(name, owner)
        out = self._out()
        self.writer.call("multiply", name, repr(size), into=out)
        return Operand(sign, out, None)

    def _plus(self, one: Operand | None, two: Operand) -> Operand:
        if one is None:
            return two
        self.writer.release(one.name, one.node)
        self.writer.release(two.name, two.node)
        out = self._out()
        if one.sign == two.sign:
            self.writer.call("add", one.name, two.name, into=out)
            return Operand(one.sign, out, None)
        if one.sign < 0:
            one, two = two, one
        self.writer.call("subtract", one.name, two.name, into=out)
        return Operand(1, out, None)

    def _out(self) -> str:
        self.left -= 1
        if self.into and self.left == 0:
            return self.into
        return self.writer.buffer(NUMBERS)


def sign_of(factor: float) -> int:
    """Return -1 for a negative number, else 1."""
    return 1 if factor >= 0 else -1


def _is_scaling(size: float) -> bool:
    return size != 1


def _signed(operand: Operand) -> str:
    return operand.name if operand.sign > 0 else f"-{operand.name}"
