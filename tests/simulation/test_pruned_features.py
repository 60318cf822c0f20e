"""Pruning of features, whose units go at all sites or at none."""

from __future__ import annotations

import numpy as np
import pytest

import neurosim as ns


def _net(**options: object) -> ns.Network:
    return ns.Network.convolutional((6, 6, 1), [4, 5], pool=[2, 1], outputs=3, seed=1, **options)


def test_a_silent_and_an_unread_feature_go() -> None:
    net = _net()
    net.weights["input->hidden1"][:, 2] = 0  # its output is 0 at every site
    net.weights["hidden2->output"].reshape(3, 9, 5)[:, :, 1] = 0
    X = np.random.default_rng(0).normal(size=(6, 6, 6, 1))
    small = ns.prune(net, X=X, within=1e-12)
    assert small.weights["input->hidden1"].shape == (9, 3, 1)
    assert small.weights["pool1->hidden2"].shape == (9, 4, 3)
    assert small.populations["pool1"].shape == (3, 3, 3)
    expected = ns.reference.forward(net, X)["output"]
    np.testing.assert_allclose(ns.reference.forward(small, X)["output"], expected, atol=1e-14)


def test_support_at_one_site_keeps_a_feature() -> None:
    net = _net()
    support = np.zeros((6, 6, 4), dtype=bool)
    support[..., :3] = True
    support[2, 3, 3] = True
    small = ns.prune(net, {"hidden1": support.ravel()})
    assert small.populations["hidden1"].shape == (6, 6, 4)


def test_a_feature_that_counts_at_the_border_alone_is_refused() -> None:
    net = _net()
    net.weights["input->hidden1"][:, 2] = 0
    net.biases["hidden1"][2] = 0.9  # constant, but not all sites of hidden2 read it
    X = np.random.default_rng(0).normal(size=(6, 6, 6, 1))
    with pytest.raises(ns.ModelError, match="the outputs change by up to"):
        ns.prune(net, X=X, within=1e-3)
