"""The flow against finite differences of L, backpropagation at rest and a matrix exponential."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm

from neurosim.errors import ConvergenceError, DataError, ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.model.weights import synapses
from neurosim.reference import backprop, forward, lagrangian, right_hand_side, solve_ivp
from neurosim.reference import ode as ode_module
from tests.helpers import problems
from tests.helpers.examples import some

NUDGE = 1e-5


def slope_of_L(net, flow, x, lam, X, Y, values, directions):
    """dL along each direction, (m,); `values` is an array that L reads.

    It is one of x, lam, weights or biases, and is moved in place.
    """
    kept, slopes = values.copy(), []
    for direction in directions:
        values[...] = kept + NUDGE * direction
        plus = lagrangian(net, flow, x, lam, X, Y)
        values[...] = kept - NUDGE * direction
        slopes.append((plus - lagrangian(net, flow, x, lam, X, Y)) / (2 * NUDGE))
    values[...] = kept
    return np.array(slopes)


def flow_error(net, X, Y, flow, seed: int) -> float:
    """Largest difference of `right_hand_side`, times its tau, and the finite differences of L.

    Along a few random directions per array, relative to the largest force. x and lam are random,
    so g is not 0.
    """
    count = len(X)
    x, lam = problems.random_state(net, seed, count)
    assume_smooth(net, X, Y, x)
    rates, rng = right_hand_side(net, flow, x, lam, X, Y), np.random.default_rng(seed)
    here = (net, flow, x, lam, X, Y)
    got, wanted = [], []

    def compare(rate, tau, directions, force):
        got.extend(tau * np.array([np.sum(rate * d) for d in directions]))
        wanted.extend(force)

    for n in net.neurons:
        directions = rng.normal(size=(2, *x[n].shape))
        down, up = (
            slope_of_L(*here, part[n], directions) for part in (x, lam)
        )  # dL/dx, dL/dlam = g
        compare(rates.x[n], flow.time("tau_x", n), directions, -flow.kappa * down - flow.gamma * up)
        compare(
            rates.lam[n], flow.time("tau_lam", n), directions, flow.kappa * up - flow.gamma * down
        )
        directions = rng.normal(size=(2, *net.biases[n].shape))
        descent = (
            -slope_of_L(*here, net.biases[n], directions) / count * net.populations[n].plastic_bias
        )
        compare(rates.b[n], flow.time("tau_w", n), directions, descent)
    for name, q in net.projections.items():
        w = synapses(net.weights[name])
        directions = rng.normal(size=(2, *w.shape))
        tau = flow.time("tau_w", q.post)
        compare(synapses(rates.w[name]), tau, directions, -slope_of_L(*here, w, directions) / count)
    return float(np.abs(np.subtract(got, wanted)).max() / np.abs(wanted).max())


def assume_smooth(net, X, Y, x) -> None:
    from neurosim.data.patterns import patterns

    if problems.kink_distance(net, {**patterns(net, X), **x}, Y) < 1e-3:
        assume(False)


@settings(max_examples=some(60), deadline=None)
@given(
    problem=st.one_of(problems.dags(), problems.rings()), flow=problems.flows(), seed=problems.SEEDS
)
def test_the_flow_is_the_gradient_of_L(problem, flow, seed):
    assert flow_error(*problem, flow, seed) < 1e-6


@pytest.mark.parametrize("preset", ["arrow_hurwicz", "augmented", "damped", "rotated", "adjoint"])
def test_every_preset_is_the_gradient_of_L(preset):
    assert flow_error(*problems.random_problem([4, 3, 3, 2], 1), Flow.from_preset(preset), 1) < 1e-8


@pytest.mark.parametrize("plant", ["rho", "kappa", "gamma", "tau_x", "tau_lam", "tau_w"])
def test_a_planted_gain_is_seen(plant, monkeypatch):
    flow, right = Flow(kappa=0.7, gamma=0.6, rho=0.5), ode_module.rates_at
    wrong = replace(flow, **{plant: 1.001 * getattr(flow, plant)})
    monkeypatch.setattr(
        ode_module, "rates_at", lambda net, _, *rest, **k: right(net, wrong, *rest, **k)
    )
    assert flow_error(*problems.random_problem([4, 3, 3, 2], 1), flow, 1) > 1e-5


@pytest.mark.parametrize("plant", ["output_slope", "received", "dsigma", "hebbian"])
def test_a_planted_sign_is_seen(plant, monkeypatch):
    right = getattr(ode_module, plant)
    monkeypatch.setattr(ode_module, plant, lambda *a: -right(*a))
    assert flow_error(*problems.random_problem([4, 3, 3, 2], 1), Flow.augmented(), 1) > 1e-2


def test_l2_is_a_penalty_on_weights():
    net, X, Y = problems.random_problem([4, 3, 2], 0)
    penalised = Network.mlp([4, 3, 2], loss="mse", l2=0.3)
    penalised.weights, penalised.biases = net.weights, net.biases
    x, lam = problems.random_state(net, 0, len(X))
    free, decaying = (right_hand_side(n, Flow(), x, lam, X, Y) for n in (net, penalised))
    for name, w in net.weights.items():
        assert_allclose(decaying.w[name], free.w[name] - 0.3 * w / 0.2, rtol=1e-12, atol=1e-12)


def test_feedback_weights_decay_as_the_weights_do():
    """Of Kolen and Pollack: tau_w dB/dt = x deltaᵀ - c B, the transpose of dw/dt but for B."""
    net = Network.mlp([4, 3, 2], loss="mse", seed=1, feedback="kolen_pollack", feedback_decay=0.3)
    _, X, Y = problems.random_problem([4, 3, 2], 0)
    x, lam = problems.random_state(net, 0, len(X))
    rates = right_hand_side(net, Flow(), x, lam, X, Y)
    name, tau = "hidden1->output", Flow().time("tau_w", "output")
    product = tau * rates.w[name] + 0.3 * net.weights[name]
    B = net.feedback[name]
    assert np.abs(B - net.weights[name].T).max() > 0.1
    assert_allclose(tau * rates.feedback[name], product.T - 0.3 * B, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"weights": {"input->output": np.zeros((2, 3))}}, r"weights\['input->output'\] has shape"),
        ({"biases": {"output": np.zeros(3)}}, r"biases\['output'\] has shape \(3,\)"),
    ],
)
def test_parameters_of_another_shape_are_refused(given_, words):
    net, X, Y = problems.random_problem([4, 2], 0)
    x, lam = problems.random_state(net, 0, len(X))
    with pytest.raises(DataError, match=words):
        right_hand_side(net, Flow(), x, lam, X, Y, **given_)


@settings(max_examples=some(25), deadline=None)
@given(problem=st.one_of(problems.dags(), problems.rings()))
def test_backpropagation_is_where_every_flow_rests(problem):
    """Blind to rho, kappa and gamma, as g = 0; `test_the_flow_is_the_gradient_of_L` sees them."""
    net, X, Y = problem
    ref = backprop(net, X, Y)
    for flow in (Flow.augmented(3.0), Flow.damped(), Flow.adjoint()):
        rates = right_hand_side(net, flow, ref.x, ref.lam, X, Y)
        for n in net.neurons:
            assert_allclose(flow.time("tau_x", n) * rates.x[n], 0, atol=1e-11)
            assert_allclose(flow.time("tau_lam", n) * rates.lam[n], 0, atol=1e-11)
            descent = -ref.grad_b[n] * net.populations[n].plastic_bias
            assert_allclose(flow.time("tau_w", n) * rates.b[n], descent, atol=1e-11)
        for name, q in net.projections.items():
            descent = -flow.time("tau_w", q.post) * synapses(rates.w[name])
            assert_allclose(descent, synapses(ref.grad_w[name]), atol=1e-11)


@settings(max_examples=some(8), deadline=None)
@given(
    problem=st.one_of(
        problems.dags(activations=["tanh", "softplus"]), problems.rings(activations=["tanh"])
    )
)
def test_adjoint_flow_settles_on_backpropagation(problem):
    net, X, Y = problem
    ref = backprop(net, X, Y)
    assume(problems.kink_distance(net, ref.x, Y) > 1e-2)
    settled = solve_ivp(net, Flow.adjoint(), X, Y, duration=1.0, rtol=1e-8)
    for n in net.neurons:
        assert_allclose(settled.x[n], ref.x[n], rtol=0, atol=1e-7)
        assert_allclose(settled.lam[n], ref.lam[n], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "flow",
    [Flow.damped(), Flow.augmented(2.0), Flow.rotated(1.2)],
    ids=["damped", "rho=2", "rotated"],
)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_saddle_flows_settle_on_backpropagation(flow, loss):
    net, X, Y = problems.random_problem([4, 3, 3], 2, loss=loss)
    ref = backprop(net, X, Y)
    settled = solve_ivp(net, flow, X, Y, duration="2 s")
    for n in net.neurons:
        assert_allclose(settled.x[n], ref.x[n], rtol=0, atol=1e-9)
        assert_allclose(settled.lam[n], ref.lam[n], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "flow", [Flow.arrow_hurwicz(), Flow.augmented(1.5), Flow(kappa=0.4, gamma=0.7, rho=0.3)]
)
def test_a_linear_network_in_closed_form(flow):
    """x -> h -> o linear with mse: z' = A z + c, whose matrices are written out here by hand."""
    net, X, Y = problems.random_problem([3, 2, 2], 4, activation="linear", patterns=1)
    W, b = net.weights["hidden1->output"], net.biases
    u, y = (X @ net.weights["input->hidden1"].T + b["hidden1"])[0], Y["output"][0]
    one, none = np.eye(2), np.zeros((2, 2))
    J = np.block([[one, none], [-W, one]])  # g = J x - d
    d, H, target = (
        np.concatenate([u, b["output"]]),
        np.diag([0, 0, 1.0, 1.0]),
        np.concatenate([[0, 0], y]),
    )
    # dL/dx = H (x - target) + Jᵀ (lam + rho g)
    Lx = np.hstack([H + flow.rho * J.T @ J, J.T])
    Lx0 = -H @ target - flow.rho * J.T @ d
    G, G0 = np.hstack([J, np.zeros((4, 4))]), -d
    tau_x, tau_lam = flow.tau_x, flow.tau_lam
    A = np.vstack(
        [(-flow.kappa * Lx - flow.gamma * G) / tau_x, (flow.kappa * G - flow.gamma * Lx) / tau_lam]
    )
    c = np.concatenate(
        [
            (-flow.kappa * Lx0 - flow.gamma * G0) / tau_x,
            (flow.kappa * G0 - flow.gamma * Lx0) / tau_lam,
        ]
    )
    augmented = np.block([[A, c[:, None]], [np.zeros((1, 9))]])

    way = solve_ivp(net, flow, X, Y, duration=0.1, every=0.025)
    for i, t in enumerate(way.t):
        z = (expm(augmented * t) @ np.append(np.zeros(8), 1))[:8]
        got = [
            part[n][i, 0] for part in (way.x_trace, way.lam_trace) for n in ("hidden1", "output")
        ]
        assert_allclose(np.concatenate(got), z, rtol=0, atol=1e-8)


