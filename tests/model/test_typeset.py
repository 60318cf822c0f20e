"""LaTeX means what the text means: a small reader of LaTeX evaluates it, on random expressions."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser

import neurosim as ns
from neurosim.model.typeset import Names, differential, equation, expression, number, symbol
from tests.helpers.examples import some

VALUES = {"a": 1.7, "b": -0.6, "c": 2.3}
TOKEN = re.compile(r"\\(?:left|right)[(|)]|\\[A-Za-z]+|\\,|[A-Za-z^{}+\-]|[\d.]+")


class Reader:
    """Evaluate the LaTeX of sums, products, fractions, powers and brackets."""

    def __init__(self, text: str, values: dict[str, float]) -> None:
        self.tokens = TOKEN.findall(text.replace("_{i}", ""))
        self.values = values

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, expected: str | None = None) -> str:
        found = self.tokens.pop(0)
        assert expected in (None, found), (expected, found, self.tokens)
        return found

    def whole(self) -> float:
        value = self.sum()
        assert not self.tokens, self.tokens
        return value

    def sum(self) -> float:
        sign = 1.0
        if self.peek() == "-":
            self.take()
            sign = -1.0
        total = sign * self.product()
        while self.peek() in ("+", "-"):
            sign = 1.0 if self.take() == "+" else -1.0
            total += sign * self.product()
        return total

    def product(self) -> float:
        value = self.power()
        while self.peek() in (r"\,", r"\cdot"):
            self.take()
            value *= self.power()
        return value

    def power(self) -> float:
        base = self.atom()
        if self.peek() == "^":
            self.take()
            return float(np.power(base, self.braced()))
        return base

    def braced(self) -> float:
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def atom(self) -> float:
        token = self.take()
        value = self.values.get(token, np.nan)
        if token == r"\frac":
            above = self.braced()
            value = float(np.divide(above, self.braced()))
        elif token in (r"\left(", r"\left|"):
            value = self.sum()
            end = self.take()
            assert end == token.replace("left", "right").replace("(", ")")
            value = abs(value) if end == r"\right|" else value
        elif token == r"\tanh":
            value = float(np.tanh(self.atom()))
        elif token[0].isdigit():
            value = float(token)
        return value


def leaves() -> st.SearchStrategy[str]:
    numbers = st.sampled_from(["0", "1", "2", "0.5", "1.0", "0.0"])
    return st.sampled_from(sorted(VALUES)) | numbers


def trees() -> st.SearchStrategy[str]:
    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.tuples(inner, st.sampled_from("+-*/"), inner).map(
            "({0[0]}){0[1]}({0[2]})".format
        )
        calls = st.tuples(st.sampled_from(["abs", "tanh", ""]), inner).map("{0[0]}({0[1]})".format)
        return binary | calls | inner.map("-({})".format) | inner.map("({})**2".format)

    return st.recursive(leaves(), grown, max_leaves=8)


def evaluated(text: str) -> float:
    names: dict[str, Any] = {"abs": abs, "tanh": np.tanh, "exp": np.exp}
    numbers = {name: np.float64(value) for name, value in VALUES.items()}
    floats = re.sub(r"(?<![\w.])([\d.]+)", r"f(\1)", text)
    with np.errstate(all="ignore"):
        return float(eval(floats, {"__builtins__": {}}, names | numbers | {"f": np.float64}))


def minimal(text: str) -> str:
    """Return the text with no more brackets than it needs."""
    return ast.unparse(ast.parse(text, mode="eval"))


@settings(max_examples=some(300), deadline=None)
@given(trees())
def test_latex_means_what_the_text_means(text: str) -> None:
    text = minimal(text)
    exact = evaluated(text)
    if not np.isfinite(exact) or abs(exact) > 1e6:
        return  # such as a quotient by 0, whose factor of 0 is simplified
    latex = expression(text, Names())
    MathTextParser("path").parse(f"${latex}$")
    with np.errstate(all="ignore"):
        assert Reader(latex, VALUES).whole() == pytest.approx(exact, rel=1e-9, abs=1e-9), latex


@settings(max_examples=300, deadline=None)
@given(trees())
def test_values_that_are_filled_in_mean_what_the_symbols_mean(text: str) -> None:
    text = minimal(text)
    exact = evaluated(text)
    if not np.isfinite(exact) or abs(exact) > 1e6:
        return
    latex = expression(text, Names(values=VALUES))
    assert not set("abc") & set(re.sub(r"\\[a-z]+", "", latex)), latex
    with np.errstate(all="ignore"):
        assert Reader(latex, {}).whole() == pytest.approx(exact, rel=1e-9, abs=1e-9), latex


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (
            "a > 0 and (b > 1 or not c <= 0)",
            r"a > 0 \wedge \left(b > 1 \vee \neg \left(c \leq 0\right)\right)",
        ),
        ("1*a*1.0 + 2*b/1", r"a + 2\,b"),
        ("0 - (a + b) + 0*c", r"-\left(a + b\right)"),
        ("a + (b - c) - (b - c) + -a", r"a + b - c - \left(b - c\right) + \left(-a\right)"),
        ("int(a >= b)*exp(-abs(a))", r"\left[a \geq b\right]\,e^{-\left|a\right|}"),
        ("sqrt(2/tau_x)*xi_x", r"\sqrt{\frac{2}{\tau_{x}}}\,\xi_{x}"),
        ("log1p(a) + sign(b)", r"\log\left(1 + a\right) + \operatorname{sgn}\left(b\right)"),
        (
            "clip(a, -1, 1) % 2",
            r"\operatorname{mod}\left(\operatorname{clip}\left(a,\,-1,\,1\right),\,2\right)",
        ),
        ("randn_1_of_I + rand()", r"\mathcal{N} + \mathcal{U}"),
        ("a//b + 1e-6", r"\left\lfloor \frac{a}{b}\right\rfloor + 10^{-6}"),
        (
            "mean(received_delta_post*x_pre)",
            r"\left\langle \delta^{\mathrm{received}}_{i}\,x_{j}\right\rangle",
        ),
        ("dG**2*log_partition", r"\left(G'\right)^{2}\,\log Z"),
        ("a == b != True", r"a = b \neq \mathrm{true}"),
    ],
)
def test_functions_and_names_as_a_paper_prints_them(text: str, latex: str) -> None:
    assert expression(text, Names(index="")) == latex


def test_a_time_constant_goes_to_the_left() -> None:
    names = Names(shared=frozenset({"tau_x"}), values={"tau_lam": r"5\,\mathrm{ms}"})
    left, right = differential("x", "(a - x)/tau_x", names)
    assert (left, right) == (
        r"\tau_{x}\,\frac{\mathrm{d}x_{i}}{\mathrm{d}t}",
        "a_{i} - x_{i}",
    )
    left, right = differential("lam", "(a - lam)/tau_lam + g", names)
    assert left == r"\frac{\mathrm{d}\lambda_{i}}{\mathrm{d}t}"
    assert right == r"\frac{a_{i} - \lambda_{i}}{5\,\mathrm{ms}} + g_{i}"
    assert equation("dV_dx", "x - y", names)[0] == r"\frac{\partial V}{\partial x_{i}}"


def test_numbers_keep_six_digits_and_odd_names_stay_readable() -> None:
    assert number(-1.5e-7) == (r"-1.5\cdot 10^{-7}", 1 + 1)
    assert number(0.125)[0] == "0.125"
    assert symbol("sent_x2", "i")[0] == r"x^{\mathrm{sent2}}_{i}"
    assert symbol("my_long_name")[0] == r"\mathrm{my}_{\mathrm{long\_name}}"


def test_long_and_deep_text() -> None:
    """The work does not double with each bracket, and what is too deep is refused."""
    deep = "a + (" * 40 + "a" + ")" * 40
    assert expression(deep, Names()) == " + ".join(["a_{i}"] * 41)
    deep = "a - (" * 40 + "a" + ")" * 40
    assert expression(deep, Names()).count(r"\left(") == 39
    with pytest.raises(ns.ModelError, match="cannot be typeset"):
        expression("+".join(["a"] * 5000), Names())


@pytest.mark.parametrize(
    "text", ["a b", "a.b", "a[0]", "f(x=1)", "'a'", "lambda: 0", "a in b", "a @ b"]
)
def test_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(
        ns.ModelError, match=r"the expression .* cannot be typeset; allowed: numbers"
    ):
        expression(text, Names())
