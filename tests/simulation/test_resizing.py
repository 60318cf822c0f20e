"""Training that changes the network's size: what goes, what grows, the cost, and the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brian2 import ms
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.simulation.resizing import _measured, _measuring_burdens
from neurosim.simulation.surgery import missable
from tests.evidence.learning import TAU, digits
from tests.helpers.problems import random_problem

FLOW = ns.Flow.augmented(tau_w=TAU)


def few(seed: int = 0, count: int = 200) -> tuple[Any, ...]:
    X, Xt, Y, Yt = digits(seed)
    return X[:count], Xt, Y[:count], Yt


def simulation(net: ns.Network, **keys: Any) -> ns.Simulation:
    return ns.Simulation(net, FLOW, dt=0.2 * TAU, **keys)


def test_a_penalty_and_removals_leave_a_small_net_and_the_log_records_it() -> None:
    X, Xt, Y, Yt = few()
    net = ns.Network.mlp(
        [64, 32, 10], loss="squared_hinge", group_l1=0.03, constraint="tube", epsilon=0.01
    )
    sim = simulation(net)
    penalties = {n: q.penalties for n, q in net.projections.items()}
    schedule = ns.Pruning(
        schedule=ns.Simultaneous(duration=240 * TAU, reports=12), every=2, finish=2
    )
    log = sim.train(X, Y, schedule, validation=(Xt, Yt))
    neurons, size = log.history.neurons.values, net.populations["hidden1"].size
    assert size <= 16
    assert list(neurons) == sorted(neurons, reverse=True)
    assert (neurons[0], neurons[-1]) == (32, size)
    assert {n: q.penalties for n, q in net.projections.items()} == penalties
    assert log.history.change.max() < 1e-3  # change of predictions by the removals
    # by hand: forward, backward into hidden neurons only, and to learn; 100 steps a row
    assert_allclose(np.diff(log.history.operations), 100 * (2 * 64 + 3 * 10) * neurons[1:])
    assert log.history.operations[0] == 100 * (2 * 64 + 3 * 10) * 32
    assert (
        log.history.validation_accuracy[-1] == np.mean(sim.predict(Xt).argmax(axis=1) == Yt) > 0.8
    )
    assert_allclose(log.history.time, 0.2 * np.arange(1, 13))


def test_frozen_neurons_cost_nothing_and_are_back_at_the_end() -> None:
    """To the others frozen and removed are the same, as long as the frozen would stay idle."""
    X, _, Y, _ = few()
    found = {}
    for freeze in (False, True):
        net = ns.Network.mlp([64, 24, 10], loss="squared_hinge", group_l1=0.05)
        sim = simulation(net)
        rows = ns.Simultaneous(duration=160 * TAU, reports=8)
        log = sim.train(X, Y, ns.Pruning(schedule=rows, every=4, finish=2, freeze=freeze))
        found[freeze] = (net, log.history, sim.predict(X))
    (small, gone, y), (whole, frozen, z) = found.values()
    assert small.populations["hidden1"].size < 24 == whole.populations["hidden1"].size
    for name in ("neurons", "operations", "loss"):
        assert_allclose(frozen[name], gone[name], rtol=1e-9)
    assert_allclose(z, y, atol=1e-9)


def test_growing_ends_by_itself_and_the_log_has_the_size() -> None:
    X, Xt, Y, Yt = few()
    net = ns.Network.mlp([64, 2, 10], loss="squared_hinge")
    sim = simulation(net)
    rows = ns.Simultaneous(duration=200 * TAU, reports=10)
    log = sim.train(X, Y, ns.Growing(schedule=rows, split=2, most=7), validation=(Xt, Yt))
    neurons = log.history.neurons.values
    assert list(neurons[:5]) == [2, 4, 6, 7, 7]
    assert net.populations["hidden1"].size == neurons[-1] == 7
    assert net.weights["hidden1->output"].shape == (10, 7)
    assert log.history.validation_accuracy[-1] > log.history.validation_accuracy[1] + 0.1
    again = ns.Network.mlp([64, 2, 10], loss="squared_hinge")
    simulation(again).train(X, Y, ns.Growing(schedule=rows, split=2, most=7))
    assert np.array_equal(again.weights["input->hidden1"], net.weights["input->hidden1"])


@pytest.mark.parametrize(
    ("rule", "size"), [({"enough": 10.0}, 3), ({"patience": 1, "drop": 0.99}, 5)]
)
def test_growing_stops_where_it_is_good_enough_or_no_longer_helps(
    rule: dict[str, Any], size: int
) -> None:
    X, _, Y, _ = few(count=50)
    net = ns.Network.mlp([64, 3, 10], loss="squared_hinge")
    simulation(net).train(
        X, Y, ns.Growing(schedule=ns.Simultaneous(duration=0.2, reports=5), split=2, **rule)
    )
    assert net.populations["hidden1"].size == size


def test_the_burden_of_a_neuron_is_the_integral_of_its_multiplier() -> None:
    net, X, Y = random_problem([4, 5, 3, 2], seed=0)
    sim = simulation(net)
    with _measuring_burdens(sim):
        log = sim.train(X, Y, ns.Simultaneous(duration=0.1, reports=2), record=("lam", "mu"))
    assert sim.extensions == ()
    traces = log.run.traces
    for n in ("hidden1", "hidden2"):
        sampled = (
            np.abs(traces.lam.values[..., traces.population.values == n]).mean(axis=1).sum(axis=0)
        )
        assert_allclose(_measured(log.run, "burden")[n], 0.2 * sampled, rtol=1e-9)
    pull = 0.0
    for mu in np.abs(traces.mu.values[..., traces.population.values == "output"]).mean(axis=1):
        pull = pull + 0.2 / 5 * (mu - pull)
    assert_allclose(_measured(log.run, "pull")["output"], pull, rtol=1e-9)


@pytest.mark.parametrize(
    "schedule",
    [
        ns.Simultaneous(duration=0.12, reports=4),
        ns.Presentations(batch=3, present=10 * ms, epochs=4),
    ],
    ids=["simultaneous", "presentations"],
)
def test_a_training_in_parts_equals_that_training(schedule: Any) -> None:
    """The order of patterns and the noise go on where the part before has ended."""
    found = []
    noise = ns.Extension("hidden1", x="0.1*sqrt(2/tau_x)*xi")
    for parts in ([(0, 4)], [(0, 1), (1, 3)]):
        net, X, Y = random_problem([4, 5, 2], seed=1, patterns=9)
        sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=50 * ms), extensions=noise, seed=3)
        start: Any = "zero"
        for part in parts:
            start = sim.train(X, Y, schedule.part(*part), start=start).run
        found.append(net.weights["input->hidden1"])
    assert_allclose(found[1], found[0], rtol=0, atol=1e-13)


def test_straw_neurons_that_send_least_go_first() -> None:
    net, X, _ = random_problem([4, 6, 3], seed=0, patterns=30)
    support = {"hidden1": np.zeros((30, 6), dtype=bool), "output": np.zeros((30, 3), dtype=bool)}
    support["hidden1"][7, 2] = True
    x = ns.reference.forward(net, X)["hidden1"]
    sent = x.std(axis=0) * np.linalg.norm(net.weights["hidden1->output"], axis=0)
    order = [i for i in np.argsort(sent) if i != 2]
    for count in range(6):
        bound = sent[order[:count]].sum() + 1e-12
        assert set(np.flatnonzero(~missable(net, support, X, bound)["hidden1"])) == set(
            order[:count]
        )


def test_neurons_that_are_straw_at_rest_go() -> None:
    """One of them sends to nothing, so that its multiplier is 0."""
    net, X, Y = random_problem([4, 5, 2], seed=2, loss="squared_hinge", patterns=12)
    net.weights["hidden1->output"][:, 3] = 0
    net.projections["input->hidden1"] = ns.Projection("input", "hidden1", row_l1=1e-6)
    flow = ns.Flow.augmented(tau_w=1e6)  # weights as good as fixed
    schedule = ns.Simultaneous(duration=0.05, reports=1)
    sim = ns.Simulation(net, flow)
    before = sim.predict(X)
    log = sim.train(X, Y, ns.Pruning(schedule=schedule, dead=0, support=1e-6))
    assert net.populations["hidden1"].size == 4
    assert_allclose(sim.predict(X), before, atol=1e-5)
    assert log.history.change.values[-1] < 1e-5


def test_a_tolerance_of_zero_removes_what_is_zero_to_the_last_bit() -> None:
    """It was handed on as `settle`, which must be above 0; the relaxation lasts for `rest` then."""
    net, X, Y = random_problem([4, 5, 2], seed=2, loss="squared_hinge", patterns=12)
    net.weights["hidden1->output"][:, 3] = 0
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=1e6), backend="numpy")
    schedule = ns.Simultaneous(duration=0.02, reports=1)
    sim.train(X, Y, ns.Pruning(schedule=schedule, dead=0, support=0, rest=0.05))
    assert net.populations["hidden1"].size == 5  # lam of unit 3 is small, but not 0
    tube = ns.Network.mlp([4, 5, 2], loss="squared_hinge", constraint="tube", epsilon=10.0, seed=2)
    sim = ns.Simulation(tube, ns.Flow.augmented(tau_w=1e6), backend="numpy")
    sim.train(X, Y, ns.Pruning(schedule=schedule, dead=0, support=0, rest=0.05, within=100))
    assert "hidden1" not in tube.populations


ROWS = ns.Simultaneous(duration=1.0, reports=4)
WRONG = [
    (
        lambda: ns.Pruning(schedule="fast"),
        r"schedule = 'fast'; allowed: Simultaneous\(...\) or Presentations",
    ),
    (
        lambda: ns.Pruning(schedule=ROWS, finish=4),
        r"finish = 4; allowed: 0 to 3, fewer than the schedule's rows",
    ),
    (lambda: ns.Pruning(schedule=ROWS, dead=-1), r"dead = -1; allowed: a finite number >= 0"),
    (lambda: ns.Growing(schedule=ROWS, split=0), r"split = 0; allowed: a whole number >= 1"),
    (
        lambda: ns.Growing(schedule=ROWS, enough="little"),
        r"enough = 'little'; allowed: a finite number >= 0",
    ),
]


@pytest.mark.parametrize(("slip", "words"), WRONG)
def test_slips_are_named(slip: Any, words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        slip()


def test_a_network_that_changes_its_size_cannot_be_recorded() -> None:
    net, X, Y = random_problem([4, 5, 2], seed=2)
    with pytest.raises(
        ns.ModelError, match="record does not go with Growing: the units are not the same"
    ):
        ns.Simulation(net, FLOW).train(X, Y, ns.Growing(schedule=ROWS), record=("x",))


@pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")
def test_a_training_that_diverges_keeps_all_its_rows() -> None:
    class Doomed(ns.Simulation):
        def train(self, X: Any, Y: Any, schedule: Any, **keys: Any) -> ns.Log:
            if getattr(schedule, "begin", 0) >= 3:
                self.flow = ns.Flow.augmented(tau_w=TAU / 1000)
            return super().train(X, Y, schedule, **keys)

    X, _, Y, _ = few(count=30)
    net = ns.Network.mlp([64, 4, 10], loss="squared_hinge", seed=1)
    with pytest.raises(ns.DivergenceError) as caught:
        Doomed(net, FLOW, dt=0.2 * TAU).train(
            X, Y, ns.Growing(schedule=ns.Simultaneous(duration=0.4, reports=8))
        )
    assert list(caught.value.log.history.neurons.values[:3]) == [4, 8, 12]
    assert caught.value.log.interrupted


def test_neurons_that_support_no_pattern_are_those_without_weights() -> None:
    """A tube and a penalty: what is straw for every pattern at rest can go; predictions stay."""
    X, _, Y, _ = few(count=100)
    net = ns.Network.mlp(
        [64, 16, 10], loss="squared_hinge", group_l1=0.05, constraint="tube", epsilon=0.01
    )
    sim = simulation(net)
    run = sim.train(X, Y, ns.Simultaneous(duration=100 * TAU, reports=1)).run
    support = ns.support_neurons(ns.at_rest(sim, run, settle=1e-5), tol=1e-4)
    dead = np.linalg.norm(net.weights["hidden1->output"], axis=0) == 0
    assert 0 < dead.sum() < 16
    assert np.array_equal(~support.ever_support["hidden1"], dead)
    small = ns.prune(net, support, X, dead=0)
    assert small.populations["hidden1"].size == 16 - dead.sum()
    assert_allclose(ns.Simulation(small, FLOW).predict(X), sim.predict(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("freeze", [False, True], ids=["removed", "frozen"])
def test_a_training_goes_on_where_every_hidden_neuron_is_pruned(freeze: bool) -> None:
    """What is left, a bias per output, learns the mean of the targets."""
    net, X, Y = random_problem([6, 5, 3], seed=4, loss="mse", patterns=8)
    schedule = ns.Pruning(
        schedule=ns.Simultaneous(duration=2.0, reports=3), dead=1e9, freeze=freeze
    )
    flow = ns.Flow.adjoint(tau_w=0.05)
    log = ns.Simulation(net, flow, backend="numpy").train(X, Y, schedule)
    assert list(log.history.neurons.values) == [5, 0, 0]
    cost = ns.synaptic_operations(log.run)
    assert (cost.dense, cost.connection_sparsity, cost.saving) == (0, 0, np.inf)
    if not freeze:
        assert list(net.populations) == ["input", "output"]
        assert not net.projections
        mean = Y["output"].mean(axis=0) if isinstance(Y, dict) else np.mean(Y, axis=0)
        assert_allclose(net.biases["output"], mean, atol=1e-6)
