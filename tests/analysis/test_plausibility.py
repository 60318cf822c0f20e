"""The scorecard on flows with known answers, and on networks that are broken on purpose."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

import neurosim as ns
from neurosim.analysis import locality as steps
from neurosim.analysis import plausibility as scoring
from neurosim.analysis.trainings import with_feedback, with_own_weights
from neurosim.model.imperfections import Derivative, StateNoise

TAU = 10e-3
FEW: dict[str, Any] = {"quantum (1)": [1e-9, 1e3, 1e4], "message noise (sd)": [1e-9]}


@pytest.fixture(scope="module")
def iris() -> tuple[Any, ...]:
    X, Y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X[::2], Y[::2], X[1::2], Y[1::2]


@pytest.fixture(scope="module")
def card(iris: tuple[Any, ...]) -> ns.Plausibility:
    net = ns.Network.mlp([4, 5, 3], seed=0)
    schedule = ns.Presentations(batch=25, present=4 * TAU, epochs=12)
    flow = ns.Flow.adjoint(tau_w=10 * TAU)
    return ns.plausibility(
        net, flow, *iris[:2], test=iris[2:], schedule=schedule, levels=FEW, backend="numpy", seed=1
    )


def test_what_is_counted(card: ns.Plausibility) -> None:
    assert (card.states, card.error_states, card.synapse_states) == (2, 1, 1)  # x and lam; lam; w
    assert card.switches == 2
    assert card.accuracy > 0.75
    assert set(card.transport) == {"random", "kolen_pollack"}
    assert all(0 < share < 1 for share in card.signed.values())


def test_levels_end_where_they_cost_too_much(card: ns.Plausibility) -> None:
    """A quantum of a thousand silences every unit; the level after it is not tried."""
    coarse, noise = card.tolerance["quantum (1)"], card.tolerance["message noise (sd)"]
    assert (coarse.level, coarse.costs, list(coarse.lost), coarse.share) == (
        1e-9,
        1e3,
        [1e-9, 1e3],
        1 / 3,
    )
    assert (noise.level, noise.costs, noise.share) == (1e-9, None, 1)
    assert str(noise) == "all to 1e-09"
    shown = scoring.table({"adjoint": card, "again": card})
    assert [len(list(column.cells)) for column in shown.columns] == [len(card.rows())] * 3


def test_seeds_are_averaged_and_spread(iris: tuple[Any, ...]) -> None:
    """Two seeds at once are the mean and the deviation of each alone, losses paired by seed."""

    def scored(**seeds: int) -> ns.Plausibility:
        schedule = ns.Presentations(batch=25, present=4 * TAU, epochs=1)
        flow, levels = ns.Flow.adjoint(tau_w=10 * TAU), {"message noise (sd)": [2.0]}
        options: dict[str, Any] = {
            "schedule": schedule,
            "levels": levels,
            "costs": 0.9,
            "backend": "numpy",
            **seeds,
        }
        return ns.plausibility(
            ns.Network.mlp([4, 5, 3], seed=0), flow, *iris[:2], test=iris[2:], **options
        )

    both, alone = scored(seed=3, seeds=2), [scored(seed=3), scored(seed=4)]
    accuracies = [card.accuracy for card in alone]
    lost = [card.tolerance["message noise (sd)"].lost[2.0] for card in alone]
    found = both.tolerance["message noise (sd)"]
    assert np.std(accuracies) > 0
    assert np.std(lost) > 0
    assert (both.accuracy, both.spread["accuracy (%)"]) == pytest.approx(
        (np.mean(accuracies), np.std(accuracies))
    )
    assert (found.lost[2.0], found.spread[2.0]) == pytest.approx((np.mean(lost), np.std(lost)))
    assert (
        both.rows()["accuracy (%)"]
        == f"{100 * np.mean(accuracies):.1f} ± {100 * np.std(accuracies):.1f}"
    )
    assert "±" not in alone[0].rows()["accuracy (%)"]
    words = "± standard deviation over n = 2 seeds"
    assert (both.table().caption, alone[0].table().caption) == (words, None)
    labels = [ax.get_xlabel().replace("\n", " ") for ax in ns.plot.plausibility(both).axes]
    assert words in labels


@pytest.mark.parametrize(
    "flow", [ns.Flow.adjoint(), ns.Flow.augmented(2.0), ns.Flow(kappa=0.8, gamma=0.5, rho=0.7)]
)
def test_separable_losses_are_local_and_a_softmax_is_not(flow: ns.Flow) -> None:
    X = np.random.default_rng(0).normal(size=(3, 6))
    assert scoring.locality(ns.Network.mlp([6, 5, 4, 3], loss="mse", seed=1), flow, X) == (0, 0)
    foreign, synapse = scoring.locality(
        ns.Network.mlp([6, 5, 4, 3], loss="cross_entropy", seed=1), flow, X
    )
    assert 1e-3 < foreign < 1
    assert synapse == 0


@pytest.mark.parametrize("penalty", ["l1", "l2", "row_l1", "column_l1"])
def test_a_weights_own_decay_is_local_and_a_norm_is_not(penalty: str) -> None:
    populations = [ns.Population("a", 3, clamped=True), ns.Population("b", 4)]
    projection = ns.Projection("a", "b", **{penalty: 0.1})
    net = ns.Network(populations, [projection], [ns.Loss("b", "mse")], seed=1)
    X = np.random.default_rng(0).normal(size=(2, 3))
    units, synapses = scoring.locality(net, ns.Flow.augmented(), X)
    assert units == 0
    if penalty in ("l1", "l2"):
        assert synapses == 0
    else:
        assert synapses > 1e-3


def test_a_unit_that_reads_beyond_its_synapses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a synapse taken out of the mask of the graph, the same step reads beyond it."""
    net = ns.Network.mlp([6, 5, 4, 3], loss="mse", seed=1)
    X = np.random.default_rng(0).normal(size=(3, 6))
    dense = steps.dense

    def cut(w: Any) -> Any:
        found = dense(w).copy()
        if found.shape == (4, 5):
            found[1, 2] = 0.0
        return found

    monkeypatch.setattr(steps, "dense", cut)
    assert scoring.locality(net, ns.Flow.adjoint(), X)[0] > 1e-3


