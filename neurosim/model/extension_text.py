"""Read the texts of an extension by a small grammar, as untrusted input.

Expressions consist of numbers, known names, units of time, ``+ - * / **`` and the functions of
`formulas.FUNCTIONS`. They are parsed into Python's syntax tree, checked node by node, and printed
again from that tree, so that nothing but the grammar reaches Brian2, SymPy or a compiler. Below
`experiments`, which builds extensions of model files with it, and `reference`, which evaluates them
in NumPy. Start at `read_equations` and `read_expression`.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import operator
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from neurosim.errors import ModelError, shown
from neurosim.model.formulas import (
    CHOICES,
    FUNCTIONS,
    MAX_CHOICES,
    MAX_DEPTH,
    MAX_EXPONENT,
    MAX_LENGTH,
    MAX_NUMBER,
)

MAX_LINES = 40  # of equations
MAX_EXPANDED = 5000  # nodes of an expression and of the values that it reads
MAX_NAME = 30  # characters of a declared name
MAX_OPERATIONS = 100  # functions, powers and quotients of an expression
# units in expressions and in texts of values: dimension, and size in base units
UNITS = {
    "second": ("second", 1.0),
    "ms": ("second", 1e-3),
    "us": ("second", 1e-6),
    "hertz": ("hertz", 1.0),
    "Hz": ("hertz", 1.0),
    "kHz": ("hertz", 1e3),
}
DECLARED = {"1": "1", "second": "second", "hertz": "hertz", "Hz": "hertz"}  # units of variables
FLAGS = ("shared", "constant", "constant over dt")
# variables of ``sim.equations`` that a text may read, where the population has them
READABLE = (
    *("x", "lam", "a", "sigma", "dsigma", "g", "mu", "delta", "feedback", "dL_dx"),
    *("G", "dG", "epsilon", "y", "dV_dx", "activity_l1"),
    *("kappa", "gamma", "rho", "tau_x", "tau_lam", "t"),
)
STATE, VALUE, PARAMETER = "state", "value", "parameter"  # kinds of variables

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
LINE = re.compile(
    r"\s*(?:d(?P<state>\w+)\s*/\s*dt\s*=(?P<rate>[^=]*)|(?P<name>\w+)\s*(?:=(?P<value>[^=]*))?)"
    r":\s*(?P<unit>\w+)\s*(?:\((?P<flags>[a-z ,]*)\))?\s*"
)
# names that Brian2, the engine, Python, Cython or C++ give a meaning
TAKEN = {
    *dir(builtins),  # Cython's code calls some
    *READABLE,
    *UNITS,
    *FUNCTIONS,
    *("i", "j", "N", "dt", "t_in_timesteps", "xi", "pi", "e", "inf", "nan"),
    *("rho_lam", "log_partition", "y_total"),
    *("rand", "randn", "poisson", "clip", "int", "floor", "ceil", "exprel", "timestep", "log10"),
    *("arcsin", "arccos", "expm1", "log1p", "lastspike", "not_refractory", "activity", "std"),
    *("and", "or", "not", "bool", "char", "short", "long", "float", "double", "signed", "unsigned"),
    *("void", "auto", "const", "static", "extern", "register", "volatile", "inline", "restrict"),
    *("struct", "union", "enum", "typedef", "sizeof", "goto", "switch", "case", "default", "do"),
    *("template", "typename", "namespace", "using", "new", "delete", "this", "class", "public"),
    *("private", "protected", "virtual", "friend", "operator", "throw", "catch", "explicit"),
    *("mutable", "export", "asm", "main", "true", "false", "nullptr", "NULL", "EOF", "NAN"),
    *(
        "INFINITY",
        "HUGE_VAL",
        "RAND_MAX",
        "brian",
        "ns",
        "numpy",
        "np",
        "cdef",
        "cpdef",
        "ctypedef",
    ),
    *("include", "cimport", "errno", "assert", "stdin", "stdout", "stderr", "self", "look"),
    *("low_pass", "state_noise", "correlation", "theta", "clamped_at", "step_length", "stage_time"),
}
# prefixes of names that the engine makes, and the endings with which plasticity reads variables
ENGINE = re.compile(
    r"(rate|recorded|received|sent|slow|past|ahead|noise|line|first|second|rand|randn|xi|push|mean"
    r"|square|events|plastic|theta)_.*|.*_(pre|post)"
)


@dataclass(frozen=True)
class Variable:
    """One line of an extension's equations.

    Attributes
    ----------
    name : str
    kind : "state", "value" or "parameter"
        ``dname/dt = ...``, ``name = ...``, or a declaration alone.
    expression : ast.expr or None
        The checked right-hand side; None for a parameter.
    unit : "1", "second" or "hertz"
    flags : tuple of str
    """

    name: str
    kind: str
    expression: ast.expr | None
    unit: str
    flags: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The line in Brian2's notation, printed from what was read."""
        flags = f" ({', '.join(self.flags)})" if self.flags else ""
        if self.expression is None:
            return f"{self.name} : {self.unit}{flags}"
        left = f"d{self.name}/dt" if self.kind == STATE else self.name
        return f"{left} = {printed(self.expression)} : {self.unit}{flags}"


