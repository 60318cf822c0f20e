"""Weights of patterns: 2 is the pattern twice, 0 is no pattern; on every path of every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.engine.standalone import code
from neurosim.model.weights import synapses
from neurosim.simulation.surgery import missable, pruned
from tests.helpers.examples import some
from tests.helpers.problems import dags, dense, random_problem, rings

BACKENDS = [
    "numpy",
    pytest.param("cython", marks=pytest.mark.compiler),
    pytest.param("standalone", marks=pytest.mark.compiler),
]
METHODS = ("euler", "semi_implicit", "exponential_euler", "heun", "rk4")
# stable for steps of `DT` on any of the random graphs
FLOWS = (
    ns.Flow.augmented(tau_w="20 ms"),
    ns.Flow.damped(tau_w="20 ms"),
    ns.Flow.adjoint(tau_w={"n0": 5e-3, "*": 50e-3}),
)
FEEDBACK = ("symmetric", "random", "sign", "kolen_pollack")
DT = 1e-3
WEIGHTS = np.array([2.0, 0.0, 0.5, 3.0, 1.25, 0.75, 1.0])  # of mean other than 1

counts = st.lists(st.integers(0, 3), min_size=4, max_size=4)


def parameters(net: ns.Network) -> dict[str, Any]:
    """Return copies of everything that learns."""
    found = {name: dense(w).copy() for name, w in net.weights.items()}
    found |= {f"b of {n}": b.copy() for n, b in net.biases.items()}
    return found | {f"B of {name}": dense(b).copy() for name, b in net.feedback.items()}


def assert_close(one: dict[str, Any], two: dict[str, Any], tolerance: float = 1e-11) -> None:
    for name, values in one.items():
        assert_allclose(values, two[name], rtol=tolerance, atol=tolerance, err_msg=name)


def trained(
    net: ns.Network,
    flow: ns.Flow,
    data: tuple[Any, Any],
    schedule: Any,
    weights: Any = None,
    **options: Any,
) -> tuple[dict[str, Any], ns.Log]:
    """Train a copy of a network; return what it learnt, and the log."""
    own = net.copy()
    options = {"dt": DT, "backend": "numpy", **options}
    log = ns.Simulation(own, flow, **options).train(*data, schedule, sample_weight=weights)
    return parameters(own), log


def repeated(X: Any, Y: Any, times: Any) -> tuple[Any, Any]:
    """Return the data with every row as often as stated."""
    if isinstance(Y, dict):
        return np.repeat(X, times, axis=0), {n: np.repeat(y, times, axis=0) for n, y in Y.items()}
    return np.repeat(X, times, axis=0), np.repeat(Y, times, axis=0)


# --- all patterns at once: repeated rows


@pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")
@settings(max_examples=some(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    problem=dags(l1=True) | rings(l1=True),
    times=counts,
    flow=st.sampled_from(FLOWS),
    method=st.sampled_from(METHODS),
)
def test_weights_are_numbers_of_rows(
    problem: Any, times: list[int], flow: ns.Flow, method: str
) -> None:
    """Any graph, every method: weights, biases, states, loss and accuracy."""
    net, X, Y = problem
    times = times[: len(X)]
    assume(sum(times) > 0)
    schedule = ns.Simultaneous(duration=15 * DT, reports=2)
    one, log = trained(net, flow, (X, Y), schedule, times, method=method)
    two, expected = trained(net, flow, repeated(X, Y, times), schedule, method=method)
    assert_close(one, two)
    rows = np.repeat(np.arange(len(X)), times)
    for n in net.neurons:
        assert_allclose(log.run.x[n][rows], expected.run.x[n], rtol=1e-10, atol=1e-10)
        assert_allclose(log.run.lam[n][rows], expected.run.lam[n], rtol=1e-10, atol=1e-10)
    for column in ("loss", "accuracy"):
        if column in expected.history and column in log.history:
            assert_allclose(log.history[column], expected.history[column], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("feedback", FEEDBACK)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "float32"},
        {"transport": ns.Events(0.01)},
        {"transport": ns.Spikes(0.01, delay="2 ms")},
        {"imperfections": [ns.LowPass("5 ms"), ns.Delay(2), ns.Quantised(0.01), ns.Dale()]},
        {"prospective": True},
        {"shortcuts": False},
    ],
    ids=["plain", "float32", "events", "spikes", "imperfections", "prospective", "no shortcuts"],
)
def test_weights_are_numbers_of_rows_whatever_messages_are(
    options: dict[str, Any], feedback: str
) -> None:
    net, X, Y = random_problem([9, 5, 3], 1, patterns=4, loss="cross_entropy")
    net = ns.Network.mlp([9, 5, 3], feedback=feedback, l2=0.1, seed=1)
    if "imperfections" in options and feedback == "symmetric":
        net = ns.Network.mlp([9, 5, 3], l1=0.01, seed=1)
    times = [2, 0, 1, 3]
    schedule = ns.Simultaneous(duration=30 * DT, reports=1)
    flow = ns.Flow.augmented(tau_w="10 ms")
    one, _ = trained(net, flow, (X, Y), schedule, times, **options)
    two, _ = trained(net, flow, repeated(X, Y, times), schedule, **options)
    plain, _ = trained(net, flow, (X, Y), schedule, **options)
    tolerance = 1e-5 if "precision" in options else 1e-12
    assert_close(one, two, tolerance)
    moved = max(np.abs(one[name] - plain[name]).max() for name in net.weights)
    assert moved > 1e-3  # the weights of the patterns matter here


@pytest.mark.parametrize("mean", [False, True])
def test_local_propagation(mean: bool) -> None:
    net, X, Y = random_problem([4, 5, 3], 2, patterns=4, loss="cross_entropy")
    schedule = ns.LocalPropagation(epochs=40, reports=2, mean=mean)
    flow = ns.Flow.local_propagation()
    times = [1, 3, 0, 2]
    one, log = trained(net, flow, (X, Y), schedule, times)
    two, expected = trained(net, flow, repeated(X, Y, times), schedule)
    assert_close(one, two, 1e-9)  # Adam divides by roots of squares, which enlarges rounding
    assert_allclose(log.history.loss, expected.history.loss, rtol=1e-9)


@pytest.mark.parametrize("support", [None, 1e-3])
def test_pruning(support: float | None) -> None:
    """Which neurons go, and the mean output that stays of them, follow from the weights, too."""
    net = ns.Network.mlp([4, 12, 3], group_l1=0.4, seed=3, constraint="tube", epsilon=0.05)
    _, X, Y = random_problem([4, 12, 3], 3, patterns=6, loss="cross_entropy")
    inner = ns.Simultaneous(duration=0.4, reports=4)
    schedule = ns.Pruning(schedule=inner, dead=0.3, support=support, rest=0.2, within=3.0)
    times = [2, 0, 1, 3, 1, 1]
    flow = ns.Flow.augmented(2, tau_w="10 ms")
    one, log = trained(net, flow, (X, Y), schedule, times)
    two, expected = trained(net, flow, repeated(X, Y, times), schedule)
    assert log.history.neurons[-1] < 12
    assert_array_equal(log.history.neurons, expected.history.neurons)
    assert_allclose(log.history.change, expected.history.change, rtol=1e-7, atol=1e-10)
    assert_close(one, two, 1e-9)


def test_straw_neurons_are_those_of_patterns_that_count() -> None:
    """Only the pattern without weight is on the wrong side of the margin."""
    net = ns.Network.mlp([2, 4, 1], loss="squared_hinge", constraint="tube", epsilon=0.05, seed=1)
    net.biases["output"][:] = 5.0
    X, Y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [1.0], [-1.0]])
    inner = ns.Simultaneous(duration=0.02, reports=2)
    schedule = ns.Pruning(schedule=inner, dead=0.0, support=1e-3, rest=0.5, within=100.0)
    for weights, left in (([1, 1, 0], 0), ([1, 1, 1], 4)):
        _, log = trained(net, ns.Flow.augmented(2), (X, Y), schedule, weights)
        assert log.history.neurons[-1] == left


@given(times=st.lists(st.integers(0, 3), min_size=6, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_outputs_that_stay_of_removed_neurons(times: list[int], seed: int) -> None:
    """Their means, the changes that they cause, and which may be missed."""
    assume(sum(times) > 0)
    net, X, _ = random_problem([4, 6, 3], seed, patterns=6)
    weights = np.array(times, dtype=float)
    rows = np.repeat(np.arange(6), times)
    support = {"hidden1": np.random.default_rng(seed).random((6, 6)) < 0.3}
    counted = {"hidden1": support["hidden1"][weights > 0]}
    one = pruned(net, counted, X, within=np.inf, weights=weights)
    two = pruned(net, counted, X[rows], within=np.inf)
    assert one.change == pytest.approx(two.change, rel=1e-9, abs=1e-14)
    assert_close(parameters(one.network), parameters(two.network))
    for within in (1e-9, 0.3, 1.0):  # at 0 the rounding of a mean decides
        left = missable(net, counted, X, within, weights)
        assert_array_equal(left["hidden1"], missable(net, counted, X[rows], within)["hidden1"])


def test_growing() -> None:
    net, X, Y = random_problem([4, 3, 3], 3, patterns=4, loss="cross_entropy")
    inner = ns.Simultaneous(duration=0.2, reports=4)
    schedule = ns.Growing(schedule=inner, split=1, most=6, enough=0.0)
    times = [2, 0, 1, 3]
    flow = ns.Flow.augmented(tau_w="20 ms")
    one, log = trained(net, flow, (X, Y), schedule, times)
    two, expected = trained(net, flow, repeated(X, Y, times), schedule)
    assert log.history.neurons[-1] == 6
    assert_close(one, two, 1e-9)
    assert_array_equal(log.history.neurons, expected.history.neurons)


# --- presentations: a loop by hand


def by_hand(
    net: ns.Network, flow: ns.Flow, X: Any, Y: Any, weights: Any, schedule: ns.Presentations
) -> dict[str, Any]:
    """Take Euler steps of the reference's rates of single patterns, without the engine.

    Weights move by the sum over a batch of s_k rate_k, over the size of the batch and the mean of s
    over all patterns.
    """
    net = net.copy()
    batch, length = schedule.batch, round(schedule.present / DT)
    gate = round(schedule.plastic_from * length)
    x = {n: np.zeros((batch, net.populations[n].size)) for n in net.neurons}
    lam = {n: np.zeros((batch, net.populations[n].size)) for n in net.neurons}
    for _ in range(schedule.epochs):
        for first in range(0, len(X) - batch + 1, batch):
            for step in range(length):
                share = dict.fromkeys([*net.weights, *net.neurons], 0.0)
                rates = []
                for k in range(batch):
                    row = slice(first + k, first + k + 1)
                    now = {n: x[n][k : k + 1] for n in x}, {n: lam[n][k : k + 1] for n in lam}
                    targets = {n: y[row] for n, y in Y.items()}
                    found = ns.reference.right_hand_side(net, flow, *now, X[row], targets)
                    rates.append(found)
                    factor = weights[first + k] / (batch * np.mean(weights))
                    for name in net.weights:
                        share[name] = share[name] + factor * found.w[name]
                    for n in net.neurons:
                        share[n] = share[n] + factor * found.b[n]
                for k, found in enumerate(rates):
                    for n in net.neurons:
                        x[n][k] += DT * found.x[n][0]
                        lam[n][k] += DT * found.lam[n][0]
                if step >= gate:
                    for name in net.weights:
                        synapses(net.weights[name])[...] += DT * synapses(share[name])
                    for n in net.neurons:
                        net.biases[n] += DT * share[n]
    return parameters(net)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_presentations_move_weights_as_by_hand(batch: int, backend: str) -> None:
    net, X, Y = random_problem([4, 5, 3], 5, patterns=7, loss="cross_entropy")
    schedule = ns.Presentations(
        batch=batch, present=8 * DT, plastic_from=0.25, epochs=2, shuffle=False
    )
    flow = ns.Flow.damped(tau_w="20 ms")
    found, _ = trained(net, flow, (X, Y), schedule, WEIGHTS, backend=backend)
    assert_close(found, by_hand(net, flow, X, Y, WEIGHTS, schedule), 1e-12)


def test_in_batches_of_one_a_weight_of_two_is_a_step_of_twice_the_length() -> None:
    """Of weights 2 and 0 the mean is 1, so the first row moves twice as far, the second not."""
    net, X, Y = random_problem([4, 5, 3], 6, patterns=2, loss="cross_entropy")
    schedule = ns.Presentations(batch=1, present=DT, plastic_from=0, epochs=1, shuffle=False)
    ones = {n: np.full((1, net.populations[n].size), 0.3) for n in net.neurons}
    found = []
    for rows, weights in (([0], None), ([0, 1], [2, 0])):
        own = net.copy()
        sim = ns.Simulation(own, ns.Flow.augmented(), dt=DT, backend="numpy")
        targets = {n: y[rows] for n, y in Y.items()}
        start = ns.State(ones, ones)
        sim.train(X[rows], targets, schedule, sample_weight=weights, start=start)
        found.append(parameters(own))
    for name, before in parameters(net).items():
        once, twice = (after[name] - before for after in found)
        assert np.abs(once).max() > 1e-5
        assert_allclose(twice, 2 * once, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("backend", BACKENDS)
def test_events_of_every_change_move_weights_as_dense_messages(batch: int, backend: str) -> None:
    """With one pattern the compiled program moves weights by integrals between events."""
    net, X, Y = random_problem([4, 6, 5, 3], 7, patterns=8, loss="cross_entropy")
    weights = [*WEIGHTS, 1.5]
    schedule = ns.Presentations(batch=batch, present=10 * DT, plastic_from=0.3, epochs=2)
    flow = ns.Flow.adjoint(tau_w="20 ms")
    one, _ = trained(
        net, flow, (X, Y), schedule, weights, transport=ns.Events(0.0), backend=backend
    )
    two, _ = trained(net, flow, (X, Y), schedule, weights)
    assert_close(one, two, 1e-11)


# --- the paths of compiled programs and shortcuts, against NumPy without shortcuts

PATHS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "on the way back": ({"l2": 0.1}, ns.Presentations(batch=1, present=6 * DT, epochs=2), {}),
    "penalties": ({"l1": 0.05}, ns.Presentations(batch=1, present=6 * DT, epochs=2), {}),
    "deferred": ({"l2": 0.1}, ns.Presentations(batch=2, present=30 * DT, epochs=2), {}),
    "deferred, all at once": ({}, ns.Simultaneous(duration=40 * DT, reports=2), {}),
    "stages": ({}, ns.Simultaneous(duration=10 * DT, reports=1), {"method": "rk4"}),
    "kolen_pollack": (
        {"feedback": "kolen_pollack"},
        ns.Presentations(batch=2, present=6 * DT, epochs=2),
        {},
    ),
    "low pass": (
        {},
        ns.Presentations(batch=2, present=6 * DT, epochs=2),
        {"imperfections": [ns.MessageNoise(0.1), ns.LowPass("5 ms"), ns.Delay(2)]},
    ),
    "adam": ({}, ns.LocalPropagation(epochs=20, reports=2), {}),
    "spikes": (
        {},
        ns.Presentations(batch=1, present=12 * DT, epochs=2),
        {"transport": ns.Spikes(0.02, delay="2 ms")},
    ),
    "float32": ({}, ns.Presentations(batch=2, present=6 * DT), {"precision": "float32"}),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_moves_weights_alike(path: str, backend: str) -> None:
    of_net, schedule, options = PATHS[path]
    net = ns.Network.mlp([30, 6, 5, 3], seed=8, **of_net)
    _, X, Y = random_problem([30, 6, 5, 3], 8, patterns=7, loss="cross_entropy")
    flow = ns.Flow.damped(tau_w="20 ms")
    if path == "adam":
        flow = ns.Flow.local_propagation()
    one, log = trained(net, flow, (X, Y), schedule, WEIGHTS, backend=backend, **options)
    two, expected = trained(net, flow, (X, Y), schedule, WEIGHTS, shortcuts=False, **options)
    tolerance = 1e-4 if "precision" in options else 1e-10
    assert_close(one, two, tolerance)
    assert_allclose(log.history.loss, expected.history.loss, rtol=tolerance)


@pytest.mark.compiler
@pytest.mark.slow
def test_weights_too_large_for_the_caches() -> None:
    """The program collects the changes of such weights, and adds several at a time."""
    net, X, Y = random_problem([640, 220, 3], 9, patterns=7, loss="cross_entropy")
    assert net.weights["input->hidden1"].nbytes > code.FAR
    schedule = ns.Presentations(batch=1, present=7 * DT, epochs=3)
    flow = ns.Flow.adjoint(tau_w="200 ms")
    one, _ = trained(net, flow, (X, Y), schedule, WEIGHTS, backend="standalone")
    two, _ = trained(net, flow, (X, Y), schedule, WEIGHTS)
    assert_close(one, two)


def test_weights_that_are_equal_change_nothing() -> None:
    net, X, Y = random_problem([4, 5, 3], 4, patterns=7, loss="cross_entropy")
    schedule = ns.Presentations(batch=2, present=10 * DT, epochs=2)
    one, _ = trained(net, ns.Flow.damped(), (X, Y), schedule, np.full(7, 3.7))
    two, _ = trained(net, ns.Flow.damped(), (X, Y), schedule)
    assert_close(one, two, 1e-14)


# --- recordings, checkpoints, the log


def test_recorded_messages_are_those_that_plasticity_reads() -> None:
    net, X, Y = random_problem([4, 5, 3], 4, patterns=7, loss="cross_entropy")
    sim = ns.Simulation(net, ns.Flow.damped(), dt=DT, backend="numpy")
    names = ("delta", "weighted_delta", "sample_weight")
    schedule = ns.Simultaneous(duration=5 * DT, reports=1)
    traces = sim.train(X, Y, schedule, record=names, sample_weight=WEIGHTS).run.traces
    factors = WEIGHTS / WEIGHTS.mean()
    assert_allclose(traces.sample_weight, np.broadcast_to(factors[:, None], (5, 7, 8)), rtol=1e-14)
    assert_allclose(traces.weighted_delta, traces.delta * factors[:, None], rtol=1e-14)
    assert np.abs(traces.weighted_delta).max() > 0


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
@pytest.mark.parametrize(
    "schedule",
    [
        ns.Simultaneous(duration=40 * DT, reports=4),
        ns.Presentations(batch=2, present=6 * DT, epochs=4),
        ns.LocalPropagation(epochs=40, reports=4),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_checkpoint_goes_on_with_the_weights(schedule: Any, backend: str, tmp_path: Path) -> None:
    net, X, Y = random_problem([4, 5, 3], 4, patterns=7, loss="cross_entropy")
    flow = ns.Flow.damped(tau_w="20 ms")
    if isinstance(schedule, ns.LocalPropagation):
        flow = ns.Flow.local_propagation()
    whole, _ = trained(net, flow, (X, Y), schedule, WEIGHTS, backend=backend)
    path = tmp_path / "training.npz"
    options = {"dt": DT, "backend": backend}

    def stop(run: ns.Run) -> None:
        stop.rows += 1
        if stop.rows == 2:
            raise KeyboardInterrupt

    stop.rows = 0
    with pytest.raises(KeyboardInterrupt):
        ns.Simulation(net.copy(), flow, **options).train(
            X, Y, schedule, sample_weight=WEIGHTS, checkpoint=path, visit=stop
        )
    own = net.copy()
    log = ns.Simulation(own, flow, **options).train(
        X, Y, schedule, sample_weight=WEIGHTS, resume=path
    )
    assert len(log.history.time) == 4
    assert_close(parameters(own), whole, 1e-13)
    for other in (None, 2 * WEIGHTS + 1):
        with pytest.raises(ns.FileError, match="a checkpoint of another model, data set or"):
            ns.Simulation(net.copy(), flow, **options).train(
                X, Y, schedule, sample_weight=other, resume=path
            )


def test_a_run_that_goes_on_has_its_own_weights() -> None:
    net, X, Y = random_problem([4, 5, 3], 4, patterns=7, loss="cross_entropy")
    flow, schedule = ns.Flow.damped(tau_w="20 ms"), ns.Simultaneous(duration=10 * DT, reports=1)
    log = ns.Simulation(net, flow, dt=DT, backend="numpy").train(
        X, Y, schedule, sample_weight=WEIGHTS
    )
    assert not [name for name in log.run.auxiliary if "weight" in name]
    found = []
    for start in (log.run, ns.State(log.run.x, log.run.lam)):
        for weights in (None, WEIGHTS):
            own = log.run.network.copy()
            sim = ns.Simulation(own, flow, dt=DT, backend="numpy")
            sim.train(X, Y, schedule, start=start, sample_weight=weights)
            found.append(parameters(own))
    assert_close(found[0], found[2], 0)
    assert_close(found[1], found[3], 0)
    assert np.abs(found[0]["input->hidden1"] - found[1]["input->hidden1"]).max() > 1e-4


def test_the_log_measures_patterns_that_count() -> None:
    """The first 500 rows have no weight: the log measures those after them."""
    net, X, Y = random_problem([4, 5, 3], 4, patterns=600, loss="cross_entropy")
    weights = np.r_[np.zeros(550), np.arange(1.0, 51.0)]
    schedule = ns.Simultaneous(duration=2 * DT, reports=1)
    own = net.copy()
    log = ns.Simulation(own, ns.Flow.damped(), dt=DT, backend="numpy").train(
        X, Y, schedule, sample_weight=weights, validation=(X, Y)
    )
    p = ns.reference.forward(own, X)["output"]
    log_p = p - np.log(np.exp(p).sum(axis=1, keepdims=True))
    V = -(Y["output"] * log_p).sum(axis=1)
    right = p.argmax(axis=1) == Y["output"].argmax(axis=1)
    history = log.history.isel(time=-1)
    assert float(history.loss) == pytest.approx((weights * V).sum() / weights.sum(), rel=1e-12)
    share = (weights * right).sum() / weights.sum()
    assert float(history.accuracy) == pytest.approx(share, rel=1e-12)
    assert float(history.validation_loss) == pytest.approx(V.mean(), rel=1e-12)
    assert float(history.validation_accuracy) == pytest.approx(right.mean(), rel=1e-12)


@given(problem=dags() | rings(), times=counts)
@settings(max_examples=some(30), deadline=None)
def test_gradients_of_the_reference_count_patterns(problem: Any, times: list[int]) -> None:
    net, X, Y = problem
    times = times[: len(X)]
    assume(sum(times) > 0)
    one = ns.reference.backprop(net, X, Y, sample_weight=times)
    two = ns.reference.backprop(net, *repeated(X, Y, times))
    assert one.loss == pytest.approx(two.loss, rel=1e-12)
    assert one.penalty == pytest.approx(two.penalty, rel=1e-12)
    for name in net.weights:
        assert_allclose(dense(one.grad_w[name]), dense(two.grad_w[name]), rtol=1e-9, atol=1e-12)
    for n in net.neurons:
        assert_allclose(one.grad_b[n], two.grad_b[n], rtol=1e-9, atol=1e-12)
        assert_array_equal(one.lam[n], ns.reference.backprop(net, X, Y).lam[n])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"sample_weight has shape \(2,\); allowed: \(3,\), one number per row of X"),
        ([[1], [1], [1]], r"sample_weight has shape \(3, 1\)"),
        (2.0, r"sample_weight has shape \(\)"),
        ([1, -0.5, 1], r"sample_weight\[1\] = -0.5; allowed: finite numbers >= 0"),
        ([0, 0, 0], "sample_weight is zero for all 3 patterns; allowed: finite numbers >= 0"),
        ([1, np.nan, 1], r"sample_weight holds nan at index \(1,\)"),
        ([1, np.inf, 1], r"sample_weight holds inf at index \(1,\)"),
        (["a", "b", "c"], "sample_weight are not numbers but text"),
        ({"output": [1, 1, 1]}, "sample_weight is not an array of numbers"),
    ],
)
@pytest.mark.parametrize("resizing", [None, ns.Pruning, ns.Growing])
def test_weights_that_mean_nothing_are_refused(weights: Any, message: str, resizing: Any) -> None:
    net = ns.Network.mlp([2, 3, 2])
    sim = ns.Simulation(net, ns.Flow.augmented(), backend="numpy")
    schedule: Any = ns.Simultaneous(duration=0.01, reports=2)
    if resizing:
        schedule = resizing(schedule=schedule)
    with pytest.raises(ns.DataError, match=message):
        sim.train(np.ones((3, 2)), [0, 1, 0], schedule, sample_weight=weights)
    if not resizing:
        with pytest.raises(ns.DataError, match=message):
            ns.reference.backprop(net, np.ones((3, 2)), [0, 1, 0], sample_weight=weights)


def test_huge_and_tiny_weights_keep_their_ratios() -> None:
    net, X, Y = random_problem([4, 5, 3], 4, patterns=3, loss="cross_entropy")
    schedule = ns.Simultaneous(duration=10 * DT, reports=1)
    expected, log = trained(net, ns.Flow.damped(), (X, Y), schedule, [1, 0.5, 0.25])
    for scale in (1.5e308, 1e-300):
        found, other = trained(net, ns.Flow.damped(), (X, Y), schedule, scale * np.r_[1, 0.5, 0.25])
        assert_close(found, expected, 1e-13)
        assert_allclose(other.history.loss, log.history.loss, rtol=1e-13)


def test_an_extension_cannot_take_the_names_of_weights() -> None:
    net, X, Y = random_problem([4, 5, 3], 4, patterns=3, loss="cross_entropy")
    own = ns.Extension("hidden1", equations="sample_weight : 1", parameters={"sample_weight": 2})
    sim = ns.Simulation(net, ns.Flow.damped(), extensions=own, backend="numpy")
    schedule = ns.Simultaneous(duration=0.01, reports=1)
    sim.train(X, Y, schedule)
    with pytest.raises(ns.ModelError, match="the extension of hidden1 makes no equations"):
        sim.train(X, Y, schedule, sample_weight=[1, 2, 3])
