"""The Jacobian by formulas against central differences of the reference's right-hand side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.data.patterns import patterns
from neurosim.errors import ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.reference.jacobian import Linearised
from tests.helpers import problems
from tests.helpers.examples import some


def linearised(problem, flow, seed, plastic) -> Linearised:
    net, X, Y = problem
    x, lam = problems.random_state(net, seed, len(X))
    X = patterns(net, X)
    assume(problems.kink_distance(net, {**X, **x}, Y) > 1e-3)
    return Linearised(net, problems.fitted(flow, net), x, lam, X, Y, plastic=plastic)


PROBLEMS = st.one_of(problems.dags(), problems.rings())


@settings(max_examples=some(40), deadline=None)
@given(problem=PROBLEMS, flow=problems.flows(), plastic=st.booleans(), seed=problems.SEEDS)
def test_derivatives_are_central_differences_of_the_reference(problem, flow, plastic, seed):
    linear = linearised(problem, flow, seed, plastic)
    directions = np.random.default_rng(seed).normal(size=(3, linear.size))
    exact = linear.apply(directions)
    assert linear.exact
    assert_allclose(
        exact, linear._differences(directions), rtol=0, atol=1e-6 * max(1.0, np.abs(exact).max())
    )


@settings(max_examples=20, deadline=None)
@given(problem=problems.dags(), flow=problems.flows(), seed=problems.SEEDS)
def test_sweeps_forward_and_back_invert_it(problem, flow, seed):
    linear = linearised(problem, flow, seed, plastic=False)
    directions = np.random.default_rng(seed).normal(size=(2, linear.size))
    assert linear.invertible
    assert_allclose(linear.solve(linear.apply(directions)), directions, rtol=1e-8, atol=1e-8)


@settings(max_examples=10, deadline=None)
@given(problem=PROBLEMS, flow=problems.flows(), seed=problems.SEEDS)
def test_patterns_do_not_see_each_other(problem, flow, seed):
    """The matrix of a batch is that of its patterns, on the diagonal."""
    net, X, Y = problem
    linear = linearised(problem, flow, seed, plastic=False)
    whole = linear.jacobian()
    rows = []
    for k in range(len(X)):
        rows.append(np.concatenate([b.reshape(len(X), -1)[k] for b in linear.blocks]))
    multipliers = linear.blocks[len(net.neurons) :]
    for k, own in enumerate(rows):
        parts = [{n: v[[k]] for n, v in part.items()} for part in (linear.outputs, linear.X, Y)]
        lam = {
            n: linear.state[b].reshape(len(X), -1)[[k]]
            for n, b in zip(net.neurons, multipliers, strict=True)
        }
        alone = Linearised(
            net, linear.flow, {n: parts[0][n] for n in net.neurons}, lam, parts[1], parts[2]
        )
        assert_allclose(whole[np.ix_(own, own)], alone.jacobian(), rtol=1e-12, atol=1e-9)
        rest = np.setdiff1d(np.arange(linear.size), own)
        assert not whole[np.ix_(own, rest)].any()


@pytest.mark.parametrize("plastic", [False, True])
def test_formulas_without_a_plain_second_derivative_are_differenced(plastic, monkeypatch):
    """The rounding of differences is removed: what is uncoupled stays exactly uncoupled."""
    net = Network.mlp([3, 2, 2], activation="a/(1 + abs(a))", loss="mse")
    x, lam = problems.random_state(net, 0, 2)
    X, Y = {"input": np.ones((2, 3))}, {"output": np.zeros((2, 2))}
    exact = Linearised(net, Flow.damped(), x, lam, X, Y, plastic=plastic).jacobian()

    def refuses(*_):
        raise ModelError("no")

    monkeypatch.setattr("neurosim.reference.jacobian.ddsigma", refuses)
    linear = Linearised(net, Flow.damped(), x, lam, X, Y, plastic=plastic)
    assert not linear.exact
    assert not linear.invertible
    found = linear.jacobian()
    assert_allclose(found, exact, rtol=0, atol=1e-7 * np.abs(exact).max())
    assert not found[exact == 0].any()


def test_weights_that_do_not_learn_are_not_states():
    """Their derivative is 0: as states they would be directions in which nothing decays."""
    net = Network.residual([3, 2, 2], 3, loss="mse")
    x, lam = problems.random_state(net, 0, 2)
    X, Y = {"input": np.ones((2, 3))}, {"output": np.zeros((2, 2))}
    whole = Linearised(net, Flow.damped(), x, lam, X, Y, plastic=True)
    learn = [n for n, q in net.projections.items() if q.plastic]
    assert len(learn) < len(net.projections)
    assert whole.places == (*net.neurons, *learn, *(f"bias.{n}" for n in net.neurons))
    assert_allclose(
        whole.apply(np.eye(whole.size)),
        whole._differences(np.eye(whole.size)),
        rtol=0,
        atol=1e-5,
    )

    net = Network.mlp([2, 1], loss="mse", plastic_bias=False, seed=1)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(6, 2)), rng.normal(size=(6, 1))
    spec = ns.stability(net, Flow.augmented(1, tau_w=0.2), X, Y, plastic=True)
    assert set(spec.participation) == {"output", "input->output"}
    assert spec.slowest_rate > 0.1


def test_the_kink_of_the_penalty_on_outputs_has_no_curvature():
    """At x = 0, where runs start, |x| is linear on the side where the state is."""
    found = []
    for penalty in (0.0, 0.5):
        unit = Population("u", 3, constraint="tube", epsilon=0.1, activity_l1=penalty)
        net = Network(
            [Population("input", 2, clamped=True), unit],
            [Projection("input", "u", np.ones((3, 2)))],
            [Loss("u")],
        )
        zero = {"u": np.zeros((1, 3))}
        linear = Linearised(net, Flow.augmented(), zero, zero, {"input": np.ones((1, 2))}, zero)
        assert not linear.exact
        found.append(linear.jacobian())
    assert_allclose(found[1], found[0], atol=1e-5)
