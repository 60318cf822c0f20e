"""What the studies of exits, skips, policies and Hebbian layers measure, on nets so small that it
can be checked.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.data.tasks import CartPole
from neurosim.experiments import studies
from neurosim.experiments.studies import exits, policy, skips
from tests.helpers.problems import random_problem


def test_the_time_to_rest_is_when_the_last_error_is_gone():
    net, X, Y = random_problem([5, 4, 3], 2, patterns=1)
    found = exits.settling(net, ns.Flow.damped(), X, Y, 150)
    truth = ns.reference.backprop(net, X, Y)
    errors = []
    for time in (found, found - exits.EVERY / exits.TAU):
        sim = ns.Simulation(net, ns.Flow.damped(), dt=exits.DT, backend="numpy")
        run = sim.relax(X, Y, duration=time * exits.TAU)
        errors.append(max(np.abs(run.lam[n] - truth.lam[n]).max() for n in net.neurons))
        errors[-1] = max(errors[-1], *(np.abs(run.x[n] - truth.x[n]).max() for n in net.neurons))
    assert errors[0] <= exits.CLOSE < errors[1]
    assert exits.settling(net, ns.Flow.arrow_hurwicz(), X, Y, 10) == 10


def test_exits_help_a_saddle_that_is_left_without_them():
    """Net 6 of the study: its saddle point is left without exits, and not with them."""
    network = studies.load("exits").network_keys()
    X, Y = exits.digit(-0.3, 6)
    flow = ns.Flow.augmented(1)
    rates = [
        ns.stability(ns.Network.mlp(**network, seed=6, exits=e), flow, X, Y).slowest_rate
        for e in (0.0, 0.3)
    ]
    assert rates[0] < 0 < rates[1]


@pytest.mark.parametrize("plastic_bias", [True, False])
def test_a_stream_that_stands_still_has_backpropagations_gradient(plastic_bias):
    tables = dict(studies.load("skips").tables)
    tables["network"] = {"sizes": [5, 6, 4], "loss": "mse", "plastic_bias": plastic_bias}
    study = skips.SkipsStudy("still", tables)
    for wiring in ("plain", "skips and exits"):
        still, slow = (
            study.measure({"wiring": wiring, "depth": 4, "speed": v, "seed": 1})["cosine"]
            for v in (0.0, 0.1)
        )
        assert still == pytest.approx(1, abs=1e-12)
        assert 0.5 < slow < 0.999


def test_returns_are_those_of_a_plain_sum():
    up = np.array([[True, True], [True, True], [False, True]])
    returns = np.array(
        [1 + policy.DISCOUNT, 1 + policy.DISCOUNT + policy.DISCOUNT**2, 1, 1 + policy.DISCOUNT, 1]
    )
    assert_allclose(policy.worth(up), (returns - returns.mean()) / returns.std())


def test_a_flow_that_acted_has_the_policy_gradient():
    """Relaxed on from the acting state, what its weights would follow is REINFORCE's gradient."""
    net = ns.Network.mlp([4, 6, 2], loss="policy", seed=1)
    world = CartPole.drawn(policy.CARTS, most=4, seed=3)
    gradient = policy._acted(net, world, policy.SETUPS["adjoint"], "acting")
    X, Y, up = policy._batch(world)
    assert up.shape == (4, policy.CARTS)
    exact = policy._backprop(net, X, Y)
    first, *_, last = (gradient() for _ in range(4))
    for name, values in exact.items():
        size = np.abs(values).max()
        assert_allclose(first[name], values, atol=0.05 * size, err_msg=name)
        assert_allclose(last[name], values, atol=1e-6 * size, err_msg=name)


def test_a_policy_is_learnt_with_and_without_backpropagation():
    for flow in (policy.BACKPROP, "adjoint"):
        found = policy.bandit(flow, 100, 200)
        assert found["best"] > 0.5  # chance is 1/4, learning included