def test_feedback_weights_come_beside_the_same_weights() -> None:
    net = ns.Network.mlp([4, 5, 3], seed=3)
    net.biases["hidden1"] += 0.5
    twin = scoring.with_feedback(net, "random")
    assert list(twin.feedback) == ["hidden1->output"]
    for name, w in net.weights.items():
        np.testing.assert_array_equal(twin.weights[name], w)
    np.testing.assert_array_equal(twin.biases["hidden1"], net.biases["hidden1"])
    assert not net.feedback


def test_errors_name_the_value(iris: tuple[Any, ...]) -> None:
    net, flow, keys = ns.Network.mlp([4, 5, 3]), ns.Flow.adjoint(), {"test": iris[2:]}
    with pytest.raises(ns.DataError, match=r"the targets, \(75, 3\), are not classes"):
        ns.plausibility(
            net, flow, *iris[:2], test=(iris[2], np.random.default_rng(0).normal(size=(75, 3)))
        )
    with pytest.raises(
        ns.ModelError, match=r"imperfection = 'quantum'; .*did you mean 'quantum \(1\)'"
    ):
        ns.plausibility(net, flow, *iris[:2], levels={"quantum": [1]}, **keys)
    with pytest.raises(ns.ModelError, match="the network has feedback weights"):
        ns.plausibility(ns.Network.mlp([4, 5, 3], feedback="random"), flow, *iris[:2], **keys)
    with pytest.raises(ns.ModelError, match="locality with constraint tube"):
        scoring.locality(
            ns.Network.mlp([4, 5, 3], constraint="tube", epsilon=0.1), ns.Flow.augmented(), iris[0]
        )


def test_the_picture(card: ns.Plausibility) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = ns.plot.plausibility({"adjoint": card, "again": card})
        figure.canvas.draw()
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert len(texts) == 2 * len(card.rows())
    assert "all to 1e-09" in texts
    with pytest.raises(ns.DataError, match="found is empty"):
        ns.plot.plausibility({})


def test_every_level_can_be_made() -> None:
    for make, levels in scoring.LEVELS.values():
        assert len({repr(make(level)) for level in levels}) == len(levels)
    assert isinstance(scoring.LEVELS["state noise (sd)"][0](0.1), StateNoise)
    assert isinstance(scoring.LEVELS["box for σ′ (half-width)"][0](0.3), Derivative)


def test_shared_weights_are_counted_and_their_synapses_are_not_local(iris: tuple[Any, ...]) -> None:
    net = ns.Network.convolutional((4, 1), [2], kernel=3, outputs=3, seed=0)
    schedule = ns.Presentations(batch=25, present=4 * TAU, epochs=1)
    card = ns.plausibility(
        net,
        ns.Flow.adjoint(tau_w=10 * TAU),
        *iris[:2],
        test=iris[2:],
        schedule=schedule,
        levels={"message noise (sd)": [1e-9]},
        backend="numpy",
    )
    # four sites read themselves, three their left and three their right neighbour
    assert (card.agreeing, card.shared) == (10 * 2, 3 * 2)
    assert card.rows()["synapses that must agree"] == "20 on 6 weights"
    assert card.foreign_synapse > 0.1
    assert 0.2 < card.unshared <= 1
    assert "weights not shared (%)" in card.spread


def test_without_sharing_the_outputs_are_the_same() -> None:
    net = ns.Network.convolutional((4, 4, 1), [2, 3], pool=[2, 1], outputs=3, seed=0)
    for bias in net.biases.values():
        bias[:] = np.random.default_rng(0).normal(size=bias.size)
    apart = with_own_weights(net)
    assert not any(q.shares for q in apart.projections.values())
    X = np.random.default_rng(1).normal(size=(2, 4, 4, 1))
    expected = ns.reference.forward(net, X)
    for n, x in ns.reference.forward(apart, X).items():
        np.testing.assert_allclose(x, expected[n], atol=1e-14)
    assert with_feedback(net, "random").projections["pool1->hidden2"].feedback == "random"
