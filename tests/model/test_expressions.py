"""Built-in derivatives against finite differences; user-supplied formulas read safely."""

import numpy as np
import pytest
from brian2.parsing.sympytools import str_to_sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.model import expressions
from tests.helpers.examples import some

POINTS = np.array([-30.0, -3.0, -0.7, -0.01, 0.02, 0.9, 4.0, 30.0])
LEAVES = st.one_of(
    st.just("a"), st.floats(0.1, 3).map(lambda v: repr(round(v, 3))), st.integers(1, 4).map(str)
)
FORMULAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["tanh", "sin", "cos", "arctan", "abs", "sign"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]})"
        ),
        inner.map(lambda t: f"(1 + ({t})**2)**0.5"),
        inner.map(lambda t: f"(-({t})/(1 + abs({t})))"),
    ),
    max_leaves=6,
)


def python(text: str, **values):
    """The engine's text, as NumPy reads it."""
    names = {
        "tanh": np.tanh,
        "exp": np.exp,
        "log1p": np.log1p,
        "sqrt": np.sqrt,
        "sin": np.sin,
        "cos": np.cos,
        "arctan": np.arctan,
        "abs": np.abs,
        "sign": np.sign,
        "log": np.log,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tan": np.tan,
        "int": lambda v: np.asarray(v).astype(int),
    }
    # the test's own reading of the printed text
    return eval(text, {"__builtins__": {}}, names | values)


def slope_of(function, at: np.ndarray) -> np.ndarray:
    h = 1e-6
    return (function(at + h) - function(at - h)) / (2 * h)


@pytest.mark.parametrize("name", expressions.ACTIVATIONS)
def test_built_in_slopes_are_derivatives(name: str) -> None:
    f = expressions.activation(name)
    found = python(f.dsigma, a=POINTS, sigma=python(f.sigma, a=POINTS)) * np.ones_like(POINTS)
    assert_allclose(found, slope_of(lambda a: python(f.sigma, a=a), POINTS), atol=1e-8)
    assert_allclose(
        python(f.sigma, a=POINTS), ns.reference.functions.sigma(name, POINTS), atol=1e-15
    )


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "relu"])
def test_built_in_activations_do_not_overflow(name: str) -> None:
    f = expressions.activation(name)
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(python(f.sigma, a=np.array([-1e4, 1e4]))).all()


@pytest.mark.parametrize("kind", [*expressions.CONSTRAINTS, "g + g**3", "max(abs(g) - epsilon, 0)"])
def test_slopes_of_constraints_are_derivatives(kind: str) -> None:
    """On both sides of every kink; the value against that of the reference."""
    width = 0.3 if expressions.constraint(kind).reads_epsilon else 0.0
    term = expressions.constraint(kind, width)
    g, lam = (
        np.array([-2.0, -0.4, -0.2, 0.1, 0.25, 0.7, 3.0]),
        np.array([0.5, 0.1, -0.3, 0.0, 0.2, -0.9, 0.05]),
    )
    names = {"epsilon": width, "lam": lam, "rho_lam": 2.0, "clip": np.clip}

    def value(at: np.ndarray) -> np.ndarray:
        return python(term.value, g=at, **names)

    found = python(term.slope, g=g, **names) * np.ones_like(g)
    assert_allclose(found, slope_of(value, g), atol=1e-8)
    own = ns.Population("a", 7, constraint=kind, epsilon=width)
    there = ns.reference.constraints.constraint(own, g, lam, 2.0)
    assert_allclose(value(g), there[0], atol=1e-15)
    assert_allclose(found, there[1], atol=1e-12)