def read_equations(what: str, text: str, readable: Collection[str]) -> tuple[Variable, ...]:
    """Read the equations of an extension, one per line.

    Parameters
    ----------
    what : str
        Name of the text, for messages.
    text : str
        Lines such as ``dc/dt = (x - c)/tau_c : 1``, ``s = 2*c : 1``, ``tau_c : second (shared)``.
    readable : collection of str
        Names that they may read beside their own.

    Raises
    ------
    ModelError
        Anything else; the message has the line or the name.

    Examples
    --------
    >>> found = read_equations("equations", "dc/dt = (x - c)/(20*ms) : 1", ("x",))
    >>> found[0].line
    'dc/dt = (x - c) / (20 * ms) : 1'
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > MAX_LINES:
        raise ModelError(f"{what} has {len(lines)} lines; allowed: at most {MAX_LINES}")
    matches = [_matched(what, line) for line in lines]
    names = []
    for match in matches:
        name = match["state"] or match["name"]
        check_name(what, name)
        if name in names:
            raise ModelError(f"{what} declares {name!r} twice; allowed: once")
        names.append(name)
    found = []
    for name, match in zip(names, matches, strict=True):
        found.append(_variable(what, name, match, (*readable, *names)))
    for variable in found:
        if variable.expression is not None:
            check_expanded(f"{variable.name} in {what}", variable.expression, found)
    return tuple(found)


def check_expanded(what: str, tree: ast.expr, variables: Iterable[Variable]) -> None:
    """Refuse an expression that is too long with the values that it reads put in, as Brian2 does.

    Raises
    ------
    ModelError
        More than `MAX_EXPANDED` nodes, or values that read each other in a circle.
    """
    values = {v.name: v.expression for v in variables if v.kind == VALUE and v.expression}
    sizes: dict[str, int] = {}

    def size(tree: ast.expr, above: tuple[str, ...]) -> int:
        nodes = list(ast.walk(ast.parse(printed(tree), mode="eval")))
        total = len(nodes)
        for node in nodes:
            if not isinstance(node, ast.Name) or node.id not in values:
                continue
            if node.id in above:
                raise ModelError(
                    f"{what} reads {node.id}, which reads itself by {', '.join(above)}; "
                    "allowed: values that follow from others"
                )
            if node.id not in sizes:
                sizes[node.id] = size(values[node.id], (*above, node.id))
            total += sizes[node.id]
        return total

    found = size(tree, ())
    if found > MAX_EXPANDED:
        raise ModelError(
            f"{what} has {found} numbers, names and operations with the values that it reads put "
            f"in; allowed: at most {MAX_EXPANDED}; try a state in place of a value"
        )


def _matched(what: str, line: str) -> re.Match[str]:
    """Return the parts of a line."""
    _check_characters(what, line)
    match = LINE.fullmatch(line)
    if match is None or not (match["state"] or match["name"]):
        raise ModelError(
            f"{what} has the line {shown(line.strip())}; allowed: dNAME/dt = FORMULA : UNIT, "
            "NAME = FORMULA : UNIT, or NAME : UNIT, with flags such as (shared) at the end"
        )
    return match


def _variable(what: str, name: str, match: re.Match[str], readable: tuple[str, ...]) -> Variable:
    """Return the variable that the parts of a line declare."""
    if match["unit"] not in DECLARED:
        raise ModelError(
            f"{what} gives {name} the unit {shown(match['unit'])}; allowed: {', '.join(DECLARED)}"
        )
    unit = DECLARED[match["unit"]]
    flags = []
    for given in (match["flags"] or "").split(","):
        flag = " ".join(given.split())
        if flag and flag not in FLAGS:
            raise ModelError(
                f"{what} gives {name} the flag {shown(flag)}; allowed: {', '.join(FLAGS)}"
            )
        if flag:
            flags.append(flag)
    if match["state"] and flags:
        raise ModelError(f"{what} gives d{name}/dt the flag {shown(flags[0])}; allowed: none")
    text = match["rate"] if match["state"] else match["value"]
    if text is None:
        return Variable(name, PARAMETER, None, unit, tuple(flags))
    expression = read_expression(f"{name} in {what}", text, readable)
    kind = STATE if match["state"] else VALUE
    return Variable(name, kind, expression, unit, tuple(flags))


def check_name(what: str, name: str) -> None:
    """Refuse a name that Python, Brian2, the engine or C++ could take for something else.

    Raises
    ------
    ModelError
        The message has the name.
    """
    plain = len(name) <= MAX_NAME and NAME.fullmatch(name) is not None
    taken = name in TAKEN or keyword.iskeyword(name) or ENGINE.fullmatch(name) is not None
    if not plain or taken:
        why = "which has a meaning already" if plain else "which is not a plain name"
        raise ModelError(
            f"{what} declares {shown(name)}, {why}; allowed: up to {MAX_NAME} letters, digits and "
            "single underscores, such as tau_c, that are not a word of Brian2, Python or C++"
        )


def read_expression(what: str, text: str, readable: Collection[str]) -> ast.expr:
    """Read one expression; return its checked syntax tree.

    Raises
    ------
    ModelError
        Text that is not a plain formula of these names; the message has the reason.
    """
    _check_characters(what, text)
    if len(text) > MAX_LENGTH:
        raise _not_plain(what, text, readable, f"it has more than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _not_plain(what, text, readable, "it does not parse") from error
    checker = _Checker(readable)
    try:
        checker.check(tree, 0)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise _not_plain(what, text, readable, str(error) or type(error).__name__) from error
    return tree


def _check_characters(what: str, text: str) -> None:
    """Refuse characters that no formula has: of comments, quotes, braces, other scripts."""
    wrong = re.search(r"[^A-Za-z0-9_ \t.,()+\-*/=:]", text)
    if wrong is not None:
        raise ModelError(
            f"{what} = {shown(text.strip())} contains {wrong[0]!r}; allowed: letters, digits, "
            "_ . , ( ) + - * / = :"
        )


def _not_plain(what: str, text: str, readable: Iterable[str], why: str) -> ModelError:
    return ModelError(
        f"{what} = {shown(text.strip())} is not a plain formula: {why}; allowed: numbers, "
        f"{', '.join(readable)}, {', '.join(UNITS)}, + - * / ** and {', '.join(FUNCTIONS)}"
    )


OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class _Checker:
    """Check the nodes of one expression, and compute those that are constant.

    Attributes
    ----------
    operations : int
        Functions, powers and quotients so far.
    choices : int
        Number of max and min calls that enclose the present node.
    """

    def __init__(self, readable: Collection[str]) -> None:
        self.readable = set(readable)
        self.operations = self.choices = 0

    def check(self, node: ast.expr, depth: int) -> float | None:
        """Return the value of a constant expression, None of any other.

        Raises
        ------
        ValueError
            A node that the grammar does not have; the message has the reason.
        """
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return _bounded(value)
            case ast.Name(id=name):
                if name not in self.readable and name not in UNITS:
                    raise ValueError(f"unknown name {name!r}")
                return None
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                inner = self.check(operand, depth + 1)
                negative = isinstance(node.op, ast.USub)
                return -inner if negative and inner is not None else inner
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return self._combined(type(op), left, right, depth)
            case ast.Call(func=ast.Name(id=name), args=given, keywords=[]):
                self._check_call(name, given, depth)
                return None
            case ast.Call():
                raise ValueError(f"unknown function {ast.unparse(node.func)[:20]!r}")
        raise ValueError(f"{type(node).__name__} is not allowed")

    def _combined(
        self, kind: type[ast.operator], left: ast.expr, right: ast.expr, depth: int
    ) -> float | None:
        one, two = self.check(left, depth + 1), self.check(right, depth + 1)
        if kind in (ast.Div, ast.Pow):
            self._count()
        if kind is ast.Pow and (two is None or abs(two) > MAX_EXPONENT):
            raise ValueError(f"an exponent must be a number of at most {MAX_EXPONENT} in size")
        if kind is ast.Div and two == 0:
            raise ValueError("it divides by zero")
        if one is None or two is None:
            return None
        return _bounded(OPERATORS[kind](one, two))

    def _check_call(self, name: str, given: list[ast.expr], depth: int) -> None:
        if name not in FUNCTIONS:
            raise ValueError(f"unknown function {name!r}")
        if len(given) != FUNCTIONS[name]:
            raise ValueError(f"{name} takes {FUNCTIONS[name]} argument(s)")
        self._count()
        choice = int(name in CHOICES)
        self.choices += choice
        if self.choices > MAX_CHOICES:
            raise ValueError(f"max and min are more than {MAX_CHOICES} deep")
        for argument in given:
            self.check(argument, depth + 1)
        self.choices -= choice

    def _count(self) -> None:
        self.operations += 1
        if self.operations > MAX_OPERATIONS:
            raise ValueError(f"more than {MAX_OPERATIONS} functions, powers and quotients")


def _bounded(value: float | complex) -> float:
    """Return a constant unchanged if it is real and not too large."""
    if isinstance(value, complex) or not abs(value) <= MAX_NUMBER:  # nor nan
        raise ValueError(f"{str(value)[:20]} is a constant that is not real, or too large")
    return value


def printed(tree: ast.expr) -> str:
    """Return a checked expression in Brian2's notation, with abs in place of max and min."""
    return ast.unparse(_Chosen().visit(ast.parse(ast.unparse(tree), mode="eval").body))


