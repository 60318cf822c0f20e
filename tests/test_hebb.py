"""Hebbian layers: Oja's unit against the principal component, shares of winners, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import neurosim as ns
from neurosim.hebb import HebbianConvolution, HebbianLayer, bcm, most_active, oja

RNG = np.random.default_rng(0)
SPREADS = np.array([2.0, 1.2, 1.0, 0.8, 0.6, 0.4])
X = RNG.normal(size=(400, 6)) * SPREADS @ np.linalg.qr(RNG.normal(size=(6, 6)))[0]


def test_one_unit_of_oja_finds_the_principal_component():
    layer = HebbianLayer(1, epochs=20, batch=1, rate=0.1).fit(X)
    seen = (X - X.mean(axis=0)) / np.linalg.norm(X - X.mean(axis=0), axis=1, keepdims=True)
    first = np.linalg.eigh(seen.T @ seen)[1][:, -1]
    assert abs(layer.weights_[0] @ first) > 0.999
    assert np.linalg.norm(layer.weights_[0]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rule", ["oja", "bcm"])
def test_a_batch_of_one_is_the_rule_by_hand(rule):
    options = {"start": "random", "batch": 1, "rate": 0.3, "conscience": 0.1, "pace": 0.4}
    layer = HebbianLayer(7, rule, **options).fit(X[:1])
    w = layer.weights_.copy()
    handicap = layer.handicap_.copy()
    theta = layer.threshold_.copy()
    layer.partial_fit(X[:50])
    for row in X[:50]:
        x = row - X[0]  # the mean that the first call fixed
        x = x / max(np.linalg.norm(x), 1e-12)
        i = int(np.argmax(w @ x - handicap))
        y = w[i] @ x
        if rule == "oja":
            w[i] += 0.3 * y * (x - y * w[i])
        else:
            w[i] += 0.3 * y * (y - theta[i]) * x
            w[i] /= np.linalg.norm(w[i])
            theta[i] += 0.4 * (y * y - theta[i])
        handicap -= 0.1 / 7
        handicap[i] += 0.1
    assert_allclose(layer.weights_, w, atol=1e-12)
    assert_allclose(layer.handicap_, handicap, atol=1e-12)
    assert_allclose(layer.threshold_, theta, atol=1e-12)


def test_conscience_gives_every_unit_its_share():
    fair, free = (
        HebbianLayer(20, start="random", epochs=8, conscience=c).fit(X) for c in (0.03, 0.0)
    )
    wins = []
    for layer in (fair, free):
        scores = layer._directions(X) @ layer.weights_.T - layer.handicap_
        wins.append(np.bincount(scores.argmax(axis=1), minlength=20))
    assert wins[0].min() >= 8  # of 400 patterns for 20 units
    assert wins[0].std() < wins[1].std() / 2


def test_outputs_are_how_far_a_unit_is_above_the_next_one():
    y = np.array([[3.0, 1.0, 2.0, -1.0], [0.5, 0.5, 0.2, 0.1]])
    assert_allclose(most_active(y, 2), [[2, 0, 1, 0], [0.3, 0.3, 0, 0]])
    assert_allclose(most_active(y, 4), np.maximum(y, 0))
    layer = HebbianLayer(30, active=5, epochs=1).fit(X)
    assert ((layer.transform(X) > 0).sum(axis=1) == 5).all()
    again = HebbianLayer(30, active=5, epochs=1).fit(X)
    assert np.array_equal(again.transform(X), layer.transform(X))
    pipeline = make_pipeline(StandardScaler(), HebbianLayer(9, epochs=1))
    assert pipeline.fit_transform(X).shape == (400, 9)
    at_rest = oja(np.ones((1, 2)), np.ones((1, 2)), np.array([1.0]))  # at an output of 1
    assert at_rest.tolist() == [[0.0, 0.0]]
    assert bcm(np.ones((1, 2)), np.array([0.5]), np.array([1.0])).tolist() == [[-0.25, -0.25]]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_it_is_a_transformer_as_scikit_learn_asks():
    check_estimator(HebbianLayer(5, epochs=1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rule", "hebb"),
        ("start", "zero"),
        ("units", 0),
        ("rate", -1.0),
        ("active", 2.5),
        ("pace", 1.5),
    ],
)
def test_what_cannot_be_is_refused(key, value):
    with pytest.raises(ns.ModelError, match=key):
        HebbianLayer(**{key: value}).fit(X)


def test_a_convolution_applies_the_layer_to_every_patch():
    images = RNG.normal(size=(5, 6, 7, 2))
    layer = HebbianLayer(4, "bcm", active=2, epochs=2, rate=0.5)
    conv = HebbianConvolution(layer, kernel=3, pool=2, patches=60).fit(images)
    found = conv.transform(images)
    assert found.shape == (5, 2, 2, 4)
    expected = np.zeros((5, 2, 2, 4))
    for row in range(4):
        for column in range(4):
            patch = images[:, row : row + 3, column : column + 3].transpose(0, 3, 1, 2)
            seen = patch.reshape(5, -1) - patch.reshape(5, -1).mean(axis=1, keepdims=True)
            seen /= np.sqrt(seen.var(axis=1, keepdims=True) + 0.01)
            expected[:, row // 2, column // 2] += layer.transform(seen - conv._mean) / 4
    assert_allclose(found, expected, atol=1e-12)


def test_a_convolution_refuses_images_without_a_patch():
    conv = HebbianConvolution(HebbianLayer(4), kernel=5, pool=3)
    with pytest.raises(ns.DataError, match="at least 7 high and wide"):
        conv.fit(RNG.normal(size=(3, 6, 9, 1)))


def test_whitened_patches_have_no_correlations():
    images = RNG.normal(size=(200, 6, 6, 1)).cumsum(axis=1).cumsum(axis=2)
    conv = HebbianConvolution(HebbianLayer(4, epochs=1), kernel=3, pool=1, whiten=True)
    conv.fit(images)
    patches = conv._evened(conv._windows(images).reshape(-1, 9))
    before = np.cov(patches.T)
    after = conv._matrix @ before @ conv._matrix
    variances = np.linalg.eigvalsh(before)
    # the covariance C becomes C / (C + 0.1)
    assert_allclose(np.linalg.eigvalsh(after), variances / (variances + 0.1), atol=0.02)
    assert variances.max() > 3
