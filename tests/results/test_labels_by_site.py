"""Accuracy by site: the log, sweeps, reports, the scorecard and the explorer, against counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim import sites
from neurosim.analysis.trainings import Trial
from neurosim.data.datasets import Data
from neurosim.errors import DataError, DivergenceError
from neurosim.experiments import measures, modelfile, report
from neurosim.experiments.measures import Case
from neurosim.explorer.measures import measures as shown
from neurosim.results.metrics import share_correct

SIGN = np.array([[[1.0], [-1.0]]])  # feature 0 is x, feature 1 is -x: class 0 where x > 0
FLOW = ns.Flow.adjoint(tau_x="10 ms", tau_w="1000 s")


def per_pixel(loss: str = "cross_entropy") -> tuple[ns.Network, Any, Any, float]:
    """Return a net with a label per pixel, two patterns, and the share that is right.

    The classes are 0 1 / 0 1 and 0 0 / 0 0. Of four labels, the first and the third are right.
    """
    net = ns.Network(
        [ns.Population("image", (2, 2, 1), clamped=True), ns.Population("output", (2, 2, 2))],
        [ns.Projection("image", "output", SIGN, over=sites.Pointwise())],
        [ns.Loss("output", loss)],
    )
    X = np.array([[[[1.0], [-1.0]], [[2.0], [-3.0]]], [[[1.0], [1.0]], [[1.0], [1.0]]]])
    Y = np.array([[[0, 0], [-1, 1]], [[-1, -1], [-1, 1]]])
    return net, X, Y, 2 / 4


def graph() -> tuple[ns.Network, Any, Any, float]:
    """Return a graph net, one pattern, and the share that is right.

    The neighbours' sums are 6, -2, 6 and 4: classes 0, 1, 0 and 0. The second has no label.
    """
    A = np.array([[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 1]]).astype(float)
    A[3] = [2, 0, 0, 0]
    net = ns.Network(
        [ns.Population("nodes", (4, 1), clamped=True), ns.Population("output", (4, 2), "linear")],
        [ns.Projection("nodes", "output", SIGN, over=sites.Graph(A))],
        [ns.Loss("output", "cross_entropy")],
    )
    return net, np.array([[[2.0], [0.0], [6.0], [-4.0]]]), np.array([[0, -1, 0, 1]]), 2 / 3


PROBLEMS = {"pixels": per_pixel, "signs": lambda: per_pixel("squared_hinge"), "graph": graph}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_every_reader_counts_sites_with_a_label(problem: Any) -> None:
    net, X, Y, right = problem()
    data = Data(X, Y)
    log = ns.Simulation(net, FLOW, dt="10 ms", backend="numpy").train(
        X, Y, ns.Simultaneous(duration="20 ms"), validation=(X, Y)
    )
    case = Case(net, FLOW, data, end=None)  # type: ignore[arg-type]  # the measure reads no end
    live = ns.Simulation(net, FLOW, dt="10 ms", backend="numpy").live(X, Y)
    live.run("200 ms")
    found = {
        "log": float(log.history.accuracy[-1]),
        "validation": float(log.history.validation_accuracy[-1]),
        "measure": measures.MEASURES["accuracy"].of(case),
        "report": report._performance(net, data, learned=True)["accuracy"],
        "explorer": shown(live)["accuracy"],
    }
    expected = dict.fromkeys(found, pytest.approx(right))
    assert found == expected | {"report": f"{100 * right:.1f} % training"}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_the_scorecard_counts_sites_with_a_label(problem: Any) -> None:
    net, X, Y, right = problem()
    card = ns.plausibility(
        net,
        FLOW,
        X,
        Y,
        test=(X, Y),
        schedule=ns.Presentations(batch=1, present="20 ms", epochs=1),
        levels={"quantum (1)": [1e-9]},
        backend="numpy",
    )
    assert (card.accuracy, card.ungated, card.unshared) == pytest.approx((right,) * 3)
    assert card.tolerance["quantum (1)"].lost == {1e-9: 0.0}


def test_the_scorecard_refuses_targets_that_are_not_classes() -> None:
    net, X, Y, _ = per_pixel()
    undecided = np.full((2, 2, 2, 2), 0.5)
    with pytest.raises(DataError, match=r"the targets, \(2, 2, 2, 2\), are not classes"):
        ns.plausibility(net, FLOW, X, Y, test=(X, undecided))


def test_a_sweep_of_a_file_with_labels_by_site(tmp_path: Path) -> None:
    """The weights are drawn: the larger one wins where x > 0, the smaller one where x < 0."""
    _, X, Y, _ = per_pixel()
    np.savez(tmp_path / "pixels.npz", X=X, y=Y)
    text = """
    [[network.populations]]
    name = "image"
    size = [2, 2, 1]
    clamped = true
    [[network.populations]]
    name = "output"
    size = [2, 2, 2]
    [[network.projections]]
    pre = "image"
    post = "output"
    over = "pointwise"
    [[network.losses]]
    population = "output"
    kind = "cross_entropy"
    [flow]
    preset = "adjoint"
    [data]
    name = "pixels.npz"
    test = 0
    [simulation]
    backend = "numpy"
    """
    spec = modelfile.loads(text, folder=tmp_path)
    first = int(np.argmax(spec.network().weights["image->output"]))
    predicted = np.where(X[..., 0] > 0, first, 1 - first)
    right = (predicted == Y)[Y >= 0].mean()
    found = ns.sweep(spec, {"flow.tau_x": [0.01, 0.02]}, measure="accuracy", duration=0.1)
    assert found.accuracy.values == pytest.approx(right)


def test_weights_of_patterns_count_at_each_of_their_sites() -> None:
    """Pattern 0 has 2 of 3 labels right, pattern 1 none of 1: (3 x 2) / (3 x 3 + 1)."""
    net, X, Y, _ = per_pixel()
    x = ns.reference.forward(net, X)["output"]
    assert share_correct(net, x, Y, np.array([3.0, 1.0])) == pytest.approx(6 / 10)


def test_a_target_of_0_is_a_class_where_no_target_may_lack() -> None:
    """One feature and the loss mse: 0 and 1 are both targets; above 1/2 is class 1."""
    net = ns.Network(
        [ns.Population("line", (4, 1), clamped=True), ns.Population("output", (4, 1), "linear")],
        [ns.Projection("line", "output", np.ones((1, 1, 1)), over=sites.Pointwise())],
        [ns.Loss("output", "mse")],
    )
    x = np.array([[0.4, 0.9, 0.6, 0.1]])
    assert share_correct(net, x, np.array([[0, 1, 0, 1]])) == 0.5


def test_labels_by_site_without_a_loss() -> None:
    net, X, Y, right = per_pixel()
    bare = ns.Network(list(net.populations.values()), list(net.projections.values()), [])
    x = ns.reference.forward(bare, X)["output"]
    assert share_correct(bare, x, Y) == pytest.approx(right)
    assert share_correct(bare, x, np.full((2, 2, 2), -1)) is None  # no label at all


@pytest.mark.parametrize(("units", "chance"), [(1, 0.5), ((2, 2, 3), 1 / 3), (4, 1 / 4)])
def test_a_training_that_diverges_is_at_chance(
    units: Any, chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise DivergenceError("diverged", time=0.0, population="output")

    net = ns.Network(
        [ns.Population("input", 2, clamped=True), ns.Population("output", units)],
        [ns.Projection("input", "output")],
        [ns.Loss("output", "squared_hinge")],
    )
    monkeypatch.setattr(ns.Simulation, "train", diverge)
    data = np.zeros((1, 2)), np.zeros(1)
    schedule = ns.Presentations(batch=1, present="10 ms")
    trial = Trial(net, FLOW, data, data, schedule, {"seed": 0})
    assert trial.accuracies() == pytest.approx(chance)
