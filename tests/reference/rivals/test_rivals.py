"""Each rival against its exact gradient or its paper's claim, on random graphs.

The derivations share no code with the rival.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.model.weights import synapses
from neurosim.reference import rivals
from neurosim.reference.functions import dense
from neurosim.results.metrics import cosine
from tests.evidence.rivals import lowest_energy
from tests.helpers.examples import some
from tests.helpers.problems import SEEDS, Problem, dags, random_problem

Array = np.ndarray
SMOOTH = ("tanh", "sigmoid", "softplus", "linear")
SMOOTH_LOSSES = ("mse", "cross_entropy", "sqrt(1 + (x - y)**2) - 1")
GRAPHS = dags(activations=SMOOTH)
LAYERS = st.lists(st.integers(1, 5), min_size=2, max_size=5)


def flat(arrays: dict[str, Any]) -> Array:
    return np.concatenate([synapses(w).ravel() for w in arrays.values()])


def smooth(net: ns.Network) -> bool:
    return all(v.kind in SMOOTH_LOSSES for v in net.losses.values())


@given(problem=GRAPHS)
@settings(max_examples=4, deadline=None)
def test_predictive_coding_is_the_gradient_of_its_energys_minimum(problem: Problem) -> None:
    """By the envelope theorem: SciPy minimises over x anew for every weight that is nudged."""
    net, X, Y = problem
    assume(smooth(net))
    assume(any(net.outgoing(n) for n in net.neurons))
    found = rivals.predictive_coding(net, X, Y, rate=0.05, steps=3000, watch=_standing())
    assume(found.steps < 3000)

    for name in list(net.projections)[:1]:
        w, own = synapses(net.weights[name]), synapses(found.grad_w[name])
        if not w.size:
            continue
        at = np.unravel_index(int(np.abs(own).argmax()), w.shape)
        kept, sides = w[at], []
        for nudge in (1e-4, -1e-4):
            w[at] = kept + nudge
            sides.append(lowest_energy(net, X, Y, found.x))
        w[at] = kept
        assert own[at] == pytest.approx((sides[0] - sides[1]) / 2e-4, rel=1e-3, abs=1e-5), name


def _standing(tolerance: float = 1e-9) -> Callable[[int, dict[str, Array]], bool]:
    """Return a watch that ends an inference when its credit no longer changes."""
    last: dict[str, Array] = {}

    def still(_: int, credit: dict[str, Array]) -> bool:
        change = max(np.abs(v - last.get(n, np.inf)).max() for n, v in credit.items())
        last.update(credit)
        return bool(change < tolerance)

    return still


@given(widths=LAYERS, seed=SEEDS)
@settings(max_examples=10, deadline=None, phases=[Phase.generate])
def test_pc_alm_ends_at_the_adjoint_of_a_linear_network(widths: list[int], seed: int) -> None:
    """Its paper's theorem; nonlinear networks can ring at rho = 1, as `Flow.augmented(1)` does.

    One network in a hundred needs more steps.
    """
    net, X, Y = random_problem(widths, seed, activation="linear", patterns=2)
    found = rivals.pc_alm(net, X, Y, steps=3000, watch=_standing(1e-11))
    assume(found.steps < 3000)
    ref = ns.reference.backprop(net, X, Y)
    near = ns.alignment(found, ref)
    assert near.max_error < 1e-6
    assert max(near.grad_error.values()) < 1e-6


@given(widths=LAYERS, seed=SEEDS)
@settings(max_examples=some(6), deadline=None)
def test_pc_alm_ends_at_the_adjoint_of_layers_with_enough_rho(widths: list[int], seed: int) -> None:
    net, X, Y = random_problem(widths, seed, loss="mse", gain=0.5, patterns=2)
    found = rivals.pc_alm(net, X, Y, rho=8.0, steps=3000, watch=_standing(1e-10))
    assert ns.alignment(found, ns.reference.backprop(net, X, Y)).max_error < 1e-5


def stiffness(net: ns.Network) -> float:
    """Bound of the loss's curvature in the one hidden layer of `random_problem`, |W|²."""
    return float(np.linalg.norm(net.weights["hidden1->output"], 2) ** 2)


def order(sizes: Any, errors: list[float]) -> float:
    """Exponent of the power law between sizes and errors."""
    return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


def at_rest(net: ns.Network, X: Any, Y: Any, rho: float) -> rivals.Inferred:
    """The penalty method with rho held until nothing changes."""
    still = _standing(1e-14)
    return rivals.growing_penalty(net, X, Y, rho=rho, rho_end=rho, steps=2000, watch=still)


