"""Alignment with backpropagation: exact where the state is; the run's gradient is that of L."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim import reference
from neurosim.data.patterns import patterns, targets
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.results.metrics import cosine
from neurosim.results.runs import Run
from tests.helpers.examples import some
from tests.helpers.problems import (
    SEEDS,
    Problem,
    dags,
    fitted,
    flows,
    kink_distance,
    random_problem,
    random_state,
    rings,
)

Array = np.ndarray


def run_at(
    net: Network, flow: Flow, X: Any, Y: Any, x: dict[str, Array], lam: dict[str, Array]
) -> Run:
    clamped = patterns(net, X)
    return Run(net, flow, {}, clamped, targets(net, Y, len(X)), {n: x[n] for n in net.neurons}, lam)


def entries(weights: Any) -> Array:
    return weights.reshape(-1) if isinstance(weights, np.ndarray) else weights.data


@given(problem=st.one_of(dags(l1=True), rings(l1=True)), flow=flows())
@settings(max_examples=some(25), deadline=None)
def test_backpropagation_agrees_with_itself(problem: Problem, flow: Flow) -> None:
    net, X, Y = problem
    ref = reference.backprop(net, X, Y)
    found = ns.alignment(run_at(net, fitted(flow, net), X, Y, ref.x, ref.lam), ref)
    assert found.worst == pytest.approx(1, abs=1e-12)
    assert found.max_error == 0
    assert set(found.error) == set(found.cosine) == set(found.x_error) == set(net.neurons)
    assert max(found.x_error.values()) == 0
    assert set(found.grad_cosine) == set(found.grad_error) == set(net.projections)
    assert max(found.grad_error.values()) < 1e-10
    for name, gradient in ref.grad_w.items():  # near 0 its direction is rounding
        if np.abs(entries(gradient)).max(initial=0) > 1e-6:
            assert found.grad_cosine[name] == pytest.approx(1, abs=1e-6)


@given(problem=st.one_of(dags(l1=True), rings(l1=True)), flow=flows(), seed=SEEDS)
@settings(max_examples=some(25), deadline=None)
def test_the_runs_own_gradient_is_that_of_l(problem: Problem, flow: Flow, seed: int) -> None:
    """Central differences of L at a state away from rest, so that a wrong rho is seen."""
    net, X, Y = problem
    flow = fitted(flow, net)
    x, lam = random_state(net, seed, len(X))
    assume(kink_distance(net, {**patterns(net, X), **x}, Y) > 1e-3)
    ref = reference.backprop(net, X, Y)
    found = ns.alignment(run_at(net, flow, X, Y, x, lam), ref)
    for name in net.projections:
        numeric = np.zeros(entries(net.weights[name]).size)
        for i in range(numeric.size):
            trials = []
            for nudge in (1e-5, -1e-5):
                trial = net.copy()
                entries(trial.weights[name])[i] += nudge
                trials.append(reference.lagrangian(trial, flow, x, lam, X, Y))
            numeric[i] = (trials[0] - trials[1]) / 2e-5 / len(X)
        exact = entries(ref.grad_w[name])
        assert found.grad_error[name] == pytest.approx(
            np.abs(numeric - exact).max(initial=0), rel=1e-4, abs=1e-6
        )
        sizes = np.linalg.norm(numeric) * np.linalg.norm(exact)
        if sizes > 1e-4:
            assert found.grad_cosine[name] == pytest.approx(numeric @ exact / sizes, abs=1e-4)


def test_errors_and_cosines_are_those_of_the_state() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=1)
    ref = reference.backprop(net, X, Y)
    lam = {n: -values for n, values in ref.lam.items()}
    x = {n: values + 0.0 for n, values in ref.x.items()}
    x["output"][2, 1] += 0.25
    lam["output"] = ref.lam["output"].copy()
    lam["output"][0, 0] -= 3.0
    found = ns.alignment(run_at(net, Flow.adjoint(), X, Y, x, lam), ref)
    assert found.cosine["hidden1"] == pytest.approx(-1) == found.worst
    assert found.error["hidden1"] == 2 * np.abs(ref.lam["hidden1"]).max()
    assert found.error["output"] == pytest.approx(3.0) == found.max_error
    assert found.x_error == {"hidden1": 0.0, "output": pytest.approx(0.25)}
    a, b = lam["output"].ravel(), ref.lam["output"].ravel()
    assert found.cosine["output"] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)))
    assert "lam -1.000000 in hidden1" in repr(found)
    assert "lam 3, x 0.25" in repr(found)


def test_a_real_gradient_turns_with_lam() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=1)
    ref = reference.backprop(net, X, Y)
    opposite = run_at(
        net, Flow.adjoint(), X, Y, ref.x, {n: -values for n, values in ref.lam.items()}
    )
    assert ns.alignment(opposite, ref).grad_cosine == {
        n: pytest.approx(-1) for n in net.projections
    }


def test_cosine_of_zero_vectors() -> None:
    zero, one = np.zeros((2, 2)), np.ones((2, 2))
    assert cosine(zero, zero) == 1.0
    assert cosine(zero, one) == cosine(one, zero) == 0.0
    assert cosine(1e-170 * one, 3 * one) == pytest.approx(1.0)
    assert cosine(1e200 * one, -one) == pytest.approx(-1.0)


def test_what_is_not_comparable_is_refused() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=1)
    ref = reference.backprop(net, X, Y)
    run = run_at(net, Flow.adjoint(), X, Y, ref.x, ref.lam)
    fewer = reference.backprop(net, X[:3], {n: y[:3] for n, y in Y.items()})
    with pytest.raises(ns.DataError, match=r"shape \(3, 3\) in hidden1; allowed: \(5, 3\)"):
        ns.alignment(run, fewer)
    deeper, X2, Y2 = random_problem([4, 3, 3, 2], seed=1)
    with pytest.raises(
        ns.DataError, match=r"populations \['hidden1', 'hidden2', 'output'\]; allowed"
    ):
        ns.alignment(run, reference.backprop(deeper, X2, Y2))
    masked = Network(
        list(net.populations.values()),
        [
            ns.Projection("input", "hidden1", net.weights["input->hidden1"], mask=np.ones((3, 4))),
            ns.Projection("hidden1", "output", net.weights["hidden1->output"]),
        ],
        list(net.losses.values()),
    )
    with pytest.raises(ns.DataError, match="other synapses in input->hidden1"):
        ns.alignment(run, reference.backprop(masked, X, Y))
