"""Activations, losses and constraint functions as text, with their derivatives.

Built-in formulas are written here once; a formula of the user's own is parsed by a small grammar
(never by `eval` or `sympify`), differentiated by SymPy and printed back as text that both Brian2
and NumPy read. Start at `activation`, `loss` and `constraint`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

from neurosim.errors import ModelError, out_of_range, unknown

if TYPE_CHECKING:
    import sympy

MAX_LENGTH = 500  # characters of a formula
MAX_DEPTH = 40  # nested operations
MAX_NUMBER = 1e12  # size of a constant: 9**9**9 must not hang SymPy
MAX_EXPONENT = 64
MAX_CHOICES = 4  # max and min within each other: each level doubles the text
MAX_TEXT = 5000  # characters of what SymPy makes of it
SMALL = 1e-12  # what rounding may leave of a formula that is 0


@dataclass(frozen=True)
class Activation:
    """sigma(a) and its slope, as text.

    `dsigma` may use the value `sigma` beside `a`, where that saves a transcendental function.
    """

    name: str
    sigma: str
    dsigma: str


@dataclass(frozen=True)
class LossTerm:
    """One unit's share of V, and dV/dx, as text in `x` and `y`.

    With `partition` the text also reads `log_partition`, log sum_j exp(x_j) over the population,
    with `total` also `y_total`, sum_j y_j. One that is not `targeted` reads no y: a price on
    outputs, such as ``"abs(x)"``.
    """

    kind: str
    value: str
    slope: str
    partition: bool = False
    targeted: bool = True
    total: bool = False


@dataclass(frozen=True)
class Constraint:
    """G(g) and its slope, as text in `g` and `epsilon`; of ``tube`` in `lam` and `rho_lam` too.

    The tube |g| <= epsilon is the constraint g = s with a slack |s| <= epsilon that is where L is
    least in it, at s = clip(g + lam/rho_lam, -epsilon, epsilon) (Rockafellar 1973, two-sided): G =
    g - s, and its slope is 1 where the slack is at a wall, else 0. Its multiplier is free: lam_plus
    = max(lam, 0), lam_minus = max(-lam, 0).
    """

    kind: str
    epsilon: float
    value: str
    slope: str

    @property
    def reads_epsilon(self) -> bool:
        """Whether `epsilon` stands in the text."""
        return re.search(r"\bepsilon\b", self.value) is not None

    @property
    def slides(self) -> bool:
        """Whether the slope jumps, so that a state in the end slides along a kink and never rests."""
        return self.kind != "tube" and re.search(r"\b(sign|int)\(", self.slope) is not None


ACTIVATIONS = {
    "tanh": Activation("tanh", "tanh(a)", "1 - sigma*sigma"),
    "sigmoid": Activation("sigmoid", "0.5 + 0.5*tanh(0.5*a)", "sigma*(1 - sigma)"),
    "relu": Activation("relu", "a*int(a > 0)", "1.0*int(a > 0)"),
    # log(1 + exp(a)) without overflow, and the logistic function as its slope
    "softplus": Activation(
        "softplus", "0.5*(a + abs(a)) + log1p(exp(-abs(a)))", "0.5 + 0.5*tanh(0.5*a)"
    ),
    "linear": Activation("linear", "a", "1.0"),
}

_TENSION = "g + lam/rho_lam"
# kind: G and its slope; at a wall the slope is that outside, so that epsilon = 0 leaves no gap
CONSTRAINTS = {
    "lin": ("g", "1.0"),
    "lin_eps": ("g - clip(g, -epsilon, epsilon)", "1.0*int(abs(g) >= epsilon)"),
    "abs": ("abs(g)", "sign(g)"),
    "abs_eps": ("(abs(g) - epsilon)*int(abs(g) >= epsilon)", "sign(g)*int(abs(g) >= epsilon)"),
    "squared": ("g*g", "2.0*g"),
    "tube": (f"g - clip({_TENSION}, -epsilon, epsilon)", f"1.0*int(abs({_TENSION}) >= epsilon)"),
    "none": ("0.0", "0.0"),  # x = sigma(a) at every moment: there is nothing to violate
}

LOSSES = ("mse", "cross_entropy", "squared_hinge", "eps_insensitive", "policy")

# name -> number of arguments, for a user's formula
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


def activation(name: str) -> Activation:
    """The activation of that name, or the user's own formula in `a`, e.g. ``"a/(1+abs(a))"``.

    Raises
    ------
    ModelError
        An unknown name, or text that is not a plain formula in `a`.
    """
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if not isinstance(name, str) or (name.isidentifier() and name != "a"):
        raise unknown("activation", name, (*ACTIVATIONS, "a formula in a"))
    formula = parse(name, ("a",), "activation")
    return Activation(name, to_text(formula), to_text(derivative(formula, "a")))


def loss(kind: str, epsilon: float = 0.0) -> LossTerm:
    """The loss of that kind, or the user's own formula in `x` and `y`, summed over units.

    `epsilon` is the tolerance of ``eps_insensitive`` (``loss_epsilon`` of the builders).

    Raises
    ------
    ModelError
        An unknown name, or text that is not a plain formula in `x` and `y`.
    """
    if kind == "mse":
        return LossTerm(kind, "0.5*(x - y)**2", "x - y")
    if kind == "cross_entropy":
        return LossTerm(kind, "y*(log_partition - x)", "exp(x - log_partition) - y", partition=True)
    if kind == "policy":
        slope = "y_total*exp(x - log_partition) - y"
        return LossTerm(kind, "y*(log_partition - x)", slope, partition=True, total=True)
    if kind == "squared_hinge":
        return LossTerm(kind, "0.5*(1 - y*x)**2*int(y*x < 1)", "-y*(1 - y*x)*int(y*x < 1)")
    if kind == "eps_insensitive":
        width = repr(float(epsilon))
        value = f"(abs(x - y) - {width})*int(abs(x - y) > {width})"
        return LossTerm(kind, value, f"sign(x - y)*int(abs(x - y) > {width})")
    if not isinstance(kind, str) or (kind.isidentifier() and kind not in ("x", "y")):
        raise unknown("loss", kind, (*LOSSES, "a formula in x and y"))
    formula = parse(kind, ("x", "y"), "loss")
    targeted = any(str(s) == "y" for s in formula.free_symbols)
    return LossTerm(kind, to_text(formula), to_text(derivative(formula, "x")), targeted=targeted)


def constraint(kind: str, epsilon: float = 0.0) -> Constraint:
    """The constraint function of that kind, or the user's own formula in `g` (and `epsilon`) that
    is 0 at g = 0.

    Raises
    ------
    ModelError
        An unknown name; text that is not a plain formula in `g` and `epsilon`, or is not 0 at g =
        0; an `epsilon` that is negative, or that nothing reads.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon < inf:
        raise out_of_range("epsilon", epsilon, "a finite number >= 0", "0.05")
    if isinstance(kind, str) and kind in CONSTRAINTS:
        found = Constraint(kind, float(epsilon), *CONSTRAINTS[kind])
    else:
        if not isinstance(kind, str) or (kind.isidentifier() and kind != "g"):
            raise unknown("constraint", kind, (*CONSTRAINTS, "a formula in g"))
        formula = parse(kind, ("g", "epsilon"), "constraint")
        found = Constraint(
            kind, float(epsilon), to_text(formula), to_text(derivative(formula, "g"))
        )
        at_zero = numpy_function(kind, ("g", "epsilon"))(0.0, found.epsilon)
        if not abs(at_zero) <= SMALL:
            raise out_of_range(
                f"constraint {kind!r} at g = 0",
                float(at_zero),
                "0",
                "a formula that vanishes there",
            )
    if epsilon and not found.reads_epsilon:
        readers = [
            name for name in CONSTRAINTS if Constraint(name, 0.0, *CONSTRAINTS[name]).reads_epsilon
        ]
        allowed = f"0 with constraint {kind!r}, which has no tolerance"
        raise out_of_range(
            "epsilon", epsilon, allowed, f"constraint = {' or '.join(map(repr, readers))}"
        )
    return found


