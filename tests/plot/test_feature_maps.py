"""Pictures of sites: the drawn arrays are those of the run, indexed by hand; refusals; choices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from numpy.testing import assert_array_equal

import neurosim as ns
from neurosim import plot, sites
from neurosim.plot.site_graph import _connected
from tests.helpers.pictured import convolutional, graph_net, relaxed_on_sites, spoilt_end


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def run() -> ns.Run:
    return relaxed_on_sites(convolutional("twelve"))


@pytest.fixture(scope="module")
def strips() -> ns.Run:
    return relaxed_on_sites(convolutional("one"))


@pytest.fixture(scope="module")
def graph() -> ns.Run:
    return relaxed_on_sites(graph_net("default"))


@pytest.mark.parametrize("variable", ["x", "lam"])
def test_each_image_is_one_feature(run: ns.Run, variable: str) -> None:
    """Unit (row, column, feature) is at place (10 row + column) 12 + feature of the array."""
    values = getattr(run, variable)["hidden1"][1]
    ax = plot.feature_maps(run, "hidden1", variable, [11, 4], pattern=1)
    expected = np.empty((2, 8, 10))
    for place, feature in enumerate((11, 4)):
        for row in range(8):
            for column in range(10):
                expected[place, row, column] = values[(10 * row + column) * 12 + feature]
    assert_array_equal([image.get_array() for image in ax.images], expected)
    assert ax.get_title() == "hidden1\n2 of 12 features, 8 x 10 sites, pattern 1"
    assert [text.get_text() for text in ax.texts] == ["11", "4"]
    limits = [image.get_clim() for image in ax.images]
    largest = np.abs(expected).max()
    assert limits == [(-largest, largest)] * 2


def test_features_of_one_axis_of_sites_are_rows(strips: ns.Run) -> None:
    ax = plot.feature_maps(strips)
    assert_array_equal(ax.images[0].get_array(), strips.x["hidden1"][0].reshape(20, 5).T)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("site", "feature")


def test_an_input_is_drawn_too(run: ns.Run) -> None:
    ax = plot.feature_maps(run, "input")
    assert_array_equal(ax.images[0].get_array(), run.X["input"][0].reshape(8, 10))
    with pytest.raises(ns.ModelError, match="variable of input = 'lam'; allowed: x, as a clamped"):
        plot.feature_maps(run, "input", "lam")


def test_values_that_are_not_finite_are_grey(run: ns.Run) -> None:
    ax = plot.feature_maps(spoilt_end(run))
    image = ax.images[0]
    assert image.cmap(np.ma.masked_invalid([np.nan]))[0] == pytest.approx(to_rgba("#B0B0B0"))
    assert np.isfinite(image.get_clim()).all()
    assert ax.get_title().endswith("\ngrey: not finite")


def test_kernels_are_the_weights_in_row_major_order(run: ns.Run) -> None:
    """Image (post, pre) has at (row, column) the term 3 row + column."""
    net = run.network
    ax = plot.kernels(net, "hidden1->hidden2")
    w = net.weights["hidden1->hidden2"]
    assert (w.shape, len(ax.images)) == ((9, 4, 12), 48)
    expected = np.empty((4, 12, 3, 3))
    for row in range(3):
        for column in range(3):
            expected[:, :, row, column] = w[3 * row + column]
    drawn = np.array([image.get_array() for image in ax.images]).reshape(4, 12, 3, 3)
    assert_array_equal(drawn, expected)
    largest = np.abs(w).max()
    assert {image.get_clim() for image in ax.images} == {(-largest, largest)}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("presynaptic feature", "postsynaptic feature")


def test_kernels_in_one_dimension_are_strips(strips: ns.Run) -> None:
    ax = plot.kernels(strips.network, "input->hidden1")
    w = strips.network.weights["input->hidden1"]
    drawn = np.array([image.get_array() for image in ax.images])
    assert_array_equal(drawn[:, 0], w[:, :, 0].T)
    assert ax.get_title() == "input->hidden1\n5 kernels of 3 sites"


def test_a_graph_has_the_edges_of_its_adjacency_matrix(graph: ns.Run) -> None:
    """`graph_net` has a ring of 14 nodes, but only one way from 13 to 0, and an edge 7 -> 3."""
    edges = np.zeros((14, 14), dtype=bool)
    for node in range(13):
        edges[node, node + 1] = edges[node + 1, node] = True
    edges[13, 0] = edges[3, 7] = True
    assert_array_equal(_connected(graph.network, "state"), edges)
    ax = plot.graph_nodes(graph, feature=1)
    assert ax.get_title() == "state, feature 1 of 3\n14 nodes, 28 edges, pattern 0"
    lam = graph.lam["state"][0].reshape(14, 3)[:, 1]
    shade = mpl.colormaps["PRGn"]((lam / np.abs(lam).max() + 1) / 2)
    np.testing.assert_allclose(ax.collections[-1].get_facecolors(), shade, atol=1 / 255)


def test_a_graph_over_its_own_matrix_or_a_given_one() -> None:
    A = np.array([[1.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    net = ns.Network(
        [ns.Population("nodes", (3, 2), clamped=True), ns.Population("output", (3, 2))],
        [ns.Projection("nodes", "output", over=sites.Graph(A))],
        [ns.Loss("output", "mse")],
    )
    found = relaxed_on_sites(net)
    assert plot.graph_nodes(found).get_title().endswith("3 nodes, 2 edges, pattern 0")  # no loop
    alone = plot.graph_nodes(found, adjacency=np.eye(3), variable="x")
    assert alone.get_title().endswith("3 nodes, 0 edges, pattern 0")


def test_places_of_nodes_are_the_same_each_time(graph: ns.Run) -> None:
    first, second = (plot.graph_nodes(graph).collections[-1].get_offsets() for _ in range(2))
    assert_array_equal(first, second)


DENSE = ns.Network.mlp([3, 2], loss="mse")
DEEP = ns.Network.convolutional((2, 2, 2, 1), [2], outputs=2, loss="mse")


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda s, g: plot.feature_maps(s, "hiden1"), "did you mean 'hidden1'"),
        (lambda s, g: plot.feature_maps(s, "output"), r"output on sites \(\).*one or two axes"),
        (lambda s, g: plot.feature_maps(s, variable="a"), "variable = 'a'; allowed: x, lam"),
        (lambda s, g: plot.feature_maps(s, pattern=2), "pattern = 2; allowed: 0 to 1"),
        (
            lambda s, g: plot.feature_maps(s, features=[12]),
            r"features = \[12\]; allowed: a list of",
        ),
        (
            lambda s, g: plot.feature_maps(s, features=[]),
            r"features = \[\]; allowed: a list of 0 to",
        ),
        (lambda s, g: plot.feature_maps(relaxed_on_sites(DENSE)), "no population on one or two"),
        (lambda s, g: plot.feature_maps(relaxed_on_sites(DEEP)), "no population on one or two"),
        (lambda s, g: plot.kernels(s.network, "hidden2->output"), "over nothing, shared = True"),
        (
            lambda s, g: plot.kernels(g.network, "edge->state"),
            "over graph.*allowed: one over sites",
        ),
        (lambda s, g: plot.kernels(DEEP, "input->hidden1"), "kernel of 3 axes.; allowed"),
        (lambda s, g: plot.kernels(s.network, "input->hidden2"), "projection = 'input->hidden2'"),
        (lambda s, g: plot.graph_nodes(s), "no projection over sites.Graph.*try adjacency="),
        (lambda s, g: plot.graph_nodes(g, feature=3), "feature = 3; allowed: 0 to 2"),
        (lambda s, g: plot.graph_nodes(g, "hidden"), "one axis of sites: input, edge, state, out"),
        (lambda s, g: plot.graph_nodes(g, adjacency=np.eye(3)), r"\(3, 3\); allowed: \(14, 14\)"),
        (lambda s, g: plot.feature_maps(s, ax=plt.gca(), figsize=(3, 2)), "one of the two"),
    ],
)
def test_refused(draw: Any, words: str, run: ns.Run, graph: ns.Run) -> None:
    with pytest.raises(ns.NeurosimError, match=words):
        draw(run, graph)


def test_weights_of_each_site_are_not_kernels() -> None:
    net = ns.Network.convolutional((4, 4, 1), [2], outputs=2, shared=False)
    with pytest.raises(ns.ModelError, match=r"shared = False.*allowed: one over sites"):
        plot.kernels(net, "input->hidden1")


def test_quick_draws_maps_where_all_that_was_recorded_lies_on_sites(run: ns.Run) -> None:
    assert run.traces is not None
    assert plot.quick(run).get_ylabel() == "output x (1)"  # the readout was recorded too
    names = run.traces["population"].values
    kept = replace(run, traces=run.traces.isel(unit=names == "hidden2"))
    assert plot.quick(kept).get_title().startswith("hidden2\n4 features, 8 x 10 sites")
