"""Feedback weights: where a flow through B rests, how B moves, that it is kept; against SciPy, NumPy and itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.errors import DataError, FileError, ModelError
from neurosim.feedback import angle, turned
from tests.problems import SEEDS, dags, random_problem, rings

KINDS = ("random", "sign", "kolen_pollack", "mirror")
LEARNT = {"feedback": "kolen_pollack", "feedback_decay": 0.3}


def with_feedback(net: ns.Network, kind: str, seed: int) -> ns.Network:
    """The same network whose messages return through weights of their own wherever that can be."""
    own = {
        n: kind if not net.populations[q.pre].clamped and net.weights[n].size else "symmetric"
        for n, q in net.projections.items()
    }
    projections = [replace(q, weights=net.weights[n], mask=None, feedback=own[n]) for n, q in net.projections.items()]
    twin = ns.Network(list(net.populations.values()), projections, list(net.losses.values()), seed=seed)
    twin.biases = net.biases
    return twin


def layers(seed: int = 3, **keys) -> ns.Network:
    return ns.Network.mlp([6, 5, 4, 3], loss="mse", seed=seed, **keys)


def data(patterns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(patterns, 6)), rng.normal(size=(patterns, 3))


def adjoint_by_hand(net: ns.Network, X, Y) -> dict[str, np.ndarray]:
    """lam of tanh layers with a linear output and mse, a loop over layers in plain NumPy."""
    names = ["input", "hidden1", "hidden2", "output"]
    x, slopes = {"input": X}, {}
    for pre, post in zip(names[:-1], names[1:], strict=True):
        a = x[pre] @ net.weights[f"{pre}->{post}"].T + net.biases[post]
        x[post], slopes[post] = (a, np.ones_like(a)) if post == "output" else (np.tanh(a), 1 - np.tanh(a) ** 2)
    lam = {"output": Y - x["output"]}
    for pre, post in (("hidden2", "output"), ("hidden1", "hidden2")):
        lam[pre] = (slopes[post] * lam[post]) @ net.feedback[f"{pre}->{post}"].T
    return lam


# --- where a flow rests


def test_the_adjoint_through_B_is_that_of_a_loop_over_layers() -> None:
    net, (X, Y) = layers(feedback="random"), data()
    truth = adjoint_by_hand(net, X, Y)
    found = ns.reference.backprop(net, X, Y, through="feedback")
    for n, lam in truth.items():
        assert_allclose(found.lam[n], lam, rtol=0, atol=1e-13, err_msg=n)
    assert angle(ns.reference.backprop(net, X, Y).lam["hidden1"], found.lam["hidden1"]) > 10  # true backpropagation


@settings(max_examples=12, deadline=None)
@given(problem=st.one_of(dags(), rings()), kind=st.sampled_from(["random", "sign"]), seed=SEEDS)
def test_at_rest_lam_is_the_adjoint_through_B(problem, kind: str, seed: int) -> None:
    """Skips, cycles, sparse projections; on a cycle B is as small as W, so that messages die out."""
    net, X, Y = problem
    net = with_feedback(net, kind, seed)
    for n in net.feedback:  # a random B can be larger than a W that contracts
        if kind == "random":
            scale = min(1.0, 0.5 / max(np.linalg.norm(_dense(net.feedback[n])), 1e-12) / len(net.feedback))
            net.feedback[n] = net.feedback[n] * scale
    if kind == "sign" and net.order() is None:
        return
    truth = ns.reference.backprop(net, X, Y, through="feedback")
    tau = 10 * ms
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_x=tau, tau_lam=tau), dt=tau / 2, backend="numpy")
    run = sim.relax(X, Y, duration=4)
    for n, lam in truth.lam.items():
        assert_allclose(run.lam[n], lam, rtol=0, atol=1e-6 * (1 + np.abs(lam).max()), err_msg=n)


@pytest.mark.parametrize("flow", [ns.Flow.damped(), ns.Flow.rotated(np.radians(75))])
def test_saddle_flows_that_settle_rest_there_too(flow: ns.Flow) -> None:
    net, (X, Y) = layers(feedback="random"), data()
    run = ns.Simulation(net, flow, dt=2 * ms, backend="numpy").relax(X, Y, duration=3)
    found = ns.alignment(run, ns.reference.backprop(net, X, Y, through="feedback"))
    assert found.max_error < 1e-6
    assert max(found.grad_error.values()) < 1e-6


# --- how B moves


@pytest.mark.parametrize("keys", [LEARNT, {"feedback": "random"}])
def test_moving_weights_follow_scipy(keys) -> None:
    """B too, where it learns; rk4, so that the order does not hide it."""
    net, (X, Y), flow = layers(**keys), data(), ns.Flow.damped(tau_w=30 * ms)
    truth = ns.reference.solve_ivp(net, flow, X, Y, duration=40 * ms, plastic=True)
    begin = {n: B.copy() for n, B in net.feedback.items()}
    sim = ns.Simulation(net, flow, dt=0.5 * ms, method="rk4", backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=40 * ms, reports=2))
    for n in net.weights:
        assert_allclose(net.weights[n], truth.weights[n], rtol=0, atol=1e-7, err_msg=n)
    for n, B in net.feedback.items():
        assert_allclose(B, truth.feedback[n], rtol=0, atol=1e-7, err_msg=n)
        assert (np.abs(B - begin[n]).max() > 1e-2) == (keys == LEARNT)


def test_kolen_and_pollack_forget_the_difference_to_W() -> None:
    """In closed form: tau_w d(B - W^T)/dt = -c (B - W^T), whatever is learnt; by Euler's steps (1 - c dt/tau_w)^n."""
    net, (X, Y) = layers(**LEARNT), data()
    before = {n: B - net.weights[n].T for n, B in net.feedback.items()}
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=50 * ms), dt=1 * ms, backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=100 * ms, reports=2))
    for n, B in net.feedback.items():
        assert_allclose(B - net.weights[n].T, before[n] * (1 - 0.3 / 50) ** 100, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_signs_are_those_of_the_weights_at_every_moment(method: str) -> None:
    net, (X, Y) = layers(feedback="sign"), data()
    size, first = net.projections["hidden2->output"].feedback_size, net.weights["hidden2->output"].copy()
    assert size == pytest.approx(np.sqrt(np.mean(first**2)))
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=10 * ms), dt=1 * ms, method=method, backend="numpy")
    run = sim.train(X, Y, ns.Simultaneous(duration=150 * ms, reports=1)).run
    w = run.network.weights["hidden2->output"]
    assert (np.sign(w) != np.sign(first)).any()
    assert_allclose(run.network.feedback["hidden2->output"], size * np.sign(w.T), rtol=0, atol=0)


@pytest.mark.compiler
@pytest.mark.parametrize(("patterns", "method"), [(1, "euler"), (4, "rk4")])
def test_the_program_computes_the_same(patterns: int, method: str) -> None:
    """All kinds that move step by step, and one that rests, in one network."""
    kinds = {"hidden1->hidden2": "sign", "hidden2->hidden3": "kolen_pollack", "hidden3->output": "random"}
    found = []
    for backend in ("numpy", "standalone"):
        net, X, Y = random_problem([4, 4, 3, 4, 3], 5, patterns=patterns)
        net = ns.Network.mlp([4, 4, 3, 4, 3], loss="mse", seed=5, feedback=kinds, feedback_decay=0.2)
        sim = ns.Simulation(net, ns.Flow.damped(tau_w=30 * ms), dt=1 * ms, method=method, backend=backend)
        found.append(sim.train(X, Y, ns.Simultaneous(duration=60 * ms, reports=1)).run)
    for n in kinds:
        assert_allclose(found[0].network.feedback[n], found[1].network.feedback[n], rtol=0, atol=1e-12)
        assert_allclose(found[0].network.weights[n], found[1].network.weights[n], rtol=0, atol=1e-12)


def _dense(matrix) -> np.ndarray:
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
