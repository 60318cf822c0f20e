r"""Typeset equations of Brian2's notation in LaTeX, as a paper would print them.

Text is parsed into a syntax tree and never evaluated. The LaTeX is of the part that both TeX and
Matplotlib's mathtext read. Indices: a unit is i; in equations of synapses i is the postsynaptic
unit, j the presynaptic one. Start at `equation` and `expression`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from neurosim.errors import ModelError, shown

# LaTeX, and how tightly it holds together, from `LOGIC` to `ATOM`
Piece: TypeAlias = tuple[str, int]
LOGIC, RELATION, SUM, PRODUCT, POWER, ATOM = range(6)

SYMBOLS = {
    "lam": r"\lambda",
    "dG": "G'",
    "sigma": r"\sigma",
    "dsigma": r"\sigma'",
    "dL_dx": r"\frac{\partial L}{\partial x}",
    "dV_dx": r"\frac{\partial V}{\partial x}",
    "epsilon": r"\varepsilon",
    "activity_l1": r"\alpha",
    "log_partition": r"\log Z",
    "y_total": "Y",
    "plastic": "p",
    "dt": r"\Delta t",
}
UNINDEXED = ("log_partition", "y_total", "plastic", "t", "dt")
GREEK = frozenset(("alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa"))
GREEK |= {"lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"}
# the parts of a name such as received_x, whose first part says what happened to the second
VARIABLES = ("x", "lam", "mu", "delta", "a", "g")
DRAW = re.compile(r"(randn?)_\d+_of_\w+")  # see `engine/draws.py`
DRAWS = {"rand": r"\mathcal{U}", "randn": r"\mathcal{N}"}

ENCLOSING = {
    "abs": (r"\left|", r"\right|"),
    "floor": (r"\left\lfloor ", r"\right\rfloor"),
    "mean": (r"\left\langle ", r"\right\rangle"),
    "norm": (r"\left\Vert ", r"\right\Vert"),
    "int": (r"\left[", r"\right]"),  # of a condition: 1 where it holds, else 0 (Iverson)
    "sqrt": (r"\sqrt{", "}"),
}
NAMED = ("tanh", "sinh", "cosh", "sin", "cos", "tan", "arctan", "log", "max", "min")
RELATIONS = {
    ast.Lt: "<",
    ast.LtE: r"\leq",
    ast.Gt: ">",
    ast.GtE: r"\geq",
    ast.Eq: "=",
    ast.NotEq: r"\neq",
}


@dataclass(frozen=True)
class Names:
    """How the names of one paragraph of equations are printed.

    Attributes
    ----------
    index : str
        Index of a variable that every unit, or every synapse, has.
    shared : frozenset of str
        Names without an index, beside those of `values`.
    values : dict of str to float or str
        Numbers that stand in for names, or their LaTeX where they have a unit.
    own : dict of str to Piece
        Names that the paragraph prints otherwise, as a sum over synapses for example.
    """

    index: str = "i"
    shared: frozenset[str] = frozenset()
    values: Mapping[str, float | str] = field(default_factory=dict)
    own: Mapping[str, Piece] = field(default_factory=dict)

    def __call__(self, name: str) -> Piece:
        """Return the LaTeX of a name."""
        if name in self.own:
            return self.own[name]
        value = self.values.get(name)
        if isinstance(value, str):
            return value, PRODUCT
        if value is not None:
            return number(value)
        for ending, index in (("_pre", "j"), ("_post", "i")):
            if name.endswith(ending):
                return symbol(name.removesuffix(ending), index)
        return symbol(name, "" if name in self.shared or name in UNINDEXED else self.index)


def symbol(name: str, index: str = "") -> Piece:
    r"""Return the symbol of a variable, with the index of its unit.

    Examples
    --------
    >>> symbol("tau_x")[0], symbol("received_lam", "i")[0], symbol("v_th", "i")[0]
    ('\\tau_{x}', '\\lambda^{\\mathrm{received}}_{i}', 'v_{\\mathrm{th},i}')
    """
    known = SYMBOLS.get(name, "")
    draw = DRAW.fullmatch(name)
    head, _, rest = name.partition("_")
    variable = rest.rstrip("0123456789")
    if name.startswith("_rate_"):
        found = rf"\dot{{{_word(name.removeprefix('_rate_'))}}}{_subscript(index)}", POWER
    elif draw:
        found = f"{DRAWS[draw[1]]}{_subscript(index)}", ATOM
    elif known.endswith("x}"):  # a derivative by x
        found = f"{known.removesuffix('}')}{_subscript(index)}}}", POWER
    elif known:
        is_compound = "'" in known or " " in known
        found = known + _subscript(index), POWER if is_compound else ATOM
    elif variable in VARIABLES and head not in GREEK:
        word = upright(head + rest.removeprefix(variable))
        found = f"{_word(variable)}^{{{word}}}{_subscript(index)}", POWER
    elif rest:
        found = _word(head) + _subscript(_word(rest), index), ATOM
    else:
        found = _word(name) + _subscript(index), ATOM
    return found


def _word(name: str) -> str:
    """Return a letter, a Greek letter or an upright word."""
    if name in SYMBOLS:
        return SYMBOLS[name]
    if name in GREEK:
        return f"\\{name}"
    return name if len(name) == 1 else upright(name)


def _subscript(*parts: str) -> str:
    given = [part for part in parts if part]
    return f"_{{{','.join(given)}}}" if given else ""


def upright(words: str) -> str:
    """Return words in upright letters, with what TeX would read as commands escaped."""
    escaped = re.sub(r"([_#$%&{}])", r"\\\1", words).replace(" ", r"\ ")
    return rf"\mathrm{{{escaped}}}"


def number(value: float) -> Piece:
    r"""Return a number in LaTeX.

    Examples
    --------
    >>> number(1e-6)[0], number(0.5)[0]
    ('10^{-6}', '0.5')
    """
    mantissa, _, exponent = f"{value + 0.0:.6g}".partition("e")  # -0 becomes 0
    if not exponent:
        return mantissa, SUM if value < 0 else ATOM
    power = f"10^{{{int(exponent)}}}"
    if mantissa == "1":
        return power, POWER
    return rf"{mantissa}\cdot {power}", SUM if value < 0 else PRODUCT


def time(seconds: float) -> str:
    """Return a time in ms, as LaTeX."""
    return rf"{number(seconds * 1e3)[0]}\,\mathrm{{ms}}"


# --- equations


def equation(target: str, text: str, names: Names) -> tuple[str, str]:
    r"""Return both sides of ``target = text``.

    Examples
    --------
    >>> equation("g", "x - sigma", Names())
    ('g_{i}', 'x_{i} - \\sigma_{i}')
    """
    return names(target)[0], expression(text, names)


def differential(variable: str, text: str, names: Names) -> tuple[str, str]:
    r"""Return both sides of ``dvariable/dt = text``; a time constant below the text goes left.

    Examples
    --------
    >>> differential("x", "(sigma - x)/tau_x", Names(shared=frozenset({"tau_x"})))
    ('\\tau_{x}\\,\\frac{\\mathrm{d}x_{i}}{\\mathrm{d}t}', '\\sigma_{i} - x_{i}')
    """
    tree = _parsed(text)
    rate = rf"\frac{{\mathrm{{d}}{names(variable)[0]}}}{{\mathrm{{d}}t}}"
    match tree:
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Name(id=tau)) if tau.startswith("tau"):
            rate = rf"{names(tau)[0]}\,{rate}"
            tree = left
    return rate, _typeset(tree, text, names)


def expression(text: str, names: Callable[[str], Piece] | Names) -> str:
    r"""Return an expression in LaTeX.

    Parameters
    ----------
    text : str
        Numbers, names, operators and calls of functions, in Brian2's notation.
    names : callable
        Returns the LaTeX of a name.

    Raises
    ------
    ModelError
        Any other text.

    Examples
    --------
    >>> expression("a*int(a > 0)/(1 + rho)", Names(shared=frozenset({"rho"})))
    '\\frac{a_{i}\\,\\left[a_{i} > 0\\right]}{1 + \\rho}'
    """
    return _typeset(_parsed(text), text, names)


def _typeset(tree: ast.expr, text: str, names: Callable[[str], Piece] | Names) -> str:
    try:
        return _Typesetter(names).text(tree)
    except RecursionError as error:
        raise _unprintable(text) from error


def _parsed(text: str) -> ast.expr:
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unprintable(text) from error
    return tree


def _unprintable(text: str) -> ModelError:
    return ModelError(
        f"the expression {shown(text)} cannot be typeset; allowed: numbers, names, "
        "+ - * / ** % //, comparisons, and calls of functions"
    )


class _Typesetter:
    """Typeset the nodes of an expression.

    A product with 0 or 1 and a sum with 0 are simplified, as where gains of a flow are filled in.
    """

    def __init__(self, names: Callable[[str], Piece] | Names) -> None:
        self.names = names
        self.values: Mapping[str, float | str] = getattr(names, "values", {})

    def text(self, node: ast.expr) -> str:
        """Return the LaTeX of an expression."""
        return self.piece(node)[0]

    def within(self, node: ast.expr, least: int) -> str:
        """Return the LaTeX of an operand, in brackets unless it holds together tightly enough."""
        text, level = self.piece(node)
        return text if level >= least else rf"\left({text}\right)"

    def piece(self, node: ast.expr) -> Piece:
        """Return the LaTeX of a node, and how tightly it holds together."""
        value = self.value(node)
        if value is not None:
            return number(value)
        match node:
            case ast.Name(id=name):
                found = self.names(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                found = f"-{self.within(operand, PRODUCT)}", SUM
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                found = self.piece(operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                found = rf"\neg {self.within(operand, ATOM)}", RELATION
            case ast.BinOp(left=left, op=op, right=right):
                found = self.binary(left, op, right)
            case ast.Compare():
                found = self.comparison(node), RELATION
            case ast.BoolOp(op=op, values=operands):
                word = r" \wedge " if isinstance(op, ast.And) else r" \vee "
                parts = [self.within(operand, RELATION) for operand in operands]
                found = word.join(parts), LOGIC
            case ast.Constant(value=bool(truth)):
                found = upright(str(truth).lower()), ATOM
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                found = self.call(name, arguments)
            case _:
                raise _unprintable(ast.unparse(node))
        return found

    def value(self, node: ast.expr) -> float | None:
        """Return the value of a number, or of a name that a number stands in for."""
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool):
            return float(node.value) if isinstance(node.value, int | float) else None
        if isinstance(node, ast.Name):
            found = self.values.get(node.id)
            return float(found) if isinstance(found, int | float) else None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.value(node.operand)
            return None if inner is None else -inner
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            factors = (self.value(node.left), self.value(node.right))
            if 0 in factors:
                return 0.0
            if None not in factors:
                return float(factors[0] or 0) * float(factors[1] or 0)
        return None

    def comparison(self, node: ast.Compare) -> str:
        """Return the LaTeX of comparisons, such as a < b."""
        text = self.within(node.left, SUM)
        for relation, other in zip(node.ops, node.comparators, strict=True):
            if type(relation) not in RELATIONS:
                raise _unprintable(ast.unparse(node))
            text += f" {RELATIONS[type(relation)]} {self.within(other, SUM)}"
        return text

    def binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> Piece:
        """Return the LaTeX of a sum, product, quotient, power or remainder."""
        match op:
            case ast.Add() | ast.Sub():
                found = self.sum(left, isinstance(op, ast.Sub), right)
            case ast.Mult():
                found = self.product(left, right)
            case ast.Div():
                found = self.quotient(left, right)
            case ast.Pow():
                found = f"{self.within(left, ATOM)}^{{{self.text(right)}}}", POWER
            case ast.FloorDiv():
                found = rf"\left\lfloor {self.quotient(left, right)[0]}\right\rfloor", ATOM
            case ast.Mod():
                found = self.function("mod", [left, right])
            case _:
                raise _unprintable(ast.unparse(ast.BinOp(left, op, right)))
        return found

    def quotient(self, left: ast.expr, right: ast.expr) -> Piece:
        """Return the LaTeX of a fraction, or of its numerator if the denominator is 1."""
        if self.value(right) == 1:
            return self.piece(left)
        return rf"\frac{{{self.text(left)}}}{{{self.text(right)}}}", PRODUCT

    def sum(self, left: ast.expr, is_difference: bool, right: ast.expr) -> Piece:
        """Return the LaTeX of a sum or difference; terms of 0 are left out."""
        if self.value(right) == 0:
            return self.piece(left)
        if self.value(left) == 0:
            return (f"-{self.within(right, PRODUCT)}", SUM) if is_difference else self.piece(right)
        first = self.within(left, SUM)
        second, level = self.piece(right)
        sign = "-" if is_difference else "+"
        adds_a_sum = level == SUM and not is_difference and not second.startswith("-")
        if level < PRODUCT and not adds_a_sum:
            second = rf"\left({second}\right)"
        return f"{first} {sign} {second}", SUM

    def product(self, left: ast.expr, right: ast.expr) -> Piece:
        """Return the LaTeX of a product; factors of 1 are left out, a sign goes to the front."""
        if isinstance(left, ast.UnaryOp) and isinstance(left.op, ast.USub):
            inner = ast.BinOp(left.operand, ast.Mult(), right)
            return f"-{self.within(inner, PRODUCT)}", SUM
        factors = (self.value(left), self.value(right))
        if factors[0] == 1:
            return self.piece(right)
        if factors[1] == 1:
            return self.piece(left)
        one, two = self.within(left, PRODUCT), self.within(right, PRODUCT)
        space = r"\cdot " if two[0].isdigit() else r"\,"
        return f"{one}{space}{two}", PRODUCT

    def call(self, name: str, arguments: list[ast.expr]) -> Piece:
        """Return the LaTeX of a function of its arguments."""
        if name in ENCLOSING and len(arguments) == 1:
            begin, end = ENCLOSING[name]
            return f"{begin}{self.text(arguments[0])}{end}", ATOM
        if name == "exp" and len(arguments) == 1:
            return f"e^{{{self.text(arguments[0])}}}", POWER
        if name == "log1p" and len(arguments) == 1:
            one = ast.BinOp(ast.Constant(1), ast.Add(), arguments[0])
            return self.function("log", [one])
        if name in DRAWS and not arguments:
            return f"{DRAWS[name]}{_subscript(getattr(self.names, 'index', ''))}", ATOM
        return self.function({"sign": "sgn"}.get(name, name), arguments)

    def function(self, name: str, arguments: list[ast.expr]) -> Piece:
        """Return the LaTeX of a function with its arguments in brackets."""
        given = r",\,".join(self.text(argument) for argument in arguments)
        head = f"\\{name}" if name in NAMED else rf"\operatorname{{{name.replace('_', '')}}}"
        return rf"{head}\left({given}\right)", PRODUCT