class _Chosen(ast.NodeTransformer):
    """Write max and min as (one + two ± abs(one - two))/2, as Brian2 has neither."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace a call of max or min."""
        self.generic_visit(node)
        assert isinstance(node.func, ast.Name)
        if node.func.id not in CHOICES:
            return node
        one, two = (ast.unparse(argument) for argument in node.args)
        sign = "+" if node.func.id == "max" else "-"
        text = f"((({one}) + ({two})) {sign} abs(({one}) - ({two})))/2"
        return ast.parse(text, mode="eval").body


def quantity(what: str, text: str) -> tuple[float, str]:
    """Return the value of a text such as ``"10 ms"`` in base units, and its dimension.

    Raises
    ------
    ModelError
        Any other text.

    Examples
    --------
    >>> quantity("tau_c", "10 ms")
    (0.01, 'second')
    """
    match = re.fullmatch(r"\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]+)?\s*", text)
    units = UNITS | {"s": ("second", 1.0)}
    if match is None or (match[2] or "Hz") not in units:
        raise ModelError(
            f"{what} = {shown(text)}; allowed: a number, or a number and one of "
            f"{', '.join(units)}; try '10 ms'"
        )
    number = float(match[1])
    if match[2] is None:
        return number, ""
    dimension, size = units[match[2]]
    return number * size, dimension
