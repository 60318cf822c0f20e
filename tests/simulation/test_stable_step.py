"""The stable step against what a plain Euler loop does just below and just above it."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim.data.patterns import patterns, targets
from neurosim.errors import DivergenceError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.reference import backprop, right_hand_side
from neurosim.simulation.simulation import Simulation
from neurosim.simulation.stable_step import remedy, stable_step
from tests.helpers import problems
from tests.helpers.examples import some


def growth(net, flow, X, Y, dt: float, steps: int) -> float:
    """Return the factor per step by which explicit Euler moves away from rest; < 1 comes back."""
    ref, rng = backprop(net, X, Y), np.random.default_rng(0)
    x, lam = (
        {n: part[n] + 1e-6 * rng.normal(size=part[n].shape) for n in net.neurons}
        for part in (ref.x, ref.lam)
    )
    X, sizes = patterns(net, X), []
    Y = targets(net, Y, len(next(iter(X.values()))))
    for _ in range(steps):
        rates = right_hand_side(net, flow, x, lam, X, Y)
        x = {n: x[n] + dt * rates.x[n] for n in x}
        lam = {n: lam[n] + dt * rates.lam[n] for n in lam}
        sizes.append(
            max(max(np.abs(x[n] - ref.x[n]).max(), np.abs(lam[n] - ref.lam[n]).max()) for n in x)
        )
        if not 1e-11 < sizes[-1] < 1e-2:  # rounding, or no longer linear
            break
    half = len(sizes) // 2
    return float((sizes[-1] / sizes[half]) ** (1 / max(len(sizes) - half - 1, 1)))


FLOWS = {
    "augmented": Flow.augmented(),
    "rho=4": Flow.augmented(4.0),
    "damped": Flow.damped(),
    "rotated": Flow.rotated(1.3, 0.5),
    "own times": Flow(
        kappa=0.8, gamma=0.7, rho=0.5, tau_x={"hidden1": 4e-3}, tau_lam={"output": 25e-3}
    ),
}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
@pytest.mark.parametrize("seed", range(3))
def test_euler_is_stable_below_and_diverges_above(flow, seed):
    loss = ("mse", "cross_entropy", "mse")[seed]
    net, X, Y = problems.random_problem([4, 4, 3], seed, loss=loss, patterns=3, gain=0.8)
    ref = backprop(net, X, Y)
    stable = stable_step(net, flow, ref.x, ref.lam, X, Y)
    assert 0 < stable.step < inf
    assert not stable.growing
    assert growth(net, flow, X, Y, 0.95 * stable.step, 2000) < 1
    assert growth(net, flow, X, Y, 1.05 * stable.step, 2000) > 1


@settings(max_examples=some(10), deadline=None)
@given(problem=problems.rings(activations=["tanh", "softplus", "linear"]))
def test_euler_on_cycles(problem):
    net, X, Y = problem
    ref, flow = backprop(net, X, Y), Flow.adjoint()
    stable = stable_step(net, flow, ref.x, ref.lam, X, Y)
    assert not stable.growing
    assert growth(net, flow, X, Y, 0.9 * stable.step, 300) < 1
    assert growth(net, flow, X, Y, 1.1 * stable.step, 300) > 1


@settings(max_examples=25, deadline=None)
@given(problem=problems.dags(), tau=st.floats(1e-3, 0.1))
def test_the_adjoint_flow_has_one_time_constant(problem, tau):
    """Every eigenvalue is -1/tau however deep the graph: the Jacobian is defective."""
    net, X, Y = problem
    x, lam = problems.random_state(net, 0, len(X))
    stable = stable_step(net, Flow.adjoint(tau_x=tau, tau_lam=tau), x, lam, X, Y)
    assert stable.step == pytest.approx(2 * tau, rel=1e-6)
    assert stable.eigenvalue == pytest.approx(-1 / tau, rel=1e-6)


@pytest.mark.parametrize("size", [3, 33, 51, 75])
def test_a_chain_hidden_in_a_self_connection_has_one_time_constant(size):
    rng = np.random.default_rng(size)
    order = rng.permutation(size)
    weights = (np.tril(rng.normal(size=(size, size)), -1) / np.sqrt(size))[np.ix_(order, order)]
    net = Network(
        [Population("in", 3, clamped=True), Population("u", size)],
        [Projection("in", "u"), Projection("u", "u", weights)],
        [Loss("u")],
    )
    x, lam = problems.random_state(net, 0, 1)
    stable = stable_step(net, Flow.adjoint(), x, lam, rng.normal(size=(1, 3)), np.zeros((1, size)))
    assert stable.step == pytest.approx(20e-3, rel=1e-6)


def test_the_limiting_population_is_named():
    net, X, Y = problems.random_problem([4, 5, 4, 3], 0)
    x, lam = problems.random_state(net, 0, len(X))
    for name in net.neurons:
        assert stable_step(net, Flow.adjoint(tau_x={name: 1e-3}), x, lam, X, Y).population == name


def test_the_undamped_saddle_has_no_step():
    net, X, Y = problems.random_problem([30, 10, 3], 0, activation="linear")
    flow, ref = Flow.arrow_hurwicz(), backprop(net, X, Y)
    stable = stable_step(net, flow, ref.x, ref.lam, X, Y)
    assert stable.step == 0
    assert not stable.growing
    assert abs(stable.eigenvalue) == pytest.approx(100, rel=1e-6)  # +-i / tau
    advice = remedy(net, flow, 1e-3, stable)
    assert "is not damped" in advice
    assert "rho = 2 with tau_lam = tau_x/2" in advice
    better = Flow.augmented(2.0)
    assert growth(net, better, X, Y, 1e-3, 500) < 1


def unstable() -> tuple[Network, np.ndarray, dict[str, np.ndarray], Flow]:
    """Deep and strong: lam sigma'' is negative damping, and the saddle flow leaves its rest."""
    net, X, Y = problems.random_problem([4, 6, 6, 6, 6, 3], 1, gain=1.5)
    return net, X, Y, Flow.augmented(0.3)


def test_a_growing_mode_is_found_and_the_remedy_is_stable():
    net, X, Y, flow = unstable()
    ref = backprop(net, X, Y)
    stable = stable_step(net, flow, ref.x, ref.lam, X, Y, patterns=5)
    assert stable.growing
    assert stable.step == 0
    assert growth(net, flow, X, Y, 1e-4, 1500) > 1
    advice = remedy(net, flow, 1e-3, stable)
    assert "grows, so no explicit Euler step is stable; try " in advice
    rho = float(advice.split("rho = ")[1].split()[0])
    dt = float(advice.split("dt = ")[1].split()[0]) * 1e-3

    def step_with(rho: float) -> float:
        candidate = replace(flow, rho=rho, tau_lam=flow.tau_x / rho)
        return stable_step(net, candidate, ref.x, ref.lam, X, Y, patterns=5).step

    assert step_with(rho) > dt
    assert rho == 2 or step_with(rho / 2) < dt  # the smallest that is stable


def test_the_remedy_for_a_long_step_is_a_shorter_one():
    net, X, Y = problems.random_problem([4, 5, 3], 2)
    ref, flow = backprop(net, X, Y), Flow.augmented()
    stable = stable_step(net, flow, ref.x, ref.lam, X, Y)
    assert "is stable" in remedy(net, flow, 0.9 * stable.step, stable)
    assert f"try dt = {800 * stable.step:.3g} ms" in remedy(net, flow, 2 * stable.step, stable)


def test_where_nothing_is_stable_the_remedy_is_smaller_weights():
    """A self-connection above 1 grows in every flow."""
    net = Network(
        [Population("in", 1, clamped=True), Population("u", 1, "linear")],
        [Projection("in", "u", [[1.0]]), Projection("u", "u", [[1.5]])],
        [Loss("u", "0*x")],
    )
    x = lam = {"u": np.zeros((1, 1))}
    flow = Flow.adjoint()
    stable = stable_step(net, flow, x, lam, [[0.0]], [[0.0]])
    assert stable.growing
    assert stable.eigenvalue == pytest.approx(50)
    assert "try smaller weights" in remedy(net, flow, 1e-3, stable)


FAST_OUTPUT = {"tau_x": {"output": 2e-3}, "tau_lam": {"output": 2e-3}}


@pytest.mark.parametrize(
    "flow",
    [
        Flow.augmented(),
        Flow.damped(),
        Flow.arrow_hurwicz(),
        Flow.adjoint(),
        Flow(gamma=0.2),
        # the limiting mode is slow and hardly damped, or grows: the modes of largest modulus do not
        # show it
        Flow(gamma=0.5, **FAST_OUTPUT),
        Flow(gamma=0.1, **FAST_OUTPUT),
    ],
)
def test_the_search_finds_what_the_whole_jacobian_shows(flow, monkeypatch):
    net, X, Y = problems.random_problem([20, 40, 20, 5], 3, patterns=2)
    ref = backprop(net, X, Y)
    whole = stable_step(net, flow, ref.x, ref.lam, X, Y)
    monkeypatch.setattr("neurosim.simulation.stable_step.DENSE", 15)
    searched = stable_step(net, flow, ref.x, ref.lam, X, Y)
    assert searched.growing == whole.growing
    assert searched.step == pytest.approx(whole.step, rel=1e-2)


def test_the_search_survives_arpack_giving_up(monkeypatch):
    """Power iterations alone: the fastest mode of a strongly augmented flow is real and apart."""
    from scipy.sparse import linalg

    def gives_up(*_, **__):
        raise linalg.ArpackNoConvergence("no", np.empty(0), np.empty((0, 0)))

    net, X, Y = problems.random_problem([20, 40, 20, 5], 3, patterns=1)
    ref, flow = backprop(net, X, Y), Flow.augmented(4.0)
    whole = stable_step(net, flow, ref.x, ref.lam, X, Y)
    monkeypatch.setattr("neurosim.simulation.stable_step.DENSE", 15)
    monkeypatch.setattr(linalg, "eigs", gives_up)
    assert stable_step(net, flow, ref.x, ref.lam, X, Y).step == pytest.approx(whole.step, rel=0.05)


def test_patterns_are_spread_over_the_batch():
    net, X, Y = problems.random_problem([4, 3, 2], 2, patterns=9)
    ref = backprop(net, X, Y)
    stable = stable_step(net, Flow.damped(), ref.x, ref.lam, X, Y, patterns=3)
    np.testing.assert_array_equal(stable.at[2]["input"], X[[0, 4, 8]])
    steps = []
    for k in (0, 4, 8):
        x = {n: ref.x[n][[k]] for n in net.neurons}
        lam = {n: ref.lam[n][[k]] for n in net.neurons}
        target = {"output": Y["output"][[k]]}
        steps.append(stable_step(net, Flow.damped(), x, lam, X[[k]], target).step)
    assert stable.step == pytest.approx(min(steps), rel=1e-6)


@pytest.mark.parametrize("limit", ["MOST_SYNAPSES", "MOST_UNITS"])
def test_networks_too_large_to_monitor_run_without_the_monitor(monkeypatch, limit):
    """A pass through 1e8 synapses takes seconds; the search for the mode takes hundreds of them."""
    monkeypatch.setattr(f"neurosim.simulation.stability_monitor.{limit}", 5)
    net, X, Y = problems.random_problem([4, 4, 3], 0, patterns=3)
    sim = Simulation(net, Flow.augmented(), dt=30e-3, backend="numpy")
    monkeypatch.setattr("neurosim.simulation.stable_step.stable_step", None)
    with pytest.raises(DivergenceError, match="try dt"):
        sim.relax(X, Y, duration=5.0)
