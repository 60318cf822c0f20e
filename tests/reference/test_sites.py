"""Backpropagation through shared weights, against unshared matrices and central differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.model import sites
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Population, Projection
from neurosim.reference.jacobian import Linearised
from neurosim.reference.sites import product, returned
from tests.helpers import shared_nets
from tests.helpers.examples import some

SEEDS = st.integers(0, 10_000)
KINDS = st.sampled_from(shared_nets.KINDS)


@settings(max_examples=some(40), deadline=None)
@given(KINDS, SEEDS)
def test_agrees_with_unshared_matrices(kind: str, seed: int) -> None:
    net = shared_nets.network(kind, seed)
    X, Y = shared_nets.data(net, seed)
    found = ns.reference.backprop(net, X, Y)
    # each pair of units has its own weight; time is then a cycle, which is solved as a whole
    apart = net.unrolled()
    expected = ns.reference.backprop(apart, X, Y)
    for n in net.neurons:
        np.testing.assert_allclose(found.x[n], expected.x[n], atol=1e-12)
        np.testing.assert_allclose(found.lam[n], expected.lam[n], atol=1e-10)
    assert found.loss == pytest.approx(expected.loss, abs=1e-12)
    for name, q in net.projections.items():
        if not q.shares:
            continue
        slope = expected.grad_w[name].toarray()
        between = net.between(name)
        assert between is not None
        for o, matrix in enumerate(between.matrices):
            summed = np.zeros(net.weights[name].shape[1:])
            for post, pre in zip(*matrix.nonzero(), strict=True):
                rows = slice(post * between.post_features, (post + 1) * between.post_features)
                columns = slice(pre * between.pre_features, (pre + 1) * between.pre_features)
                summed += matrix[post, pre] * slope[rows, columns]
            np.testing.assert_allclose(found.grad_w[name][o], summed, atol=1e-9)


def test_products_have_any_leading_axes() -> None:
    over = sites.Conv(3)
    between = Network(
        [Population("input", (5, 2), clamped=True), Population("hidden", (5, 4))],
        [Projection("input", "hidden", over=over)],
        [Loss("hidden")],
    ).between("input->hidden")
    assert between is not None
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 4, 2))
    for function, units in ((product, 10), (returned, 20)):
        values = rng.normal(size=(3, 2, units))
        found = function(between, w, values)
        assert found.shape == (3, 2, 30 - units)
        for own, row in zip(found, values, strict=True):
            np.testing.assert_array_equal(own, function(between, w, row))
        np.testing.assert_allclose(function(between, w, values[0, 0]), found[0, 0], atol=1e-14)


@settings(max_examples=some(15), deadline=None)
@given(KINDS, SEEDS)
def test_gradients_are_central_differences(kind: str, seed: int) -> None:
    net = shared_nets.network(kind, seed)
    X, Y = shared_nets.data(net, seed)
    found = ns.reference.backprop(net, X, Y)
    rng = np.random.default_rng(seed)
    moving = [
        (net.weights[name], found.grad_w[name]) for name, q in net.projections.items() if q.plastic
    ]
    moving += [(net.biases[n], found.grad_b[n]) for n in net.neurons]
    for values, slopes in moving:
        place = np.unravel_index(rng.integers(values.size), values.shape)
        before = values[place]
        losses = []
        for nudge in (1e-5, -1e-5):
            values[place] = before + nudge
            losses.append(ns.reference.backprop(net, X, Y).loss)
        values[place] = before
        assert slopes[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-7)


@settings(max_examples=some(15), deadline=None)
@given(KINDS, SEEDS)
def test_right_hand_side_descends_the_lagrangian(kind: str, seed: int) -> None:
    net = shared_nets.network(kind, seed)
    X, Y = shared_nets.data(net, seed)
    rng = np.random.default_rng(seed)
    x = {n: rng.normal(size=(3, net.populations[n].size)) for n in net.neurons}
    lam = {n: rng.normal(size=(3, net.populations[n].size)) for n in net.neurons}
    flow = ns.Flow.augmented(rho=1.5)
    rates = ns.reference.right_hand_side(net, flow, x, lam, X, Y)

    def slope(values: np.ndarray, place: tuple[int, ...]) -> float:
        before, found = values[place], []
        for nudge in (1e-5, -1e-5):
            values[place] = before + nudge
            found.append(ns.reference.lagrangian(net, flow, x, lam, X, Y))
        values[place] = before
        return (found[0] - found[1]) / 2e-5

    for n in net.neurons:
        place = (1, int(rng.integers(net.populations[n].size)))
        dx, dlam = rates.x[n][place], rates.lam[n][place]
        assert dx * flow.time("tau_x", n) == pytest.approx(-slope(x[n], place), abs=1e-6)
        assert dlam * flow.time("tau_lam", n) == pytest.approx(slope(lam[n], place), abs=1e-6)
        of_bias = (int(rng.integers(net.biases[n].size)),)
        db = rates.b[n][of_bias] * flow.time("tau_w", n) * 3
        expected = -slope(net.biases[n], of_bias) if net.populations[n].plastic_bias else 0.0
        assert db == pytest.approx(expected, abs=1e-6)
    for name, q in net.projections.items():
        if q.plastic:
            w = net.weights[name]
            place = np.unravel_index(rng.integers(w.size), w.shape)
            dw = rates.w[name][place] * flow.time("tau_w", q.post) * 3
            assert dw == pytest.approx(-slope(w, place), abs=1e-6)


@pytest.mark.parametrize("kind", shared_nets.KINDS)
@pytest.mark.parametrize("plastic", [False, True])
def test_jacobian_is_the_slope_of_the_rates(kind: str, plastic: bool) -> None:
    net = shared_nets.network(kind, 3)
    X, Y = shared_nets.data(net, 3, patterns=2)
    flow = ns.Flow.rotated(1.0, rho=0.7)
    rng = np.random.default_rng(5)
    x = {n: rng.normal(size=(2, net.populations[n].size)) for n in net.neurons}
    lam = {n: rng.normal(size=(2, net.populations[n].size)) for n in net.neurons}
    from neurosim.data.patterns import patterns, targets

    linear = Linearised(net, flow, x, lam, patterns(net, X), targets(net, Y, 2), plastic=plastic)
    assert linear.exact
    directions = rng.normal(size=(4, linear.size))
    by_formula = linear.apply(directions)
    np.testing.assert_allclose(by_formula, linear._differences(directions), atol=2e-4)


def test_a_lag_closes_no_cycle_and_equal_times_do() -> None:
    def cycle(over: sites.Over) -> Network:
        populations = [
            Population("input", (4, 1), clamped=True),
            Population("a", (4, 2)),
            Population("b", (4, 2)),
        ]
        projections = [
            Projection("input", "a", over="pointwise"),
            Projection("a", "b", over="pointwise", gain=0.3),
            Projection("b", "a", over=over, gain=0.3),
        ]
        return Network(populations, projections, [Loss("b", "mse")])

    assert not cycle(sites.Lag()).cyclic
    assert not cycle(sites.Terms([np.eye(4, k=-1), np.eye(4, k=-2)])).cyclic
    assert cycle(sites.Pointwise()).cyclic
    assert cycle(sites.Terms([np.eye(4, k=-1), np.eye(4, k=1)])).cyclic
    assert "cyclic" not in repr(cycle(sites.Lag()))


def test_weights_of_their_own_at_every_site_agree_where_they_are_equal() -> None:
    net = shared_nets.network("conv", 4)
    apart = shared_nets.network("conv", 4, shared=False)
    for name, q in net.projections.items():
        if q.over is not None and q.over.weighted:
            apart.weights[name] = net.matrix(name)
        else:
            apart.weights[name] = net.weights[name]
    for n, bias in net.biases.items():
        apart.biases[n] = np.tile(bias, apart.biases[n].size // bias.size)
    X, Y = shared_nets.data(net, 4)
    found, expected = ns.reference.backprop(apart, X, Y), ns.reference.backprop(net, X, Y)
    for n in net.neurons:
        np.testing.assert_allclose(found.lam[n], expected.lam[n], atol=1e-13)
