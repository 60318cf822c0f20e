"""Studies of convolution, time and graphs: small cells, and what they are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.experiments import studies
from neurosim.experiments.studies import graphs, recurrence, runner
from neurosim.experiments.studies.shared import BACKPROP
from neurosim.experiments.studies.structured import (
    DESCENTS,
    EXACT,
    Course,
    accuracy,
    trained,
)

SMALL = ["study.seeds=1", "study.epochs=1", "study.patterns=64"]


def test_convolution_cells_learn_by_backpropagation() -> None:
    study = studies.load("conv", [*SMALL, f'study.flows=["{EXACT}"]', "study.channels=[2, 3]"])
    cells = {(c["weights"], c["feedback"]): c for c in study.cells}
    found = study.measure(cells["shared", "symmetric"])
    apart = study.measure(cells["own", "random"])
    assert found["angle"] < 1e-4
    assert apart["angle"] > 30
    assert found["connections"] == apart["connections"]
    # a weight per feature pair and site of the kernel, and biases per feature
    assert found["parameters"] == 9 * 2 + 2 + 9 * 2 * 3 + 3 + 48 * 10 + 10
    assert 0 <= found["test"] <= 1


def test_time_cells_learn_by_backpropagation_through_time() -> None:
    study = studies.load("time", [*SMALL, f'study.flows=["{EXACT}"]', "study.hidden=6"])
    tasks = {c["task"] for c in study.cells}
    assert tasks == {"rows 8", "recall 8", "recall 16"}
    cell = next(c for c in study.cells if c["task"] == "recall 8" and c["feedback"] == "symmetric")
    assert study.measure(cell)["angle"] < 1e-4


def test_the_symbol_to_recall_is_at_the_first_step_alone() -> None:
    X, Y = recurrence.recall(50, 6, seed=1)
    np.testing.assert_array_equal(X[:, 0, :-1].argmax(axis=1), Y)
    assert not X[:, 1:, :-1].any()
    assert X[:, 1:, -1].std() > 0.3


def test_every_graph_has_the_same_subgraph() -> None:
    data = graphs.subgraphs(5, 8, 4, seed=2)
    assert data.Y is not None
    found = []
    for graph in range(5):
        nodes = np.flatnonzero((data.graph == graph) & (data.Y == 1))
        assert len(nodes) == 4
        found.append(data.adjacency.toarray()[np.ix_(nodes, nodes)].sum())
    assert len(set(found)) == 1


def test_adam_in_turns_is_adam_at_every_third_step() -> None:
    X, Y = np.random.default_rng(0).normal(size=(6, 3)), [0, 1, 0, 1, 1, 0]
    moved = {}
    for name, rule in (("turns", graphs.in_turns(3)), ("every", "adam")):
        net = ns.Network.mlp([3, 2], plasticity=rule, plastic_bias=False, seed=1)
        flow = ns.Flow.adjoint(tau_x=0.01, tau_w=1.0)
        sim = ns.Simulation(net, flow, dt=0.01, backend="numpy")
        # with one layer the state rests after two steps, and follows w at once
        steps = 9 if name == "turns" else 3
        before = net.weights["input->output"].copy()
        rest = sim.relax(X, Y, duration=0.1)
        sim.train(X, Y, ns.Simultaneous(duration=steps * 0.01), start=rest)
        moved[name] = net.weights["input->output"] - before
    assert np.abs(moved["turns"]).max() == pytest.approx(0.03, rel=0.05)
    np.testing.assert_allclose(moved["turns"], moved["every"], rtol=0.02)


def test_adam_in_turns_of_any_length_keeps_its_moments_positive() -> None:
    X, Y = np.random.default_rng(0).normal(size=(6, 3)), [0, 1, 0, 1, 1, 0]
    for steps in (10, 15):  # the third multiple of either was once passed by rounding
        net = ns.Network.mlp([3, 2], plasticity=graphs.in_turns(steps), plastic_bias=False, seed=1)
        before = net.weights["input->output"].copy()
        sim = ns.Simulation(net, ns.Flow.adjoint(tau_x=0.01, tau_w=0.2), dt=0.002, backend="numpy")
        sim.train(X, Y, ns.Simultaneous(duration=10 * steps * 0.002))
        moved = np.abs(net.weights["input->output"] - before).max()
        assert 0.05 < moved < 0.11  # at most the rate .01 in each of ten turns


def test_graph_cells_have_accuracies(tmp_path: Any) -> None:
    study = studies.load("graphs", ["study.steps=12", "study.checks=3", "study.seeds=1"])
    for cell in study.cells[:2]:  # lin, by adjoint, and lin_eps, by a flow with kappa > 0
        found = study.measure(cell)
        assert set(found) == {"validation", "test", "chance"}
        assert found["chance"] == 0.5


def test_constraints_of_graph_cells_are_those_of_the_states_alone() -> None:
    study = studies.load("graphs", ["study.seeds=1", "study.epsilon=0.02"])
    assert [cell["constraint"] for cell in study.cells] == ["lin", "lin_eps", "abs_eps"]
    data = graphs.subgraphs(2, 8, 4, seed=0)
    net = study._network(data, "abs_eps", 0)
    kinds = {n: net.populations[n].constraint for n in net.neurons}
    assert kinds == {"edge": "lin", "state": "abs_eps", "output": "lin"}
    assert net.populations["state"].epsilon == 0.02


def test_backpropagation_is_given_the_batches_of_the_exact_flow() -> None:
    found = {}
    for flow in (EXACT, BACKPROP):
        for rule in DESCENTS:
            net = ns.Network.convolutional(
                (6, 1), [3], outputs=2, plasticity=rule, bias_plasticity=rule, seed=1
            )
            X, Y = np.random.default_rng(0).normal(size=(20, 6, 1)), np.arange(20) % 2
            trained(net, X, Y, Course(flow, 2, 0.05, 6, 3, 4, rule))
            found[flow, rule] = net.weights
    for rule in DESCENTS:
        for name, weights in found[EXACT, rule].items():
            np.testing.assert_allclose(weights, found[BACKPROP, rule][name], atol=1e-6)


def test_backpropagation_has_two_rules() -> None:
    given = ['study.flows=["backprop"]', 'study.rule="momentum"']
    for name in ("conv", "time"):
        with pytest.raises(ns.ModelError, match=r"study.rule .*'momentum'; allowed"):
            studies.load(name, [*SMALL, *given]).check()


def test_accuracy_counts_sites_with_targets() -> None:
    net = ns.Network.recurrent(2, 3, 4, 2, read="every", seed=0)
    X = np.random.default_rng(0).normal(size=(4, 2, 3))
    x = ns.reference.forward(net, X)["output"].reshape(4, 2, 2).argmax(axis=-1)
    Y = x.copy()
    Y[:, 0] = -1
    assert accuracy(net, X, Y) == 1.0
    Y[:2, 1] = 1 - Y[:2, 1]
    assert accuracy(net, X, Y) == 0.5


def test_a_study_without_any_number_says_why(tmp_path: Any, monkeypatch: Any) -> None:
    study = studies.load("conv", SMALL, quick=True)

    def diverges(self: Any, cell: Any) -> Any:
        raise ns.ConvergenceError("x left its bound")

    monkeypatch.setattr(type(study), "measure", diverges)
    with pytest.raises(ns.ConvergenceError, match=r"has numbers: .*x left its bound"):
        runner.run(study, tmp_path)


def small_images(folder: Path) -> Path:
    """Write 60 images of 12 x 12 pixels with three classes, each a bar at a place of its own."""
    rng = np.random.default_rng(0)
    Y = np.arange(60) % 3
    X = 0.1 * rng.random((60, 12, 12, 1))
    for row, kind in enumerate(Y):
        X[row, 1 + 3 * kind : 4 + 3 * kind] += rng.random()
    np.savez(folder / "bars.npz", X=X, y=Y)
    return folder / "bars.npz"


@pytest.mark.parametrize("rule", ["oja", "whole"])
def test_a_readout_learns_from_convolutions(tmp_path: Path, rule: str) -> None:
    given = [f"data.name={small_images(tmp_path)}", f'study.rules=["{rule}"]', "study.seeds=1"]
    own = ["study.kernel=[3]", "study.pool=[2]", "study.units=[6]", "study.whole_epochs=15"]
    own.append("study.readout_epochs=30")
    study = studies.load("hebb_conv", [*given, *own, "study.rate=0.03"], quick=True)
    study.check()
    assert study.measure(study.cells[0])["test"] > 0.6


def test_lists_of_hebbian_convolutions_have_a_number_per_layer(tmp_path: Path) -> None:
    given = [f"data.name={small_images(tmp_path)}", "study.pool=[2, 2]"]
    study = studies.load("hebb_conv", given, quick=True)
    with pytest.raises(ns.ModelError, match=r"study.pool = \[2, 2\]; allowed: a list of 1"):
        study.check()


def test_a_still_video_has_the_gradient_of_backpropagation() -> None:
    study = studies.load("video", ["study.speeds=[1e-9]", "study.depth=3"], quick=True)
    for cell in study.cells:
        assert study.measure(cell)["cosine"] == pytest.approx(1, abs=1e-6)


def test_skips_of_a_video_shorten_the_shortest_way() -> None:
    study = studies.load("video", quick=True)
    plain, skips = (study.network(wiring, 0) for wiring in ("plain", "skips"))
    more = set(skips.projections) - set(plain.projections)
    assert more == {"hidden1->hidden3", "hidden3->hidden5", "hidden5->hidden7"}
    cosines = {cell["wiring"]: study.measure(cell)["cosine"] for cell in study.cells}
    assert cosines["skips"] > cosines["plain"]
    with pytest.raises(ns.ModelError, match=r"study.depth = 2; allowed"):
        studies.load("video", ["study.depth=2"]).check()