@given(seed=SEEDS, loss=st.sampled_from(["mse", "cross_entropy"]))
@settings(max_examples=4, deadline=None)
def test_a_penalty_at_rest_meets_the_adjoint_to_first_order(seed: int, loss: str) -> None:
    """The error is c/rho (1 + O(curvature/rho)), so the order is sharp where rho is far above it.

    At rho = 20 and 200, ten times apart but near the curvature, it is not.
    """
    net, X, Y = random_problem([3, 4, 3], seed, loss=loss, patterns=2)
    ref = ns.reference.backprop(net, X, Y)
    rhos = stiffness(net) * np.array([100.0, 200.0, 400.0])
    errors = [ns.alignment(at_rest(net, X, Y, rho), ref).max_error for rho in rhos]
    assert order(rhos, errors) == pytest.approx(-1, abs=0.1)


@given(seed=SEEDS, loss=st.sampled_from(["mse", "cross_entropy"]))
@settings(max_examples=4, deadline=None)
def test_a_growing_penalty_lags_behind_rest_by_the_growth_of_a_step(seed: int, loss: str) -> None:
    """A step lets g decay by the share `rate` while rho grows by log(rho_end/rho)/steps.

    The lag is the ratio of the two, whatever rho_end is: more precision needs more steps.
    """
    net, X, Y = random_problem([3, 4, 3], seed, loss=loss, patterns=2)
    rho_end, rate = 20.0, 0.5 / (1 + stiffness(net))
    rest = at_rest(net, X, Y, rho_end)
    ratios, lags = [0.04, 0.02, 0.01], []
    for ratio in ratios:
        steps = round(np.log(rho_end) / (ratio * rate))
        found = rivals.growing_penalty(net, X, Y, rho_end=rho_end, rate=rate, steps=steps)
        lags.append(max(np.abs(found.lam[n] - rest.lam[n]).max() for n in net.neurons))
    assert order(ratios, lags) == pytest.approx(1, abs=0.1)


def test_a_penalty_grows_geometrically_over_any_number_of_steps() -> None:
    """Short steps push the outputs evenly, by 1/rho each, so that credits are 2**k - 1.

    10**30 steps were an error of NumPy, which made a list of every rho.
    """
    net, X, Y = random_problem([3, 4, 3], seed=0, loss="mse", patterns=2)
    found = []

    def end(number: int, credit: Any) -> bool:
        found.append(credit["hidden1"])
        return number == 5

    rivals.growing_penalty(net, X, Y, rate=1e-7, rho=2.0, rho_end=32.0, steps=5, watch=end)
    for k, own in enumerate(found, start=1):
        np.testing.assert_allclose(own, (2**k - 1) * found[0], rtol=1e-5)
    few = rivals.growing_penalty(net, X, Y, steps=10**30, watch=lambda number, credit: number == 3)
    assert few.steps == 3


@given(problem=GRAPHS)
@settings(max_examples=some(20), deadline=None)
def test_dual_propagation_is_backpropagation_for_weak_nudges(problem: Problem) -> None:
    """Second order in beta, one sweep: the means stay, the dyads' differences are odd in the nudge.

    A tenth of the nudge leaves a hundredth of the error, or rounding where the second order is
    almost 0.
    """
    net, X, Y = problem
    assume(smooth(net))
    ref = ns.reference.backprop(net, X, Y)
    coarse, fine = (
        ns.alignment(rivals.dual_propagation(net, X, Y, beta=b), ref) for b in (0.04, 0.004)
    )
    assert fine.max_error < max(0.05 * coarse.max_error, 1e-9)
    assert max(fine.grad_error.values()) < 1e-2
    for name, g in ref.grad_w.items():
        if np.abs(flat({name: g})).max(initial=0) > 1e-3:
            assert fine.grad_cosine[name] > 0.99


@given(problem=GRAPHS)
@settings(max_examples=some(8), deadline=None)
def test_equilibrium_propagation_meets_its_own_exact_gradient(problem: Problem) -> None:
    net, X, Y = problem
    assume(smooth(net))
    norms = sum(np.linalg.norm(dense(w), 2) for w in net.weights.values())
    for w in net.weights.values():  # small, so that both directions settle at one point, and soon
        synapses(w)[...] *= min(0.3, 0.5 / norms)
    exact = rivals.equilibrium_adjoint(net, X, Y)
    found = rivals.equilibrium_propagation(net, X, Y, beta=1e-3, steps=200, nudged_steps=200)
    near = ns.alignment(found, exact)
    assert max(near.x_error.values()) < 1e-8
    assert near.max_error < 1e-3
    for name, g in exact.grad_w.items():
        if np.abs(flat({name: g})).max(initial=0) > 1e-3:
            assert near.grad_cosine[name] > 0.99


