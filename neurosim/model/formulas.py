"""Parse user-supplied formulas safely, differentiate them, and print them as text.

A formula is parsed with a small grammar (never by `eval` or `sympify`), differentiated by SymPy,
and printed as text that is valid in both Brian2 and NumPy. Start at `parse`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from neurosim.errors import ModelError, shown

if TYPE_CHECKING:
    import sympy

MAX_LENGTH = 500  # characters of a formula
MAX_DEPTH = 40  # nested operations
MAX_NUMBER = 1e12  # absolute value of a constant: 9**9**9 must not hang SymPy
MAX_EXPONENT = 64  # absolute value of an exponent
MAX_NESTED = 6  # functions, powers and quotients within each other: SymPy's work doubles with each
MAX_TERMS = 24  # functions, powers and quotients in all
MAX_CHOICES = 4  # nested max and min: each level doubles the text
MAX_TEXT = 5000  # characters of SymPy's result

# name -> number of arguments
FUNCTIONS = {
    "exp": 1,
    "log": 1,
    "sqrt": 1,
    "tanh": 1,
    "sinh": 1,
    "cosh": 1,
    "sin": 1,
    "cos": 1,
    "tan": 1,
    "arctan": 1,
    "abs": 1,
    "sign": 1,
    "max": 2,
    "min": 2,
}
CHOICES = ("max", "min")  # expressed by abs: SymPy's Max can take minutes to compare its arguments
SYMPY_NAMES = {"abs": "Abs", "arctan": "atan"}  # SymPy's names, where they differ


def parse(
    text: str,
    variables: Iterable[str],
    what: str = "expression",
    functions: Mapping[str, int] = FUNCTIONS,
) -> sympy.Expr:
    """Parse a plain formula; return it as a SymPy expression in real symbols.

    A plain formula consists of numbers, the given variables, ``+ - * / **`` and the functions in
    `FUNCTIONS`. Nothing else ever reaches SymPy, so a model file cannot run code.

    Parameters
    ----------
    text : str
        The formula, at most `MAX_LENGTH` characters.
    variables : iterable of str
        Names of the variables that it may contain.
    what : str
        Name of the argument, for messages.
    functions : dict of str to int
        Functions that it may call, with the number of their arguments.

    Raises
    ------
    ModelError
        Text that is not a plain formula; the message has the reason.
    """
    names = tuple(variables)
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise ModelError(
            f"{what} = {str(text)[:40]!r}...; allowed: a formula of at most {MAX_LENGTH} characters"
        )
    if "#" in text:  # Python would drop a comment without a word
        raise _not_plain(what, text, names, "it has a comment", functions)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _not_plain(what, text, names, "it does not parse", functions) from error
    try:
        reader = _Reader(what, text, names, functions)
        reader.check_size(tree.body)
        return _checked(reader.read(tree.body, 0), names)
    except ModelError:
        raise
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        why = str(error) or type(error).__name__
        raise _not_plain(what, text, names, why, functions) from error


def _checked(formula: sympy.Expr, names: Iterable[str]) -> sympy.Expr:
    """Check that an expression is real and finite and can be printed; return it unchanged.

    Raises
    ------
    ValueError
        Any other expression; the message has the reason.
    """
    import sympy

    printable = (
        sympy.exp,
        sympy.log,
        sympy.tanh,
        sympy.sinh,
        sympy.cosh,
        sympy.sin,
        sympy.cos,
        sympy.tan,
        sympy.atan,
        sympy.Abs,
        sympy.sign,
        sympy.floor,
    )
    foreign = {str(symbol) for symbol in formula.free_symbols} - set(names)
    if foreign:
        raise ValueError(f"it contains other symbols: {', '.join(sorted(foreign))}")
    if formula.has(sympy.I, sympy.nan, sympy.oo, -sympy.oo, sympy.zoo):
        raise ValueError(f"{str(formula)[:40]} is not a finite real number everywhere")
    functions = formula.atoms(sympy.Function)
    unprintable = {type(f).__name__ for f in functions if not isinstance(f, printable)}
    if unprintable:
        raise ValueError(f"its derivative needs {', '.join(sorted(unprintable))}")
    if formula.has(sympy.Derivative, sympy.Subs, sympy.Integral):
        raise ValueError(f"{str(formula)[:40]} cannot be differentiated")
    return formula


def _not_plain(
    what: str, text: str, names: tuple[str, ...], why: str, functions: Mapping[str, int]
) -> ModelError:
    return ModelError(
        f"{what} = {shown(text)} is not a plain formula: {why}; allowed: numbers, "
        f"{', '.join(names)}, + - * / ** and {', '.join(functions)}"
    )


class _Reader:
    """Build a SymPy expression from Python's syntax tree, node by node.

    Attributes
    ----------
    choices : int
        Number of max and min calls that enclose the present node.
    """

    def __init__(
        self, what: str, text: str, names: tuple[str, ...], functions: Mapping[str, int]
    ) -> None:
        import sympy

        self.sympy = sympy
        self.what, self.text, self.names, self.arguments = what, text, names, functions
        self.symbols = {name: sympy.Symbol(name, real=True) for name in names}
        self.functions: dict[str, Callable[..., Any]] = {}
        for name in functions:
            if name not in CHOICES:
                self.functions[name] = getattr(sympy, SYMPY_NAMES.get(name, name))
        self.choices = 0

    def refused(self, why: str) -> ModelError:
        """Return the error for the whole formula, with a reason."""
        return _not_plain(self.what, self.text, self.names, why, self.arguments)

    def check_size(self, tree: ast.expr) -> None:
        """Refuse a formula on which SymPy could work for long, before SymPy sees it."""
        terms = deepest = 0
        places = [(tree, 0)]
        while places:
            node, nested = places.pop()
            if _is_term(node):
                nested += 1
                terms += 1
            deepest = max(deepest, nested)
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.expr):
                    places.append((part, nested))
        kinds = "functions, powers and quotients"
        if deepest > MAX_NESTED:
            raise self.refused(f"{kinds} nested deeper than {MAX_NESTED}")
        if terms > MAX_TERMS:
            raise self.refused(f"more than {MAX_TERMS} {kinds}")

    def read(self, node: ast.expr, depth: int) -> Any:
        """Return the expression of a node; `depth` counts the nodes above it."""
        if depth > MAX_DEPTH:
            raise self.refused(f"nested deeper than {MAX_DEPTH}")
        if isinstance(node, ast.Constant):
            return self.constant(node.value)
        if isinstance(node, ast.Name):
            if node.id not in self.symbols:
                raise self.refused(f"unknown name {node.id!r}")
            return self.symbols[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.read(node.operand, depth + 1)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            return self.read(node.operand, depth + 1)
        if isinstance(node, ast.BinOp):
            left, right = self.read(node.left, depth + 1), self.read(node.right, depth + 1)
            return self.bounded(self.combined(node.op, left, right))
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        raise self.refused(f"{type(node).__name__} is not allowed")

    def constant(self, value: Any) -> Any:
        """Return a number as a SymPy Float; powers of SymPy Integers would have no bound."""
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not (real and abs(value) <= MAX_NUMBER):  # nor nan
            raise self.refused(f"constant {str(value)[:20]!r}")
        return self.sympy.Float(value)

    def bounded(self, value: Any) -> Any:
        """Return the value unchanged; refuse a constant that is not real or is too large."""
        if value.is_number and not (value.is_real and abs(value) <= MAX_NUMBER):
            raise self.refused(f"{str(value)[:20]} is a constant that is not real, or too large")
        return value

    def combined(self, operator: ast.operator, left: Any, right: Any) -> Any:
        """Return the result of a binary operator."""
        match operator:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                if right.is_zero:
                    raise self.refused(f"division by zero, a denominator is {right}")
                return left / right
            case ast.Pow():
                return self.power(left, right)
        hint = ", try **" if isinstance(operator, ast.BitXor) else ""
        raise self.refused(f"{type(operator).__name__} is not allowed{hint}")

    def power(self, base: Any, exponent: Any) -> Any:
        """Return a power; simple fractions become exact exponents, so that a**0.5 is a root."""
        if not exponent.is_number or abs(exponent) > MAX_EXPONENT:
            raise self.refused(f"an exponent must be a number of at most {MAX_EXPONENT} in size")
        fraction = Fraction(float(exponent)).limit_denominator(MAX_EXPONENT)
        if float(fraction) == float(exponent):
            return base ** self.sympy.Rational(fraction)
        return base**exponent

    def call(self, node: ast.Call, depth: int) -> Any:
        """Return the call of an allowed function, after checking its arguments."""
        if not isinstance(node.func, ast.Name) or node.func.id not in self.arguments:
            raise self.refused(f"unknown function {ast.unparse(node.func)[:20]!r}")
        name = node.func.id
        if node.keywords or len(node.args) != self.arguments[name]:
            raise self.refused(f"{name} takes {self.arguments[name]} argument(s)")
        if name in CHOICES:
            return self.bounded(self.choice(name, node.args, depth))
        argument = self.read(node.args[0], depth + 1)
        return self.bounded(self.functions[name](argument))

    def choice(self, name: str, sides: list[ast.expr], depth: int) -> Any:
        """Return max or min of two expressions, as (one + two ± abs(one - two)) / 2."""
        self.choices += 1
        if self.choices > MAX_CHOICES:
            raise self.refused(f"max and min more than {MAX_CHOICES} deep")
        one, two = self.read(sides[0], depth + 1), self.read(sides[1], depth + 1)
        self.choices -= 1
        sign = 1 if name == "max" else -1
        return (one + two + sign * self.sympy.Abs(one - two)) / self.sympy.Float(2)


def _is_term(node: ast.AST) -> bool:
    """Whether a node is a function call, a power, or a quotient by other than a number."""
    if isinstance(node, ast.BinOp):
        by_number = isinstance(node.right, ast.Constant)
        return isinstance(node.op, ast.Pow) or (isinstance(node.op, ast.Div) and not by_number)
    return isinstance(node, ast.Call)


def derivative(formula: sympy.Expr, variable: str) -> sympy.Expr:
    """Return d formula / d variable, which is valid almost everywhere.

    At a kink it is the mean of both one-sided slopes. At a jump the delta function is left out.

    Raises
    ------
    ModelError
        The derivative is not a plain formula.
    """
    import sympy

    slope = formula.diff(sympy.Symbol(variable, real=True))
    slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
    try:
        return _checked(slope, [str(symbol) for symbol in formula.free_symbols])
    except ValueError as error:
        raise ModelError(
            f"{to_text(formula)} is not a plain formula: {error}; try one that is smooth"
        ) from error


def to_text(formula: sympy.Expr) -> str:
    """Return an expression as text that is valid in Brian2 and NumPy; all numbers are floats.

    Raises
    ------
    ModelError
        The text has more than `MAX_TEXT` characters.
    """
    text: str = _printer().doprint(formula)
    if len(text) > MAX_TEXT:
        raise ModelError(
            f"a formula or its derivative has {len(text)} characters; "
            f"allowed: {MAX_TEXT}; try a shorter one"
        )
    return text


@lru_cache(maxsize=1)
def _printer() -> Any:
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]
        """SymPy's printer, with Brian2's function names and without integer division."""

        def _print_Integer(self, node: Any) -> str:
            return f"{int(node)}.0"

        def _print_Rational(self, node: Any) -> str:
            return repr(float(node))

        def _print_Float(self, node: Any) -> str:
            return repr(float(node))

        def _print_NumberSymbol(self, node: Any) -> str:
            return repr(float(node))

        def _print_Abs(self, node: Any) -> str:
            return f"abs({self._print(node.args[0])})"

        def _print_atan(self, node: Any) -> str:
            return f"arctan({self._print(node.args[0])})"

        def _print_Pow(self, node: Any, rational: bool = False) -> str:
            base, power = node.base, node.exp
            if power.is_Integer and 2 <= abs(power) <= 4:  # products: pow() is slow and not exact
                product = "*".join([f"({self._print(base)})"] * abs(int(power)))
                return f"({product})" if power > 0 else f"(1.0/({product}))"
            if power == -1:
                return f"(1.0/({self._print(base)}))"
            if power.is_Rational and power.q == 2 and power.p == 1:
                return f"sqrt({self._print(base)})"
            return f"({self._print(base)})**({self._print(power)})"

    return Printer()


@lru_cache(maxsize=256)
def numpy_function(text: str, names: tuple[str, ...]) -> Callable[..., Any]:
    """Return a user-supplied formula as a NumPy function of `names`, made by SymPy's lambdify."""
    return _lambdified(parse(text, names), names)


@lru_cache(maxsize=256)
def numpy_derivative(
    text: str, names: tuple[str, ...], variable: str, order: int = 1
) -> Callable[..., Any]:
    """Return the derivative of a user-supplied formula as a NumPy function of `names`.

    Parameters
    ----------
    text : str
        The formula.
    names : tuple of str
        Arguments of the function, in order.
    variable : str
        Variable of differentiation.
    order : int
        Order of the derivative, >= 0.
    """
    slope = parse(text, names)
    for _ in range(order):
        slope = derivative(slope, variable)
    return _lambdified(slope, names)


def _lambdified(formula: sympy.Expr, names: tuple[str, ...]) -> Callable[..., Any]:
    import sympy

    symbols = [sympy.Symbol(name, real=True) for name in names]
    function: Callable[..., Any] = sympy.lambdify(symbols, formula, "numpy")
    return function
