"""Activations, losses and constraint functions as text, with their derivatives.

Built-in formulas are defined here, and only here; `formulas` parses user-supplied ones. Start at
`activation`, `loss` and `constraint`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from neurosim.errors import number, out_of_range, unknown
from neurosim.model.formulas import (
    FUNCTIONS,
    derivative,
    numpy_derivative,
    numpy_function,
    parse,
    to_text,
)

__all__ = [
    "ACTIVATIONS",
    "CONSTRAINTS",
    "FREE",
    "FUNCTIONS",
    "LIN",
    "LOSSES",
    "TUBE",
    "Activation",
    "Constraint",
    "LossTerm",
    "activation",
    "constraint",
    "loss",
    "numpy_derivative",
    "numpy_function",
]

SMALL = 1e-12  # largest rounding error of a user-supplied G at g = 0

LIN, TUBE, FREE = "lin", "tube", "none"  # constraints that the equations treat separately
EPS_INSENSITIVE = "eps_insensitive"  # the one loss with a tolerance


@dataclass(frozen=True)
class Activation:
    """Activation sigma(a) and its slope, as text.

    `dsigma` may contain `sigma` beside `a`, which can save a transcendental function.
    """

    name: str
    sigma: str
    dsigma: str


@dataclass(frozen=True)
class LossTerm:
    """One unit's contribution to the loss V, and its slope dV/dx, as text in `x` and `y`.

    With `partition` the text also contains `log_partition`, which is log sum_j exp(x_j) over the
    population, and with `total` also `y_total`, which is sum_j y_j. A loss that is not `targeted`
    does not contain `y`: it is a penalty on outputs, such as ``"abs(x)"``.
    """

    kind: str
    value: str
    slope: str
    partition: bool = False
    targeted: bool = True
    total: bool = False


@dataclass(frozen=True)
class Constraint:
    """Constraint function G(g) and its slope, as text in `g` and `epsilon`.

    For the tube, the text also contains `lam` and `rho_lam`. The tube |g| <= epsilon is the
    constraint g = s with a slack |s| <= epsilon. L is minimal at s = clip(g + lam/rho_lam,
    -epsilon, epsilon) (Rockafellar 1973, two-sided). So G = g - s, with slope 1 if the slack is at
    a wall, else 0. The multiplier may have either sign: lam_plus = max(lam, 0), lam_minus =
    max(-lam, 0).
    """

    kind: str
    epsilon: float
    value: str
    slope: str

    @property
    def reads_epsilon(self) -> bool:
        """Whether the text of G contains `epsilon`."""
        return re.search(r"\bepsilon\b", self.value) is not None

    @property
    def slides(self) -> bool:
        """Whether the slope jumps, so that a state slides along the kink and never rests."""
        return self.kind != TUBE and re.search(r"\b(sign|int)\(", self.slope) is not None


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
# kind: G and its slope; at a wall the slope has its value outside, so that no gap is left at
# epsilon = 0
CONSTRAINTS = {
    LIN: ("g", "1.0"),
    "lin_eps": ("g - clip(g, -epsilon, epsilon)", "1.0*int(abs(g) >= epsilon)"),
    "abs": ("abs(g)", "sign(g)"),
    "abs_eps": ("(abs(g) - epsilon)*int(abs(g) >= epsilon)", "sign(g)*int(abs(g) >= epsilon)"),
    "squared": ("g*g", "2.0*g"),
    TUBE: (f"g - clip({_TENSION}, -epsilon, epsilon)", f"1.0*int(abs({_TENSION}) >= epsilon)"),
    FREE: ("0.0", "0.0"),  # x = sigma(a) at every moment: there is nothing to violate
}

CROSS_ENTROPY, POLICY = "cross_entropy", "policy"
LOSSES = ("mse", CROSS_ENTROPY, "squared_hinge", EPS_INSENSITIVE, POLICY)


def activation(name: str) -> Activation:
    """Return a built-in activation by name, or make one from a user-supplied formula in `a`.

    Raises
    ------
    ModelError
        An unknown name, or text that is not a plain formula in `a`.

    Examples
    --------
    >>> activation("tanh").dsigma
    '1 - sigma*sigma'
    >>> activation("a**2").dsigma
    '2.0*a'
    """
    if isinstance(name, str) and name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if not _may_be_formula(name, ("a",)):
        raise unknown("activation", name, (*ACTIVATIONS, "a formula in a"))
    formula = parse(name, ("a",), "activation")
    return Activation(name, to_text(formula), to_text(derivative(formula, "a")))


def loss(kind: str, epsilon: float = 0.0) -> LossTerm:
    """Return a built-in loss by name, or make one from a user-supplied formula in `x` and `y`.

    The text is that of one unit; V is the sum over the units.

    Parameters
    ----------
    kind : str
        One of `LOSSES`, or a formula.
    epsilon : float
        Tolerance of ``eps_insensitive`` (``loss_epsilon`` of the builders).

    Raises
    ------
    ModelError
        An unknown name, or text that is not a plain formula in `x` and `y`.

    Examples
    --------
    >>> loss("mse").slope
    'x - y'
    >>> loss("abs(x)").targeted
    False
    """
    if kind == "mse":
        return LossTerm(kind, "0.5*(x - y)**2", "x - y")
    if kind == CROSS_ENTROPY:
        value, slope = "y*(log_partition - x)", "exp(x - log_partition) - y"
        return LossTerm(kind, value, slope, partition=True)
    if kind == POLICY:
        value, slope = "y*(log_partition - x)", "y_total*exp(x - log_partition) - y"
        return LossTerm(kind, value, slope, partition=True, total=True)
    if kind == "squared_hinge":
        return LossTerm(kind, "0.5*(1 - y*x)**2*int(y*x < 1)", "-y*(1 - y*x)*int(y*x < 1)")
    if kind == EPS_INSENSITIVE:
        width = repr(float(epsilon))
        value = f"(abs(x - y) - {width})*int(abs(x - y) > {width})"
        return LossTerm(kind, value, f"sign(x - y)*int(abs(x - y) > {width})")
    if not _may_be_formula(kind, ("x", "y")):
        raise unknown("loss", kind, (*LOSSES, "a formula in x and y"))
    formula = parse(kind, ("x", "y"), "loss")
    targeted = any(str(symbol) == "y" for symbol in formula.free_symbols)
    return LossTerm(kind, to_text(formula), to_text(derivative(formula, "x")), targeted=targeted)


def constraint(kind: str, epsilon: float = 0.0) -> Constraint:
    """Return a built-in constraint function by name, or make one from a formula with G(0) = 0.

    Parameters
    ----------
    kind : str
        One of `CONSTRAINTS`, or a formula in `g` and `epsilon`.
    epsilon : float
        Half-width of the tolerance, >= 0.

    Raises
    ------
    ModelError
        An unknown name; text that is not a plain formula in `g` and `epsilon`, or is not 0 at
        g = 0; an `epsilon` that is out of range, or not 0 although G does not contain it.

    Examples
    --------
    >>> constraint("lin_eps", 0.1).reads_epsilon
    True
    """
    tolerance = number("epsilon", epsilon, least=0, try_="0.05")
    if isinstance(kind, str) and kind in CONSTRAINTS:
        found = Constraint(kind, tolerance, *CONSTRAINTS[kind])
    elif _may_be_formula(kind, ("g",)):
        found = _user_constraint(kind, tolerance)
    else:
        raise unknown("constraint", kind, (*CONSTRAINTS, "a formula in g"))
    if tolerance and not found.reads_epsilon:
        readers = [name for name in CONSTRAINTS if constraint(name).reads_epsilon]
        allowed = f"0 with constraint {kind!r}, which has no tolerance"
        suggested = f"constraint = {' or '.join(map(repr, readers))}"
        raise out_of_range("epsilon", epsilon, allowed, suggested)
    return found


def _user_constraint(text: str, epsilon: float) -> Constraint:
    """Return a user-supplied G, after checking that it is 0 at g = 0."""
    formula = parse(text, ("g", "epsilon"), "constraint")
    found = Constraint(text, epsilon, to_text(formula), to_text(derivative(formula, "g")))
    at_zero = numpy_function(text, ("g", "epsilon"))(0.0, epsilon)
    if not abs(at_zero) <= SMALL:  # nor nan
        name = f"constraint {text!r} at g = 0"
        raise out_of_range(name, float(at_zero), "0", "a formula that vanishes there")
    return found


def _may_be_formula(text: Any, variables: tuple[str, ...]) -> bool:
    """Whether this is text other than an unknown name; a variable alone is a formula."""
    return isinstance(text, str) and (text in variables or not text.isidentifier())