def parse(text: str, variables: Iterable[str], what: str = "expression") -> sympy.Expr:
    """A plain formula as a SymPy expression in real symbols.

    Numbers, the given variables, ``+ - * / **`` and the functions of `FUNCTIONS`; nothing else ever
    reaches SymPy, so a model file cannot run code.

    Raises
    ------
    ModelError
        With the text and what was not understood.
    """
    names = tuple(variables)
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise ModelError(
            f"{what} = {str(text)[:40]!r}...; allowed: a formula of at most {MAX_LENGTH} characters"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _not_plain(what, text, names, "it does not parse") from error
    try:
        return _plain(_Reader(what, text, names).read(tree.body, 0), names)
    except ModelError:
        raise
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise _not_plain(what, text, names, str(error) or type(error).__name__) from error


def _plain(formula: sympy.Expr, names: Iterable[str]) -> sympy.Expr:
    """The expression itself, if it is a real function that both engines can print; ValueError if
    not.
    """
    import sympy

    known = (
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
    )
    if {str(s) for s in formula.free_symbols} - set(names):
        raise ValueError("it has symbols of its own")
    if formula.has(sympy.I, sympy.nan, sympy.oo, -sympy.oo, sympy.zoo):
        raise ValueError("it is not a finite real number everywhere it should be")
    if strange := {
        type(f).__name__ for f in formula.atoms(sympy.Function) if not isinstance(f, known)
    }:
        raise ValueError(f"its derivative needs {', '.join(sorted(strange))}")
    if formula.has(sympy.Derivative, sympy.Subs, sympy.Integral):
        raise ValueError("it cannot be differentiated")
    return formula


def _not_plain(what: str, text: str, names: tuple[str, ...], why: str) -> ModelError:
    return ModelError(
        f"{what} = {text!r} is not a plain formula: {why}; allowed: numbers, {', '.join(names)}, "
        f"+ - * / ** and {', '.join(FUNCTIONS)}"
    )


class _Reader:
    """Walks Python's syntax tree and builds the SymPy expression node by node."""

    def __init__(self, what: str, text: str, names: tuple[str, ...]) -> None:
        import sympy

        self.sympy = sympy
        self.refuse: Callable[[str], ModelError] = lambda why: _not_plain(what, text, names, why)
        self.symbols = {name: sympy.Symbol(name, real=True) for name in names}
        self.functions: dict[str, Callable[..., Any]] = {
            name: getattr(sympy, {"abs": "Abs", "arctan": "atan"}.get(name, name))
            for name in FUNCTIONS
            if name not in ("max", "min")
        }
        self.choices = 0

    def read(self, node: ast.expr, depth: int) -> Any:
        """The expression under one node; `depth` bounds the nesting."""
        if depth > MAX_DEPTH:
            raise self.refuse(f"nested deeper than {MAX_DEPTH}")
        if isinstance(node, ast.Constant):
            return self.number(node.value)
        if isinstance(node, ast.Name):
            if node.id not in self.symbols:
                raise self.refuse(f"unknown name {node.id!r}")
            return self.symbols[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self.read(node.operand, depth + 1)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            return self.operation(node, depth)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        raise self.refuse(f"{type(node).__name__} is not allowed")

    def number(self, value: object) -> Any:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not abs(value) <= MAX_NUMBER
        ):
            raise self.refuse(f"constant {str(value)[:20]!r}")
        return self.sympy.Float(value)  # not Integer: powers of integers have no bound

    def operation(self, node: ast.BinOp, depth: int) -> Any:
        left, right = self.read(node.left, depth + 1), self.read(node.right, depth + 1)
        return self.bounded(self.combined(node, left, right))

    def bounded(self, value: Any) -> Any:
        """Constants stay real and of moderate size."""
        if value.is_number and not (value.is_real and abs(value) <= MAX_NUMBER):
            raise self.refuse("a constant that is not real, or too large")
        return value

    def combined(self, node: ast.BinOp, left: Any, right: Any) -> Any:
        """What an operator makes of its two sides."""
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                if right.is_zero:
                    raise self.refuse("division by zero")
                return left / right
            case ast.Pow():
                if not right.is_number or abs(right) > MAX_EXPONENT:
                    raise self.refuse(
                        f"an exponent must be a number of size at most {MAX_EXPONENT}"
                    )
                exact = Fraction(float(right)).limit_denominator(
                    MAX_EXPONENT
                )  # a**0.5 is a square root
                return left ** (
                    self.sympy.Rational(exact) if float(exact) == float(right) else right
                )
        raise self.refuse(f"{type(node.op).__name__} is not allowed")

    def call(self, node: ast.Call, depth: int) -> Any:
        """A function of `FUNCTIONS`, with as many arguments as it takes."""
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            raise self.refuse(f"unknown function {name or ast.unparse(node.func)[:20]!r}")
        if node.keywords or len(node.args) != FUNCTIONS[name]:
            raise self.refuse(f"{name} takes {FUNCTIONS[name]} argument(s)")
        if name in ("max", "min"):
            self.choices += 1
            if self.choices > MAX_CHOICES:
                raise self.refuse(f"max and min more than {MAX_CHOICES} deep")
        arguments = [self.read(argument, depth + 1) for argument in node.args]
        if name in ("max", "min"):
            self.choices -= 1
            one, two = arguments  # not SymPy's own Max, which compares for minutes
            sign = 1 if name == "max" else -1
            return self.bounded(
                (one + two + sign * self.sympy.Abs(one - two)) / self.sympy.Float(2)
            )
        return self.bounded(self.functions[name](*arguments))


def derivative(formula: sympy.Expr, variable: str) -> sympy.Expr:
    """d formula / d variable almost everywhere; at a kink the mean of both sides, at a jump no more
    than that.
    """
    import sympy

    slope = formula.diff(sympy.Symbol(variable, real=True))
    slope = slope.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))
    try:
        return _plain(slope, [str(s) for s in formula.free_symbols])
    except ValueError as error:
        raise ModelError(
            f"{to_text(formula)} is not a plain formula: {error}; try one that is smooth"
        ) from error