def test_the_exact_gradient_of_equilibrium_propagation_is_that_of_its_loss() -> None:
    net, X, Y = random_problem([3, 4, 2], 5, gain=0.5)
    exact = rivals.equilibrium_adjoint(net, X, Y)

    def loss() -> float:
        s = {"input": X, "hidden1": np.zeros((5, 4)), "output": np.zeros((5, 2))}
        W, V = net.weights["input->hidden1"], net.weights["hidden1->output"]
        for _ in range(200):
            s["hidden1"] = np.tanh(X @ W.T + s["output"] @ V + net.biases["hidden1"])
            s["output"] = s["hidden1"] @ V.T + net.biases["output"]
        return float(0.5 * ((s["output"] - Y["output"]) ** 2).sum(axis=1).mean())

    for name, at in (("input->hidden1", (1, 2)), ("hidden1->output", (0, 3))):
        sides = []
        for nudge in (1e-5, -1e-5):
            net.weights[name][at] += nudge
            sides.append(loss())
            net.weights[name][at] -= nudge
        assert exact.grad_w[name][at] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5)


@given(problem=dags(activations=SMOOTH), rho=st.floats(0, 2), theta=st.floats(0, np.pi / 2))
@settings(max_examples=some(20), deadline=None)
def test_relax_steps_along_the_right_hand_side_of_section_1(
    problem: Problem, rho: float, theta: float
) -> None:
    net, X, Y = problem
    flow = ns.Flow.rotated(theta, rho, tau_lam=7e-3)
    found = rivals.relax(net, X, Y, flow=flow, steps=3, dt=1e-3)
    x = {n: v for n, v in ns.reference.forward(net, X).items() if n in net.neurons}
    lam = {n: np.zeros_like(v) for n, v in x.items()}
    for _ in range(3):
        rates = ns.reference.right_hand_side(net, flow, x, lam, X, Y, plastic=False)
        x = {n: x[n] + 1e-3 * rates.x[n] for n in x}
        lam = {n: lam[n] + 1e-3 * rates.lam[n] for n in lam}
    for n in net.neurons:
        np.testing.assert_allclose(found.x[n], x[n], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.lam[n], lam[n], rtol=0, atol=1e-12)


def test_pc_alm_without_functions_is_the_augmented_flow_in_turns() -> None:
    """The engine's semi-implicit Euler, another implementation: the same state, step by step."""
    net, X, Y = random_problem([4, 5, 3, 2], 1, loss="cross_entropy")
    flow = ns.Flow.augmented(2.0, tau_x=1e-3 / 0.1, tau_lam=1e-3 / 0.5)
    run = ns.Simulation(net, flow, dt=1e-3, method="semi_implicit", backend="numpy").relax(
        X, Y, duration=20e-3, start="forward"
    )
    own = rivals.relax(net, X, Y, flow=flow, steps=20, method="semi_implicit")
    turns = rivals.pc_alm(net, X, Y, steps=21, rate=0.1, rho=2.0, alpha=0.5, functions=())
    for n in net.neurons:
        np.testing.assert_allclose(own.x[n], run.x[n], rtol=0, atol=1e-12)
        np.testing.assert_allclose(own.lam[n], run.lam[n], rtol=0, atol=1e-12)
    again = rivals.relax(net, X, Y, flow=flow, steps=21, method="semi_implicit")
    for n in net.neurons:
        np.testing.assert_allclose(turns.x[n], again.x[n], rtol=0, atol=1e-12)