def test_tolerance_sets_the_error():
    net, X, Y = problems.random_problem([4, 3, 2], 7)
    truth = solve_ivp(net, Flow.damped(), X, Y, 0.05, rtol=1e-12, atol=1e-14).lam["hidden1"]
    errors = [
        np.abs(
            solve_ivp(net, Flow.damped(), X, Y, 0.05, rtol=r, atol=r).lam["hidden1"] - truth
        ).max()
        for r in (1e-4, 1e-6, 1e-8)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-7
    for method in ("RK45", "Radau", "LSODA"):
        other = solve_ivp(net, Flow.damped(), X, Y, 0.05, rtol=1e-8, atol=1e-10, method=method).lam[
            "hidden1"
        ]
        assert_allclose(other, truth, rtol=0, atol=1e-6)


def test_all_three_flows_at_once_learn_xor():
    net = Network.mlp([2, 4, 1], loss="mse", seed=0)
    X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) - 0.5, np.array([[0.0], [1], [1], [0]])
    before = net.copy()
    learnt = solve_ivp(
        net, Flow.augmented(tau_w=0.01), X, Y, duration=2, plastic=True, rtol=1e-6, atol=1e-8
    )
    trained = net.copy()
    trained.weights, trained.biases = learnt.weights, learnt.biases
    assert_allclose(forward(trained, X)["output"], Y, atol=1e-2)
    for name, w in net.weights.items():
        assert_array_equal(w, before.weights[name])