def to_text(formula: sympy.Expr) -> str:
    """The expression as text that Brian2 and NumPy both read; numbers are floats."""
    text: str = _printer().doprint(formula)
    if len(text) > MAX_TEXT:
        raise ModelError(
            f"a formula or its derivative has {len(text)} characters; allowed: "
            f"{MAX_TEXT}; try a shorter one"
        )
    return text


@lru_cache(maxsize=1)
def _printer() -> Any:
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]
        """SymPy's own text, with Brian2's function names and no integer division."""

        def _print_Integer(self, number: Any) -> str:
            return f"{int(number)}.0"

        def _print_Rational(self, number: Any) -> str:
            return repr(float(number))

        def _print_Float(self, number: Any) -> str:
            return repr(float(number))

        def _print_NumberSymbol(self, number: Any) -> str:
            return repr(float(number))

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
    """A user's formula as a NumPy function of `names`, by SymPy's own printer."""
    import sympy

    formula = parse(text, names)
    function: Callable[..., Any] = sympy.lambdify(
        [sympy.Symbol(n, real=True) for n in names], formula, "numpy"
    )
    return function


@lru_cache(maxsize=256)
def numpy_derivative(
    text: str, names: tuple[str, ...], variable: str, order: int = 1
) -> Callable[..., Any]:
    """The derivative of a user's formula, or one of higher order, as a NumPy function of `names`."""
    import sympy

    slope = parse(text, names)
    for _ in range(order):
        slope = derivative(slope, variable)
    function: Callable[..., Any] = sympy.lambdify(
        [sympy.Symbol(n, real=True) for n in names], slope, "numpy"
    )
    return function
