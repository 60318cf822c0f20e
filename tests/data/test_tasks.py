"""Tasks: a bandit against a plain loop of REINFORCE, a pole against Lagrange's equations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from scipy.special import softmax

import neurosim as ns
from neurosim.data.tasks import SCALES, Bandit, CartPole, advantages, pushed, sampled
from tests.helpers.problems import random_problem

TAU = 0.01


def reinforced(net: ns.Network, bandit: Bandit, rate: float, trials: int) -> None:
    """Learn by REINFORCE by hand, on one hidden layer of tanh: the chain rule, trial by trial."""
    (W, V), (b, c) = net.weights.values(), net.biases.values()
    for _ in range(trials):
        X, _ = bandit(np.empty((0, 4)))
        h = np.tanh(X @ W.T + b)
        out = h @ V.T + c
        X, Y = bandit(out)
        arm = int(np.argmax(np.abs(Y)))
        up = rate * Y[0, arm] * (np.eye(4)[arm] - softmax(out[0]))  # A d log pi / d out
        back = (up @ V) * (1 - h[0] ** 2)
        V += np.outer(up, h[0])
        c += up
        W += np.outer(back, X[0])
        b += back


def test_a_bandit_learns_as_reinforce_does():
    """With dt = tau, and weights that move at the last step of a frame, the rate is dt/tau_w."""
    nets = [ns.Network.mlp([5, 6, 4], loss="policy", seed=2) for _ in range(2)]
    bandits = [Bandit.drawn(contexts=3, features=5, seed=4) for _ in range(2)]
    sim = ns.Simulation(nets[0], ns.Flow.adjoint(tau_w=5 * TAU), dt=TAU, backend="numpy")
    run = sim.interact(
        bandits[0], frames=200, per_frame=6 * TAU, plastic_from=5 / 6, record=("x", "w")
    )
    reinforced(nets[1], bandits[1], 0.2, 100)
    assert bandits[0].chosen == bandits[1].chosen
    assert bandits[0].rate(50) > bandits[0].rate(100) > 0.3
    assert run.settings["frames"] == 200
    for name, w in nets[1].weights.items():
        assert_allclose(nets[0].weights[name], w, rtol=0, atol=1e-11, err_msg=name)
    for name, b in nets[1].biases.items():
        assert_allclose(nets[0].biases[name], b, rtol=0, atol=1e-11, err_msg=name)


def test_a_world_that_ignores_outputs_is_a_stream():
    net, X, Y = random_problem([4, 5, 3], 3, patterns=6, loss="policy")
    sim = ns.Simulation(net, ns.Flow.augmented(), dt=1e-3, backend="numpy")
    received = []

    def world(outputs):
        received.append(outputs)
        k = len(received) - 1
        if k == 5:
            return None  # before the frames are over
        return X[[k]], Y["output"][[k]]

    run = sim.interact(world, frames=20, per_frame=7e-3, record=("x", "lam"))
    same = sim.stream(X[:5], Y["output"][:5], per_frame=7e-3, record=("x", "lam"))
    assert run.steps == same.steps == 35
    assert run.settings["frames"] == 5
    assert not run.interrupted
    for n in net.neurons:
        assert np.array_equal(run.x[n], same.x[n])
        assert np.array_equal(run.lam[n], same.lam[n])
    ends = same.traces.x.sel(unit=same.traces.population == "output")[:, 0].values
    assert_allclose(np.concatenate(received[:-1]), ends, atol=0)
    assert np.array_equal(received[-1], run.x["output"])


def test_worlds_that_cannot_be_are_refused():
    net = ns.Network.mlp([4, 2], loss="policy")
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=1e-3, backend="numpy")

    def shows(X, Y):
        return lambda outputs: (X, Y)

    with pytest.raises(ns.DataError, match=r"returned 2 pattern\(s\); allowed: 1"):
        sim.interact(shows(np.zeros((2, 4)), np.zeros((2, 2))), frames=3, per_frame=2e-3)
    with pytest.raises(ns.DataError, match=r"X has shape \(1, 3\)"):
        sim.interact(shows(np.zeros((1, 3)), np.zeros((1, 2))), frames=3, per_frame=2e-3)
    with pytest.raises(ZeroDivisionError):  # the world's own errors come through
        sim.interact(lambda outputs: 1 / 0, frames=3, per_frame=2e-3)
    with pytest.raises(ns.ModelError, match="frames = 0"):
        sim.interact(shows(np.zeros((1, 4)), np.zeros((1, 2))), frames=0, per_frame=2e-3)
    compiled = ns.Simulation(net, ns.Flow.adjoint(), dt=1e-3, backend="standalone")
    with pytest.raises(ns.ModelError, match=r"backend = 'standalone'.*numpy, cython"):
        compiled.interact(shows(np.zeros((1, 4)), np.zeros((1, 2))), frames=3, per_frame=2e-3)
    with pytest.raises(ns.DataError, match=r"actions hold 4; allowed: .* 0 to 3"):
        advantages([0, 4], [1.0, 1.0], 4)
    with pytest.raises(ns.ModelError, match="contexts = 5"):
        Bandit.drawn(contexts=5, features=2)


def test_actions_are_drawn_as_often_as_the_softmax_says():
    outputs = np.tile([[0.5, -1.0, 1.5, 0.0]], (40_000, 1))
    counts = np.bincount(sampled(outputs, np.random.default_rng(0)), minlength=4) / 40_000
    assert_allclose(counts, softmax(outputs[0]), atol=0.01)


def test_a_cart_and_its_pole_obey_lagranges_equations():
    """A push of 20 ms is one Euler step of the two equations, solved as a linear system."""
    rng = np.random.default_rng(1)
    state, actions = rng.uniform(-0.2, 0.2, (6, 4)), rng.integers(2, size=6)
    for z, action in zip(state, actions, strict=True):
        force = 10.0 if action else -10.0

        def rates(_, z, force=force, cart=1.0, mass=0.1, half=0.5):
            c, s, turn = np.cos(z[2]), np.sin(z[2]), z[3]
            inertia = np.array(
                [[cart + mass, mass * half * c], [mass * half * c, 4 / 3 * mass * half**2]]
            )
            pull = np.array([force + mass * half * turn**2 * s, mass * 9.8 * half * s])
            gain, swing = np.linalg.solve(inertia, pull)
            return np.array([z[1], gain, turn, swing])

        assert_allclose(pushed(z[None], np.array([action]))[0], z + 0.02 * rates(0, z), atol=1e-13)
        exact = solve_ivp(rates, (0, 0.02), z, rtol=1e-10, atol=1e-12).y[:, -1]
        assert np.abs(pushed(z[None], np.array([action]))[0] - exact).max() < 5e-3


def test_carts_stay_as_they_fell_and_episodes_end():
    carts = CartPole.drawn(3, most=60, seed=5)
    right = np.tile([[-50.0, 50.0]], (3, 1))  # always to the right: the pole falls to the left
    frames = 0
    while (answer := carts(right)) is not None:
        frames += 1
        assert answer[0].shape == (3, 4)
    assert frames == len(carts.shown) == len(carts.pushed) == max(carts.lengths)
    assert 5 < max(carts.lengths) < 15
    assert (np.abs(carts.state[:, 2]) > SCALES[2]).all()
    one = CartPole.drawn(1, most=4, seed=5)
    while one(np.array([[0.0, 0.0]])) is not None:
        pass
    assert one.lengths.tolist() == [4]