@settings(max_examples=10, deadline=None)
@given(problem=problems.dags(activations=["tanh", "linear"]), flow=problems.flows())
def test_plastic_weights_start_with_their_rate(problem, flow):
    """Over a moment the packed vector of weights moves by its rate, sparse or not."""
    net, X, Y = problem
    x, lam = problems.random_state(net, 0, len(X))
    moment, rates = 1e-7, right_hand_side(net, flow, x, lam, X, Y)
    moved = solve_ivp(net, flow, X, Y, moment, plastic=True, start=State(x, lam))
    scale = max(
        np.abs(rate).max(initial=0)
        for rate in (*map(synapses, rates.w.values()), *rates.b.values())
    )
    for name, w in net.weights.items():
        assert type(moved.weights[name]) is type(w)
        change = synapses(moved.weights[name]) - synapses(w)
        assert_allclose(change / moment, synapses(rates.w[name]), rtol=0, atol=1e-3 * scale)
    for n in net.neurons:
        assert_allclose(
            (moved.biases[n] - net.biases[n]) / moment, rates.b[n], rtol=0, atol=1e-3 * scale
        )


@pytest.mark.parametrize("plastic", [False, True])
def test_a_trajectory_holds_copies_of_the_weights(plastic):
    net, X, Y = problems.random_problem([4, 3, 2], 8)
    before, way = net.copy(), solve_ivp(net, Flow.adjoint(), X, Y, 0.01, plastic=plastic)
    for arrays in (way.weights, way.biases):
        for array in arrays.values():
            array[...] = 7
    for name, w in net.weights.items():
        assert_array_equal(w, before.weights[name])
    for name, b in net.biases.items():
        assert_array_equal(b, before.biases[name])