@pytest.mark.parametrize("kind", [*expressions.LOSSES, "log(cosh(x - y))"])
def test_slopes_of_losses_are_derivatives(kind: str) -> None:
    term = expressions.loss(kind, 0.1)
    signs = np.array([1.0, -1.0, 1.0])
    y = {"cross_entropy": np.array([1.0, 0.0, 0.0]), "policy": np.array([0.3, -1.7, 0.4])}.get(
        kind, signs
    )
    x = np.array([0.3, -0.7, 0.05])

    def total(x):
        extra = {"log_partition": np.log(np.exp(x).sum())} if term.partition else {}
        return np.sum(python(term.value, x=x, y=y, **extra))

    extra = {"log_partition": np.log(np.exp(x).sum()), "y_total": y.sum()}
    numeric = [(total(x + 1e-6 * e) - total(x - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
    assert_allclose(python(term.slope, x=x, y=y, **extra), numeric, atol=1e-8)


@settings(max_examples=some(60), deadline=None)
@given(text=FORMULAS)
def test_a_formula_keeps_its_meaning(text: str) -> None:
    """Value and slope of the printed text, against Python's reading of the user-supplied one."""
    f = expressions.activation(text)
    mine = {"max": np.maximum, "min": np.minimum}
    names = {
        n: getattr(np, n) for n in ("tanh", "sin", "cos", "arctan", "abs", "sign", "sqrt")
    } | mine
    at = np.array([-1.37, -0.51, 0.23, 1.91])
    value = eval(text, {"__builtins__": {}}, names | {"a": at}) * np.ones_like(at)
    assert_allclose(python(f.sigma, a=at) * np.ones_like(at), value, rtol=1e-9, atol=1e-9)
    assert_allclose(
        expressions.numpy_function(text, ("a",))(at) * np.ones_like(at), value, rtol=1e-9, atol=1e-9
    )

    def f_at(a):
        return python(f.sigma, a=a) * np.ones_like(a)

    one, two = slope_of(f_at, at), (f_at(at + 1e-5) - f_at(at - 1e-5)) / 2e-5
    smooth = np.abs(one - two) < 1e-6 * (1 + np.abs(one))  # away from kinks and jumps
    found = python(f.dsigma, a=at, sigma=f_at(at)) * np.ones_like(at)
    assert_allclose(found[smooth], one[smooth], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("__import__('os').system('true')", "unknown function"),
        ("a.real", "Attribute is not allowed"),
        ("(lambda: a)()", "unknown function"),
        ("[a for a in (1,)]", "ListComp is not allowed"),
        ("a if a > 0 else 0", "IfExp is not allowed"),
        ("a + b", "unknown name 'b'"),
        ("exec('1')", "unknown function 'exec'"),
        ("'text'", "constant"),
        ("True*a", "constant"),
        ("1j*a", "constant"),
        ("a*sqrt(-1)", "constant that is not real"),
        ("a*log(0)", "constant that is not real"),
        ("a*(-8)**(1/3)", "constant that is not real"),
        ("a**(0*log(0))", "constant that is not real"),
        ("max(a, sqrt(-1))", "constant that is not real"),
        ("abs(sqrt(a))", "not a plain formula"),
        ("sign(log(a))", "not a plain formula"),
        ("a*((((9**64)**64)**64)**64)", "too large"),
        ("a*(99**64)**64", "too large"),
        ("max(a, max(a, max(a, max(a, max(a, 1)))))", "max and min more than 4 deep"),
        ("max(a,tanh(" * 14 + "a" + "))" * 14, "quotients nested deeper than 6"),
        ("log(abs(" * 17 + "a" + "))" * 17, "quotients nested deeper than 6"),
        ("abs(a-" * 7 + "a" + ")" * 7, "quotients nested deeper than 6"),
        ("log(sqrt((" * 4 + "a" + ")**2))" * 4, "quotients nested deeper than 6"),
        ("1/(1+" * 7 + "a" + ")" * 7, "quotients nested deeper than 6"),
        ("+".join(["tanh(a)"] * 25), "more than 24 functions, powers and quotients"),
        ("9**9**9", "exponent"),
        ("a**a", "exponent"),
        ("1e400", "constant"),
        ("1/0", "division by zero"),
        ("exp(a, a)", "takes 1 argument"),
        ("tanh(a=1)", "takes 1 argument"),
        ("a +", "does not parse"),
        ("a; a", "does not parse"),
        ("a\x00", "does not parse"),
        ("(" * 240 + "a" + ")" * 240, "does not parse|nested"),
        ("-" * 200 + "a", "nested deeper"),
        ("a+" * 400 + "a", "at most 500 characters"),
    ],
)
def test_other_than_a_plain_formula_is_refused(text: str, why: str) -> None:
    with pytest.raises(ns.ModelError, match=why):
        expressions.activation(text)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(ns.ModelError, match=r"activation = 'tahn'; .* did you mean 'tanh'\?"):
        expressions.activation("tahn")
    with pytest.raises(
        ns.ModelError, match=r"loss = 'crossentropy'; .* did you mean 'cross_entropy'\?"
    ):
        expressions.loss("crossentropy")


def test_brian2_reads_the_printed_text() -> None:
    """The words that a formula may use are Brian2's too, in every target."""
    for name in expressions.FUNCTIONS:
        arguments = "a, 0.3" if expressions.FUNCTIONS[name] == 2 else "a"
        f = expressions.activation(f"{name}({arguments})")
        assert {str(v) for v in str_to_sympy(f.sigma).free_symbols} == {"a"}
        assert {str(v) for v in str_to_sympy(f.dsigma).free_symbols} <= {"a"}


@pytest.mark.parametrize(
    "kind", ["mse", "cross_entropy", "squared_hinge", "eps_insensitive", "policy"]
)
def test_the_slope_of_a_loss_is_the_derivative_of_its_value(kind: str) -> None:
    """Both are text; where the softmax couples the units, the derivative is that of their sum."""
    term = expressions.loss(kind, 0.2)
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=6), rng.normal(size=6)
    if kind == "cross_entropy":
        y = np.abs(y) / np.abs(y).sum()  # shares of classes

    def values(outputs: np.ndarray) -> dict[str, object]:
        partition = np.log(np.exp(outputs).sum())
        return {"x": outputs, "y": y, "log_partition": partition, "y_total": y.sum()}

    slope = python(term.slope, **values(x))
    for unit in range(6):
        step = np.zeros(6)
        step[unit] = 1e-6
        above = python(term.value, **values(x + step)).sum()
        below = python(term.value, **values(x - step)).sum()
        assert slope[unit] == pytest.approx((above - below) / 2e-6, abs=1e-7)
