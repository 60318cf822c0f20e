"""Backpropagation against central differences of the loss, which share only the forward pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from neurosim.errors import ConvergenceError, DataError, ModelError
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.weights import synapses
from neurosim.reference import backprop, forward, functions, loops, loss, losses, multipliers, sgd
from neurosim.reference.functions import penalty
from tests.helpers import problems
from tests.helpers.examples import some

NUDGE = 1e-5


def gradient_error(net, X, Y, seed: int) -> float:
    """Largest difference of backprop and central differences, relative to the largest slope.

    Along a random direction of each parameter array.
    """
    ref, rng = backprop(net, X, Y), np.random.default_rng(seed)
    parameters = [(synapses(net.weights[n]), synapses(g)) for n, g in ref.grad_w.items()]
    parameters += [(net.biases[n], g) for n, g in ref.grad_b.items()]
    exact, measured = [], []
    for values, gradient in parameters:
        direction, kept = rng.normal(size=values.shape), values.copy()
        costs = []
        for sign in (1, -1):
            values[...] = kept + sign * NUDGE * direction
            costs.append(loss(net, forward(net, X), Y) + penalty(net))
        values[...] = kept
        exact.append(np.sum(gradient * direction))
        measured.append((costs[0] - costs[1]) / (2 * NUDGE))
    return float(np.abs(np.subtract(exact, measured)).max() / max(np.abs(exact).max(), 1e-2))


@settings(max_examples=some(50), deadline=None)
@given(problem=problems.dags(l1=True), seed=problems.SEEDS)
def test_gradients_of_acyclic_graphs(problem, seed):
    net, X, Y = problem
    assume(problems.kink_distance(net, forward(net, X), Y) > 1e-3)
    assert gradient_error(net, X, Y, seed) < 1e-6


@settings(max_examples=some(50), deadline=None)
@given(problem=problems.rings(l1=True), seed=problems.SEEDS)
def test_gradients_of_cycles(problem, seed):
    net, X, Y = problem
    assume(problems.kink_distance(net, forward(net, X), Y) > 1e-3)
    assert gradient_error(net, X, Y, seed) < 1e-6


@pytest.mark.parametrize("name", ["loss_slope", "dsigma", "received", "hebbian"])
def test_a_planted_error_is_seen(name, monkeypatch):
    home = losses if name == "loss_slope" else functions
    right = getattr(home, name)
    for module in ("functions", "losses", "backpropagation"):
        monkeypatch.setattr(
            f"neurosim.reference.{module}.{name}", lambda *a: 1.001 * right(*a), raising=False
        )
    assert gradient_error(*problems.random_problem([4, 3, 2], 0), 0) > 1e-5


@settings(max_examples=some(50), deadline=None)
@given(problem=st.one_of(problems.dags(), problems.rings()))
def test_lam_is_the_pull_of_losses_and_children(problem):
    """The stationarity condition of each unit; on a cycle lam was found in another way."""
    net, X, Y = problem
    ref = backprop(net, X, Y)
    for n in net.neurons:
        pull = np.zeros_like(ref.lam[n])
        if n in net.losses:
            pull -= losses.loss_slope(net.losses[n], ref.x[n], Y[n])
        for q in net.outgoing(n):
            a = functions.net_input(net, q.post, ref.x)
            slope = functions.dsigma(net.populations[q.post].activation, a)
            pull += (slope * ref.lam[q.post]) @ net.weights[q.name]
        assert_allclose(ref.lam[n], pull, rtol=0, atol=1e-12)
        assert_allclose(multipliers(net, X, Y)[n], pull, rtol=0, atol=1e-12)


@settings(max_examples=some(50), deadline=None)
@given(problem=problems.rings())
def test_the_fixed_point_is_one(problem):
    net, X, _ = problem
    x = forward(net, X)
    for n in net.neurons:
        again = functions.sigma(net.populations[n].activation, functions.net_input(net, n, x))
        assert_allclose(x[n], again, rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", [*problems.ACTIVATIONS, "0.5", "max(a, 0.1*a)"])
def test_activations_equal_the_text_that_is_simulated(activation):
    """The formulas here and those of `expressions`, which the engine reads, share no code."""
    from neurosim.model import expressions

    a = np.linspace(-30, 30, 400)  # without 0, where max() has its kink
    text = expressions.activation(activation)
    names = {
        "a": a,
        "tanh": np.tanh,
        "log1p": np.log1p,
        "exp": np.exp,
        "abs": np.abs,
        "sign": np.sign,
        "int": lambda b: np.asarray(b).astype(int),
    }
    value = eval(text.sigma, names)
    assert_allclose(functions.sigma(activation, a), value + 0 * a, rtol=0, atol=1e-14)
    assert_allclose(
        functions.dsigma(activation, a),
        eval(text.dsigma, names | {"sigma": value}) + 0 * a,
        atol=1e-14,
    )


@pytest.mark.parametrize("kind", problems.LOSSES)
def test_losses_equal_the_text_that_is_simulated(kind):
    net, _, Y = problems.random_problem([2, 3], 0, loss=kind, patterns=20)
    x, y = np.random.default_rng(1).normal(scale=2, size=(20, 3)), Y["output"]
    term = net.losses["output"].term
    names = {
        "x": x,
        "y": y,
        "exp": np.exp,
        "abs": np.abs,
        "sign": np.sign,
        "sqrt": np.sqrt,
        "int": lambda b: np.asarray(b).astype(int),
        "log_partition": np.log(np.exp(x).sum(1, keepdims=True)),
        "y_total": y.sum(1, keepdims=True),
    }
    assert_allclose(
        losses.loss_value(net.losses["output"], x, y),
        eval(term.value, names).sum(axis=1),
        atol=1e-13,
    )
    assert_allclose(
        losses.loss_slope(net.losses["output"], x, y), eval(term.slope, names), atol=1e-13
    )


@pytest.mark.parametrize("kind", [*problems.LOSSES, "log(cosh(x - y))"])
@pytest.mark.parametrize("features", [None, 0, 2])
@settings(max_examples=5, deadline=None)
@given(weight=st.floats(0.5, 2), seed=problems.SEEDS)
def test_slopes_and_curvatures_of_losses_are_central_differences(kind, features, weight, seed):
    """One softmax is over `features` units; over all where they are not given."""
    rng = np.random.default_rng(seed)
    x, y, dx = rng.normal(scale=2, size=(3, 4, 6))
    if kind == "squared_hinge":
        y = np.sign(y)
    loss, own = Loss("output", kind, weight), () if features is None else (features,)
    steps = np.array([NUDGE, -NUDGE])
    kinks = np.stack([abs(x - y) - loss.epsilon, 1 - x * y])
    assume(np.abs(kinks).min() > 1e-3)
    V = [losses.loss_value(loss, x + step * dx, y, *own) for step in steps]
    slopes = [losses.loss_slope(loss, x + step * dx, y, *own) for step in steps]
    along = (losses.loss_slope(loss, x, y, *own) * dx).sum(axis=1)
    assert_allclose(along, (V[0] - V[1]) / (2 * NUDGE), rtol=0, atol=1e-7)
    curvature = losses.loss_curvature(loss, x, y, dx, *own)
    assert_allclose(curvature, (slopes[0] - slopes[1]) / (2 * NUDGE), rtol=0, atol=1e-7)


def test_a_penalty_on_outputs_is_the_sum_of_their_sizes():
    net = Network([Population("a", 1, clamped=True), Population("b", 2, activity_l1=0.3)], [])
    found = losses.activity_penalty(net, "b", np.array([[1.0, -2.0], [0.5, 0.0]]))
    assert_allclose(found, [0.9, 0.15], rtol=1e-15)


@settings(max_examples=25, deadline=None)
@given(problem=problems.dags())
def test_patterns_do_not_see_each_other(problem):
    net, X, Y = problem
    whole = backprop(net, X, Y)
    for k in range(len(X)):
        alone = backprop(net, X[[k]], {n: y[[k]] for n, y in Y.items()})
        for n in net.neurons:
            assert_allclose(alone.lam[n], whole.lam[n][[k]], rtol=0, atol=1e-14)


@given(problem=problems.rings())
@settings(max_examples=some(20), deadline=None)
def test_the_matrix_of_a_large_cycle_is_sparse_and_gives_the_same(problem):
    net, X, Y = problem
    plain = backprop(net, X, Y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "MOST_DENSE", 1)
        large = backprop(net, X, Y)
    for name, values in plain.lam.items():
        assert_allclose(large.lam[name], values, rtol=0, atol=1e-9)
        assert_allclose(large.x[name], plain.x[name], rtol=0, atol=1e-9)


def test_a_penalty_is_the_sum_of_its_terms():
    """l1 |w| + (l2/2) w², and 0 without either."""
    own = Projection("a", "b", np.array([[0.5, -2.0]]), l1=0.1, l2=0.2)
    populations = [Population("a", 2, clamped=True), Population("b", 1)]
    net = Network(populations, [own], [Loss("b", "mse", 1.0)])
    assert penalty(net) == pytest.approx(0.1 * 2.5 + 0.1 * 4.25, rel=1e-15)
    assert penalty(Network.mlp([2, 1], seed=0)) == 0


def test_sparse_gradients_keep_the_synapses():
    mask = np.array([[1, 0, 1], [0, 1, 1]])
    net = Network(
        [Population("a", 3, clamped=True), Population("b", 2)],
        [Projection("a", "b", mask=mask)],
        [Loss("b")],
        seed=1,
    )
    dense = Network(
        [Population("a", 3, clamped=True), Population("b", 2)],
        [Projection("a", "b", net.weights["a->b"].toarray())],
        [Loss("b")],
    )
    X, Y = np.random.default_rng(0).normal(size=(4, 3)), np.zeros((4, 2))
    sparse = backprop(net, X, Y).grad_w["a->b"]
    assert_array_equal(sparse.indices, net.weights["a->b"].indices)
    assert_allclose(
        sparse.toarray(), backprop(dense, X, Y).grad_w["a->b"] * mask, rtol=0, atol=1e-16
    )


def ring(weight: float, activation: str = "tanh") -> Network:
    """in -> left <-> right, two units each, equal weights on the cycle."""
    identity = weight * np.eye(2)
    return Network(
        [
            Population("in", 2, clamped=True),
            Population("left", 2, activation),
            Population("right", 2, activation),
        ],
        [
            Projection("in", "left", np.eye(2)),
            Projection("left", "right", identity),
            Projection("right", "left", identity),
        ],
        [Loss("right")],
    )


@pytest.mark.parametrize(
    ("weight", "activation", "why"),
    [
        (2.0, "tanh", "more than one fixed point"),
        (-2.0, "tanh", "still changes"),
        (1.5, "linear", "grows without bound"),
        (-1.0, "linear", "still changes"),
    ],
)
def test_a_cycle_that_does_not_contract_is_refused(weight, activation, why):
    with pytest.raises(ConvergenceError, match=why) as refused:
        forward(ring(weight, activation), np.full((1, 2), 0.01))
    message = str(refused.value)
    assert "left, right" in message
    assert f"spectral norm {abs(weight):.3g}" in message
    if abs(weight) > 1:
        assert f"times less than {1 / abs(weight):.3g}" in message


def test_smaller_weights_are_advised_only_where_the_gain_is_above_one(monkeypatch):
    monkeypatch.setattr(loops, "MAX_ITERATIONS", 10)
    with pytest.raises(ConvergenceError, match=r"after 10 iterations.* another bias$"):
        forward(ring(0.9, "linear"), np.ones((1, 2)))


def test_a_cycle_that_settles_elsewhere_from_mixed_signs_is_refused():
    """Two units that inhibit each other: from equal states they settle at 0, else apart."""
    W = np.zeros((4, 4))
    W[2:, 2:] = [[1.0, -0.9], [-0.9, 1.0]]
    net = Network(
        [Population("in", 4, clamped=True), Population("own", 4), Population("out", 1)],
        [
            Projection("in", "own", np.zeros((4, 4))),
            Projection("own", "own", W),
            Projection("own", "out"),
        ],
        [Loss("out")],
    )
    with pytest.raises(ConvergenceError, match="more than one fixed point"):
        forward(net, np.zeros((1, 4)))


def test_a_scaled_cycle_as_the_refusal_says_contracts():
    net = ring(2.0 * 0.499)
    assert np.isfinite(forward(net, np.full((1, 2), 0.01))["right"]).all()


@settings(max_examples=10, deadline=None)
@given(weight=st.floats(-0.99, 0.99))
def test_a_linear_cycle_in_closed_form(weight):
    x, u = forward(ring(weight, "linear"), [[1.0, -3.0]]), np.array([[1.0, -3.0]])
    assert_allclose(x["left"], u / (1 - weight**2), rtol=1e-12)
    assert_allclose(x["right"], weight * u / (1 - weight**2), rtol=1e-12, atol=1e-14)


def test_a_cycle_settles_relative_to_its_outputs(monkeypatch):
    """With outputs of 1e7, changes of 1e-10 are below their rounding error."""
    monkeypatch.setattr(loops, "MAX_ITERATIONS", 300)
    u = np.array([[1e6, -3e6]])
    x = forward(ring(0.9, "linear"), u)
    assert_allclose(x["left"], u / 0.19, rtol=1e-12)
    assert_allclose(x["right"], 0.9 * u / 0.19, rtol=1e-12)


def test_sgd_learns_xor_and_leaves_the_network_alone():
    net = Network.mlp([2, 4, 1], loss="mse", seed=3)
    before = net.copy()
    X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) - 0.5, np.array([[0.0], [1], [1], [0]])
    trained = sgd(net, X, Y, epochs=400, batch=2, rate=0.2, seed=0)
    assert loss(trained, forward(trained, X), Y) < 1e-3
    for name, w in net.weights.items():
        assert_array_equal(w, before.weights[name])


def test_sgd_with_one_batch_is_gradient_descent():
    net, X, Y = problems.random_problem([4, 3, 2], 5)
    ref, trained = backprop(net, X, Y), sgd(net, X, Y, epochs=1, batch=99, rate=0.1)
    for name, gradient in ref.grad_w.items():
        assert_allclose(
            trained.weights[name], net.weights[name] - 0.1 * gradient, rtol=0, atol=1e-15
        )


def test_errors_name_the_value():
    net, X, Y = problems.random_problem([4, 3, 2], 5)
    with pytest.raises(DataError, match=r"X has shape \(5, 3\)"):
        backprop(net, X[:, :3], Y)
    with pytest.raises(ModelError, match="batch = 0"):
        sgd(net, X, Y, epochs=1, batch=0, rate=0.1)
    with pytest.raises(ModelError, match="rate = -1"):
        sgd(net, X, Y, epochs=1, batch=1, rate=-1)


def test_a_network_without_loss_has_no_multipliers():
    net = Network([Population("a", 2, clamped=True), Population("b", 2)], [Projection("a", "b")])
    ref = backprop(net, np.ones((3, 2)), None)
    assert ref.loss == 0 == loss(net, ref.x, None)
    assert_array_equal(ref.lam["b"], np.zeros((3, 2)))