def test_all_learn_a_small_task_and_leave_the_given_network_alone() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 4))
    Y = np.stack([np.tanh(X[:, 0] - X[:, 1]), 0.5 * X[:, 2]], axis=1)
    net = ns.Network.mlp([4, 6, 2], loss="mse", output="tanh", gain=0.7, seed=0)
    before = flat(net.weights)
    options = {
        "relax": {"flow": ns.Flow.adjoint(), "dt": 10e-3, "steps": 4},
        "pc_alm": {"rate": 0.2},
    }
    start = ns.reference.backprop(net, X, Y).loss
    for method in rivals.METHODS:
        learnt = rivals.train(
            net,
            X,
            Y,
            method,
            epochs=8,
            batch=16,
            rate=0.02,
            optimiser="adam",
            options=options.get(method),
        )
        assert ns.reference.backprop(learnt, X, Y).loss < 0.6 * start, method
    np.testing.assert_array_equal(before, flat(net.weights))
    same = rivals.train(net, X, Y, ns.reference.backprop, epochs=2, batch=16, rate=0.1)
    own = ns.reference.sgd(net, X, Y, epochs=2, batch=16, rate=0.1)
    np.testing.assert_allclose(flat(same.weights), flat(own.weights), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (partial(rivals.predictive_coding, steps=0), "steps = 0; allowed: a whole number >= 1"),
        (partial(rivals.predictive_coding, rate=-1), "rate = -1; allowed: a finite number >= 0"),
        (partial(rivals.predictive_coding, functions=["hiden1"]), "did you mean 'hidden1'"),
        (partial(rivals.pc_alm, alpha=float("nan")), "alpha = nan"),
        (partial(rivals.growing_penalty, rho=3, rho_end=2), "at least rho = 3"),
        (partial(rivals.dual_propagation, beta=0), "beta = 0; allowed: a finite number > 0"),
        (
            partial(rivals.equilibrium_propagation, rate=2),
            r"rate = 2; allowed: a finite number > 0 and <= 1",
        ),
        (
            partial(rivals.relax, flow=ns.Flow.adjoint(), method="rk4"),
            "method = 'rk4'; allowed: euler, semi_implicit",
        ),
        (
            partial(rivals.train, method="pcalm", epochs=1, batch=1, rate=1),
            "method = 'pcalm'; allowed: .*pc_alm",
        ),
        (lambda *_: ns.Network.residual([3, 2, 2], 2), "depth = 2; allowed: .* >= 3"),
        (
            lambda *_: ns.Projection("a", "b", plastic=1),
            "plastic = 1; allowed: True or False",
        ),
        (partial(rivals.train, epochs=1, batch=9, rate=1), "batch = 9; allowed: 1 to 5"),
    ],
)
def test_refusals(call: Callable[..., Any], words: str) -> None:
    net, X, Y = random_problem([3, 4, 2], 0)
    with pytest.raises(ns.ModelError, match=words):
        call(net, X, Y)


def test_a_rate_too_large_and_a_cycle_are_named() -> None:
    net, X, Y = random_problem([3, 4, 4, 2], 0, activation="linear")
    with np.errstate(all="ignore"), pytest.raises(ns.DivergenceError, match="try a smaller rate"):
        rivals.predictive_coding(net, X, Y, rate=50, steps=2000)
    with pytest.raises(ns.ModelError, match="the network has a cycle"):
        rivals.predictive_coding(rivals.symmetric(net), X, Y)


def test_stacks_of_populations_are_the_populations_one_by_one() -> None:
    """A residual net's blocks are one array.

    Single precision is near, functions follow, and it rests at the adjoint.
    """
    net = ns.Network.residual([6, 4, 3], 6, seed=2)
    rng = np.random.default_rng(0)
    X, Y = rng.random((3, 6)), np.array([0, 2, 1])
    branches = [n for n in net.neurons if n.startswith("branch")]
    found = rivals.pc_alm(net, X, Y, steps=30, rate=0.2, functions=["output", *branches])
    single = rivals.pc_alm(
        net, X, Y, steps=30, rate=0.2, functions=["output", *branches], precision="float32"
    )
    assert cosine(flat(found.grad_w), flat(single.grad_w)) > 1 - 1e-6
    x = {"input": X, **{n: v.copy() for n, v in found.x.items()}}
    for n in branches:
        i = int(n.removeprefix("branch"))
        np.testing.assert_allclose(
            x[n], np.tanh(x[f"hidden{i - 1}"] @ net.weights[f"hidden{i - 1}->{n}"].T), atol=1e-12
        )
    ref = ns.reference.backprop(net, X, Y)
    settled = rivals.pc_alm(net, X, Y, steps=2000, functions=["output", *branches])
    assert ns.alignment(settled, ref).max_error < 1e-6


