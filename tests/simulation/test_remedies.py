"""What is advised after a divergence was tried on the run that diverged, and holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.reference import backprop
from neurosim.simulation import trials
from neurosim.simulation.stable_step import remedy, stable_step
from tests.helpers import problems

pytestmark = pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")

XOR = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]


def message(run: Callable[[], Any]) -> str:
    with pytest.raises(ns.DivergenceError) as caught:
        run()
    return str(caught.value)


def trained(tau_w: float) -> ns.Log:
    net = ns.Network.mlp([2, 4, 1], loss="mse", seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=tau_w), dt=2e-3, backend="numpy")
    return sim.train(*XOR, ns.Simultaneous(duration=4.0))


def test_a_tau_w_that_is_advised_keeps_the_training_within_its_bound() -> None:
    """Three times larger, which seems enough, is not."""
    text = message(lambda: trained(3e-3))
    advised = re.search(r"try a tau_w (\d+) times larger: tried on this run", text)
    assert advised is not None, text
    assert "a tau_w 3 times larger did not help" in text
    message(lambda: trained(3 * 3e-3))
    assert not trained(int(advised[1]) * 3e-3).interrupted


def stiff(dt: float) -> ns.Run:
    net, rng = ns.Network.mlp([4, 5, 3], loss="mse", seed=0), np.random.default_rng(0)
    X, Y = rng.standard_normal((3, 4)), rng.standard_normal((3, 3))
    sim = ns.Simulation(net, ns.Flow(kappa=1, rho=1000.0), dt=dt, backend="numpy")
    return sim.relax(X, Y, duration=0.05)


def test_a_stiff_mode_is_named_and_the_advised_step_holds() -> None:
    text = message(lambda: stiff(1e-3))
    assert "limited by a stiff mode" in text
    assert "hardly damped" not in text
    advised = re.search(r"try dt = ([\d.]+) ms: tried on this run, it stays within", text)
    assert advised is not None, text
    assert not stiff(float(advised[1]) * 1e-3).interrupted


def test_where_divergence_is_a_result_nothing_is_tried() -> None:
    with trials.without_trials():
        text = message(lambda: trained(3e-3))
    assert "try a tau_w 3 times larger (not tried on this run)" in text


def test_what_takes_too_long_is_not_tried(monkeypatch) -> None:
    monkeypatch.setattr(trials, "MOST_STEPS", 20)
    text = message(lambda: trained(3e-3))
    assert "(not tried on this run, which would take long)" in text


def test_where_nothing_helps_all_that_was_tried_is_named(monkeypatch) -> None:
    monkeypatch.setattr(trials._Trial, "holds", lambda trial: False)
    text = message(lambda: trained(3e-3))
    assert "tried on this run without success: a tau_w 3 times larger, a tau_w 10 times" in text
    assert text.endswith("try smaller weights or inputs")


@pytest.mark.parametrize(
    ("flow", "factor", "named"),
    [
        (ns.Flow(rho=1000.0), 2, "limited by a stiff mode"),
        (ns.Flow(rho=1000.0), 1000, "limited by a stiff mode"),
        (ns.Flow(gamma=0.1), 2, "that rings and is weakly damped"),
    ],
)
def test_stiffness_and_ringing_have_names_of_their_own(flow, factor, named) -> None:
    net, X, Y = problems.random_problem([4, 5, 3], 2, patterns=1)
    ref = backprop(net, X, Y)
    stable = stable_step(net, flow, ref.x, ref.lam, X, Y)
    text = remedy(net, flow, factor * stable.step, stable)
    assert named in text
    assert f"try dt = {800 * stable.step:.3g} ms" in text


def test_only_flows_that_were_tried_are_named() -> None:
    """Relaxation has no rho to raise."""
    net = ns.Network(
        [ns.Population("in", 1, clamped=True), ns.Population("u", 1, "linear")],
        [ns.Projection("in", "u", [[1.0]]), ns.Projection("u", "u", [[1.5]])],
        [ns.Loss("u", "0*x")],
    )
    zero = {"u": np.zeros((1, 1))}
    stable = stable_step(net, ns.Flow.adjoint(), zero, zero, [[0.0]], [[0.0]])
    text = remedy(net, ns.Flow.adjoint(), 1e-3, stable)
    assert "grows" in text
    assert "rho" not in text
    assert "adjoint" not in text
