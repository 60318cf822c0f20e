"""Constraint functions: derivatives of one L, the same on every backend, lam at rest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brian2 import ms
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

import neurosim as ns
from neurosim.data.patterns import patterns
from neurosim.reference.functions import violation
from neurosim.simulation.stable_step import stable_step
from tests.engine.test_derivatives import compare, differentiated
from tests.helpers.constrained import (
    adjoint_at,
    constrained,
    distance,
    relaxed_in_stages,
    scipy_minimum,
    sliding_error,
)
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
from tests.helpers.stepping import DT, dense, step

SMOOTH = ("g + g**3", "sqrt(epsilon**2 + g**2) - epsilon")
KINDS = ("lin", "lin_eps", "abs", "abs_eps", "squared", "tube", *SMOOTH)
pytestmark = pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")


@given(width=st.floats(0.01, 1), g=st.floats(-2, 2), lam=st.floats(-2, 2), rho=st.floats(0.1, 10))
def test_a_tube_takes_the_slack_that_minimises_its_terms(
    width: float, g: float, lam: float, rho: float
) -> None:
    """lam (g - s) + (rho/2)(g - s)² over |s| <= width, by golden sections."""
    population = ns.Population("tubes", 1, constraint="tube", epsilon=width)
    found, slope = ns.reference.constraints.constraint(
        population, np.array([[g]]), np.array([[lam]]), rho
    )

    def terms(slack: float) -> float:
        return lam * (g - slack) + rho / 2 * (g - slack) ** 2

    best = minimize_scalar(terms, bounds=(-width, width), options={"xatol": 1e-12})
    assert_allclose(found, g - best.x, atol=1e-5)
    if abs(abs(best.x) - width) > 1e-4:
        assert slope == 0


@settings(
    max_examples=some(20),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    problem=st.one_of(dags(), rings()),
    flow=flows().filter(lambda flow: flow.kappa > 0),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    seed=SEEDS,
)
def test_every_rate_is_a_derivative_of_l(
    problem: Problem, flow: ns.Flow, kinds: list[str], seed: int
) -> None:
    """In engine and reference, whatever G; the terms with gamma are G G' and G' dL/dx."""
    net, X, Y = problem
    net, flow = constrained(net, kinds), fitted(flow, net)
    x, lam = random_state(net, seed, len(X))
    outputs = {**patterns(net, X), **x}
    found = step(net, flow, X, Y, ns.State(x, lam))
    there = ns.reference.right_hand_side(net, flow, x, lam, X, Y, step=DT)
    for variable in ("x", "lam", "b"):
        for n, rate in getattr(there, variable).items():
            scale = max(1.0, np.abs(rate).max(initial=0.0))
            assert_allclose(
                getattr(found, variable)[n],
                rate,
                rtol=0,
                atol=1e-9 * scale,
                err_msg=f"{variable} of {n}",
            )
    assume(min(kink_distance(net, outputs, Y), distance(net, flow, outputs, lam)) > 1e-3)
    exact = ns.reference.right_hand_side(net, flow, x, lam, X, Y)
    truth = differentiated(net, replace(flow, gamma=0.0), X, Y, ns.State(x, lam))
    for n in net.neurons:
        G, dL_dx = truth.lam[n] * flow.time("tau_lam", n), -truth.x[n] * flow.time("tau_x", n)
        slope = _slope(net, flow, n, outputs, lam)
        truth.x[n] -= flow.gamma * slope * G / flow.kappa / flow.time("tau_x", n)
        truth.lam[n] -= flow.gamma * slope * dL_dx / flow.kappa / flow.time("tau_lam", n)
    w = {name: dense(rate) for name, rate in exact.w.items()}
    compare(replace(found, x=exact.x, lam=exact.lam, b=exact.b, w=w), truth)


def _slope(net: ns.Network, flow: ns.Flow, n: str, outputs: dict, lam: dict) -> np.ndarray:
    """Return d mu/d lam by central differences of mu = dL/dg."""
    h, own, g = 1e-6, net.populations[n], violation(net, n, outputs)

    def mu(shift: float) -> np.ndarray:
        above = ns.reference.constraints.multiplier_terms(own, flow.rho, g + h, lam[n] + shift)
        below = ns.reference.constraints.multiplier_terms(own, flow.rho, g - h, lam[n] + shift)
        return (above - below) / (2 * h)

    if own.constraint == "tube":
        return (np.abs(mu(0.0)) > 1e-9).astype(float)
    return mu(0.5) - mu(-0.5)


@pytest.mark.compiler
@pytest.mark.parametrize("compiled", ["standalone", "cython"])
def test_the_same_numbers_on_every_backend_and_of_lin_by_another_name(compiled: str) -> None:
    """Four constraint functions in one network, weights moving; G = g as a formula is `lin`."""
    found, method = {}, "exponential_euler"
    flow = ns.Flow(kappa=0.9, gamma=0.2, rho=1.5, tau_w=50 * ms)
    for backend in ("numpy", compiled):
        net, X, Y = random_problem([4, 3, 3, 3, 2], seed=4)
        net = constrained(net, ("lin_eps", "abs_eps", "tube", SMOOTH[0]), 0.05)
        sim = ns.Simulation(net, flow, method=method, backend=backend)
        run = sim.train(X, Y, ns.Simultaneous(duration=100 * ms, reports=2)).run
        arrays = [*run.x.values(), *run.lam.values(), *net.weights.values()]
        found[backend] = np.concatenate([np.ravel(array) for array in arrays])
    assert_allclose(found[compiled], found["numpy"], rtol=0, atol=1e-11)
    ends = []
    for kind in ("lin", "g"):
        net, X, Y = random_problem([4, 3, 2], seed=4)
        sim = ns.Simulation(constrained(net, kind), flow, method=method)
        ends.append(sim.relax(X, Y, duration=100 * ms))
    assert_allclose(ends[1].lam["hidden1"], ends[0].lam["hidden1"], rtol=0, atol=1e-13)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# a millisecond is beyond the stable step of this one
@example(widths=(1, 1, 4), loss="mse", epsilon=0.1, seed=2)
@given(
    widths=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    loss=st.sampled_from(["mse", "cross_entropy"]),
    epsilon=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    seed=SEEDS,
)
def test_a_tube_rests_where_scipy_finds_the_minimum(
    widths: tuple, loss: str, epsilon: float, seed: int
) -> None:
    """One hidden layer: the problem is convex, so V at its minimum is unique; for mse so is x."""
    net, X, Y = random_problem(widths, seed, loss=loss, patterns=2)
    net = constrained(net, "tube", epsilon)
    flow, start = ns.Flow.augmented(2), ns.reference.backprop(net, X, Y)
    dt = min(1e-3, stable_step(net, flow, start.x, start.lam, X, Y).step / 2)
    run = ns.Simulation(net, flow, dt=dt, backend="numpy").relax(X, Y, duration=100, settle=1e-9)
    assert run.settled
    assert ns.kkt(run).residual < 1e-8
    assert ns.support_neurons(run).settled
    x, V = scipy_minimum(net, X, Y)
    outputs = {n: run.x[n] for n in net.neurons}
    assert ns.reference.loss(net, outputs, Y) == pytest.approx(V, abs=1e-7)
    if loss == "mse":
        assert_allclose(run.x["output"], x["output"], atol=1e-5)


def test_a_population_without_constraint_adds_nothing_to_l() -> None:
    free = ns.Population("o", 2, constraint="none")
    g = np.array([[0.3, -2.0]])
    G, slope = ns.reference.constraints.constraint(free, g, np.ones_like(g), 1.0)
    np.testing.assert_array_equal(G, np.zeros((1, 2)))
    np.testing.assert_array_equal(slope, np.zeros((1, 2)))


def test_two_hidden_layers_in_a_tube_rest_where_scipy_cannot_move() -> None:
    """From the forward pass with rho escalated; SLSQP, started there, stays."""
    net, X, Y = random_problem([5, 6, 6, 3], seed=11, patterns=3)
    net = constrained(net, "tube", 0.15)
    run = relaxed_in_stages(net, X, Y)
    assert run.settled
    assert ns.kkt(run).residual < 1e-7
    assert 0 < np.mean(ns.support_neurons(run)["hidden1"]) < 1
    x, _ = scipy_minimum(net, X, Y, run.x)
    assert max(np.abs(x[n] - run.x[n]).max() for n in net.neurons) < 1e-5


def test_without_augmentation_a_tube_is_projected_ascent() -> None:
    """rho = 0: a multiplier stays 0 while its neuron is within the tube, and never overshoots 0."""
    net, X, Y = random_problem([5, 1], seed=3, activation="tanh")  # one layer: mse alone damps
    net = constrained(net, "tube", 0.2)
    sim = ns.Simulation(net, ns.Flow.augmented(0), dt=0.5 * ms)
    run = sim.relax(X, Y, duration=10, settle=1e-9, record=("x", "lam"), every=0.5 * ms)
    assert run.settled
    assert ns.kkt(run).residual < 1e-8
    truth = ns.reference.solve_ivp(
        net, ns.Flow.augmented(0), X, Y, duration=80 * ms, rtol=1e-8, atol=1e-10
    )
    errors = []
    for h in (0.5, 0.25):
        part = ns.Simulation(net, ns.Flow.augmented(0), dt=h * ms).relax(X, Y, duration=80 * ms)
        errors.append(np.abs(part.lam["output"] - truth.lam["output"]).max())
    assert errors[0] < 0.01
    assert errors[1] < 0.7 * errors[0]
    lam, free = run.traces.lam.values, np.abs(run.lam["output"][0]) == 0
    assert (
        np.diff(np.sign(lam), axis=0)[np.abs(np.sign(lam[1:])) > 0] != 2
    ).all() or not free.any()


@pytest.mark.parametrize(("kind", "step"), [("abs", 0.005), ("abs_eps", 0.01), ("lin_eps", 0.01)])
def test_sliding_constraints_are_backpropagation_on_average(kind: str, step: float) -> None:
    """Time average of mu against the adjoint at the average x, over the largest multiplier."""
    assert sliding_error(kind, step, seed=2, wait=60, over=40) < 0.02


def test_squared_is_an_integrated_penalty() -> None:
    """lam = (kappa/tau_lam) times the integral of g², and g = mu / 2 lam falls as t^(-1/3)."""
    net, X, Y = random_problem([4, 3, 2], seed=2, patterns=2)
    net, tau = constrained(net, "squared"), 10e-3
    sim = ns.Simulation(net, ns.Flow.augmented(), dt=0.02 * tau, backend="numpy")
    early = sim.relax(X, Y, duration=30 * tau, record="g", every=0.02 * tau)
    integral = 0.02 * (early.traces.g.values**2).sum(axis=0)
    assert_allclose(np.hstack([early.lam[n] for n in net.neurons]), integral, rtol=1e-12)
    late = sim.relax(X, Y, duration=210 * tau, start=early, record=("g", "mu", "x"), every=7 * tau)
    fall = np.abs(late.traces.g.values[-1]).max() / np.abs(early.traces.g.values[-1]).max()
    assert fall == pytest.approx(8 ** (-1 / 3), rel=0.1)
    names = late.traces.population.values
    last_mu, last_x = late.traces.mu.values[-1], late.traces.x.values[-1]
    exact = adjoint_at(net, {n: last_x[:, names == n] for n in net.neurons}, X, Y)
    largest = max(np.abs(v).max() for v in exact.values())
    for n in net.neurons:
        assert_allclose(last_mu[:, names == n], exact[n], atol=0.01 * largest)


@pytest.mark.parametrize(
    ("flow", "kind", "options", "message"),
    [
        (
            ns.Flow.adjoint(),
            "tube",
            {},
            r"flow.kappa = 0 with constraint 'tube' of hidden1.*try Flow.augmented",
        ),
        (
            ns.Flow.augmented(0),
            "tube",
            {"method": "rk4"},
            r"flow.rho = 0 with constraint 'tube' of hidden1.*try method='euler'",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(
    flow: ns.Flow, kind: str, options: dict, message: str
) -> None:
    net, _, _ = random_problem([4, 3, 2], seed=0)
    with pytest.raises(ns.ModelError, match=message):
        ns.Simulation(constrained(net, kind), flow, **options)


def test_adaptive_steps_refuse_to_slide() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    sim = ns.Simulation(constrained(net, "abs"), ns.Flow.augmented())
    with pytest.raises(ns.ModelError, match="adaptive steps with constraint 'abs' of hidden1"):
        sim.relax(X, Y, duration=1, adaptive=True)


def test_by_events_a_tube_rests_where_it_does_with_dense_messages() -> None:
    """delta travels back; a straw neuron sends nothing."""
    net, X, Y = random_problem([5, 6, 3], seed=4, patterns=4)
    net = constrained(net, "tube", 0.15)
    ends = {}
    for transport in ("dense", ns.Events("adaptive"), ns.Spikes(0.002)):
        sim = ns.Simulation(
            net, ns.Flow.augmented(), dt=2 * ms, transport=transport, backend="numpy"
        )
        ends[str(transport)] = sim.relax(X, Y, duration=3)
    dense_end, events, spikes = ends.values()
    assert_allclose(events.lam["hidden1"], dense_end.lam["hidden1"], atol=1e-4)
    assert_allclose(spikes.lam["hidden1"], dense_end.lam["hidden1"], atol=0.05)
    assert ns.kkt(dense_end).residual < 1e-6


def test_a_tube_goes_on_where_it_was(tmp_path: Path) -> None:
    """Two halves of a run, with a file or a checkpoint between, are the whole run."""
    net, X, Y = random_problem([4, 5, 2], seed=6)
    net = constrained(net, "tube", 0.1)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=50 * ms), backend="numpy")
    whole = sim.relax(X, Y, duration=80 * ms)
    ns.save(sim.relax(X, Y, duration=40 * ms), tmp_path / "half.nc")
    half = ns.load(tmp_path / "half.nc")
    assert half.network.populations["hidden1"] == net.populations["hidden1"]
    assert np.array_equal(
        sim.relax(X, Y, duration=40 * ms, start=half).lam["hidden1"], whole.lam["hidden1"]
    )
    ends = []
    for resume in (None, tmp_path / "c.npz"):
        own = net.copy()
        log = ns.Simulation(own, sim.flow, backend="numpy").train(
            X,
            Y,
            ns.Simultaneous(duration=60 * ms, reports=3),
            checkpoint=tmp_path / "c.npz",
            resume=resume,
        )
        ends.append(log.run.lam["hidden1"])
    assert np.array_equal(*ends)
