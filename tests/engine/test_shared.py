"""Shared weights in every backend: rest, steps, events, feedback, rules, penalties, files."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brian2 import ms, second
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

import neurosim as ns
from neurosim.engine.mixing import Mixing
from neurosim.model import sites
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from tests.helpers import shared_nets
from tests.helpers.examples import some

SEEDS = st.integers(0, 10_000)
KINDS = st.sampled_from(shared_nets.KINDS)
SETTLING = (
    ns.Flow.adjoint(),
    ns.Flow.damped(),
    ns.Flow.rotated(1.3),
    ns.Flow.rotated(1.2, rho=1.0),
)


def _trained(net: Network, X: Any, Y: Any, backend: str, **options: Any) -> Network:
    """Return a copy of a net after 20 steps of all three flows at once."""
    twin = net.copy()
    flow = options.pop("flow", ns.Flow.rotated(1.3, tau_w=50 * ms))
    schedule = options.pop("schedule", ns.Simultaneous(duration=20 * ms, reports=2))
    sim = ns.Simulation(twin, flow, backend=backend, dt=1 * ms, **options)
    sim.train(X, Y, schedule)
    return twin


def _parameters(net: Network) -> dict[str, np.ndarray]:
    found = {}
    for name, w in (*net.weights.items(), *net.feedback.items()):
        found[f"{name} {len(found)}"] = np.asarray(w if isinstance(w, np.ndarray) else w.data)
    return found | dict(net.biases)


def _assert_same(one: Network, other: Network, atol: float) -> None:
    for key, values in _parameters(one).items():
        np.testing.assert_allclose(values, _parameters(other)[key], atol=atol, err_msg=key)


@settings(
    max_examples=some(25),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(KINDS, SEEDS, st.sampled_from(SETTLING))
def test_rest_is_backpropagation(kind: str, seed: int, flow: ns.Flow) -> None:
    net = shared_nets.network(kind, seed)
    X, Y = shared_nets.data(net, seed)
    expected = ns.reference.backprop(net, X, Y)
    sim = ns.Simulation(net, flow, dt=2 * ms, backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UnsettledWarning)
        warnings.simplefilter("ignore", ns.StabilityWarning)
        run = sim.relax(X, Y, duration=20 * second, settle=1e-9)
    if flow.kappa > 0:
        assume(run.settled)  # a saddle flow need not settle on a deep or a long net
    assert run.settled
    for n in net.neurons:
        np.testing.assert_allclose(run.x[n], expected.x[n], atol=1e-6)
        np.testing.assert_allclose(run.lam[n], expected.lam[n], atol=1e-6)


@pytest.mark.parametrize(("features", "first"), [((64, 16), True), ((8, 2), False)])
def test_the_cheaper_order_is_taken(features: tuple[int, int], first: bool) -> None:
    """One site reads 20; a number that is mixed costs 8 times what one of a product costs.

    Mixed first, 64 features cost 20 · 64 · 8 + 1,024, else 20 · 1,024 + 20 · 16 · 8; with 8
    features the mixing prevails: 20 · 8 · 8 + 16 against 20 · 16 + 20 · 2 · 8.
    """
    read, written = features
    over = sites.Graph(sparse.csr_array(np.ones((1, 20))))
    populations = [Population("a", (20, read), clamped=True), Population("b", (1, written))]
    loss = Loss("b", "mse", 1.0)
    net = Network(populations, [Projection("a", "b", over=over)], [loss])
    between = net.between("a->b")
    assert between is not None
    assert Mixing(between).mixes_first is first


@pytest.mark.parametrize("steps", [8, 16, pytest.param(32, marks=pytest.mark.slow)])
def test_recurrent_nets_are_backpropagation_through_time(steps: int) -> None:
    net = Network.recurrent(steps, 8, 32, 10, seed=steps)
    rng = np.random.default_rng(steps)
    X, Y = rng.normal(size=(5, steps, 8)), rng.integers(0, 10, size=5)
    expected = ns.reference.backprop(net, X, Y)
    flow = ns.Flow.adjoint()
    sim = ns.Simulation(net, flow, dt=10 * ms, backend="numpy")
    run = sim.relax(X, Y, duration=2 * (steps + 1) * 10 * ms)
    for n in net.neurons:
        np.testing.assert_allclose(run.x[n], expected.x[n], atol=1e-12)
        np.testing.assert_allclose(run.lam[n], expected.lam[n], atol=1e-12)


@pytest.mark.parametrize("kind", shared_nets.KINDS)
def test_euler_steps_approach_scipy_with_weights_moving(kind: str) -> None:
    net = shared_nets.network(kind, 7)
    X, Y = shared_nets.data(net, 7)
    flow = ns.Flow.augmented(rho=1.0, tau_w=40 * ms)
    exact = ns.reference.solve_ivp(net, flow, X, Y, duration=12 * ms, plastic=True)
    errors = []
    for dt in (0.2, 0.1):
        twin = net.copy()
        sim = ns.Simulation(twin, flow, dt=dt * ms, backend="numpy")
        sim.train(X, Y, ns.Simultaneous(duration=12 * ms, reports=1))
        off = [np.abs(twin.weights[q] - exact.weights[q]).max() for q in net.projections]
        off += [np.abs(twin.biases[n] - exact.biases[n]).max() for n in net.neurons]
        errors.append(np.array(off))
    moving = errors[0] > 1e-12
    assert moving.sum() >= 4
    ratio = errors[0][moving] / errors[1][moving]
    assert (np.abs(ratio - 2) < 0.15).all()


# one program for each way of mixing; the others are slow
COMPILED = ["conv", "lag"]


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=() if k in COMPILED else pytest.mark.slow) for k in shared_nets.KINDS],
)
def test_compiled_programs_agree(kind: str) -> None:
    net = shared_nets.network(kind, 2, feedback="kolen_pollack", row_l1=0.01, l2=0.02)
    X, Y = shared_nets.data(net, 2)
    here = _trained(net, X, Y, "numpy")
    _assert_same(here, _trained(net, X, Y, "standalone"), 1e-12)
    moved = [np.abs(here.weights[q] - net.weights[q]).max() for q in net.projections]
    assert max(moved) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["semi_implicit", "exponential_euler", "rk4"])
@pytest.mark.parametrize("kind", ["conv", "graph"])
def test_compiled_methods_agree(kind: str, method: str) -> None:
    net = shared_nets.network(kind, 2, feedback="sign")
    X, Y = shared_nets.data(net, 2)
    here = _trained(net, X, Y, "numpy", method=method)
    _assert_same(here, _trained(net, X, Y, "standalone", method=method), 1e-12)


@pytest.mark.slow
def test_compiled_descent_of_local_propagation_agrees() -> None:
    net = shared_nets.network("graph", 2)
    X, Y = shared_nets.data(net, 2)
    schedule = ns.LocalPropagation(epochs=8)
    flow = ns.Flow.local_propagation(rate=0.01, ratio=2.0)
    options = {"schedule": schedule, "flow": flow}
    here = _trained(net, X, Y, "numpy", **options)
    _assert_same(here, _trained(net, X, Y, "standalone", **options), 1e-10)


@pytest.mark.parametrize("backend", ["cython"])
def test_brian_codegen_agrees(backend: str) -> None:
    net = shared_nets.network("mixed", 3)
    X, Y = shared_nets.data(net, 3)
    here = _trained(net, X, Y, "numpy")
    _assert_same(here, _trained(net, X, Y, backend), 1e-12)


@pytest.mark.parametrize("kind", ["conv", "lag", "graph"])
def test_one_step_of_weights_is_the_gradient(kind: str) -> None:
    """In two more steps than the longest path adjoint is backpropagation; one more moves w."""
    net = shared_nets.network(kind, 5)
    X, Y = shared_nets.data(net, 5)
    expected = ns.reference.backprop(net, X, Y)
    flow = ns.Flow.adjoint(tau_w=100 * ms)
    sim = ns.Simulation(net.copy(), flow, dt=10 * ms, backend="numpy")
    rest = sim.relax(X, Y, duration=4 * second)
    schedule = ns.Simultaneous(duration=10 * ms)
    sim.train(X, Y, schedule, start=rest)
    for name, q in net.projections.items():
        if q.plastic:
            moved = sim.net.weights[name] - net.weights[name]
            np.testing.assert_allclose(moved, -0.1 * expected.grad_w[name], atol=1e-8)
    for n in net.neurons:
        if net.populations[n].plastic_bias:
            moved = sim.net.biases[n] - net.biases[n]
            np.testing.assert_allclose(moved, -0.1 * expected.grad_b[n], atol=1e-8)


@pytest.mark.parametrize("feedback", ["random", "sign", "kolen_pollack", "mirror"])
def test_rest_through_shared_feedback_weights(feedback: str) -> None:
    net = shared_nets.network("conv", 9, feedback=feedback)
    name = "pool->two"
    if feedback in ("random", "kolen_pollack", "mirror"):
        assert net.feedback[name].shape == net.weights[name].swapaxes(1, 2).shape
    X, Y = shared_nets.data(net, 9)
    expected = ns.reference.backprop(net, X, Y, through="feedback")
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=10 * ms, backend="numpy")
    run = sim.relax(X, Y, duration=400 * ms)
    for n in net.neurons:
        np.testing.assert_allclose(run.lam[n], expected.lam[n], atol=1e-10)


def test_shared_feedback_weights_of_kolen_pollack_approach_the_weights() -> None:
    net = shared_nets.network("conv", 9, feedback="kolen_pollack", feedback_decay=2.0)
    X, Y = shared_nets.data(net, 9)
    name = "pool->two"
    before = np.abs(net.feedback[name].swapaxes(1, 2) - net.weights[name])
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=20 * ms), dt=2 * ms, backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=100 * ms, reports=1))
    after = np.abs(net.feedback[name].swapaxes(1, 2) - net.weights[name])
    # both decay by the same factor and move by the same products, so the difference only decays
    np.testing.assert_allclose(after, before * (1 - 2.0 * 2 / 20) ** 50, rtol=1e-9)


@pytest.mark.parametrize("kind", ["series", "lag"])
def test_error_of_events_is_first_order_in_the_threshold(kind: str) -> None:
    net = shared_nets.network(kind, 12)
    X, Y = shared_nets.data(net, 12, patterns=4)
    flow = ns.Flow.rotated(1.2)
    options = {"dt": 0.1 * ms, "backend": "numpy"}
    how = {"duration": 20 * ms, "record": "x", "every": 0.5 * ms}
    dense = ns.Simulation(net, flow, **options).relax(X, Y, **how)
    thetas = np.array([0.08, 0.04, 0.02, 0.01])
    errors = []
    for theta in thetas:
        sim = ns.Simulation(net, flow, transport=ns.Events(theta=theta), **options)
        run = sim.relax(X, Y, **how)
        errors.append(float(np.abs(run.traces["x"] - dense.traces["x"]).max()))
    slope = np.polyfit(np.log(thetas), np.log(errors), 1)[0]
    assert 0.9 < slope < 1.15


def test_an_event_costs_the_kernel_times_the_features() -> None:
    populations = [
        Population("input", (6, 1), "linear", clamped=True),
        Population("one", (6, 2)),
        Population("two", (6, 3)),
    ]
    projections = [
        Projection("input", "one", over=sites.Conv(3)),
        Projection("one", "two", over=sites.Conv(3)),
    ]
    net = Network(populations, projections, [Loss("two", "mse")])
    sim = ns.Simulation(net, ns.Flow.damped(), transport=ns.Events(theta=0.05), backend="numpy")
    X, Y = shared_nets.data(net, 1, patterns=1)
    run = sim.relax(X, Y, duration=50 * ms)
    cost = ns.synaptic_operations(run)
    pairs = 16  # of six sites with their neighbours
    assert cost.dense == 50 * (pairs * 2 + 2 * pairs * 2 * 3)
    reached = np.repeat([2, 3, 3, 3, 3, 2], 1)
    forward = run.auxiliary["input.events_x"][0] @ (reached * 2)
    forward += run.auxiliary["one.events_x"][0] @ np.repeat(reached * 3, 2)
    back = run.auxiliary["two.events_delta"][0] @ np.repeat(reached * 2, 3)
    assert cost.effective == pytest.approx(forward + back)


@pytest.mark.parametrize("rule", ["momentum", "adam", "oja"])
@pytest.mark.parametrize("kind", ["conv", "graph"])
def test_rules_sum_over_sites(kind: str, rule: str) -> None:
    """A rule of shared weights moves as one whose product is the summed gradient."""
    net = _with_rule(shared_nets.network(kind, 6), rule)
    X, Y = shared_nets.data(net, 6)
    one = _trained(net, X, Y, "numpy")
    # on blocks of one pattern: other orders of summation
    from neurosim.engine import mixing

    block = mixing.BLOCK
    mixing.BLOCK = 1
    try:
        other = _trained(net, X, Y, "numpy")
    finally:
        mixing.BLOCK = block
    _assert_same(one, other, 1e-11)


def test_momentum_of_shared_weights_is_a_running_mean_of_gradients() -> None:
    net = shared_nets.network("conv", 6)
    X, Y = shared_nets.data(net, 6)
    rule = ns.Plasticity(
        "dw/dt = m/tau_w : 1\ndm/dt = (delta_post*x_pre - m)/tau_m : 1",
        parameters={"tau_m": 20 * ms},
    )
    net = _with_rule(net, rule)
    flow = ns.Flow.adjoint(tau_w=100 * ms)
    rest = ns.Simulation(net, flow, dt=10 * ms, backend="numpy").relax(X, Y, duration=1 * second)
    gradient = ns.reference.backprop(net, X, Y).grad_w["pool->two"]
    sim = ns.Simulation(net.copy(), flow, dt=10 * ms, backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=10 * ms), start=rest)
    still = sim.net.weights["pool->two"] - net.weights["pool->two"]
    np.testing.assert_array_equal(still, 0.0)  # w reads the m of before
    sim = ns.Simulation(net.copy(), flow, dt=10 * ms, backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=20 * ms), start=rest)
    moved = sim.net.weights["pool->two"] - net.weights["pool->two"]
    np.testing.assert_allclose(moved, -0.1 * 0.5 * gradient, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["adam", "oja"])
def test_compiled_rules_agree(rule: str) -> None:
    net = _with_rule(shared_nets.network("conv", 6), rule)
    X, Y = shared_nets.data(net, 6)
    here = _trained(net, X, Y, "numpy")
    _assert_same(here, _trained(net, X, Y, "standalone"), 1e-11)


def test_group_penalties_are_of_features() -> None:
    net = shared_nets.network("conv", 6, row_l1=4.0)
    X, Y = shared_nets.data(net, 6)
    after = _trained(net, X, Y, "numpy", schedule=ns.Simultaneous(duration=300 * ms, reports=1))
    w = after.weights["pool->two"]
    norms = np.sqrt(np.square(w).sum(axis=(0, 2)))
    assert (norms == 0).all()
    first = ns.reference.functions.penalty(net)
    norms = np.sqrt(np.square(net.weights["pool->two"]).sum(axis=(0, 2)))
    own = 4.0 * norms.sum()
    other = np.sqrt(np.square(net.weights["input->one"]).sum(axis=(0, 2)))
    assert first == pytest.approx(own + 4.0 * other.sum())


@pytest.mark.parametrize("kind", shared_nets.KINDS)
def test_going_on_from_a_file_equals_never_having_stopped(kind: str, tmp_path: Path) -> None:
    net = shared_nets.network(kind, 8)
    X, Y = shared_nets.data(net, 8)
    flow = ns.Flow.rotated(1.3, tau_w=50 * ms)
    whole = ns.Simulation(net.copy(), flow, dt=1 * ms, backend="numpy")
    whole.train(X, Y, ns.Simultaneous(duration=20 * ms, reports=2))
    half = ns.Simulation(net.copy(), flow, dt=1 * ms, backend="numpy")
    log = half.train(X, Y, ns.Simultaneous(duration=10 * ms, reports=1), record=("x", "w"))
    ns.save(log.run, tmp_path / "half.nc")
    loaded = ns.load(tmp_path / "half.nc")
    assert loaded.network.populations == net.populations
    for name in net.projections:
        assert loaded.network.projections[name].over == net.projections[name].over
    again = ns.Simulation(loaded.network, flow, dt=1 * ms, backend="numpy")
    again.train(X, Y, ns.Simultaneous(duration=10 * ms, reports=1), start=loaded)
    _assert_same(again.net, whole.net, 0.0)


def _with_rule(net: Network, rule: Any) -> Network:
    """Return the same network with a rule for all weights and, if it has a name, for biases."""
    projections = []
    for name, q in net.projections.items():
        if q.plastic:
            q = replace(q, plasticity=rule, weights=net.weights[name])
        projections.append(q)
    populations = list(net.populations.values())
    if isinstance(rule, str) and rule != "oja":
        populations = [
            p if p.clamped or not p.plastic_bias else replace(p, bias_plasticity=rule)
            for p in populations
        ]
    return Network(populations, projections, list(net.losses.values()))
