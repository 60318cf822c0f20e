"""Predicted rates, frequencies and steps against closed forms and against the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.analysis import largest_steps
from neurosim.analysis import stability as room
from neurosim.analysis.stability import with_rho
from neurosim.errors import DataError, ModelError
from neurosim.model.flow import Flow
from neurosim.model.methods import FIXED_STEP
from tests.helpers import measured, problems

GAINS = st.floats(0.0, 2.0)
DAMPED = st.one_of(
    st.builds(Flow.augmented, st.floats(0.5, 4)),
    st.builds(Flow, kappa=st.floats(0.3, 1), gamma=st.floats(0.3, 1), rho=st.floats(0, 1)),
)


@settings(max_examples=50, deadline=None)
@given(kappa=st.floats(0.1, 2), gamma=GAINS, rho=GAINS, tau=st.floats(1e-3, 1.0))
def test_one_linear_unit_in_closed_form(kappa, gamma, rho, tau):
    """g = x - w u, V = (x - y)²/2: dx = -kappa ((1 + rho) x + lam) - gamma x, dlam = kappa x -
    gamma (...).
    """
    net = ns.Network.mlp([1, 1], loss="mse")
    flow = Flow(kappa=kappa, gamma=gamma, rho=rho, tau_x=tau, tau_lam=2 * tau)
    spec = ns.stability(net, flow, [[0.3]], [[0.7]])
    a, b, c, d = -kappa * (1 + rho) - gamma, -kappa, (kappa - gamma * (1 + rho)) / 2, -gamma / 2
    roots = np.roots([1.0, -(a + d), a * d - b * c]) / tau
    assert_allclose(
        np.sort_complex(spec.eigenvalues), np.sort_complex(roots), rtol=1e-6, atol=1e-7 / tau
    )
    assert spec.slowest_rate == pytest.approx(-roots.real.max(), rel=1e-6, abs=1e-7 / tau)
    assert not spec.growing


@settings(max_examples=3, deadline=None)
@given(seed=problems.SEEDS, flow=DAMPED, loss=st.sampled_from(["mse", "cross_entropy"]))
def test_a_perturbation_ends_at_the_predicted_rate_and_frequency(seed, flow, loss):
    net, X, Y = problems.random_problem([4, 4, 3], seed, patterns=1, loss=loss, gain=0.7)
    spec = ns.stability(net, flow, X, Y)
    assume(not spec.growing)
    fastest = np.abs(spec.eigenvalues).max()
    found = measured.slowest_mode(net, flow, X, Y, 12 / spec.slowest_rate, 0.25 / fastest)
    assert -found.real == pytest.approx(spec.slowest_rate, rel=0.02)
    assert abs(found.imag) / (2 * np.pi) == pytest.approx(
        spec.frequency[0], rel=0.02, abs=1e-6 * fastest
    )


@pytest.mark.parametrize("method", FIXED_STEP)
def test_steps_hold_below_and_not_above(method):
    for seed, flow in (
        (0, Flow.augmented(2.0)),
        (1, Flow(kappa=0.7, gamma=0.6, tau_lam={"output": 25e-3})),
    ):
        net, X, Y = problems.random_problem([4, 4, 3], seed, patterns=1, gain=0.8)
        step = ns.stability(net, flow, X, Y).max_step[method]
        assert 0 < step < np.inf
        assert measured.growth(net, flow, X, Y, 0.98 * step, method, steps=600) < 0
        assert measured.growth(net, flow, X, Y, 1.02 * step, method, steps=600) > 0


@pytest.mark.parametrize("seed", [2, 9])
def test_the_step_of_several_patterns_is_the_smallest_of_each(seed):
    """Steps of a pattern that are stable beyond the bound of another one do not end the search."""
    net = ns.Network.mlp([4, 6, 5, 2], loss="mse", seed=seed, gain=1.2)
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((6, 4)), rng.standard_normal((6, 2))
    flow = Flow.augmented(4)
    several = ns.stability(net, flow, X, Y).max_step
    each = [ns.stability(net, flow, X[[k]], Y[[k]]).max_step for k in range(6)]
    for method in FIXED_STEP:
        smallest = min(steps[method] for steps in each)
        assert several[method] == pytest.approx(smallest, rel=1e-9)
        assert smallest > 0


@pytest.mark.parametrize("method", FIXED_STEP)
@pytest.mark.parametrize("seed", [0, 1])
def test_steps_of_random_graphs_and_cycles_against_the_engine(seed, method):
    """A sample of `python -m tests.evidence largest_steps`; the second graph has a cycle."""
    net, X, Y = problems.random_graph(seed, cyclic=seed == 1)
    flow = problems.random_flow(seed, net)
    step = ns.stability(net, flow, X, Y).max_step[method]
    below, above = (measured.radii(net, flow, X, Y, r * step, method) for r in (0.99, 1.01))
    assert below.max() < 1 < above.max()


def test_a_cross_entropy_is_read_anew_by_semi_implicit_steps():
    net, X, Y = problems.random_problem([4, 4, 3], 1, patterns=1, loss="cross_entropy")
    flow = Flow.damped()
    step = ns.stability(net, flow, X, Y).max_step["semi_implicit"]
    assert measured.growth(net, flow, X, Y, 0.98 * step, "semi_implicit", steps=600) < 0
    assert measured.growth(net, flow, X, Y, 1.02 * step, "semi_implicit", steps=600) > 0


def test_the_undamped_saddle():
    """Modes at +-i/tau: no step of Euler or Heun is stable.

    Steps of rk4 are stable up to 2 sqrt 2 tau.
    """
    net, X, Y = problems.random_problem([30, 10, 3], 0, activation="linear", patterns=1)
    spec = ns.stability(net, replace(Flow.arrow_hurwicz(), tau_x=10e-3), X, Y)
    undamped = np.abs(spec.damping) < 1e-9
    assert undamped.sum() >= 2
    assert not spec.growing
    assert spec.slowest_rate == pytest.approx(0, abs=1e-9)
    assert spec.max_step["euler"] == spec.max_step["heun"] == 0
    assert spec.max_step["exponential_euler"] == 0
    fastest = np.abs(spec.eigenvalues[undamped]).max()
    assert 0 < spec.max_step["rk4"] <= np.sqrt(8) / fastest * (1 + 1e-6)


@settings(max_examples=10, deadline=None)
@given(problem=problems.dags(), tau=st.floats(1e-3, 0.1))
def test_the_adjoint_flow_has_one_time_constant(problem, tau):
    net, X, Y = problem
    spec = ns.stability(net, Flow.adjoint(tau_x=tau, tau_lam=tau), X, Y)
    assert_allclose(spec.eigenvalues, -1 / tau, rtol=1e-9)
    assert spec.max_step["euler"] == pytest.approx(2 * tau, rel=1e-6)
    assert spec.max_step["exponential_euler"] == np.inf


@pytest.mark.parametrize(
    "flow", [Flow.augmented(), Flow.damped(), Flow.rotated(0.2), Flow.augmented(0.1)]
)
def test_the_search_finds_what_the_whole_jacobian_shows(flow, monkeypatch):
    net, X, Y = problems.random_problem([20, 40, 20, 5], 3, patterns=2)
    whole = ns.stability(net, flow, X, Y)
    monkeypatch.setattr(room, "WORK", 0)
    monkeypatch.setattr(room, "DENSE", 15)
    found = ns.stability(net, flow, X, Y)
    assert whole.complete
    assert not found.complete
    assert len(found.eigenvalues) < len(whole.eigenvalues)
    distance = np.abs(found.eigenvalues[:, None] - whole.eigenvalues).min(axis=1)
    assert distance.max() < 1e-4 * np.abs(whole.eigenvalues).max()
    assert found.growing == whole.growing
    assert found.slowest_rate == pytest.approx(whole.slowest_rate, rel=1e-4)
    for method in ("euler", "heun", "rk4"):
        assert found.max_step[method] == pytest.approx(whole.max_step[method], rel=1e-4)


@pytest.mark.parametrize("method", ["semi_implicit", "exponential_euler"])
def test_the_step_of_a_large_net_is_searched_too(method, monkeypatch):
    net, X, Y = problems.random_problem([6, 10, 8, 3], 3, patterns=2)
    whole = ns.stability(net, Flow.augmented(), X, Y).max_step[method]
    monkeypatch.setattr(largest_steps, "DENSE", 15)
    assert ns.stability(net, Flow.augmented(), X, Y).max_step[method] == pytest.approx(
        whole, rel=2e-3
    )


def test_participation_says_where_a_mode_lives():
    net, X, Y = problems.random_problem([4, 5, 4, 3], 0)
    for slow in net.neurons:
        times = {name: {slow: 1.0} for name in ("tau_x", "tau_lam")}
        spec = ns.stability(net, Flow.adjoint(**times), X, Y)
        assert spec.participation[slow][0] == pytest.approx(1)
    spec = ns.stability(net, Flow.augmented(), X, Y)
    assert_allclose(sum(spec.participation.values()), 1)
    assert set(spec.pattern) == set(range(len(X)))
    assert len(ns.stability(net, Flow.augmented(), X, Y, patterns=2).eigenvalues) == 2 * 2 * 12


def test_moving_weights_have_modes_too():
    """At a minimum with loss 0, descent stands still along directions that change no output.

    It grows along none.
    """
    net = ns.Network.mlp([2, 3, 1], loss="mse", seed=1)
    X, flow = np.array([[1.0, -0.5]]), Flow.adjoint(tau_w=1.0)
    Y = ns.reference.forward(net, X)["output"]
    spec = ns.stability(net, flow, X, Y, plastic=True)
    size = 2 * 4 + net.n_parameters
    assert len(spec.eigenvalues) == size
    assert set(spec.pattern) == {-1}
    assert not spec.growing
    assert (np.abs(spec.eigenvalues) < 1e-6).sum() == net.n_parameters - 1
    assert set(spec.participation) == {
        *net.neurons,
        *net.projections,
        "bias.hidden1",
        "bias.output",
    }
    with pytest.raises(ModelError, match="allowed: euler, heun, rk4"):
        spec.max_step["semi_implicit"]


def test_the_critical_rho_is_where_the_engine_begins_to_settle():
    net, X, Y = problems.random_problem([4, 6, 6, 6, 6, 3], 0, gain=1.2, patterns=1)
    rule = "scaled"
    rho = ns.critical_rho(net, Flow.augmented(0), X, Y, tau_lam=rule)
    assert 1 < rho < 100
    assert ns.critical_rho(net, Flow.augmented(0), X, Y, tau_lam="fixed") != pytest.approx(
        rho, rel=1e-3
    )
    for factor, settles in ((0.9, False), (1.1, True)):
        flow = with_rho(net, Flow.augmented(0), factor * rho, rule)
        step = 0.3 / np.abs(ns.stability(net, flow, X, Y).eigenvalues).max()
        assert (measured.growth(net, flow, X, Y, step, "rk4", steps=1500) < 0) == settles


def test_a_flow_that_needs_no_augmentation():
    net, X, Y = problems.random_problem([4, 3, 2], 0)
    assert ns.critical_rho(net, Flow.adjoint(), X, Y) == 0


def test_at_any_state():
    net, X, Y = problems.random_problem([4, 5, 4, 3], 2)
    x, lam = problems.random_state(net, 0, len(X))
    away, rest = ns.State(x, lam), ns.reference.backprop(net, X, Y)
    saddle = ns.stability(net, Flow.damped(), X, Y).eigenvalues
    assert_allclose(ns.stability(net, Flow.damped(), X, Y, at=rest).eigenvalues, saddle)
    assert np.abs(ns.stability(net, Flow.damped(), X, Y, at=away).eigenvalues - saddle).max() > 1


def test_errors_name_the_value():
    net, X, Y = problems.random_problem([4, 5, 3], 2)
    flow, (x, lam) = Flow.damped(), problems.random_state(net, 0, len(X) + 1)
    with pytest.raises(
        DataError, match=r"at.x\['hidden1'\] has shape \(6, 5\); allowed: .* \(5, 5\)"
    ):
        ns.stability(net, flow, X, Y, at=ns.State(x, lam))
    with pytest.raises(ModelError, match="at is a str; allowed: None for the saddle point"):
        ns.stability(net, flow, X, Y, at="saddle")
    with pytest.raises(ModelError, match="patterns = 0; allowed: a whole number >= 1"):
        ns.stability(net, flow, X, Y, patterns=0)
    with pytest.raises(ModelError, match="weights couple all patterns"):
        ns.stability(net, flow, X, Y, patterns=1, plastic=True)
    with pytest.raises(ModelError, match="did you mean 'rk4'"):
        ns.stability(net, flow, X, Y).max_step["rk"]
    with pytest.raises(ModelError, match="tau_lam = 'free'; allowed: scaled, fixed"):
        ns.critical_rho(net, flow, X, Y, tau_lam="free")


def test_other_constraints_need_a_state():
    """Where G bends, the flow does not rest at backpropagation's saddle; J is by differences."""
    net = ns.Network.mlp([4, 5, 3], loss="mse", constraint="tube", epsilon=0.05)
    X, Y = np.ones((2, 4)), np.zeros((2, 3))
    for refused in (ns.stability, ns.critical_rho):
        with pytest.raises(
            ModelError, match=r"constraint of hidden1 = 'tube'.*allowed here: lin; try"
        ):
            refused(net, Flow.augmented(), X, Y)
    run = ns.Simulation(net, Flow.augmented(), backend="numpy").relax(X, Y, duration=0.5)
    spec = ns.stability(net, Flow.augmented(), X, Y, at=run)
    assert tuple(spec.max_step) == ("euler", "heun", "rk4")
    assert 0 < spec.max_step["euler"] < 0.1
