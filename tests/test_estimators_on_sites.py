"""Estimators on images and series: against a simulation by hand; forms of X; refusals."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import neurosim as ns

SCHEDULE = ns.Presentations(batch=10, present="50 ms", plastic_from=0.79, epochs=2)
QUICK: dict[str, Any] = {
    "flow": "adjoint",
    "tau_x": "10 ms",
    "tau_w": "100 ms",
    "dt": "10 ms",
    "backend": "numpy",
    "schedule": SCHEDULE,
    "random_state": 0,
}
DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images[:40], DIGITS.target[:40]
NET = ns.Network.convolutional((8, 8, 1), [3], stride=2, outputs=10, seed=4)
BUILD = partial(ns.Network.convolutional, channels=[3], stride=2)


def test_a_given_network_learns_as_a_simulation_by_hand_does() -> None:
    """Mean and spread of a grey image are one number each, over all its pixels."""
    before = {name: w.copy() for name, w in NET.weights.items()}
    model = ns.SaddleClassifier(network=NET, **QUICK).fit(IMAGES, LABELS)
    rows = (IMAGES.reshape(40, 64) - IMAGES.mean()) / IMAGES.std()
    net = NET.copy()
    flow = ns.Flow.adjoint(tau_x="10 ms", tau_w="100 ms")
    sim = ns.Simulation(net, flow, dt="10 ms", backend="numpy", seed=model._seed)
    sim.train(rows, LABELS, SCHEDULE, start="zero")
    for name, w in net.weights.items():
        assert_array_equal(model.network_.weights[name], w)
        assert_array_equal(NET.weights[name], before[name])  # a copy is trained
        assert not np.array_equal(w, before[name])
    outputs = ns.reference.forward(net, rows)["output"]
    assert_allclose(model.decision_function(IMAGES), outputs, rtol=0, atol=1e-12)
    assert_array_equal(model.predict(IMAGES), outputs.argmax(axis=1))
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    assert_allclose(model.predict_proba(IMAGES), shares, atol=1e-12)


def test_each_feature_has_its_mean_and_spread_over_all_sites() -> None:
    colours = np.random.default_rng(0).normal([1, 5, -2], [1, 3, 0.5], size=(40, 4, 4, 3))
    model = ns.SaddleClassifier(network=BUILD, **QUICK).fit(colours, LABELS)
    means, spreads = model.mean_.reshape(4, 4, 3), model.scale_.reshape(4, 4, 3)
    for feature in range(3):
        assert_allclose(means[..., feature], colours[..., feature].mean())
        assert_allclose(spreads[..., feature], colours[..., feature].std())
    assert model.network_.populations["input"].shape == (4, 4, 3)
    weights = np.r_[np.zeros(20), np.ones(20)]
    weighted = ns.SaddleClassifier(network=BUILD, **QUICK)
    weighted.fit(colours, LABELS, sample_weight=weights)
    assert_allclose(weighted.mean_[:3], colours[20:].mean(axis=(0, 1, 2)))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (64,)])
def test_all_forms_of_an_image_are_the_same(shape: tuple[int, ...]) -> None:
    X = IMAGES.reshape(40, *shape)
    model = ns.SaddleClassifier(network=NET, **QUICK).fit(X, LABELS, validation=(IMAGES, LABELS))
    known = ns.SaddleClassifier(network=NET, **QUICK).fit(IMAGES, LABELS)
    assert_array_equal(model.decision_function(IMAGES), known.decision_function(X))
    assert_array_equal(model.decision_function(X.tolist()), known.decision_function(X))
    assert (model.n_features_in_, model.mean_.shape) == (64, (64,))


def test_a_function_draws_weights_by_the_random_state() -> None:
    first, again = (ns.SaddleClassifier(network=BUILD, **QUICK) for _ in range(2))
    other = ns.SaddleClassifier(network=BUILD, **{**QUICK, "random_state": 1})
    drawn = [model.prepared(IMAGES, LABELS)[0] for model in (first, again, other)]
    weights = [net.weights["input->hidden1"] for net in drawn]
    assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_a_series_and_a_regressor() -> None:
    X = np.random.default_rng(0).normal(size=(30, 5, 2))
    net = ns.Network.recurrent(5, 2, 4, 1, loss="mse")
    model = ns.SaddleRegressor(network=net, **QUICK).fit(X, X[:, -1, 0])
    assert model.predict(X).shape == (30,)
    assert model.score(X, X[:, -1, 0]) > ns.SaddleRegressor(
        network=net, **{**QUICK, "tau_w": "1000 s"}
    ).fit(X, X[:, -1, 0]).score(X, X[:, -1, 0])


def test_clones_searches_and_parts() -> None:
    model = ns.SaddleClassifier(network=BUILD, **QUICK)
    assert clone(model).get_params()["network"] is not None
    search = GridSearchCV(model, {"network": [BUILD, NET]}, cv=2).fit(IMAGES, LABELS)
    assert search.best_estimator_.predict(IMAGES).shape == (40,)
    first = clone(model).partial_fit(IMAGES, LABELS, classes=range(10))
    before = first.network_.weights["input->hidden1"].copy()
    first.partial_fit(IMAGES, LABELS)
    assert not np.array_equal(first.network_.weights["input->hidden1"], before)


def test_probabilities_follow_the_loss_of_the_network() -> None:
    net = ns.Network.convolutional((8, 8, 1), [3], outputs=10, loss="mse")
    assert not hasattr(ns.SaddleClassifier(network=net), "predict_proba")
    built = ns.SaddleClassifier(network=partial(BUILD, loss="mse"), **QUICK).fit(IMAGES, LABELS)
    assert not hasattr(built, "predict_proba")


@pytest.mark.parametrize(
    ("given", "X", "words"),
    [
        ({"network": 3}, IMAGES, "network = 3; allowed: None, a Network, or a function"),
        ({"network": lambda **_: 3}, IMAGES, "network = .*; allowed: None, a Network"),
        ({"network": NET, "hidden": (8,)}, IMAGES, r"hidden = \(8,\) beside network.*\(32,\)"),
        ({"network": NET, "hidden": np.array([8, 4])}, IMAGES, "hidden = .*beside network"),
        ({"network": NET, "l2": 0.1}, IMAGES, "l2 = 0.1 beside network = .*; allowed: 0.0"),
        ({"network": NET, "loss": "mse"}, IMAGES, "loss = 'mse' beside network"),
        (
            {"network": NET},
            IMAGES[:, :7],
            r"X has shape \(patterns, 7, 8\); allowed: \(patterns, 8",
        ),
        ({"network": NET}, IMAGES.reshape(40, 1, 8, 8), r"\(patterns, 1, 8, 8\); allowed"),
        ({"network": BUILD}, IMAGES.reshape(40, 64), "shape"),
        (
            {"network": ns.Network.convolutional((8, 8, 1), [3], outputs=4)},
            IMAGES,
            "network has 4 units in 'output'; allowed: 10",
        ),
        (
            {"network": ns.Network.convolutional((8, 8, 1), [3], outputs=10, loss=None)},
            IMAGES,
            "has no loss with targets",
        ),
        ({}, IMAGES, "Found array with dim 3"),
        ({"network": NET}, np.where(IMAGES > 15, np.nan, IMAGES), "NaN"),
        ({"network": NET}, IMAGES + 1j, "complex"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], X: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ns.SaddleClassifier(**given, **QUICK).fit(X, LABELS)


def test_other_shapes_than_in_fit_are_refused() -> None:
    model = ns.SaddleClassifier(network=NET, **QUICK).fit(IMAGES, LABELS)
    with pytest.raises(ns.DataError, match=r"X has shape \(patterns, 4, 16\); allowed"):
        model.predict(IMAGES.reshape(40, 4, 16))