def test_a_trajectory_goes_on_from_another():
    net, X, Y = problems.random_problem([4, 3, 2], 8)
    whole = solve_ivp(net, Flow.damped(), X, Y, 0.1, start="forward")
    half = solve_ivp(net, Flow.damped(), X, Y, 0.05, start="forward")
    rest = solve_ivp(net, Flow.damped(), X, Y, 0.05, start=half)
    for n in net.neurons:
        assert_allclose(rest.lam[n], whole.lam[n], rtol=0, atol=1e-9)
    begin = solve_ivp(net, Flow.damped(), X, Y, 0.1, start="forward", every=0.03)
    assert_allclose(begin.t, [0, 0.03, 0.06, 0.09])
    assert_allclose(begin.x_trace["hidden1"][0], forward(net, X)["hidden1"])
    assert begin.lam_trace["hidden1"].shape == (4, *whole.lam["hidden1"].shape)
    assert_allclose(begin.lam["output"], whole.lam["output"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("every", "times"), [(0.1, 4), (0.3, 2), (0.07, 5), (1.0, 1)])
def test_records_include_the_end_where_it_is_a_multiple(every, times):
    net, X, Y = problems.random_problem([2, 2], 0)
    assert len(solve_ivp(net, Flow.adjoint(), X, Y, 0.3, every=every, rtol=1e-3).t) == times


def test_errors_name_the_value():
    net, X, Y = problems.random_problem([4, 3, 2], 8)
    flow = Flow.damped()
    with pytest.raises(ModelError, match=r"start = 'foward'; .* did you mean 'forward'"):
        solve_ivp(net, flow, X, Y, 0.1, start="foward")
    with pytest.raises(ModelError, match="did you mean 'Radau'"):
        solve_ivp(net, flow, X, Y, 0.1, method="Rado")
    with pytest.raises(DataError, match=r"start.x\['hidden1'\] has shape \(4, 3\)"):
        solve_ivp(net, flow, X, Y, 0.1, start=solve_ivp(net, flow, X[:4], Y["output"][:4], 0.1))
    with pytest.raises(ModelError, match="l1 > 0 on input->output"):
        solve_ivp(Network.mlp([4, 2], loss="mse", l1=0.1), flow, X, Y, 0.1, plastic=True)


def test_a_trajectory_that_blows_up_is_refused():
    net, X, Y = problems.random_problem([4, 3, 2], 8, loss="-x**4")
    with pytest.raises(ConvergenceError, match="gave up between"):
        solve_ivp(net, Flow.arrow_hurwicz(), X, Y, 10, rtol=1e-4)
