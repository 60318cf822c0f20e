"""Outputs without constraint, a penalty on outputs: against L, SciPy and backpropagation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.data.patterns import patterns
from tests.engine.test_derivatives import compare, differentiated
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
)
from tests.helpers.stepping import step

TAU = 10e-3
pytestmark = pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")


def changed(problem: Problem, alpha: float, *, free: bool) -> Problem:
    """Return the same graph with a penalty on every output; free sinks have no constraint."""
    net, X, Y = problem
    for name in net.neurons:
        population = replace(net.populations[name], activity_l1=alpha)
        if free and not net.outgoing(name):
            population = replace(population, constraint="none")
        net.populations[name] = population
    return net, X, Y


@settings(max_examples=some(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problem=dags(), flow=flows(), alpha=st.sampled_from([0.0, 0.1]), seed=SEEDS)
def test_every_rate_is_a_derivative_of_l(
    problem: Problem, flow: ns.Flow, alpha: float, seed: int
) -> None:
    """x and lam of the sinks are not variables of L; the weights into them are."""
    net, X, Y = changed(problem, alpha, free=True)
    flow = fitted(flow, net)
    x, lam = random_state(net, seed, len(X))
    assume(kink_distance(net, {**patterns(net, X), **x}, Y) > 1e-3)
    assume(min(np.abs(v).min() for v in x.values()) > 1e-3)
    exact = ns.reference.right_hand_side(net, flow, x, lam, X, Y)
    free = [n for n in net.neurons if net.populations[n].free]
    assume(kink_distance(net, {**patterns(net, X), **x, **outputs_of(net, x, X, free)}, Y) > 1e-3)
    found = step(net, flow, X, Y, ns.State(x, lam))
    truth = differentiated(net, flow, X, Y, ns.State(x, lam))
    for n in free:
        assert not np.any(exact.x[n])
        for part in (found.x, found.lam, truth.x, truth.lam):
            part.pop(n)
    compare(found, truth)


def outputs_of(net: ns.Network, x: Any, X: Any, names: list[str]) -> dict[str, Any]:
    """Return the outputs of populations without constraint, as a step reads them."""
    from neurosim.reference.functions import net_input, sigma

    sent = {**patterns(net, X), **x}
    return {n: sigma(net.populations[n].activation, net_input(net, n, sent)) for n in names}


@pytest.mark.parametrize("free", [True, False])
@settings(max_examples=some(8), deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=3, max_size=5),
    alpha=st.sampled_from([0.0, 0.2]),
    seed=SEEDS,
)
def test_at_rest_lam_is_the_adjoint_of_the_loss_and_the_penalty(
    free: bool, widths: list[int], alpha: float, seed: int
) -> None:
    net, X, Y = changed(
        random_problem(widths, seed, activation="sigmoid", loss="cross_entropy"), alpha, free=free
    )
    run = ns.Simulation(net, ns.Flow.adjoint(), dt=TAU).relax(X, Y, duration=2 * len(widths) * TAU)
    exact = ns.reference.backprop(net, X, Y)
    for n in net.neurons:
        assert_allclose(run.x[n], exact.x[n], rtol=0, atol=1e-12, err_msg=n)
        assert_allclose(run.lam[n], exact.lam[n], rtol=0, atol=1e-12, err_msg=n)
    sizes = [np.abs(exact.x[n]).sum(axis=1).mean() for n in net.neurons]
    assert exact.penalty == pytest.approx(alpha * sum(sizes))


def test_backpropagation_of_the_penalty_is_the_gradient_of_the_sum() -> None:
    net, X, Y = changed(random_problem([4, 5, 3], 2, loss="mse"), 0.3, free=True)
    exact = ns.reference.backprop(net, X, Y)
    w, slope, h = net.weights["input->hidden1"], exact.grad_w["input->hidden1"], 1e-6
    for at in ((0, 0), (4, 2)):
        found = []
        for sign in (1, -1):
            w[at] += sign * h
            now = ns.reference.backprop(net, X, Y)
            found.append(now.loss + now.penalty)
            w[at] -= sign * h
        assert (found[0] - found[1]) / (2 * h) == pytest.approx(slope[at], abs=1e-8)


@pytest.mark.parametrize("flow", [ns.Flow.augmented(2), ns.Flow.damped()])
def test_the_trajectory_is_scipys(flow: ns.Flow) -> None:
    """A population without constraint is read as it was last sent, a step before the end."""
    net, X, Y = changed(
        random_problem([4, 5, 3], 3, activation="sigmoid", loss="cross_entropy"), 0.0, free=True
    )
    truth = ns.reference.solve_ivp(net, flow, X, Y, duration=5 * TAU)
    run = ns.Simulation(net, flow, dt=0.02 * TAU, method="rk4").relax(X, Y, duration=5 * TAU)
    assert_allclose(run.x["hidden1"], truth.x["hidden1"], atol=1e-8)
    assert_allclose(run.lam["hidden1"], truth.lam["hidden1"], atol=1e-8)
    assert_allclose(run.lam["output"], truth.lam["output"], atol=2e-3)


def test_training_and_settling_go_with_outputs_without_constraint() -> None:
    net, X, Y = changed(random_problem([4, 5, 3], 3, loss="mse"), 0.0, free=True)
    sim = ns.Simulation(net, ns.Flow.augmented(2, tau_w=TAU), dt=0.1 * TAU)
    log = sim.train(X, Y, ns.Simultaneous(duration=150 * TAU, reports=3))
    assert float(log.history.loss[-1]) < 0.5 * float(log.history.loss[0])
    run = sim.relax(X, Y, duration=200 * TAU, settle=1e-9)
    assert run.settings["settled"]
    assert_allclose(run.lam["hidden1"], ns.reference.backprop(net, X, Y).lam["hidden1"], atol=1e-7)


def test_what_cannot_be_without_constraint() -> None:
    with pytest.raises(ns.ModelError, match="starts at a population without constraint"):
        ns.Network.mlp([2, 3, 1], constraint={"hidden1": "none"})
    net = ns.Network.mlp([2, 3, 1], free_output=True)
    with pytest.raises(
        ns.ModelError, match="whose target has no constraint; allowed: transport='dense'"
    ):
        ns.Simulation(net, ns.Flow.augmented(), transport=ns.Events(theta=0.1))
    with pytest.raises(ns.ModelError, match="output, which has no constraint, so that it has no"):
        ns.Simulation(net, ns.Flow.augmented(), extensions=ns.Extension("output", x="1/tau_x"))
    with pytest.raises(ns.ModelError, match="activity_l1 of hidden1 = -1"):
        ns.Network.mlp([2, 3, 1], activity_l1=-1)