def test_residual_nets_are_exact_at_depth_128_and_their_identities_stay() -> None:
    net = ns.Network.residual([6, 4, 3], 128, seed=1)
    rng = np.random.default_rng(0)
    X, Y = rng.random((2, 6)), np.array([0, 2])
    x = X @ net.weights["input->hidden1"].T
    for i in range(2, 128):
        x = x + np.tanh(x @ net.weights[f"hidden{i - 1}->branch{i}"].T) / np.sqrt(128)
    ref = ns.reference.backprop(net, X, Y)
    np.testing.assert_allclose(ref.x["hidden127"], x, rtol=1e-12)
    assert max(np.abs(v).max() for v in ref.lam.values()) < 10
    net = ns.Network.residual([6, 4, 3], 16, seed=1)
    found = rivals.relax(net, X, Y, flow=ns.Flow.adjoint(), dt=10e-3, steps=2 * 15)  # two a block
    assert ns.alignment(found, ns.reference.backprop(net, X, Y)).max_error < 1e-12
    learnt = rivals.train(net, X, Y, epochs=2, batch=2, rate=0.1)
    for name, q in net.projections.items():
        same = (flat({name: net.weights[name]}) == flat({name: learnt.weights[name]})).all()
        assert same != q.plastic, name


@pytest.mark.parametrize("feedback", ["random", "sign"])
def test_messages_pass_feedback_weights(feedback: str) -> None:
    net = ns.Network.mlp([4, 5, 5, 3], feedback=feedback, seed=3)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(4, 4)), rng.integers(3, size=4)
    found = rivals.relax(net, X, Y, flow=ns.Flow.adjoint(), dt=10e-3, steps=5)
    ref = ns.reference.backprop(net, X, Y, through="feedback")
    assert ns.alignment(found, ref).max_error < 1e-12
    assert ns.alignment(rivals.dual_propagation(net, X, Y, beta=1e-3), ref).max_error < 1e-5
    plain = ns.Network.mlp([4, 5, 5, 3], seed=3)
    assert (
        np.abs(ns.reference.backprop(plain, X, Y).lam["hidden1"] - found.lam["hidden1"]).max()
        > 1e-2
    )


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_the_engine_leaves_what_is_not_plastic_alone(backend: str) -> None:
    net = ns.Network.residual([4, 3, 2], 3)
    before = {n: w.copy() for n, w in net.weights.items()}
    rng = np.random.default_rng(0)
    flow = ns.Flow.adjoint(tau_w=20e-3)
    X, Y = rng.random((8, 4)), rng.integers(2, size=8)
    sim = ns.Simulation(net, flow, dt=5e-3, backend=backend)
    sim.train(X, Y, ns.Simultaneous(duration=0.2, reports=1))
    for name, q in net.projections.items():
        assert (flat({name: net.weights[name]}) == flat({name: before[name]})).all() != q.plastic, (
            name
        )
    if backend == "standalone":
        return
    run = sim.relax(X, Y, duration=0.3, start="forward")
    own = rivals.relax(net, X, Y, flow=flow, dt=5e-3, steps=60)
    for n in net.neurons:
        np.testing.assert_allclose(own.lam[n], run.lam[n], rtol=0, atol=1e-12)
    near = ns.alignment(run, ns.reference.backprop(net, X, Y))
    assert set(near.grad_cosine) == {n for n, q in net.projections.items() if q.plastic}
    again = ns.Network.from_description(net.describe(), net.weights, net.biases)
    assert [q.plastic for q in again.projections.values()] == [
        q.plastic for q in net.projections.values()
    ]


def test_biases_that_do_not_learn_stay_as_they_are() -> None:
    net = ns.Network.mlp([4, 5, 3], plastic_bias=False, seed=2)
    net.biases["hidden1"][:] = 0.3
    rng = np.random.default_rng(0)
    X, Y = rng.random((8, 4)), rng.integers(3, size=8)
    learnt = {
        "sgd": ns.reference.sgd(net, X, Y, epochs=2, batch=4, rate=0.1),
        "adam": ns.reference.adam(net, X, Y, epochs=2, rate=0.1),
        "rival": rivals.train(net, X, Y, epochs=2, batch=4, rate=0.1, optimiser="adam"),
    }
    ways: list[tuple[ns.Flow, object]] = [
        (ns.Flow.adjoint(tau_w=20e-3), ns.Simultaneous(duration=0.2, reports=1)),
        (ns.Flow.local_propagation(rho=1, rate=0.01), ns.LocalPropagation(epochs=20, reports=1)),
    ]
    for flow, schedule in ways:
        own = learnt[type(schedule).__name__] = net.copy()
        ns.Simulation(own, flow).train(X, Y, schedule)
    for who, own in learnt.items():
        for name, w in net.weights.items():
            assert (own.weights[name] != w).any(), (who, name)
        assert (own.biases["hidden1"] == 0.3).all(), who
        assert (own.biases["output"] == 0).all(), who
