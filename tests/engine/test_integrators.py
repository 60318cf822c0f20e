"""Runge-Kutta coefficients fulfil Butcher's order conditions, which no simulation is needed for.

Butcher, Numerical Methods for Ordinary Differential Equations, 2016, section 31: a method has order
p if b . phi(tree) = 1/gamma(tree) for every rooted tree of at most p nodes.
"""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.engine.integrators import ADAM, DORMAND_PRINCE, TABLEAUS

Array = np.ndarray
ORDERS = {"heun": 2, "rk4": 4}


def conditions(a: Array, c: Array, order: int) -> list[tuple[Array, float]]:
    """Return phi and 1/gamma of every rooted tree of at most `order` nodes, up to five."""
    one = np.ones_like(c)
    trees = {
        1: [(one, 1.0)],
        2: [(c, 1 / 2)],
        3: [(c**2, 1 / 3), (a @ c, 1 / 6)],
        4: [(c**3, 1 / 4), (c * (a @ c), 1 / 8), (a @ c**2, 1 / 12), (a @ (a @ c), 1 / 24)],
        5: [
            (c**4, 1 / 5),
            (c**2 * (a @ c), 1 / 10),
            (c * (a @ c**2), 1 / 15),
            (c * (a @ (a @ c)), 1 / 30),
            ((a @ c) ** 2, 1 / 20),
            (a @ c**3, 1 / 20),
            (a @ (c * (a @ c)), 1 / 40),
            (a @ (a @ c**2), 1 / 60),
            (a @ (a @ (a @ c)), 1 / 120),
        ],
    }
    found = []
    for nodes in range(1, order + 1):
        found += trees[nodes]
    return found


@pytest.mark.parametrize("name", TABLEAUS)
def test_a_method_of_fixed_steps_has_its_order(name: str) -> None:
    nodes, weights = (np.array(part) for part in TABLEAUS[name])
    a = np.diag(nodes[1:], k=-1)  # stage i starts from stage i - 1 alone
    for phi, value in conditions(a, nodes, ORDERS[name]):
        assert weights @ phi == pytest.approx(value, abs=1e-15)
    above = [abs(weights @ phi - value) for phi, value in conditions(a, nodes, ORDERS[name] + 1)]
    assert max(above) > 1e-3  # not one order more


def test_dormand_and_prince_have_orders_five_and_four() -> None:
    rows, c, difference = (np.array(part) for part in DORMAND_PRINCE)
    a = np.column_stack([rows, np.zeros(len(c))])  # no stage reads the last one
    assert a.sum(axis=1) == pytest.approx(c, abs=1e-15)
    assert np.all(np.triu(a) == 0)  # explicit
    fifth = a[-1]  # first same as last: the last stage is the step itself
    for phi, value in conditions(a, c, 5):
        assert fifth @ phi == pytest.approx(value, abs=1e-14)
    fourth = fifth - difference
    for phi, value in conditions(a, c, 4):
        assert fourth @ phi == pytest.approx(value, abs=1e-14)
    errors = [abs(difference @ phi) for phi, _ in conditions(a, c, 5)]
    assert max(errors) > 1e-4  # the difference sees the fifth order


def test_adams_constants_are_the_published_ones() -> None:
    assert ADAM == (0.9, 0.999, 1e-8)  # Kingma & Ba, ICLR 2015, algorithm 1
