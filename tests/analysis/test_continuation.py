"""Hopf points and folds against closed forms and against the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import brentq

import neurosim as ns
from neurosim.errors import ConvergenceError, DataError, ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from tests.helpers import measured, problems


def six_layers(seed: int) -> tuple[Network, np.ndarray, np.ndarray]:
    net = Network.mlp([8] * 6 + [4], loss="mse", gain=1.5, seed=seed)
    rng = np.random.default_rng(seed)
    return net, rng.normal(size=(1, 8)), 0.5 * rng.normal(size=(1, 4))


def rotated(theta: float) -> Flow:
    return replace(Flow.rotated(float(theta)), tau_x=10e-3)


def self_connected() -> Network:
    """x = tanh(w x + u): three fixed points where w > 1 and |u| is small."""
    return Network(
        [Population("drive", 1, clamped=True), Population("u", 1)],
        [Projection("drive", "u", [[1.0]]), Projection("u", "u", [[2.0]])],
        [Loss("u")],
    )


@pytest.mark.slow
def test_a_hopf_point_is_where_the_engine_begins_to_ring():
    """Supercritical here: the small cycle has the predicted amplitude and period."""
    net, X, Y = six_layers(5)
    branch = ns.continuation(
        net, rotated(1.0), X, Y, over="flow.theta", start=0.9, stop=0.5, points=5
    )
    hopf = branch.hopf[0]
    assert hopf.criticality == "supercritical"
    step = 0.8 / np.abs(branch.eigenvalues[0]).max()
    assert measured.growth(net, rotated(1.01 * hopf.parameter), X, Y, step, "rk4", steps=2500) < 0
    assert measured.growth(net, rotated(0.99 * hopf.parameter), X, Y, step, "rk4", steps=2500) > 0

    past = 0.99 * hopf.parameter
    cycle = ns.limit_cycle(branch, past, start=hopf)
    assert cycle.kind == "cycle"
    assert cycle.period == pytest.approx(1 / hopf.frequency, rel=0.05)
    assert cycle.amplitude == pytest.approx(hopf.amplitude(past), rel=0.05)
    assert np.isnan(hopf.amplitude(1.01 * hopf.parameter))
    assert ns.limit_cycle(branch, 0.9).kind == "rest"


@settings(max_examples=4, deadline=None)
@example(seed=340)  # two pairs cross within 0.000005 rad of each other
@example(seed=909)  # two pairs cross within 0.0002 rad of each other
@given(seed=st.integers(0, 1000))
def test_every_hopf_point_has_a_pair_on_the_imaginary_axis(seed):
    net, X, Y = problems.random_problem([4, 4, 4, 4, 3], seed, patterns=1, gain=1.5)
    branch = ns.continuation(
        net, rotated(1.0), X, Y, over="flow.theta", start=1.5, stop=0.05, points=12
    )
    for hopf in branch.hopf:
        spec = ns.stability(net, rotated(hopf.parameter), X, Y)
        pair = np.abs(spec.eigenvalues - 2j * np.pi * hopf.frequency).min()
        assert pair < 1e-6 * np.abs(spec.eigenvalues).max()
        sides = [
            ns.stability(net, rotated(hopf.parameter + d), X, Y).eigenvalues for d in (1e-5, -1e-5)
        ]
        rises = [
            values[np.argmin(np.abs(values - 2j * np.pi * hopf.frequency))].real for values in sides
        ]
        assert (rises[0] - rises[1]) / 2e-5 == pytest.approx(hopf.slope, rel=1e-2)
        others = [abs(other.parameter - hopf.parameter) for other in branch.hopf if other != hopf]
        near = 0.1 * min([1e-4, *others])  # where no other pair crosses
        growing = []
        for theta in (hopf.parameter - near, hopf.parameter + near):
            values = ns.stability(net, rotated(theta), X, Y).eigenvalues
            growing.append(int((values.real > 0).sum()))
        assert hopf.growing == min(growing)
    assert_allclose(
        branch.slowest_rate[0], ns.stability(net, rotated(1.5), X, Y).slowest_rate, rtol=1e-9
    )


def test_the_hopf_point_in_rho_is_the_critical_rho():
    net, X, Y = problems.random_problem([4, 6, 6, 6, 6, 3], 0, gain=1.2, patterns=1)
    flow = Flow.augmented(1, tau_lam=10e-3)
    branch = ns.continuation(net, flow, X, Y, over="flow.rho", start=16.0, stop=0.5)
    assert branch.hopf[0].parameter == pytest.approx(
        ns.critical_rho(net, flow, X, Y, tau_lam="fixed"), rel=1e-5
    )


def test_a_fold_in_closed_form():
    """x = tanh(2 k x + u) folds where 2 k (1 - x²) = 1."""
    net, u = self_connected(), -0.1
    fold_at = brentq(
        lambda k: np.arctanh(np.sqrt(1 - 1 / (2 * k))) - 2 * k * np.sqrt(1 - 1 / (2 * k)) - u,
        0.51,
        2.0,
    )
    high = ns.State({"u": np.array([[0.9]])}, {"u": np.zeros((1, 1))})
    branch = ns.continuation(
        net,
        Flow.damped(),
        [[u]],
        [[0.3]],
        over="weights.u->u",
        start=1.0,
        stop=0.4,
        points=30,
        at=high,
    )
    (fold,) = branch.folds
    assert fold.parameter == pytest.approx(fold_at, rel=1e-7)
    # it turns, and leaves the window where it came in
    assert branch.parameter[-1] == pytest.approx(1.0)
    assert branch.parameter.min() < fold_at * 1.01
    x, k = branch.x["u"][:, 0], branch.parameter
    assert_allclose(x, np.tanh(2 * k * x + u), atol=1e-10)
    # lam goes to infinity at the fold, and large lam lets the flow ring before
    assert np.abs(branch.lam["u"]).max() > 3 * np.abs(branch.lam["u"][0])
    assert [b.kind for b in branch.bifurcations] == ["hopf", "fold", "hopf"]
    for hopf in branch.hopf:
        twin = net.copy()
        twin.weights["u->u"] = hopf.parameter * net.weights["u->u"]
        values = ns.stability(twin, Flow.damped(), [[u]], [[0.3]], at=hopf.state).eigenvalues
        assert_allclose(
            values, [2j * np.pi * hopf.frequency, -2j * np.pi * hopf.frequency], atol=1e-4
        )


def test_gains_of_weights_and_losses_move_the_saddle_as_backpropagation_says():
    net, X, Y = problems.random_problem([3, 4, 3], 0, patterns=3)
    for over, changed in (
        ("network.gain", lambda v: _scaled(net, v)),
        (
            "loss.output",
            lambda v: Network(
                list(net.populations.values()), _with(net), [Loss("output", "mse", v)]
            ),
        ),
    ):
        branch = ns.continuation(
            net, Flow.damped(), X, Y, over=over, start=1.0, stop=0.5, points=4, pattern=2
        )
        half = changed(0.5)
        half.biases = net.biases
        exact = ns.reference.backprop(half, X, Y)
        for n in net.neurons:
            assert_allclose(branch.x[n][-1], exact.x[n][2], atol=1e-9)
            assert_allclose(branch.lam[n][-1], exact.lam[n][2], atol=1e-9)


def _with(net: Network) -> list[Projection]:
    return [Projection(q.pre, q.post, net.weights[name]) for name, q in net.projections.items()]


def _scaled(net: Network, factor: float) -> Network:
    twin = net.copy()
    twin.weights = {name: factor * w for name, w in twin.weights.items()}
    return twin


def test_a_user_supplied_family():
    net, X, Y = problems.random_problem([4, 4, 4, 3], 0, patterns=1, gain=1.5)
    own = ns.continuation(
        net, rotated(1.0), X, Y, over=lambda v: (net, rotated(v)), start=1.2, stop=0.1, points=6
    )
    named = ns.continuation(
        net, rotated(1.0), X, Y, over="flow.theta", start=1.2, stop=0.1, points=6
    )
    assert [b.parameter for b in own.bifurcations] == pytest.approx(
        [b.parameter for b in named.bifurcations]
    )


def test_errors_name_the_value():
    net, X, Y = problems.random_problem([3, 4, 3], 0)
    flow = Flow.damped()
    with pytest.raises(ModelError, match=r"did you mean 'flow\.theta'"):
        ns.continuation(net, flow, X, Y, over="flow.thet", start=0.1, stop=1.0)
    with pytest.raises(
        ModelError, match=r"start, stop = \(1.0, 1.0\); allowed: two finite numbers that differ"
    ):
        ns.continuation(net, flow, X, Y, over="flow.rho", start=1.0, stop=1.0)
    with pytest.raises(ModelError, match="points = 1; allowed: a whole number >= 2"):
        ns.continuation(net, flow, X, Y, over="flow.rho", start=1.0, stop=2.0, points=1)
    with pytest.raises(DataError, match="pattern = 7; allowed: 0 to 4"):
        ns.continuation(net, flow, X, Y, over="flow.rho", start=1.0, stop=2.0, pattern=7)
    branch = ns.continuation(net, flow, X, Y, over="flow.rho", start=1.0, stop=2.0, points=3)
    with pytest.raises(DataError, match=r"flow.rho = 3; allowed: 1 to 2, the part that was"):
        branch.at(3.0)
    with pytest.raises(ConvergenceError, match="more than one fixed point"):
        ns.continuation(
            self_connected(), flow, [[0.0]], [[0.3]], over="flow.rho", start=1.0, stop=2.0
        )


def test_a_branch_holds_the_saddle_of_penalised_outputs():
    """The multipliers of a point are backpropagation's, whose loss has the penalty on outputs."""
    net = ns.Network.mlp([3, 4, 2], loss="mse", activity_l1=0.5, seed=2)
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    branch = ns.continuation(
        net, Flow.rotated(1.2), X, Y, over="flow.theta", start=1.2, stop=1.0, points=3
    )
    truth = ns.reference.backprop(net, X, Y)
    for name, lam in branch.lam.items():
        assert_allclose(lam[0], truth.lam[name][0], rtol=0, atol=1e-10)
